//===- Accumulate.cpp - adds observed values to the statistics ------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Values are taken in blocks of 16 channels (a cache line of each row) by at
// most 64 rows. Nearly all blocks hold only |x| < 256: there the fixed-point
// integers are below 2^28, their squares below 2^56, and 64 of them fit 64
// bits, which compilers vectorise. Other blocks take the 128-bit path; both are
// exact, so the choice never shows.
//
//===----------------------------------------------------------------------===//

#include "MagnitudeDetail.h"

#include <limits>

using namespace llvm;
using namespace spikequant;
using namespace spikequant::magnitude;

namespace {
/// Channels whose counts lie side by side in the histogram.
constexpr uint32_t blockChannels = 16;
constexpr uint64_t blockRows = 64;
constexpr uint32_t smallBits = powerBits(8);
constexpr double clampAbs = double(1 << maxExponent);

/// One channel-block of a site's statistics.
struct Target {
  float *maxAbs;
  Int128 *sums;
  Int128 *squares;
  uint32_t *histogram;
};
} // namespace

/// round(value * 2^20), ties to even, for |value| <= 2^24. The addition puts
/// the integer into the low bits of the mantissa of 1.5 * 2^52.
static inline int64_t toFixed(double value) {
  constexpr double magic = 6755399441055744.0;
  double shifted = value * double(1 << sumFractionBits) + magic;
  return bit_cast<int64_t>(shifted) - bit_cast<int64_t>(magic);
}

static uint32_t largestBits(const float *values, uint64_t rows, size_t stride,
                            uint32_t width) {
  uint32_t largest = 0;
  for (uint64_t r = 0; r < rows; ++r)
    for (uint32_t c = 0; c < width; ++c)
      largest = std::max(largest, absoluteBits(values[r * stride + c]));
  return largest;
}

/// A full-width block of finite values below 256.
static void addSmallBlock(const float *values, uint64_t rows, size_t stride,
                          Target target) {
  uint32_t largest[blockChannels] = {};
  int64_t sums[blockChannels] = {};
  uint64_t squares[blockChannels] = {};
  for (uint64_t r = 0; r < rows; ++r) {
    const float *row = values + r * stride;
    uint32_t bins[blockChannels];
    for (uint32_t c = 0; c < blockChannels; ++c) {
      uint32_t bits = absoluteBits(row[c]);
      largest[c] = std::max(largest[c], bits);
      bins[c] = slotOf(finiteBin(bits), row[c]);
      int64_t fixed = toFixed(row[c]);
      sums[c] += fixed;
      uint64_t magnitude = uint32_t(fixed < 0 ? -fixed : fixed);
      squares[c] += magnitude * magnitude;
    }
    for (uint32_t c = 0; c < blockChannels; ++c)
      ++target.histogram[bins[c] * blockChannels + c];
  }
  for (uint32_t c = 0; c < blockChannels; ++c) {
    target.maxAbs[c] = std::max(target.maxAbs[c], bit_cast<float>(largest[c]));
    target.sums[c] += sums[c];
    target.squares[c] += squares[c];
  }
}

/// Any values, any width.
static void addBlock(const float *values, uint64_t rows, size_t stride,
                     uint32_t width, Target target) {
  for (uint64_t r = 0; r < rows; ++r)
    for (uint32_t c = 0; c < width; ++c) {
      float value = values[r * stride + c];
      unsigned bin = binOf(value);
      ++target.histogram[slotOf(bin, value) * blockChannels + c];
      if (bin >= infinityBin)
        continue;
      float absolute = bit_cast<float>(absoluteBits(value));
      target.maxAbs[c] = std::max(target.maxAbs[c], absolute);
      Int128 fixed = toFixed(std::clamp(double(value), -clampAbs, clampAbs));
      target.sums[c] += fixed;
      target.squares[c] += fixed * fixed;
    }
}

Error SiteStatistics::accumulate(const float *values, uint64_t count) {
  static_assert(blockChannels == laneCount);
  if (count > std::numeric_limits<uint32_t>::max() - rows)
    return createStringError("site '%s': more than 2^32 - 1 rows; calibrate on "
                             "less text",
                             name.c_str());
  rows += count;
  for (uint64_t r = 0; r < count; r += blockRows)
    for (uint32_t c = 0; c < channels; c += blockChannels) {
      uint64_t height = std::min(blockRows, count - r);
      uint32_t width = std::min(blockChannels, channels - c);
      const float *block = values + r * channels + c;
      Target target{&maxAbs[c], &sums[c], &squares[c],
                    &histogram[histogramIndex(c, 0)]};
      if (width == blockChannels &&
          largestBits(block, height, channels, width) < smallBits)
        addSmallBlock(block, height, channels, target);
      else
        addBlock(block, height, channels, width, target);
    }
  return Error::success();
}

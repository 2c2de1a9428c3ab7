//===- GramMatrix.cpp - second moments of a site's inputs -----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The integers are held in doubles and multiplied in blocks of rows so short
// that no sum of a block passes 2^53: floating-point units then do exact
// integer work, several times faster than 64-bit integer products. Blocks are
// added to 64-bit integers.
//
//===----------------------------------------------------------------------===//

#include "spikequant/Calibration/GramMatrix.h"

#include "GramKernel.h"

#include "llvm/ADT/bit.h"

#include <algorithm>
#include <cmath>
#include <limits>

using namespace llvm;
using namespace spikequant;
using namespace spikequant::gram;

static constexpr uint64_t blockRows = 128;
static constexpr double exactLimit = 0x1p53;
/// No diagonal entry may pass this before a block, which adds 2^53 at most, is
/// added. The others are no larger than the diagonal (Cauchy and Schwarz), nor
/// are column sums: |n| <= n^2.
static constexpr int64_t largestSum =
    std::numeric_limits<int64_t>::max() - (int64_t(1) << 53);

double GramView::at(uint64_t i, uint64_t j) const {
  auto [low, high] = std::minmax(i, j);
  return std::ldexp(double(sums[high * (high + 1) / 2 + low]),
                    -2 * fractionBits);
}

double GramView::around(uint64_t i, double a, uint64_t j, double b) const {
  double sumI = std::ldexp(double(columns[i]), -fractionBits);
  double sumJ = std::ldexp(double(columns[j]), -fractionBits);
  double sum = at(i, j) - (a * sumJ + b * sumI) + double(rows) * (a * b);
  // Where values are all but the centre, the differences are rounding errors.
  return i == j && a == b ? std::max(sum, 0.0) : sum;
}

GramMatrix::GramMatrix(std::string name, uint32_t channels)
    : name(std::move(name)), channels(channels), sums(triangleSize(channels)),
      columns(channels) {}

/// The value on the grid, as an integer. Adding 1.5 * 2^52 leaves no fraction
/// bits, and unlike std::nearbyint it is no call.
static double toGrid(float value) {
  constexpr double limit = 1 << maxExponent, shift = 0x1.8p52;
  if (std::isnan(value))
    return 0;
  double clamped = std::clamp(double(value), -limit, limit);
  return (clamped * (1 << fractionBits) + shift) - shift;
}

namespace {
/// Up to blockRows rows on the grid, stored as GramKernel.h wants them.
class Block {
public:
  explicit Block(uint64_t channels)
      : channels(channels), panels((channels + panelWidth - 1) / panelWidth),
        data(panels * blockRows * panelWidth) {}

  /// Takes at least one of `count` rows; \returns how many.
  uint64_t fill(const float *values, uint64_t count);
  void addTo(MutableArrayRef<int64_t> sums) const;
  void addColumnsTo(MutableArrayRef<int64_t> columns) const;

private:
  const double *panel(uint64_t p) const {
    return data.data() + p * blockRows * panelWidth;
  }
  void addTile(uint64_t row, uint64_t panel, const double *tile,
               MutableArrayRef<int64_t> sums) const;

  uint64_t channels, panels, rows = 0;
  std::vector<double> data; ///< Channels beyond the last one stay 0.
};
} // namespace

uint64_t Block::fill(const float *values, uint64_t count) {
  double largest = 0;
  for (rows = 0; rows < std::min(count, blockRows); ++rows) {
    for (uint64_t c = 0; c < channels; ++c) {
      double q = toGrid(values[rows * channels + c]);
      largest = std::max(largest, std::fabs(q));
      data[((c / panelWidth) * blockRows + rows) * panelWidth +
           c % panelWidth] = q;
    }
    if (largest * largest * double(rows + 1) > exactLimit)
      break;
  }
  return rows;
}

void Block::addTile(uint64_t row, uint64_t panel, const double *tile,
                    MutableArrayRef<int64_t> sums) const {
  for (uint64_t i = row, end = std::min(row + stripWidth, channels); i < end;
       ++i) {
    uint64_t first = panel * panelWidth;
    uint64_t width = std::min(panelWidth, i + 1 - std::min(first, i + 1));
    int64_t *target = sums.data() + triangleSize(i) + first;
    for (uint64_t j = 0; j < width; ++j)
      target[j] += int64_t(tile[(i - row) * panelWidth + j]);
  }
}

void Block::addTo(MutableArrayRef<int64_t> sums) const {
  double tile[stripWidth * panelWidth];
  for (uint64_t p = 0; p < panels; ++p)
    for (uint64_t i = p * panelWidth; i < channels; i += stripWidth) {
      const double *left = panel(i / panelWidth) + i % panelWidth;
      multiplyStrip(left, panel(p), rows, tile);
      addTile(i, p, tile, sums);
    }
}

void Block::addColumnsTo(MutableArrayRef<int64_t> columns) const {
  for (uint64_t c = 0; c < channels; ++c) {
    const double *values = panel(c / panelWidth) + c % panelWidth;
    for (uint64_t r = 0; r < rows; ++r)
      columns[c] += int64_t(values[r * panelWidth]);
  }
}

static Error overflowError(const std::string &name) {
  return createStringError("site '" + name +
                           "': its values are too many or too large for a "
                           "64-bit Gram matrix; calibrate on less text or "
                           "without Gram matrices");
}

Error GramMatrix::accumulate(const float *values, uint64_t count) {
  Block block(channels);
  while (count > 0) {
    for (uint64_t c = 0; c < channels; ++c)
      if (sums[triangleSize(c) + c] > largestSum)
        return overflowError(name);
    uint64_t taken = block.fill(values, count);
    block.addTo(sums);
    block.addColumnsTo(columns);
    rows += taken;
    values += taken * channels;
    count -= taken;
  }
  return Error::success();
}

Error GramMatrix::merge(const GramView &other) {
  if (other.channels != channels)
    return createStringError("site '" + name + "' has " + Twine(channels) +
                             " channels in one Gram file and " +
                             Twine(other.channels) + " in another");
  for (uint64_t c = 0; c < channels; ++c) {
    int64_t sum;
    uint64_t at = triangleSize(c) + c;
    if (__builtin_add_overflow(sums[at], other.sums[at], &sum))
      return overflowError(name);
  }
  for (size_t i = 0; i < sums.size(); ++i)
    sums[i] += other.sums[i];
  for (size_t c = 0; c < columns.size(); ++c)
    columns[c] += other.columns[c];
  rows += other.rows;
  return Error::success();
}

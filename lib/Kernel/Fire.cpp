//===- Fire.cpp - membranes to spike counts -------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Kernel/Fire.h"

#include <algorithm>
#include <limits>

using namespace spikequant;

namespace {
/// acc * M + B needs up to 95 bits.
__extension__ using Wide = __int128;
} // namespace

static Wide ceilDivide(Wide numerator, Wide positiveDenominator) {
  Wide quotient = numerator / positiveDenominator;
  bool truncatedDown = numerator % positiveDenominator > 0;
  return quotient + (truncatedDown ? 1 : 0);
}

static Wide exactLadder(int64_t k, FireThreshold threshold) {
  Wide unit = static_cast<Wide>(1) << threshold.shift;
  return ceilDivide(k * unit - threshold.bias, threshold.multiplier);
}

int64_t spikequant::fireLadder(int64_t k, FireThreshold threshold) {
  using Limits = std::numeric_limits<int64_t>;
  Wide exact = exactLadder(k, threshold);
  return static_cast<int64_t>(
      std::clamp<Wide>(exact, Limits::min(), Limits::max()));
}

int16_t spikequant::fireCount(int64_t acc, FireThreshold threshold, int32_t lo,
                              int32_t hi) {
  Wide membrane = std::clamp<Wide>(acc, exactLadder(lo + 1, threshold) - 1,
                                   exactLadder(hi, threshold));
  Wide scaled = membrane * threshold.multiplier + threshold.bias;
  return static_cast<int16_t>(
      std::clamp<Wide>(scaled >> threshold.shift, lo, hi));
}

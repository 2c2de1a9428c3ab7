//===- Grid.cpp - membranes and functions in fixed point ------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Kernel/Grid.h"

#include <algorithm>
#include <cmath>

using namespace spikequant;

static int32_t saturate(int64_t value) {
  return static_cast<int32_t>(std::clamp(value, -maxGrid, maxGrid));
}

int32_t spikequant::gridNumber(int64_t acc, GridRate rate) {
  int64_t half = int64_t{1} << (rate.shift - 1);
  int64_t scaled = (acc * rate.multiplier + half) >> rate.shift;
  return saturate(scaled + rate.bias);
}

std::optional<GridRate> spikequant::roundRate(double rate, double bias) {
  constexpr double most = 4194304.0; // 2^22
  double rounded = std::nearbyint(bias);
  if (!std::isfinite(rate) || !std::isfinite(bias) ||
      std::abs(rounded) > double(maxGrid))
    return std::nullopt;
  for (int32_t shift = 62; shift >= 1; --shift) {
    double multiplier = std::nearbyint(std::ldexp(rate, shift));
    if (std::abs(multiplier) <= most)
      return GridRate{static_cast<int32_t>(multiplier), shift,
                      static_cast<int32_t>(rounded)};
  }
  return std::nullopt;
}

int32_t spikequant::tableNumber(int32_t x, const GridTable &table) {
  int64_t c = std::clamp<int64_t>(x, table.lo, table.lo + table.size - 1);
  int64_t slope = x < c ? table.lowSlope : table.highSlope;
  int64_t beyond = (slope * (x - c) + (1 << 23)) >> 24;
  return saturate(table.entries[c - table.lo] + beyond);
}

//===- Thresholds.cpp - real thresholds to integer ones -------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Kernel/Thresholds.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

using namespace spikequant;

static bool fits(RealThreshold channel, int32_t shift, int32_t lo, int32_t hi) {
  double unit = std::ldexp(1.0, shift);
  double counts = std::max(std::abs(lo), std::abs(hi)) + 2.0;
  double bias = (std::abs(channel.offset) + counts) * unit;
  return std::nearbyint(channel.rate * unit) <= 2147483647.0 &&
         bias + std::ldexp(1.0, 31) <= std::ldexp(1.0, 62);
}

static FireThreshold round(RealThreshold channel, int32_t shift) {
  double unit = std::ldexp(1.0, shift);
  double multiplier = std::max(1.0, std::nearbyint(channel.rate * unit));
  return {static_cast<int32_t>(multiplier), std::llrint(channel.offset * unit),
          shift};
}

std::optional<FireTable>
spikequant::roundThresholds(const std::vector<RealThreshold> &channels,
                            int32_t lo, int32_t hi) {
  FireTable table;
  for (RealThreshold channel : channels) {
    if (!(channel.rate >= 0) || !std::isfinite(channel.rate) ||
        !std::isfinite(channel.offset))
      return std::nullopt;
    int32_t shift = maxFireShift;
    while (shift >= 0 && !fits(channel, shift, lo, hi))
      --shift;
    if (shift < 0)
      return std::nullopt;
    FireThreshold threshold = round(channel, shift);
    double exact = std::ldexp(channel.rate, shift);
    if (exact > 0)
      table.error =
          std::max(table.error, std::abs(threshold.multiplier / exact - 1.0));
    table.channels.push_back(threshold);
  }
  return table;
}

//===- GridEncode.cpp - fixed-point rows to spike counts ------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Kernel/GridEncode.h"
#include "spikequant/Kernel/Encode.h"
#include "spikequant/Kernel/Grid.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace spikequant;

RowFactor spikequant::splitRowFactor(float factor) {
  uint32_t bits;
  std::memcpy(&bits, &factor, sizeof bits);
  auto field = static_cast<int32_t>(bits >> 23 & 0xff);
  auto mantissa = static_cast<int32_t>(bits & 0x7fffff);
  if (field > 0)
    mantissa |= 0x800000;
  return {bits >> 31 ? -mantissa : mantissa, std::max(field, 1) - 150};
}

int32_t spikequant::scaleByRow(int32_t x, RowFactor factor,
                               int32_t unitExponent) {
  int32_t exponent = factor.exponent + unitExponent + rowExponent;
  int32_t left = std::clamp(exponent, 0, 8);
  int32_t right = std::clamp(-exponent, 0, 62);
  int64_t scaled = int64_t{x} * factor.mantissa * (int64_t{1} << left);
  int64_t half = (int64_t{1} << right) >> 1;
  return static_cast<int32_t>(
      std::clamp((scaled + half) >> right, -maxGrid, maxGrid));
}

int16_t spikequant::gridCount(int32_t y, CountRate rate) {
  int64_t half = int64_t{1} << (rate.shift - 1);
  int64_t driven = (int64_t{y} - rate.centre) * rate.multiplier;
  constexpr int64_t most = maxCount;
  return static_cast<int16_t>(
      std::clamp((driven + half) >> rate.shift, -most, most));
}

std::optional<CountRate> spikequant::roundCountRate(double rate,
                                                    double centre) {
  constexpr double most = 536870912.0; // 2^29
  double rounded = std::nearbyint(centre);
  if (!std::isfinite(rate) || !std::isfinite(centre) ||
      std::abs(rounded) > double(maxGrid))
    return std::nullopt;
  for (int32_t shift = 62; shift >= 1; --shift) {
    double multiplier = std::nearbyint(std::ldexp(rate, shift));
    if (std::abs(multiplier) <= most)
      return CountRate{static_cast<int32_t>(multiplier), shift,
                       static_cast<int32_t>(rounded)};
  }
  return std::nullopt;
}

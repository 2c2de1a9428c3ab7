//===- Encode.cpp - real values to spike counts ---------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Kernel/Encode.h"

#include <cmath>
#include <cstdlib>

using namespace spikequant;

std::optional<EncodeThreshold> spikequant::encodeThreshold(float step, float a,
                                                           float centre) {
  if (!(step > 0.0f) || !std::isfinite(step))
    return std::nullopt;
  float rate = a / step;
  float shift = centre * rate;
  float membrane = 0.5f - shift;
  if (!std::isnormal(rate) || !std::isfinite(membrane))
    return std::nullopt;
  return EncodeThreshold{rate, membrane};
}

int16_t spikequant::encodeValue(float x, float rowScale,
                                EncodeThreshold threshold) {
  float scaled = x * rowScale;
  float driven = scaled * threshold.rate;
  float v = std::floor(driven + threshold.membrane);
  if (std::isnan(v))
    return 0;
  // Converting a value outside the integer's range is undefined: clamp first.
  constexpr float limit = maxCount;
  v = v < -limit ? -limit : v;
  v = v > limit ? limit : v;
  return static_cast<int16_t>(v);
}

int32_t spikequant::windowOf(int32_t bits) {
  return bits < 2 ? 0 : (1 << (bits - 1)) - 1;
}

WindowedCount spikequant::applyWindow(int16_t n, int32_t bits,
                                      int32_t tolerance) {
  int32_t window = windowOf(bits);
  int32_t magnitude = std::abs(static_cast<int32_t>(n));
  if (magnitude <= window)
    return {n, false};
  if (magnitude - window > tolerance)
    return {n, true};
  return {static_cast<int16_t>(n < 0 ? -window : window), false};
}

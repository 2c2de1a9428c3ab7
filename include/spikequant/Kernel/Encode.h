//===- Encode.h - real values to spike counts -------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// The definition of `encode` and of the window that a channel's bits give its
/// neuron. Every lowering and exporter must agree with these functions to the
/// bit: each product and each sum is one f32 operation, rounded to nearest
/// even, never contracted. They are defined in a source file (not inline), so
/// that a client's compiler flags cannot change the result.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_KERNEL_ENCODE_H
#define SPIKEQUANT_KERNEL_ENCODE_H

#include <cstdint>
#include <optional>

namespace spikequant {

/// Counts are symmetric: -32768 never occurs.
inline constexpr int32_t maxCount = 32767;

/// The largest number of bits that a channel can have.
inline constexpr int32_t maxChannelBits = 8;

/// One input channel's constants: v = (x * rowScale) * rate + membrane.
struct EncodeThreshold {
  float rate; ///< r_j = f32(a_j / step), counts per unit of x.
  float
      membrane; ///< h_j = f32(1/2 - f32(z_j * r_j)), initial membrane, counts.
};

/// Derives a channel's constants from the site's `step` (> 0, units of x), its
/// folded scale `a` and its `centre` z (units of x).
/// \returns nothing if step is not a positive finite number, if the rate is not
/// finite and normal, or if the membrane is not finite.
std::optional<EncodeThreshold> encodeThreshold(float step, float a = 1.0f,
                                               float centre = 0.0f);

/// n = clamp(floor((x * rowScale) * rate + membrane), -32767, 32767).
/// The clamp precedes the conversion to an integer. NaN gives 0; infinities
/// saturate. `rowScale` is 1 where a site has none (exact: x * 1 is x).
int16_t encodeValue(float x, float rowScale, EncodeThreshold threshold);

/// L = 2^(bits-1) - 1 counts; 0 for a silent channel (bits 0 or 1).
/// Range of `bits`: 0..8.
int32_t windowOf(int32_t bits);

/// A count as the next site sees it.
struct WindowedCount {
  int16_t count; ///< The count after saturation.
  bool salient;  ///< Outside window and tolerance: carried exactly as an event.
};

/// |n| <= L: unchanged. L < |n| <= L + tolerance: saturates to +-L. Beyond:
/// unchanged and salient. Ranges: |n| <= 32767, bits 0..8, tolerance >= 0.
WindowedCount applyWindow(int16_t n, int32_t bits, int32_t tolerance);

} // namespace spikequant

#endif // SPIKEQUANT_KERNEL_ENCODE_H

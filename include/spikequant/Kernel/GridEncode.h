//===- GridEncode.h - fixed-point rows to spike counts ----------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// The definition of `encode` for numbers of a grid (see Grid.h), in integers
/// only: a row is scaled by the mantissa and the exponent of its real factor,
/// to numbers of 2^-20; a threshold per channel follows.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_KERNEL_GRIDENCODE_H
#define SPIKEQUANT_KERNEL_GRIDENCODE_H

#include <cstdint>
#include <optional>

namespace spikequant {

/// Scaled numbers count 2^-rowExponent.
inline constexpr int32_t rowExponent = 20;

/// m 2^e, exactly the factor of a row.
struct RowFactor {
  int32_t mantissa; ///< |m| < 2^24.
  int32_t exponent; ///< -149..105.
};

/// The bits of `factor`; infinity acts as 2^128, a NaN as what its bits say.
RowFactor splitRowFactor(float factor);

/// clamp(round(x m 2^e 2^unitExponent / 2^-rowExponent), -maxGrid, maxGrid),
/// halves up: with t = e + unitExponent + rowExponent, l = clamp(t, 0, 8) and
/// r = clamp(-t, 0, 62), (((x m) << l) + ((1 << r) >> 1)) >> r. Nothing leaves
/// i64; larger t saturate and smaller ones give 0, as they should.
int32_t scaleByRow(int32_t x, RowFactor factor, int32_t unitExponent);

/// One channel: counts per unit are M / 2^S.
struct CountRate {
  int32_t multiplier; ///< M, |M| <= 2^29.
  int32_t shift;      ///< S, 1..62.
  int32_t centre;     ///< Z, in units.
};

/// clamp(((y - Z) M + 2^(S-1)) >> S, -32767, 32767), arithmetic shift; nothing
/// leaves i64.
int16_t gridCount(int32_t y, CountRate rate);

/// M = round(rate 2^S) for the largest S in 1..62 at which |M| <= 2^29, and
/// Z = round(centre): |M / (rate 2^S) - 1| <= 2^-29 for |rate| >= 2^-34. `rate`
/// is in counts per unit, `centre` in units. Nothing if |rate| is above 2^28, a
/// value is not finite or the centre is beyond maxGrid.
std::optional<CountRate> roundCountRate(double rate, double centre);

} // namespace spikequant

#endif // SPIKEQUANT_KERNEL_GRIDENCODE_H

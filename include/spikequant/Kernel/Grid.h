//===- Grid.h - membranes and functions in fixed point ----------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// The definitions of `grid` and `table`, in integers only. A grid is a unit,
/// a power of two far below a step, that all channels count in; its numbers
/// have 32 bits and saturate.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_KERNEL_GRID_H
#define SPIKEQUANT_KERNEL_GRID_H

#include <cstdint>
#include <optional>

namespace spikequant {

/// Grid numbers are in [-maxGrid, maxGrid].
inline constexpr int64_t maxGrid = 2147483647;

/// |acc| is below this for every packed matrix: counts have at most 32767 and
/// 127 sum |W| < 2^31.
inline constexpr int64_t maxMembrane = int64_t{1} << 40;

/// One channel: unit steps per unit of membrane are M / 2^S.
struct GridRate {
  int32_t multiplier; ///< M, |M| <= 2^22.
  int32_t shift;      ///< S, 1..62.
  int32_t bias;       ///< b, in units.
};

/// clamp(((acc M + 2^(S-1)) >> S) + b, -maxGrid, maxGrid), arithmetic shift.
/// For |acc| <= maxMembrane nothing leaves i64.
int32_t gridNumber(int64_t acc, GridRate rate);

/// M = round(rate 2^S) and b = round(bias) for the largest S in 1..62 at which
/// |M| <= 2^22: |M / (rate 2^S) - 1| <= 2^-22 for |rate| >= 2^-41. `rate` is in
/// units per membrane, `bias` in units. Nothing if |rate| is above 2^21, a
/// value is not finite or the bias is beyond maxGrid.
std::optional<GridRate> roundRate(double rate, double bias);

/// A function of grid numbers: entries for lo..lo+size-1, straight lines with
/// slopes in units of 2^-24 beyond.
struct GridTable {
  const int32_t *entries;
  int64_t size; ///< at least 1
  int32_t lo, lowSlope, highSlope;
};

/// c = clamp(x, lo, lo + size - 1);
/// clamp(entries[c - lo] + ((slope (x - c) + 2^23) >> 24), -maxGrid, maxGrid).
int32_t tableNumber(int32_t x, const GridTable &table);

} // namespace spikequant

#endif // SPIKEQUANT_KERNEL_GRID_H

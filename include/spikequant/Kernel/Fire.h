//===- Fire.h - membranes to spike counts -----------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// The definition of `fire`, in integers only. One output channel has the
/// dyadic threshold theta = 2^shift / multiplier and the bias `bias`, which
/// also holds the rounding half (2^(shift-1) rounds ties up).
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_KERNEL_FIRE_H
#define SPIKEQUANT_KERNEL_FIRE_H

#include <cstdint>

namespace spikequant {

/// One output channel's threshold.
struct FireThreshold {
  int32_t multiplier; ///< M, 1..2^31-1.
  int64_t bias;       ///< B, any i64.
  int32_t shift;      ///< S, 0..46, one per site.
};

/// The largest shift of a site.
inline constexpr int32_t maxFireShift = 46;

/// T(k) = ceil((k 2^S - B) / M), the least membrane that fires at least k
/// times, computed exactly and saturated to the i64 range.
int64_t fireLadder(int64_t k, FireThreshold threshold);

/// n' = clamp((clamp(acc, T(lo+1) - 1, T(hi)) M + B) >> S, lo, hi), with an
/// arithmetic shift and without overflow. Equal to the ladder: for every k in
/// lo+1..hi, n' >= k exactly if acc >= T(k).
/// Ranges: -32767 <= lo < hi <= 32767.
int16_t fireCount(int64_t acc, FireThreshold threshold, int32_t lo, int32_t hi);

} // namespace spikequant

#endif // SPIKEQUANT_KERNEL_FIRE_H

//===- Thresholds.h - real thresholds to integer ones -----------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Where a real threshold becomes a dyadic one, once: the rounding between
/// `n = floor(acc * rate + offset)` over the reals and `fire`.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_KERNEL_THRESHOLDS_H
#define SPIKEQUANT_KERNEL_THRESHOLDS_H

#include "spikequant/Kernel/Fire.h"

#include <optional>
#include <vector>

namespace spikequant {

/// One channel over the reals.
struct RealThreshold {
  /// Counts per unit of membrane, >= 0; 0 for a channel whose membrane is
  /// always 0.
  double rate;
  /// Initial membrane in counts: the bias and the rounding half.
  double offset;
};

/// The thresholds of a site. Each channel has its own shift: with a common one,
/// channels of small scale would lose as many bits as their scale is smaller.
struct FireTable {
  std::vector<FireThreshold> channels;
  /// Largest |M / (rate 2^S) - 1| over channels with a rate.
  double error = 0;
};

/// M = max(1, round(rate 2^S)), B = round(offset 2^S) for the largest S in
/// 0..46 at which M is at most 2^31 - 1 and no step of `fire` with membranes
/// clamped to [T(lo+1) - 1, T(hi)] leaves i64:
/// |offset| 2^S + (max(|lo|, |hi|) + 2) 2^S + 2^31 <= 2^62.
/// Nothing if no S fits a channel, or a rate is negative or a value not finite.
std::optional<FireTable>
roundThresholds(const std::vector<RealThreshold> &channels, int32_t lo,
                int32_t hi);

} // namespace spikequant

#endif // SPIKEQUANT_KERNEL_THRESHOLDS_H

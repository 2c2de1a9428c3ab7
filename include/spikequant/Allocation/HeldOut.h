//===- HeldOut.h - is there enough calibration text ----------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_ALLOCATION_HELDOUT_H
#define SPIKEQUANT_ALLOCATION_HELDOUT_H

#include "spikequant/Allocation/BitProblem.h"

namespace spikequant {

/// Mean bits per value of one allocation, events included.
struct HeldOutBits {
  double inSample = 0.0; ///< On the statistics that it was made from.
  double heldOut = 0.0;  ///< On others.
};

/// Chooses steps and bits from `fit` and counts what they cost on `held`, which
/// must have the same sites. All channels drive equally much: how many outputs
/// they drive is not in the statistics. Little text gives low in-sample bits
/// and high held-out bits: rare large values were not seen.
llvm::Expected<HeldOutBits> compareHeldOut(const CalibrationData &fit,
                                           const CalibrationData &held,
                                           const AllocationOptions &options);

} // namespace spikequant

#endif // SPIKEQUANT_ALLOCATION_HELDOUT_H

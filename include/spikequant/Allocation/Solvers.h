//===- Solvers.h - answers to the bit problem -----------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_ALLOCATION_SOLVERS_H
#define SPIKEQUANT_ALLOCATION_SOLVERS_H

#include "spikequant/Allocation/BitProblem.h"

namespace spikequant {

/// The bits that minimise b + eventBits P(salient), channel by channel; the
/// smaller b on a tie. b = 1 is never chosen: it is as silent as 0.
std::vector<int8_t> chooseBits(const SiteProblem &site,
                               const AllocationOptions &options, float step);

/// Checks the problem, solves it by `options.rule` and verifies the answer.
llvm::Expected<BitSolution> solve(const BitProblem &problem);

} // namespace spikequant

#endif // SPIKEQUANT_ALLOCATION_SOLVERS_H

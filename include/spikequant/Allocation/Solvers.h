//===- Solvers.h - answers to the bit problem -----------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_ALLOCATION_SOLVERS_H
#define SPIKEQUANT_ALLOCATION_SOLVERS_H

#include "spikequant/Allocation/BitProblem.h"

namespace spikequant {

/// Windows for one step, and what they cost; sums over the channels.
struct WindowChoice {
  std::vector<int8_t> bits;
  /// As in SiteSolution.
  std::vector<float> centres, offsets;
  /// b + eventBits P(salient).
  double activationBits = 0.0;
  /// Squared error.
  double error = 0.0;
};

/// The windows that minimise b + eventBits P(salient) + errorBits error / s^2,
/// channel by channel; the smaller b on a tie. b = 1 is never chosen: it is as
/// silent as 0. Channels with a law choose their centre as well, and their
/// error counts without its mean.
WindowChoice chooseWindows(const SiteProblem &site,
                           const AllocationOptions &options, float step);
std::vector<int8_t> chooseBits(const SiteProblem &site,
                               const AllocationOptions &options, float step);

/// Checks the problem, solves it by `options.rule` and verifies the answer.
llvm::Expected<BitSolution> solve(const BitProblem &problem);

} // namespace spikequant

#endif // SPIKEQUANT_ALLOCATION_SOLVERS_H

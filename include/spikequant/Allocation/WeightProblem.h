//===- WeightProblem.h - weight formats under a budget ----------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Every matrix of weights takes one of several formats, each with a size and a
/// loss. Which ones have the least loss in all within a mean of stored bits?
/// (A multiple-choice knapsack.) Plain data, free of IR, like BitProblem.h.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_ALLOCATION_WEIGHTPROBLEM_H
#define SPIKEQUANT_ALLOCATION_WEIGHTPROBLEM_H

#include "llvm/Support/Error.h"

#include <cstdint>
#include <string>
#include <vector>

namespace spikequant {

/// One format that a matrix may take.
struct WeightOption {
  int32_t bits = 4;
  int64_t group = 32; ///< 0: the whole row.
  /// Per weight, with multipliers, offsets and scales; > 0.
  double storedBits = 0.0;
  /// Not negative; losses of all sites add up.
  double loss = 0.0;
};

struct WeightSite {
  std::string name;
  int64_t weights = 0; ///< >= 1
  std::vector<WeightOption> options;
};

struct WeightProblem {
  /// Mean of storedBits over the weights of all sites that may be spent.
  double meanBits = 0.0;
  std::vector<WeightSite> sites;

  /// Whether it can be solved: distinct names, options with valid numbers, and
  /// a budget that the smallest formats meet (the error says how many bits
  /// those take).
  llvm::Error check() const;
};

struct WeightSolution {
  std::vector<size_t> choices; ///< By site, an index of its options.
  double meanBits = 0.0;       ///< Of the choices.
  double loss = 0.0;           ///< Of the choices.
  /// No choice within the budget has a smaller loss: that of mixtures of
  /// formats within a matrix.
  double lowerBound = 0.0;
};

/// Checks the problem, solves it and verifies the answer. Along the lower hulls
/// of all sites, whatever saves the most loss per bit comes first; what is left
/// over of the budget is spent greedily. So the answer is above the bound by at
/// most one step of one site.
llvm::Expected<WeightSolution> solve(const WeightProblem &problem);

/// Errors: a choice that does not exist, means that are not those of the
/// choices, more bits than the budget, a loss below the bound.
llvm::Error verify(const WeightProblem &problem,
                   const WeightSolution &solution);

} // namespace spikequant

#endif // SPIKEQUANT_ALLOCATION_WEIGHTPROBLEM_H

//===- WeightPlan.h - a format for each matrix of weights -------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_WEIGHTPLAN_H
#define SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_WEIGHTPLAN_H

#include "spikequant/Dialect/SpikeQuant/IR/WeightView.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/StringSet.h"

#include <map>
#include <string>

namespace mlir::spikequant {

struct CodeFormat {
  unsigned bits = 4;
  unsigned group = 32; ///< 0: the whole row.
};

/// By `getWeightPlanKey`. Weights that are not in it have the common format.
using WeightPlan = std::map<std::string, CodeFormat>;

/// The matrix that `view` sees in the weights `symbol`.
std::string getWeightPlanKey(StringRef symbol, const WeightView &view);

struct WeightBudget {
  /// Mean stored bits per weight of all sites that are no heads, multipliers,
  /// offsets and scales included.
  double meanBits = 0;
  std::string weights;     ///< Safetensors file of the sources.
  std::string calibration; ///< Empty: all input channels count alike.
};

/// Bits per weight as they are stored: the code, its share of m (8 bits) and c
/// (16) of its group, and of the row's scale (32).
double getStoredBits(unsigned bits, int64_t group, int64_t channels,
                     bool symmetric = false);

/// Chooses codes of 2 to 8 bits in groups of 16, 32, 64, 128 or the row for the
/// weights of every site but `heads`, for the least predicted loss within the
/// budget (WeightProblem.h). The loss of a matrix is the expected squared error
/// of its outputs, inputs taken as uncorrelated: sum_oj E[x_j^2] e_oj^2, with e
/// of nearest rounding on some rows. Where the calibration has a sensitivity F
/// of the input, it is F K / |W|^2 of that (W of all weights that read the
/// input: F is for an error of the input, which reaches the outputs through
/// them); else the error is relative to the outputs' energy. A remark per
/// matrix. Fails, with diagnostics: files that cannot be read, a calibration of
/// another model, a budget that is too small.
FailureOr<WeightPlan> planWeights(ModuleOp module,
                                  const llvm::StringSet<> &heads,
                                  const WeightBudget &budget);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_WEIGHTPLAN_H

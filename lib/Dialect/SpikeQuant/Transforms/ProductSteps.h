//===- ProductSteps.h - steps of the factors of products ------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_DIALECT_TRANSFORMS_PRODUCTSTEPS_H
#define SPIKEQUANT_LIB_DIALECT_TRANSFORMS_PRODUCTSTEPS_H

#include "spikequant/Dialect/SpikeQuant/Transforms/Products.h"

namespace mlir::spikequant {

struct ProductStep {
  /// Finite and > 0, in units of the activation.
  float step;
  unsigned bits;
  /// Numerators: some graph has rows long enough to be rounded with a spread,
  /// so all do. Graphs for short and long contexts compute the same.
  bool spread = false;
};

/// By the name of the operand.
using ProductSteps = std::map<std::string, ProductStep>;

using FunctionProducts =
    SmallVector<std::pair<func::FuncOp, std::vector<Product>>>;

/// The step with the least error of each operand that `calibration` has
/// statistics of. Fails, with a diagnostic, if the file is unreadable.
FailureOr<ProductSteps> chooseProductSteps(ModuleOp module,
                                           const FunctionProducts &products,
                                           StringRef calibration,
                                           const ProductOptions &options);

/// Drops products without a step, and those that all graphs cannot compute from
/// counts, or with other states: graphs share states.
void keepConsistent(
    FunctionProducts &products, const ProductSteps &steps,
    function_ref<void(func::FuncOp, linalg::LinalgOp, StringRef)> leave);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_DIALECT_TRANSFORMS_PRODUCTSTEPS_H

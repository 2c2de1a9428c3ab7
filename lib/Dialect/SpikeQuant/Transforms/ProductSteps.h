//===- ProductSteps.h - steps of the factors of products ------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_DIALECT_TRANSFORMS_PRODUCTSTEPS_H
#define SPIKEQUANT_LIB_DIALECT_TRANSFORMS_PRODUCTSTEPS_H

#include "ProductChannels.h"

namespace mlir::spikequant {

struct ProductStep {
  /// Finite and > 0, in units of the activation.
  float step;
  unsigned bits;
  /// Numerators: some graph has rows long enough to be rounded with a spread,
  /// so all do. Graphs for short and long contexts compute the same.
  bool spread = false;
  /// Of an operand with a step per channel, `step / gain`: one gain for each
  /// channel of the source's last dimension, or of its last two.
  std::vector<float> gains = {};
  /// As many, or none: 0.
  std::vector<float> centres = {};
};

/// Of a product whose held operand has gains that its result has too: what each
/// channel of the scaled array is multiplied with (see ProductChannels.h).
struct ProductScale {
  ChannelPairing pairing;
  std::vector<float> factors;
};

/// By the name of the operand.
struct ProductSteps : std::map<std::string, ProductStep> {
  std::map<std::string, ProductScale> scales; ///< by the product's name
};

using FunctionProducts =
    SmallVector<std::pair<func::FuncOp, std::vector<Product>>>;

/// The step with the least error of each operand that `calibration` has
/// statistics of; counts of less than 8 bits that a state holds have one per
/// channel where the product allows it. Fails, with a diagnostic, if the file
/// is unreadable.
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

//===- Products.h - products of two activations -----------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_PRODUCTS_H
#define SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_PRODUCTS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Quantize.h"

#include <array>
#include <map>
#include <vector>

namespace mlir::spikequant {

/// The numerators exp(x - max x) of a softmax over the last dimension, whose
/// quotient by their own sum `probabilities` holds.
struct SoftmaxNumerators {
  Value numerators;
  Value probabilities;
};

/// Recognises `probabilities` as a softmax over its last dimension.
std::optional<SoftmaxNumerators> matchSoftmax(Value probabilities);

/// exp(scores - maximum of their rows), the rows' maximum without an initial
/// value that matters.
struct SoftmaxExponent {
  Value scores;
  Value maximum;
};

/// Recognises `numerators` as the exponentials of a softmax over its last
/// dimension.
std::optional<SoftmaxExponent> matchNumerators(Value numerators);

/// The value that `op` moves (transposes, reshapes, repeats) without computing
/// anything, or null.
Value getMovedValue(Operation *op);

/// One factor of a product, followed back through data movement.
struct ProductOperand {
  /// `<product>.left` or `<product>.right`.
  std::string name;
  /// f32, what becomes counts. Of a softmax, its numerators.
  Value source;
  /// From `source` (or the probabilities) to the operand, or to `insertion`.
  SmallVector<Operation *> path;
  /// Rows of a state that are replaced by `source`; null if there is none.
  tensor::InsertSliceOp insertion;
  /// From the state to the operand.
  SmallVector<Operation *> afterState;
  bool isNumerators = false;

  BlockArgument getState() const {
    return insertion
               ? cast<BlockArgument>(tensor::InsertSliceOp(insertion).getDest())
               : BlockArgument();
  }
};

struct Product {
  linalg::LinalgOp op;
  std::string name;
  std::array<ProductOperand, 2> operands;
};

/// The named products of `function` that counts can compute, in program order.
/// `leave` hears of the others and why they stay real.
std::vector<Product>
findProducts(func::FuncOp function,
             function_ref<void(linalg::LinalgOp, StringRef)> leave = nullptr);

/// A value of a function to observe for its products. What a state holds has
/// channels for each head if `grouped`: its last two dimensions together.
struct ProductInput {
  std::string name;
  Value value;
  bool grouped;
};
std::vector<ProductInput> findProductInputs(func::FuncOp function);

struct ProductOptions {
  /// Bits of the counts, 2 to 8; 0: products stay real.
  unsigned bits = 8;
  /// Bits of counts that are kept in a state; with less than 8 these have a
  /// step per channel where products allow it.
  unsigned stateBits = 8;
};

/// Computes products of two activations from 8-bit counts, with steps from the
/// statistics of `calibration`; states that only such products read hold
/// counts. A product without statistics stays real, with a remark.
LogicalResult quantizeProducts(ModuleOp module, StringRef calibration,
                               const ProductOptions &options);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_PRODUCTS_H

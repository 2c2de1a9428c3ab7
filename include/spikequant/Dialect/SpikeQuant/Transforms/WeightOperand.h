//===- WeightOperand.h - the weights behind an operand ----------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_WEIGHTOPERAND_H
#define SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_WEIGHTOPERAND_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "spikequant/Dialect/SpikeQuant/IR/WeightView.h"

namespace mlir::spikequant {

/// A matrix of a stack is chosen while the program runs.
struct RuntimeChoice {
  /// One of so many entries, a step apart in the stored array.
  struct Scalar {
    WeightView::Step entries;
    /// The entry's number, of type index.
    Value number;
  };
  /// From the outermost to the innermost.
  SmallVector<Scalar, 1> scalars;
  /// Tensor of numbers, i32 or i64, or null; chosen steps of the view go
  /// through it. Each chooses one of `entries`.
  Value ids;
  WeightView::Step entries{1, 0};

  explicit operator bool() const { return ids || !scalars.empty(); }
};

/// Weights that reach a value by data movement and conversions alone.
struct WeightOperand {
  LoadWeightsOp load;
  /// What the value has of the stored array; of entry 0 where one is chosen.
  WeightView view;
  RuntimeChoice choice;
};

/// What is known about a value.
struct TracedWeight {
  std::optional<WeightOperand> operand;
  /// Why there is no operand although the value is computed from weights or
  /// constants alone; empty if it is an activation.
  std::string reason;
};

/// Follows `value` back to a `spikequant.load_weights`.
TracedWeight traceWeight(Value value);

/// Strips conversions and the clamp to [0, size - 1] from a number that indexes
/// a dimension of `size`; null if it is clamped to anything else.
Value stripClamp(Value number, int64_t size);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_WEIGHTOPERAND_H

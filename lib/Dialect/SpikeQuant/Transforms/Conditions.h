//===- Conditions.h - arrays of two values ----------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_CONDITIONS_H
#define SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_CONDITIONS_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace mlir::spikequant {

/// An array whose elements have one of two values, as those of the i1 array
/// `condition` say, which is moved along `path` first.
struct ConditionalArray {
  Value condition; ///< null: all have the value onTrue
  SmallVector<Operation *> path;
  double onTrue = 0, onFalse = 0;
};

/// Reads elementwise code of constants and at most one i1 array.
std::optional<ConditionalArray> readConditional(Value array);

/// Repeats the movement `path` (see getMovedValue) for `value`, at the builder.
Value replayMovement(OpBuilder &builder, Value value,
                     ArrayRef<Operation *> path);

/// The number that an attribute stands for, also as a splat of it; bits are 0
/// and 1.
std::optional<double> getNumber(Attribute attribute);

/// A constant that all elements of `array` have, seen through movement.
std::optional<double> getSplat(Value array);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_CONDITIONS_H

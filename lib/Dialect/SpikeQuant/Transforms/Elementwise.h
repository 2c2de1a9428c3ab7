//===- Elementwise.h - one scalar body over whole arrays --------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_ELEMENTWISE_H
#define SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_ELEMENTWISE_H

#include "mlir/IR/Builders.h"

namespace mlir::spikequant {

/// A linalg.generic whose result has the static shape of inputs[0] and elements
/// of type `element`. The other inputs have that shape or its first dimensions.
/// `body` makes the result's element from those of the inputs.
Value createElementwise(
    OpBuilder &b, Location loc, ValueRange inputs, Type element,
    function_ref<Value(OpBuilder &, Location, ValueRange)> body);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_ELEMENTWISE_H

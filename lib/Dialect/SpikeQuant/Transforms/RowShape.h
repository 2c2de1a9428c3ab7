//===- RowShape.h - any rank as rows of channels ----------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_TRANSFORMS_ROWSHAPE_H
#define SPIKEQUANT_LIB_TRANSFORMS_ROWSHAPE_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"

namespace mlir::spikequant {

/// `value` [.., K] of static shape and rank >= 1 as [M, K].
Value flattenRows(OpBuilder &builder, Location loc, Value value);

/// `rows` [M, K] as `type` [.., K], the inverse of `flattenRows`.
Value restoreRows(OpBuilder &builder, Location loc, Value rows,
                  RankedTensorType type);

/// `value` of static shape and any rank as a tensor of rank 1.
Value flattenAll(OpBuilder &builder, Location loc, Value value);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_TRANSFORMS_ROWSHAPE_H

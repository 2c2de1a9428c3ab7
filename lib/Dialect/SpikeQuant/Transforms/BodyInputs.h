//===- BodyInputs.h - what the scalars of a body stand for ------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_BODYINPUTS_H
#define SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_BODYINPUTS_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace mlir::spikequant {

/// The input of `op` whose elements `scalar` is; null if it is none, or null
/// itself.
inline OpOperand *getBodyInput(linalg::LinalgOp op, Value scalar) {
  auto argument = dyn_cast_or_null<BlockArgument>(scalar);
  if (!argument || argument.getOwner() != op.getBlock() ||
      argument.getArgNumber() >= op.getNumDpsInputs())
    return nullptr;
  return op.getDpsInputOperand(argument.getArgNumber());
}

/// Whether every element of the one result of `op` is computed from elements of
/// its inputs alone, in place.
inline bool isElementwise(linalg::LinalgOp op) {
  return op && op.getNumReductionLoops() == 0 && op->getNumResults() == 1 &&
         !op.hasIndexSemantics() &&
         op.getIndexingMapsArray().back().isIdentity();
}

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_BODYINPUTS_H

//===- InlineResources.h - resource constants become dense ones -----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_INLINERESOURCES_H
#define SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_INLINERESOURCES_H

#include "mlir/IR/BuiltinOps.h"

namespace mlir::spikequant {

/// Replaces the values of all `arith.constant dense_resource<..>` of integers
/// and floats by dense attributes with the same elements. Fails, with a
/// diagnostic, if the data are missing or of another size.
LogicalResult inlineResources(ModuleOp module);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_INLINERESOURCES_H

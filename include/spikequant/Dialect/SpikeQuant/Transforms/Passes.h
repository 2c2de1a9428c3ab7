//===- Passes.h - passes on the spikequant dialect
//----------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_PASSES_H
#define SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_PASSES_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

namespace mlir::spikequant {

#define GEN_PASS_DECL
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h.inc"

} // namespace mlir::spikequant

#endif // SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_PASSES_H

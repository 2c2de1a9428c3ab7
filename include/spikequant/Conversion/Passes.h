//===- Passes.h - conversions and code generation passes
//----------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_CONVERSION_PASSES_H
#define SPIKEQUANT_CONVERSION_PASSES_H

#include "spikequant/Conversion/DotInstructions.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace mlir::spikequant {

#define GEN_PASS_DECL
#include "spikequant/Conversion/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "spikequant/Conversion/Passes.h.inc"

} // namespace mlir::spikequant

#endif // SPIKEQUANT_CONVERSION_PASSES_H

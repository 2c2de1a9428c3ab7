//===- Passes.h - from tensors to threaded loops over one arena -*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_CODEGEN_PASSES_H
#define SPIKEQUANT_CODEGEN_PASSES_H

#include "mlir/Pass/Pass.h"

namespace mlir::spikequant {

#define GEN_PASS_DECL
#include "spikequant/Codegen/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "spikequant/Codegen/Passes.h.inc"

} // namespace mlir::spikequant

#endif // SPIKEQUANT_CODEGEN_PASSES_H

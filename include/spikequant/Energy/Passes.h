//===- Passes.h - reports on what a program costs -----------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_ENERGY_PASSES_H
#define SPIKEQUANT_ENERGY_PASSES_H

#include "mlir/Pass/Pass.h"

namespace mlir::spikequant {

#define GEN_PASS_DECL
#include "spikequant/Energy/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "spikequant/Energy/Passes.h.inc"

} // namespace mlir::spikequant

#endif // SPIKEQUANT_ENERGY_PASSES_H

//===- PackWeights.h - weights symbols to the packed file ----- *- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_PIPELINES_PACKWEIGHTS_H
#define SPIKEQUANT_PIPELINES_PACKWEIGHTS_H

#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <string>

namespace mlir::spikequant {

/// What the code has to know about the packed file.
struct PackedFileInfo {
  uint64_t checksum = 0;
  uint64_t bytes = 0;
};

/// Writes the arrays of all `spikequant.weights` operations of the module to
/// `path` and puts their places in the file on the operations
/// (`spikequant.layout`). Sources are read from `safetensorsPath`, which may be
/// empty if no operation has a source. Errors name the weight and the file.
llvm::Expected<PackedFileInfo> packWeights(ModuleOp module,
                                           llvm::StringRef safetensorsPath,
                                           llvm::StringRef path);

/// Puts the places of a packed file that exists on the operations
/// (`spikequant.layout`). Errors: a weight is missing or has another shape.
llvm::Expected<PackedFileInfo> annotateWeights(ModuleOp module,
                                               llvm::StringRef path);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_PIPELINES_PACKWEIGHTS_H

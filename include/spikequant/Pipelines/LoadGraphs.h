//===- LoadGraphs.h - graph files to one module --------------- *- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_PIPELINES_LOADGRAPHS_H
#define SPIKEQUANT_PIPELINES_LOADGRAPHS_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

#include <string>

namespace mlir::spikequant {

/// Parses linalg files and merges their functions into one module. Every public
/// function is a graph; its helper functions are inlined. Graphs of one model
/// share their weights by key. Arguments get a `spikequant.name` for the host:
/// the attribute if there, else the name in the argument's location, else argN;
/// the results' names (outN by default) become a function attribute, as does
/// which of them are unsigned.
/// Errors (a null module, reported as diagnostics): an unreadable file, two
/// graphs of one name.
OwningOpRef<ModuleOp> loadGraphs(ArrayRef<std::string> files,
                                 MLIRContext *context);

inline constexpr llvm::StringLiteral kNameAttr = "spikequant.name";
/// On a graph function: the names of its results, in order.
inline constexpr llvm::StringLiteral kResultNamesAttr =
    "spikequant.result_names";

} // namespace mlir::spikequant

#endif // SPIKEQUANT_PIPELINES_LOADGRAPHS_H

//===- ModelTables.h - the tables of a compiled model --------- *- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_PIPELINES_MODELTABLES_H
#define SPIKEQUANT_PIPELINES_MODELTABLES_H

#include "spikequant/Pipelines/PackWeights.h"

#include "mlir/IR/BuiltinOps.h"

#include <string>
#include <vector>

namespace llvm {
class Module;
} // namespace llvm

namespace mlir::spikequant {

/// An array that crosses the C interface.
struct ArraySpec {
  std::string name;
  int32_t elementType = 0; ///< enum sq_element_type
  int64_t elementBytes = 0;
  std::vector<int64_t> shape;
  int64_t stateResult = -1; ///< See sq_array.

  int64_t getBytes() const;
};

/// A graph as the host sees it.
struct GraphSpec {
  std::string name;
  std::vector<ArraySpec> arguments;
  std::vector<ArraySpec> results;
  /// For each result the index of the state argument that it updates, or -1.
  std::vector<int64_t> resultStates;
  int64_t arenaBytes = 0;
  std::vector<std::string> sites;
};

/// Reads the graphs of a module after buildKernelPipeline.
FailureOr<std::vector<GraphSpec>> describeGraphs(ModuleOp module);

/// Adds `sq_model_table` (spikequant.h) and, per graph, the function that takes
/// an sq_call to the translated module; everything else becomes internal.
void addModelTables(llvm::Module &module, ArrayRef<GraphSpec> graphs,
                    const PackedFileInfo &weights, llvm::StringRef cpuFeatures);

/// A small C header with the names and sizes of the graphs.
std::string createModelHeader(ArrayRef<GraphSpec> graphs);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_PIPELINES_MODELTABLES_H

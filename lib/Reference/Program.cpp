//===- Program.cpp - reads a program and its weights ---------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h"
#include "spikequant/Pipelines/PackWeights.h"
#include "spikequant/Reference/Runner.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

using namespace llvm;

namespace mlir::spikequant {

/// Names of the graphs, for messages.
static std::string listGraphs(ModuleOp module) {
  std::string names;
  for (auto function : module.getOps<func::FuncOp>())
    if (function.isPublic())
      names += (names.empty() ? "" : ", ") + function.getName().str();
  return names.empty() ? "none" : names;
}

static Expected<func::FuncOp> chooseFunction(ModuleOp module, StringRef path,
                                             StringRef name) {
  SmallVector<func::FuncOp> candidates;
  for (auto function : module.getOps<func::FuncOp>())
    if (function.isPublic() && !function.isDeclaration() &&
        (name.empty() || function.getName() == name))
      candidates.push_back(function);
  if (candidates.size() == 1)
    return candidates.front();
  if (name.empty())
    return createStringError("'" + path +
                             "' has these graphs: " + listGraphs(module) +
                             "; choose one with --function");
  return createStringError("'" + path + "' has no graph '" + name +
                           "', only: " + listGraphs(module));
}

/// Inlines what the graph calls and removes everything else.
static LogicalResult isolate(ModuleOp module, func::FuncOp graph) {
  for (auto function : module.getOps<func::FuncOp>())
    if (function != graph)
      function.setPrivate();
  PassManager pm(module.getContext());
  pm.addPass(createInlinerPass());
  pm.addPass(createSymbolDCEPass());
  return pm.run(module);
}

static bool hasWeightArguments(func::FuncOp graph) {
  for (unsigned i = 0; i < graph.getNumArguments(); ++i)
    if (graph.getArgAttr(i, "spikequant.weight"))
      return true;
  return false;
}

static Expected<::spikequant::PackedFile> openPacked(ModuleOp module,
                                                     StringRef path) {
  if (Expected<PackedFileInfo> placed = annotateWeights(module, path); !placed)
    return placed.takeError();
  return ::spikequant::PackedFile::open(path, /*verifyChecksum=*/true);
}

static Error findWeights(ReferenceProgram &program, StringRef path) {
  ModuleOp module = *program.module;
  if (module.getOps<WeightsOp>().empty())
    return Error::success();
  Expected<::spikequant::PackedFile> file = sys::path::extension(path) == ".sqw"
                                                ? openPacked(module, path)
                                                : packTemporarily(module, path);
  if (!file)
    return file.takeError();
  program.weights = std::move(*file);
  return Error::success();
}

/// Printing may leave large constants out; such a program has lost its values.
static Error checkConstants(ModuleOp module, StringRef path) {
  WalkResult result = module.walk([](arith::ConstantOp op) {
    auto resource = dyn_cast<DenseResourceElementsAttr>(op.getValue());
    return resource && !resource.getRawHandle().getBlob()
               ? WalkResult::interrupt()
               : WalkResult::advance();
  });
  if (!result.wasInterrupted())
    return Error::success();
  return createStringError("'" + path +
                           "' was printed without its large "
                           "constants; use the compiler's 'quantized.mlir'");
}

Expected<ReferenceProgram> loadProgram(StringRef path, StringRef name,
                                       StringRef weightsPath,
                                       MLIRContext *context) {
  SmallString<256> programInFolder, weightsInFolder;
  if (sys::fs::is_directory(path)) {
    sys::path::append(programInFolder, path, "quantized.mlir");
    sys::path::append(weightsInFolder, path, "weights.sqw");
    path = programInFolder;
    if (weightsPath.empty())
      weightsPath = weightsInFolder;
  }
  ReferenceProgram program;
  program.module = parseSourceFile<ModuleOp>(path, context);
  if (!program.module)
    return createStringError("'" + path + "' could not be read");
  ModuleOp module = *program.module;
  if (Error failure = checkConstants(module, path))
    return std::move(failure);
  Expected<func::FuncOp> graph = chooseFunction(module, path, name);
  if (!graph)
    return graph.takeError();
  program.function = graph->getName().str();
  if (failed(isolate(module, *graph)))
    return createStringError("'" + path + "' could not be prepared");
  if (hasWeightArguments(*graph) && !weightsPath.empty()) {
    PassManager pm(context);
    pm.addPass(createWeightsToSymbols());
    if (failed(pm.run(module)))
      return createStringError("the weights of '" + path +
                               "' could not be found");
  }
  if (Error failure = findWeights(program, weightsPath))
    return std::move(failure);
  return program;
}

} // namespace mlir::spikequant

//===- LoadGraphs.cpp - graph files to one module ----------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Pipelines/LoadGraphs.h"
#include "spikequant/Conversion/GraphContext.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"

namespace mlir::spikequant {

/// `weights['blk.0.attn_q']` and the like are weights; plain names are kept.
static std::string getArgumentName(func::FuncOp graph, unsigned number) {
  if (auto name = graph.getArgAttrOfType<StringAttr>(number, kNameAttr))
    return name.str();
  if (auto location = dyn_cast<NameLoc>(graph.getArgument(number).getLoc()))
    return location.getName().str();
  return "arg" + std::to_string(number);
}

static void nameArguments(func::FuncOp graph) {
  for (unsigned number = 0; number < graph.getNumArguments(); ++number)
    if (!graph.getArgAttr(number, "spikequant.weight"))
      graph.setArgAttr(
          number, kNameAttr,
          StringAttr::get(graph.getContext(), getArgumentName(graph, number)));
}

/// The names move to the function, as results become arguments later.
static void nameResults(func::FuncOp graph) {
  SmallVector<Attribute> names;
  SmallVector<int64_t> unsignedResults;
  for (unsigned number = 0; number < graph.getNumResults(); ++number) {
    auto name = graph.getResultAttrOfType<StringAttr>(number, kNameAttr);
    names.push_back(name ? name
                         : StringAttr::get(graph.getContext(),
                                           "out" + std::to_string(number)));
    if (graph.getResultAttr(number, kUnsignedAttr))
      unsignedResults.push_back(number);
  }
  if (!unsignedResults.empty())
    graph->setAttr(kUnsignedResultsAttr,
                   DenseI64ArrayAttr::get(graph.getContext(), unsignedResults));
  graph->setAttr(kResultNamesAttr, ArrayAttr::get(graph.getContext(), names));
}

static LogicalResult inlineHelpers(ModuleOp module) {
  PassManager pm(module.getContext());
  pm.addPass(createInlinerPass());
  pm.addPass(createSymbolDCEPass());
  return pm.run(module);
}

/// Moves every symbol of `source` to the end of `target`.
static LogicalResult mergeInto(ModuleOp target, ModuleOp source) {
  SymbolTable symbols(target);
  for (Operation &op : llvm::make_early_inc_range(*source.getBody())) {
    auto name = op.getAttrOfType<StringAttr>(SymbolTable::getSymbolAttrName());
    Operation *other = name ? symbols.lookup(name) : nullptr;
    if (other && !isa<func::FuncOp>(op) &&
        OperationEquivalence::isEquivalentTo(
            &op, other, OperationEquivalence::IgnoreLocations)) {
      op.erase();
      continue;
    }
    if (other)
      return op.emitError("'") << name.getValue()
                               << "' is defined in two files; each graph of a "
                                  "model needs a name of its own";
    op.moveBefore(target.getBody(), target.getBody()->end());
    if (name)
      symbols.insert(&op);
  }
  return success();
}

OwningOpRef<ModuleOp> loadGraphs(ArrayRef<std::string> files,
                                 MLIRContext *context) {
  OwningOpRef<ModuleOp> merged = ModuleOp::create(UnknownLoc::get(context));
  for (const std::string &file : files) {
    auto module = parseSourceFile<ModuleOp>(file, ParserConfig(context));
    if (!module || failed(inlineHelpers(*module)))
      return {};
    for (auto graph : module->getOps<func::FuncOp>())
      if (!graph.isDeclaration() && !graph.isPrivate()) {
        nameArguments(graph);
        nameResults(graph);
      }
    if (failed(mergeInto(*merged, *module)))
      return {};
  }
  return merged;
}

} // namespace mlir::spikequant

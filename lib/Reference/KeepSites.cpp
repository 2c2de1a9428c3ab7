//===- KeepSites.cpp - the part of a graph that some sites need -----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"
#include "spikequant/Reference/Runner.h"
#include "spikequant/Support/Suggest.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SetVector.h"

using namespace llvm;

namespace mlir::spikequant {

/// The integrates that read the counts of an encode are named after weights.
static SmallVector<StringRef> namesOf(EncodeOp op) {
  SmallVector<StringRef> names = {op.getSite()};
  for (Operation *user : op.getCounts().getUsers())
    if (auto integrate = dyn_cast<IntegrateOp>(user)) {
      StringRef name = integrate.getWeights();
      name.consume_back(".codes");
      names.push_back(name);
    }
  return names;
}

static Error observeInputs(func::FuncOp graph, ArrayRef<std::string> sites) {
  SmallVector<StringRef> known, found;
  graph.walk([&](EncodeOp op) {
    bool isWanted = false;
    for (StringRef name : namesOf(op)) {
      known.push_back(name);
      if (!llvm::is_contained(sites, name))
        continue;
      found.push_back(name);
      isWanted = true;
    }
    OpBuilder builder(op);
    if (isWanted)
      ObserveOp::create(builder, op.getLoc(), op.getInput(),
                        builder.getStringAttr(op.getSite() + ".x"));
  });
  for (const std::string &site : sites)
    if (!llvm::is_contained(found, site))
      return createStringError("'" + graph.getSymName() + "' has no site '" +
                               site +
                               "': " + ::spikequant::suggestNames(known, site));
  return Error::success();
}

/// The state that a result updates, or null.
static Value stateOf(func::FuncOp graph, unsigned result) {
  for (BlockArgument argument : graph.getArguments()) {
    auto state = graph.getArgAttrOfType<IntegerAttr>(argument.getArgNumber(),
                                                     "spikequant.state");
    if (state && state.getInt() == result)
      return argument;
  }
  return {};
}

/// Operations of the graph's block that the observations need.
static SetVector<Operation *> findNeeded(func::FuncOp graph) {
  Block &block = graph.front();
  SetVector<Operation *> needed;
  graph.walk(
      [&](ObserveOp op) { needed.insert(block.findAncestorOpInBlock(*op)); });
  for (size_t next = 0; next < needed.size(); ++next)
    needed[next]->walk([&](Operation *op) {
      for (Value operand : op->getOperands())
        if (Operation *source = operand.getDefiningOp())
          if (Operation *outer = block.findAncestorOpInBlock(*source))
            needed.insert(outer);
    });
  return needed;
}

Error keepSites(func::FuncOp graph, ArrayRef<std::string> sites) {
  if (Error failure = observeInputs(graph, sites))
    return failure;
  // Nothing else has an effect: what only the results needed is dead.
  Operation *end = graph.front().getTerminator();
  OpBuilder builder(end);
  SetVector<Operation *> needed = findNeeded(graph);
  for (OpOperand &operand : end->getOpOperands()) {
    // A state that is updated on the way can only be the updated one.
    if (needed.contains(operand.get().getDefiningOp()))
      continue;
    Value kept = stateOf(graph, operand.getOperandNumber());
    if (!kept)
      kept = arith::ConstantOp::create(
          builder, end->getLoc(), builder.getZeroAttr(operand.get().getType()));
    operand.set(kept);
  }
  PassManager pm(graph.getContext());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  if (failed(pm.run(graph->getParentOfType<ModuleOp>())))
    return createStringError("'" + graph.getSymName() +
                             "' could not be reduced to its sites");
  return Error::success();
}

} // namespace mlir::spikequant

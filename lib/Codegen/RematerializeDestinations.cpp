//===- RematerializeDestinations.cpp - one destination per use ---------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Codegen/Passes.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace mlir::spikequant {
#define GEN_PASS_DEF_REMATERIALIZEDESTINATIONS
#include "spikequant/Codegen/Passes.h.inc"

namespace {
/// An empty tensor, or one filled with one value.
bool isCheapDestination(Operation *op) {
  if (isa<tensor::EmptyOp>(op))
    return true;
  auto fill = dyn_cast<linalg::FillOp>(op);
  return fill && fill.getOutputs()[0].getDefiningOp<tensor::EmptyOp>();
}

/// Gives every use of `op` a copy of it, just before the use.
void cloneForUses(Operation *op) {
  OpBuilder builder(op->getContext());
  for (OpOperand &use : llvm::make_early_inc_range(op->getUses())) {
    builder.setInsertionPoint(use.getOwner());
    Operation *copy = builder.clone(*op);
    if (auto fill = dyn_cast<linalg::FillOp>(copy)) {
      builder.setInsertionPoint(copy);
      Operation *empty = fill.getOutputs()[0].getDefiningOp();
      fill.getOutputsMutable().assign(builder.clone(*empty)->getResults());
    }
    use.set(copy->getResult(0));
  }
}

struct RematerializeDestinationsPass
    : impl::RematerializeDestinationsBase<RematerializeDestinationsPass> {
  void runOnOperation() override {
    SmallVector<Operation *> destinations;
    getOperation().walk([&](Operation *op) {
      if (isCheapDestination(op))
        destinations.push_back(op);
    });
    // Users first: a fill must be cloned before the empty tensor under it.
    for (Operation *op : llvm::reverse(destinations)) {
      cloneForUses(op);
      op->erase();
    }
  }
};
} // namespace
} // namespace mlir::spikequant

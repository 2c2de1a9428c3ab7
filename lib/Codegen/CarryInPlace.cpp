//===- CarryInPlace.cpp - values of loops stay in their buffers --------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Updates.h"
#include "spikequant/Codegen/Passes.h"

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace mlir::spikequant {
#define GEN_PASS_DEF_CARRYINPLACE
#include "spikequant/Codegen/Passes.h.inc"

namespace {
/// A value for the next iteration: operand of the yield, and the argument that
/// holds the value of this iteration (null: nothing in the body reads it).
struct Carried {
  OpOperand *yielded;
  BlockArgument current;
};

SmallVector<Carried> getCarried(scf::ForOp loop) {
  SmallVector<Carried> carried;
  for (OpOperand &operand : loop.getBody()->getTerminator()->getOpOperands())
    carried.push_back(
        {&operand, loop.getRegionIterArgs()[operand.getOperandNumber()]});
  return carried;
}

SmallVector<Carried> getCarried(scf::WhileOp loop) {
  SmallVector<Carried> carried;
  for (OpOperand &operand : loop.getYieldOp()->getOpOperands()) {
    std::optional<unsigned> number =
        getBodyArgument(loop, operand.getOperandNumber());
    carried.push_back({&operand, number ? loop.getAfterArguments()[*number]
                                        : BlockArgument()});
  }
  return carried;
}

/// Whether everything that reads `value` is done when `update` begins.
bool isReadBefore(Value value, Operation *update) {
  return llvm::all_of(value.getUsers(), [&](Operation *user) {
    Operation *ancestor = update->getBlock()->findAncestorOpInBlock(*user);
    return ancestor && (user == update || ancestor->isBeforeInBlock(update));
  });
}

/// Whether `value` is made from `current` by updates in place only.
bool isUpdatedInPlace(Value value, BlockArgument current) {
  while (value != current) {
    Value before = getUpdatedValue(value);
    if (!before || !isReadBefore(before, value.getDefiningOp()))
      return false;
    value = before;
  }
  return true;
}

/// Whether the memory of `value` cannot hold another value of the loop.
bool isFresh(Value value) {
  while (value.getDefiningOp<linalg::LinalgOp>())
    value = getUpdatedValue(value);
  return value.getDefiningOp<tensor::EmptyOp>() != nullptr;
}

/// First all copies, then all writes: values may change places.
void carryInPlace(ArrayRef<Carried> carried) {
  SmallVector<Carried> moved;
  for (Carried value : carried)
    if (isa<RankedTensorType>(value.yielded->get().getType()) &&
        !(value.current &&
          isUpdatedInPlace(value.yielded->get(), value.current)))
      moved.push_back(value);
  if (moved.empty())
    return;
  Operation *terminator = moved.front().yielded->getOwner();
  OpBuilder builder(terminator);
  Location location = terminator->getLoc();
  for (Carried &value : moved)
    if (Value next = value.yielded->get(); !isFresh(next))
      value.yielded->set(bufferization::AllocTensorOp::create(
          builder, location, cast<RankedTensorType>(next.getType()),
          ValueRange(), next));
  for (Carried &value : moved)
    if (value.current)
      value.yielded->set(
          bufferization::MaterializeInDestinationOp::create(
              builder, location, value.yielded->get(), value.current)
              .getResult());
}

struct CarryInPlacePass : impl::CarryInPlaceBase<CarryInPlacePass> {
  void runOnOperation() override {
    getOperation().walk([](Operation *op) {
      if (auto loop = dyn_cast<scf::ForOp>(op))
        carryInPlace(getCarried(loop));
      if (auto loop = dyn_cast<scf::WhileOp>(op))
        carryInPlace(getCarried(loop));
    });
  }
};
} // namespace
} // namespace mlir::spikequant

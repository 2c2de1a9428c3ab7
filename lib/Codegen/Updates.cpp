//===- Updates.cpp - which value a value is the next version of --------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Updates.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"

namespace mlir::spikequant {

/// The initial value that result `number` of a loop passes through.
static Value getInitialValue(scf::WhileOp loop, unsigned number) {
  Value passed = loop.getConditionOp().getArgs()[number];
  auto argument = dyn_cast<BlockArgument>(passed);
  if (!argument || argument.getOwner() != loop.getBeforeBody())
    return {};
  return loop.getInits()[argument.getArgNumber()];
}

Value getUpdatedValue(Value value) {
  auto result = dyn_cast<OpResult>(value);
  if (!result)
    return {};
  Operation *op = result.getOwner();
  if (auto insert = dyn_cast<tensor::InsertSliceOp>(op))
    return insert.getDest();
  if (auto insert = dyn_cast<tensor::InsertOp>(op))
    return insert.getDest();
  if (auto loop = dyn_cast<scf::ForOp>(op))
    return loop.getTiedLoopInit(result)->get();
  if (auto loop = dyn_cast<scf::WhileOp>(op))
    return getInitialValue(loop, result.getResultNumber());
  if (auto destination = dyn_cast<DestinationStyleOpInterface>(op))
    return destination.getTiedOpOperand(result)->get();
  return {};
}

std::optional<unsigned> getBodyArgument(scf::WhileOp loop, unsigned yielded) {
  Value argument = loop.getBeforeArguments()[yielded];
  for (auto [number, passed] : llvm::enumerate(loop.getConditionOp().getArgs()))
    if (passed == argument)
      return number;
  return std::nullopt;
}

} // namespace mlir::spikequant

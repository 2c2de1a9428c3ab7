//===- RealValues.cpp - what real values depend on ------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RealValues.h"

#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::spikequant;

bool mlir::spikequant::isRealType(Type type) {
  return isa<FloatType>(getElementTypeOrSelf(type));
}

bool mlir::spikequant::isReal(Value value) {
  return isRealType(value.getType());
}

SmallVector<Operation *> mlir::spikequant::getScalarOperations(Operation *op) {
  SmallVector<Operation *> result;
  if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op)) {
    for (Operation &inner : *linalgOp.getBlock())
      if (!inner.hasTrait<OpTrait::IsTerminator>() &&
          !inner.hasTrait<OpTrait::ConstantLike>())
        result.push_back(&inner);
  } else if (op->hasTrait<OpTrait::Elementwise>() ||
             isa<DecodeOp, LookupOp>(op)) {
    result.push_back(op);
  }
  return result;
}

static ValueTraits combine(ArrayRef<ValueTraits> operands) {
  ValueTraits result;
  bool any = false, allRows = true;
  for (ValueTraits operand : operands) {
    result.dependence = std::max(result.dependence, operand.dependence);
    any |= operand.isData() || operand.isRow;
    allRows &= !operand.isData() || operand.isRow;
  }
  result.isRow = any && allRows;
  return result;
}

llvm::DenseMap<Value, ValueTraits>
RealValues::getBody(linalg::LinalgOp op) const {
  llvm::DenseMap<Value, ValueTraits> body;
  for (OpOperand &operand : op->getOpOperands()) {
    BlockArgument argument = op.getMatchingBlockArgument(&operand);
    if (argument)
      body[argument] = get(operand.get());
  }
  for (Operation &inner : *op.getBlock()) {
    SmallVector<ValueTraits> operands;
    for (Value operand : inner.getOperands())
      operands.push_back(body.count(operand) ? body.lookup(operand)
                                             : get(operand));
    // Where an element stands is a position.
    ValueTraits result = combine(operands);
    if (isa<linalg::IndexOp>(inner))
      result.dependence = Dependence::Position;
    for (Value value : inner.getResults())
      body[value] = result;
  }
  return body;
}

/// Whether the result holds fewer values than what is reduced.
static bool reduces(linalg::LinalgOp op) {
  return op && op.getNumReductionLoops() > 0 &&
         !linalg::isaContractionOpInterface(op);
}

void RealValues::visit(Operation *op) {
  ValueTraits result;
  if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op)) {
    llvm::DenseMap<Value, ValueTraits> body = getBody(linalgOp);
    SmallVector<ValueTraits> yielded;
    for (Value value : linalgOp.getBlock()->getTerminator()->getOperands())
      yielded.push_back(body.count(value) ? body.lookup(value) : get(value));
    result = combine(yielded);
    // Of rows of a small table too, which integer arguments choose.
    result.isRow |=
        result.dependence != Dependence::Constant && reduces(linalgOp);
  } else if (isa<LoadWeightsOp, tensor::EmptyOp>(op)) {
    result = {};
  } else if (op->getNumRegions() || isa<SpikeQuantDialect>(op->getDialect())) {
    result.dependence = Dependence::Data;
  } else {
    SmallVector<ValueTraits> operands;
    for (Value operand : op->getOperands())
      operands.push_back(get(operand));
    result = combine(operands);
  }
  for (Value value : op->getResults())
    traits[value] = result;
}

RealValues::RealValues(func::FuncOp function) {
  function.walk<WalkOrder::PreOrder>([&](Block *block) {
    if (isa<linalg::LinalgOp>(block->getParentOp()))
      return WalkResult::skip();
    for (BlockArgument argument : block->getArguments())
      traits[argument].dependence =
          isReal(argument) || block->getParentOp() != function
              ? Dependence::Data
              : Dependence::Position;
    for (Operation &op : *block)
      visit(&op);
    return WalkResult::advance();
  });
}

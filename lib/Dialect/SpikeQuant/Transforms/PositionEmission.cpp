//===- PositionEmission.cpp - linear code on integers ---------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PositionFolder.h"

#include "Elementwise.h"
#include "RowFactors.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::spikequant;

FailureOr<Value> PositionFolder::emit(Value value) {
  Value &result = emitted[value];
  if (result)
    return result;
  FailureOr<Value> made = emitNew(value);
  if (succeeded(made))
    emitted[value] = *made;
  return made;
}

FailureOr<Value> PositionFolder::emitNew(Value value) {
  Operation *producer = value.getDefiningOp();
  if (leaves.count(value))
    return grids.makeGrid(b, op.getLoc(), leaves[value], unit);
  if (auto row = matchDividedRows(producer))
    return emitDividedRows(b, *row, unit);
  if (norms.contains(value))
    return streams.getScaled(value, unit);
  if (Value source = getShownSource(producer)) {
    FailureOr<Value> integers = emit(source);
    if (failed(integers))
      return failure();
    return replayMovement(b, *integers, producer);
  }
  if (auto insertion = dyn_cast<tensor::InsertSliceOp>(producer))
    return emitInsertion(insertion);
  return emitBody(cast<linalg::LinalgOp>(producer));
}

/// Integers of an array in i64, with `to` places behind the point.
Value PositionFolder::align(Value value, int from, int to) {
  auto type = cast<RankedTensorType>(value.getType());
  Type i64 = b.getI64Type();
  if (from == to && type.getElementType() == i64)
    return value;
  Location loc = op.getLoc();
  return createElementwise(
      b, loc, value, i64,
      [&](OpBuilder &b, Location loc, ValueRange in) -> Value {
        Value wide = in[0];
        if (wide.getType() != i64)
          wide = arith::ExtSIOp::create(b, loc, i64, wide);
        Value places =
            arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(to - from));
        return arith::ShLIOp::create(b, loc, wide, places);
      });
}

FailureOr<Value>
PositionFolder::emitInsertion(tensor::InsertSliceOp insertion) {
  Location loc = op.getLoc();
  int shift = known[insertion.getResult()]->shift;
  FailureOr<Value> part = emit(insertion.getSource());
  if (failed(part))
    return failure();
  Value source = align(*part, known[insertion.getSource()]->shift, shift);
  Value into = insertion.getDest();
  auto type = insertion.getType().clone(b.getI64Type());
  bool isZero = getSplat(into) == 0.0;
  if (isZero || into.getDefiningOp<tensor::EmptyOp>()) {
    into = tensor::EmptyOp::create(b, loc, type.getShape(), b.getI64Type());
    Value zero = arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(0));
    if (isZero)
      into = linalg::FillOp::create(b, loc, zero, into).getResult(0);
  } else {
    FailureOr<Value> rest = emit(into);
    if (failed(rest))
      return failure();
    into = align(*rest, known[insertion.getDest()]->shift, shift);
  }
  Value inserted = tensor::InsertSliceOp::create(
      b, loc, source, into, insertion.getMixedOffsets(),
      insertion.getMixedSizes(), insertion.getMixedStrides());
  return inserted;
}

Value PositionFolder::emitScalar(OpBuilder &b, linalg::LinalgOp op,
                                 Value scalar, DenseMap<Value, Value> &done) {
  if (auto found = done.find(scalar); found != done.end())
    return found->second;
  Operation *inner = scalar.getDefiningOp();
  Location loc = inner->getLoc();
  auto get = [&](unsigned number) {
    return emitScalar(b, op, inner->getOperand(number), done);
  };
  auto number = [&](int64_t value) -> Value {
    return arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(value));
  };
  auto shiftOf = [&](Value value) {
    OpOperand *operand = getBodyInput(op, value);
    return known[operand ? operand->get() : value]->shift;
  };
  auto aligned = [&](unsigned which) -> Value {
    int places = shiftOf(scalar) - shiftOf(inner->getOperand(which));
    Value value = get(which);
    return places ? arith::ShLIOp::create(b, loc, value, number(places))
                  : value;
  };
  Value result;
  if (isa<arith::NegFOp>(inner)) {
    result = arith::SubIOp::create(b, loc, number(0), get(0));
  } else if (isa<arith::AddFOp>(inner)) {
    Value x = aligned(0);
    result = arith::AddIOp::create(b, loc, x, aligned(1));
  } else if (isa<arith::SubFOp>(inner)) {
    Value x = aligned(0);
    result = arith::SubIOp::create(b, loc, x, aligned(1));
  } else {
    bool first = getConstant(op, inner->getOperand(0)).has_value();
    bool second = getConstant(op, inner->getOperand(1)).has_value();
    if (second || first)
      result = get(second ? 0 : 1);
    else
      result = arith::MulIOp::create(b, loc, get(0), get(1));
  }
  done[scalar] = result;
  return result;
}

/// The body on integers: operands keep their maps.
FailureOr<Value> PositionFolder::emitBody(linalg::LinalgOp op) {
  Location loc = op.getLoc();
  SmallVector<Value> inputs;
  SmallVector<AffineMap> maps;
  SmallVector<BlockArgument> arguments;
  for (OpOperand *operand : op.getDpsInputOperands()) {
    BlockArgument argument = op.getMatchingBlockArgument(operand);
    if (argument.use_empty() || getSplat(operand->get()))
      continue;
    FailureOr<Value> integers =
        isFactor(op, argument) ? tables.convert(b, operand->get(), kFactors)
                               : emit(operand->get());
    if (failed(integers))
      return failure();
    inputs.push_back(*integers);
    maps.push_back(op.getMatchingIndexingMap(operand));
    arguments.push_back(argument);
  }
  maps.push_back(op.getIndexingMapsArray().back());
  auto type = cast<RankedTensorType>(op->getResult(0).getType());
  Value empty =
      tensor::EmptyOp::create(b, loc, type.getShape(), b.getI64Type());
  auto generic = linalg::GenericOp::create(
      b, loc, empty.getType(), inputs, empty, maps, op.getIteratorTypesArray(),
      [&](OpBuilder &b, Location loc, ValueRange in) {
        DenseMap<Value, Value> done;
        for (auto [argument, value] : llvm::zip(arguments, in)) {
          Value wide = value;
          if (wide.getType() != b.getI64Type())
            wide = arith::ExtSIOp::create(b, loc, b.getI64Type(), wide);
          done[argument] = wide;
        }
        Value result = op.getBlock()->getTerminator()->getOperand(0);
        linalg::YieldOp::create(b, loc, emitScalar(b, op, result, done));
      });
  return generic.getResult(0);
}

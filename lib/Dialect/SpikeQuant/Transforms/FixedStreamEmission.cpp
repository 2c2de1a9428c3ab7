//===- FixedStreamEmission.cpp - streams in fixed point -------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FixedStream.h"
#include "RowStatistics.h"

#include "spikequant/Dialect/SpikeQuant/Transforms/WeightSymbols.h"
#include "spikequant/Kernel/Grid.h"
#include "spikequant/Kernel/GridEncode.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include <cmath>

using namespace mlir;
using namespace mlir::spikequant;

FailureOr<Value> FixedStreams::get(Value value) {
  if (Value known = made.lookup(value))
    return known;
  FailureOr<Value> result = make(value, sources.lookup(value));
  if (succeeded(result))
    made[value] = *result;
  return result;
}

FailureOr<Value> FixedStreams::make(Value value, StreamSource source) {
  // What it is made of first: recursion would be as deep as the model.
  SmallVector<Value> stack = getParts(value, source);
  while (!stack.empty()) {
    Value next = stack.back();
    SmallVector<Value> missing;
    for (Value part : getParts(next, sources.lookup(next)))
      if (!made.count(part))
        missing.push_back(part);
    if (!made.count(next) && !missing.empty()) {
      llvm::append_range(stack, missing);
      continue;
    }
    stack.pop_back();
    if (failed(get(next)))
      return failure();
  }
  Operation *op = value.getDefiningOp();
  OpBuilder b(module.getContext());
  b.setInsertionPointAfterValue(value);
  switch (source) {
  case StreamSource::Lookup:
    return makeLookup(b, cast<LookupOp>(op));
  case StreamSource::Decode:
    return symbols.makeGrid(b, value.getLoc(), *findDecode(value), unit);
  case StreamSource::Table:
    if (auto load = dyn_cast<LoadWeightsOp>(op))
      return makeTable(b, load);
    return replayGather(
        b, cast<linalg::GenericOp>(op),
        made.lookup(findGather(cast<linalg::GenericOp>(op)).getTensor()));
  case StreamSource::Scaled:
    return makeScaled(b, value, unit);
  case StreamSource::View:
    return makeView(b, op);
  case StreamSource::Joined:
    return makeJoined(b, cast<tensor::InsertSliceOp>(op));
  case StreamSource::Sum:
    return makeSum(b, cast<linalg::LinalgOp>(op));
  case StreamSource::Real:
    return convert(b, value);
  case StreamSource::None:
    break;
  }
  llvm_unreachable("only streams are made");
}

FailureOr<Value> FixedStreams::makeLookup(OpBuilder &b, LookupOp op) {
  WeightsOp weights = lookupWeights(module, op.getWeights());
  FailureOr<FlatSymbolRefAttr> rates =
      symbols.getRowRates(weights, unit, op.getLoc());
  if (failed(rates))
    return failure();
  return LookupOp::create(b, op.getLoc(), op.getType().clone(b.getI32Type()),
                          op.getWeightsAttr(), op.getIds(), *rates)
      .getResult();
}

/// The nearest numbers of units, of any real ones.
static SmallVector<int32_t> toUnits(ArrayRef<float> values, double unit) {
  constexpr double most = ::spikequant::maxGrid;
  SmallVector<int32_t> numbers;
  for (float value : values)
    numbers.push_back(static_cast<int32_t>(
        std::clamp(std::nearbyint(value / unit), -most, most)));
  return numbers;
}

FailureOr<Value> FixedStreams::makeTable(OpBuilder &b, LoadWeightsOp op) {
  WeightsOp weights = lookupWeights(module, op.getWeights());
  auto type = weights.getArrayType().clone(b.getI32Type());
  FailureOr<FlatSymbolRefAttr> numbers = symbols.getNumbers(
      weights.getSymName() + ".units", type,
      toUnits(constants.getValues(weights), unit), op.getLoc());
  if (failed(numbers))
    return failure();
  return LoadWeightsOp::create(b, op.getLoc(), type, *numbers).getResult();
}

Value mlir::spikequant::replayGather(OpBuilder &b, linalg::GenericOp op,
                                     Value table) {
  Type i32 = b.getI32Type();
  auto type = cast<RankedTensorType>(op.getResult(0).getType()).clone(i32);
  Value empty = tensor::EmptyOp::create(b, op.getLoc(), type.getShape(), i32);
  auto gather = linalg::GenericOp::create(
      b, op.getLoc(), type, op.getInputs(), empty, op.getIndexingMapsArray(),
      op.getIteratorTypesArray(),
      [&](OpBuilder &b, Location loc, ValueRange values) {
        IRMapping mapping;
        mapping.map(op.getBody()->getArguments(), values);
        mapping.map(findGather(op).getTensor(), table);
        for (Operation &inner : op.getBody()->without_terminator()) {
          Operation *copy = b.clone(inner, mapping);
          if (auto extract = dyn_cast<tensor::ExtractOp>(copy);
              extract && extract.getTensor() == table)
            extract.getResult().setType(i32);
        }
        Value yielded = op.getBody()->getTerminator()->getOperand(0);
        linalg::YieldOp::create(b, loc, mapping.lookup(yielded));
      });
  return gather.getResult(0);
}

FailureOr<Value> FixedStreams::getScaled(Value value, double to) {
  if (failed(get(findScaled(value)->base)))
    return failure();
  OpBuilder b(module.getContext());
  b.setInsertionPointAfterValue(value);
  return makeScaled(b, value, to);
}

FailureOr<Value> FixedStreams::makeScaled(OpBuilder &b, Value value,
                                          double to) {
  std::optional<ScaleForm> form = findScaled(value);
  Location loc = value.getLoc();
  Value numbers = replayViews(b, loc, made.lookup(form->base), form->views,
                              /*ofRows=*/false);
  double step = unit;
  if (!form->rows.empty()) {
    Value rows = getRowScale(b, loc, *form);
    numbers = ScaleRowsOp::create(b, loc, numbers.getType(), numbers, rows,
                                  b.getF32FloatAttr(unit));
    step = std::ldexp(1.0, -::spikequant::rowExponent);
  }
  FailureOr<FlatSymbolRefAttr> rates =
      symbols.getScaledRates(*form, step, to, loc);
  if (failed(rates))
    return failure();
  return GridOp::create(b, loc, numbers.getType(), numbers, *rates).getResult();
}

/// The same insertion of integers.
FailureOr<Value> FixedStreams::makeJoined(OpBuilder &b,
                                          tensor::InsertSliceOp op) {
  Location loc = op.getLoc();
  Value into = made.lookup(op.getDest());
  if (!into) {
    into = tensor::EmptyOp::create(b, loc, op.getType().getShape(),
                                   b.getI32Type());
    Value zero = arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(0));
    if (!op.getDest().getDefiningOp<tensor::EmptyOp>())
      into = linalg::FillOp::create(b, loc, zero, into).getResult(0);
  }
  return tensor::InsertSliceOp::create(b, loc, made.lookup(op.getSource()),
                                       into, op.getMixedOffsets(),
                                       op.getMixedSizes(), op.getMixedStrides())
      .getResult();
}

/// The same movement of integers.
FailureOr<Value> FixedStreams::makeView(OpBuilder &b, Operation *op) {
  Type i32 = b.getI32Type();
  Value source = made.lookup(op->getOperand(0));
  auto type = cast<RankedTensorType>(op->getResult(0).getType()).clone(i32);
  Location loc = op->getLoc();
  if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op)) {
    Value empty = tensor::EmptyOp::create(b, loc, type.getShape(), i32);
    auto forward = [](OpBuilder &b, Location loc, ValueRange values) {
      linalg::YieldOp::create(b, loc, values[0]);
    };
    return linalg::GenericOp::create(b, loc, type, source, empty,
                                     linalgOp.getIndexingMapsArray(),
                                     linalgOp.getIteratorTypesArray(), forward)
        .getResult(0);
  }
  Operation *copy = b.clone(*op);
  copy->setOperand(0, source);
  copy->getResult(0).setType(type);
  return copy->getResult(0);
}

void FixedStreams::foldStatistics(RewriterBase &rewriter) {
  llvm::SetVector<Operation *> readers;
  for (auto [real, fixed] : made)
    for (Operation *user : real.getUsers()) {
      readers.insert(user);
      // Squares that another operation adds up.
      if (isa<linalg::LinalgOp>(user))
        readers.insert_range(user->getUsers());
    }
  for (Operation *reader : readers) {
    auto op = dyn_cast<linalg::LinalgOp>(reader);
    auto sum = op ? matchRowSum(op) : std::nullopt;
    if (!sum || !made.count(sum->array))
      continue;
    rewriter.setInsertionPoint(op);
    rewriter.replaceOp(op,
                       sumRows(rewriter, op.getLoc(), made.lookup(sum->array),
                               unit, sum->squares));
  }
}

namespace {
/// Saturating arithmetic of i32 in a body.
struct Saturating {
  OpBuilder &b;
  Location loc;

  Value number(int64_t value) {
    return arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(value));
  }
  Value widen(Value x) {
    return arith::ExtSIOp::create(b, loc, b.getI64Type(), x);
  }
  Value narrow(Value x) {
    x = arith::MaxSIOp::create(b, loc, x, number(-::spikequant::maxGrid));
    x = arith::MinSIOp::create(b, loc, x, number(::spikequant::maxGrid));
    return arith::TruncIOp::create(b, loc, b.getI32Type(), x);
  }
};

/// Rounds to units: clamp(roundeven(x / unit)), 0 for NaN.
struct ToUnits {
  double unit;

  Value operator()(OpBuilder &b, Location loc, Value x) const {
    auto real = [&](double value) -> Value {
      return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(value));
    };
    // The largest f32 below 2^31.
    constexpr double most = 2147483520.0;
    x = arith::MulFOp::create(b, loc, x, real(1 / unit));
    x = math::RoundEvenOp::create(b, loc, x);
    Value isNumber =
        arith::CmpFOp::create(b, loc, arith::CmpFPredicate::ORD, x, x);
    x = arith::SelectOp::create(b, loc, isNumber, x, real(0));
    x = arith::MaximumFOp::create(b, loc, x, real(-most));
    x = arith::MinimumFOp::create(b, loc, x, real(most));
    return arith::FPToSIOp::create(b, loc, b.getI32Type(), x);
  }
};
} // namespace

Value FixedStreams::convert(OpBuilder &b, Value real) {
  auto type = cast<RankedTensorType>(real.getType());
  Location loc = real.getLoc();
  Value empty =
      tensor::EmptyOp::create(b, loc, type.getShape(), b.getI32Type());
  AffineMap all = b.getMultiDimIdentityMap(type.getRank());
  SmallVector<utils::IteratorType> loops(type.getRank(),
                                         utils::IteratorType::parallel);
  return linalg::GenericOp::create(
             b, loc, empty.getType(), real, empty, ArrayRef{all, all}, loops,
             [&](OpBuilder &b, Location loc, ValueRange values) {
               linalg::YieldOp::create(b, loc,
                                       ToUnits{unit}(b, loc, values[0]));
             })
      .getResult(0);
}

/// The same sum of integers: every partial sum saturates.
FailureOr<Value> FixedStreams::makeSum(OpBuilder &b, linalg::LinalgOp op) {
  Location loc = op->getLoc();
  auto type = cast<RankedTensorType>(op->getResult(0).getType());
  SmallVector<Value> inputs;
  SmallVector<AffineMap> maps;
  llvm::DenseMap<unsigned, unsigned> places;
  auto operands = findSumOperands(op);
  for (OpOperand *operand : *operands) {
    auto [place, isNew] =
        places.insert({operand->getOperandNumber(), inputs.size()});
    if (!isNew)
      continue;
    if (Value stream = made.lookup(operand->get())) {
      inputs.push_back(stream);
      maps.push_back(op.getMatchingIndexingMap(operand));
      continue;
    }
    SumTerm term = findTerm(op, operand, constants);
    if (term.kind == SumTerm::Kind::Row) {
      inputs.push_back(convert(b, term.read.value));
      maps.push_back(term.read.map);
      continue;
    }
    SmallVector<float> values(term.values.begin(), term.values.end());
    SmallVector<int32_t> entries = toUnits(values, unit);
    FailureOr<FlatSymbolRefAttr> table = symbols.getTable(entries, loc);
    if (failed(table))
      return failure();
    inputs.push_back(LoadWeightsOp::create(
        b, loc, RankedTensorType::get(entries.size(), b.getI32Type()), *table));
    maps.push_back(AffineMap::get(type.getRank(), 0,
                                  b.getAffineDimExpr(type.getRank() - 1)));
  }
  maps.push_back(b.getMultiDimIdentityMap(type.getRank()));
  Value empty =
      tensor::EmptyOp::create(b, loc, type.getShape(), b.getI32Type());
  auto build = [&](OpBuilder &b, Location loc, ValueRange arguments) {
    Saturating s{b, loc};
    auto emit = [&](auto &self, Value scalar) -> Value {
      if (auto argument = dyn_cast<BlockArgument>(scalar)) {
        unsigned operand =
            op.getMatchingOpOperand(argument)->getOperandNumber();
        return arguments[places.lookup(operand)];
      }
      Operation *inner = scalar.getDefiningOp();
      Value x = s.widen(self(self, inner->getOperand(0)));
      if (isa<arith::NegFOp>(inner))
        return s.narrow(arith::SubIOp::create(b, loc, s.number(0), x));
      Value y = s.widen(self(self, inner->getOperand(1)));
      if (isa<arith::AddFOp>(inner))
        return s.narrow(arith::AddIOp::create(b, loc, x, y));
      return s.narrow(arith::SubIOp::create(b, loc, x, y));
    };
    Value yielded = op.getBlock()->getTerminator()->getOperand(0);
    linalg::YieldOp::create(b, loc, emit(emit, yielded));
  };
  return linalg::GenericOp::create(b, loc, empty.getType(), inputs, empty, maps,
                                   op.getIteratorTypesArray(), build)
      .getResult(0);
}

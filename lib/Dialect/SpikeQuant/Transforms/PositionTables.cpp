//===- PositionTables.cpp - factors that depend on positions --------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PositionTables.h"

#include "Conditions.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Products.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/WeightSymbols.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

#include <cmath>

using namespace mlir;
using namespace mlir::spikequant;

/// The array that `op` shows a part or another shape of.
static Value getSource(Operation *op) {
  if (auto slice = dyn_cast_or_null<tensor::ExtractSliceOp>(op))
    return slice.getSource();
  return op ? getMovedValue(op) : Value();
}

bool PositionTables::isFactor(Value value) {
  if (auto found = known.find(value); found != known.end())
    return found->second;
  bool &result = known[value];
  result = false;
  bool isInteger = isa<IndexType>(getElementTypeOrSelf(value.getType())) ||
                   getElementTypeOrSelf(value.getType()).isInteger();
  Operation *op = value.getDefiningOp();
  bool answer = isInteger && !op;
  if (op) {
    bool foreign = isa<SpikeQuantDialect>(op->getDialect());
    answer = isa<LoadWeightsOp>(op) ||
             (!foreign && (!op->getNumRegions() || isa<linalg::LinalgOp>(op)) &&
              llvm::all_of(op->getOperands(),
                           [&](Value operand) { return isFactor(operand); }));
  }
  known[value] = answer;
  return answer;
}

ArrayRef<float> PositionTables::getValues(LoadWeightsOp load) {
  return constants.getValues(load.getWeightsAttr());
}

double PositionTables::getBound(Value value) {
  Operation *op = value.getDefiningOp();
  if (Value source = getSource(op))
    return getBound(source);
  auto load = dyn_cast_or_null<LoadWeightsOp>(op);
  double most = 0;
  for (float number : load ? getValues(load) : ArrayRef<float>())
    most = std::max(most, std::abs(double(number)));
  return most > 0 ? std::min(most, kMostFactor) : kMostFactor;
}

static int32_t toFixed(double factor) {
  double clamped = std::clamp(factor, -kMostFactor, kMostFactor);
  return static_cast<int32_t>(std::nearbyint(std::ldexp(clamped, kFactorBits)));
}

/// Null if its values are not known.
FailureOr<Value> PositionTables::convertWeights(OpBuilder &b,
                                                LoadWeightsOp load) {
  ArrayRef<float> values = getValues(load);
  auto type = cast<RankedTensorType>(load.getType()).clone(b.getI32Type());
  if (values.empty() ||
      llvm::any_of(values, [](float value) { return std::isnan(value); }))
    return Value();
  SmallVector<int32_t> integers;
  for (float value : values)
    integers.push_back(toFixed(value));
  WeightsContent content{};
  content.type = cast<RankedTensorType>(type);
  content.format = RealAttr::get(b.getContext());
  content.value =
      DenseElementsAttr::get(content.type, ArrayRef<int32_t>(integers));
  FailureOr<WeightsOp> symbol = getOrCreateWeights(
      module, load.getLoc(), (load.getWeights() + ".fixed").str(), content);
  if (failed(symbol))
    return failure();
  Value loaded =
      LoadWeightsOp::create(b, load.getLoc(), type, symbol->getSymNameAttr());
  return loaded;
}

/// Rounds to nearest, half up, and NaN to 0.
static Value convertAtRunTime(OpBuilder &b, Value value) {
  Location loc = value.getLoc();
  auto type = cast<RankedTensorType>(value.getType());
  Value empty =
      tensor::EmptyOp::create(b, loc, type.getShape(), b.getI32Type());
  SmallVector<AffineMap> maps(2, b.getMultiDimIdentityMap(type.getRank()));
  SmallVector<utils::IteratorType> loops(type.getRank(),
                                         utils::IteratorType::parallel);
  auto generic = linalg::GenericOp::create(
      b, loc, empty.getType(), value, empty, maps, loops,
      [](OpBuilder &b, Location loc, ValueRange in) {
        auto number = [&](double x) -> Value {
          return arith::ConstantOp::create(
              b, loc, b.getF32FloatAttr(static_cast<float>(x)));
        };
        double one = std::ldexp(1.0, kFactorBits);
        Value x = arith::MulFOp::create(b, loc, in[0], number(one));
        x = arith::AddFOp::create(b, loc, x, number(0.5));
        x = math::FloorOp::create(b, loc, x);
        Value isNumber =
            arith::CmpFOp::create(b, loc, arith::CmpFPredicate::ORD, x, x);
        x = arith::SelectOp::create(b, loc, isNumber, x, number(0));
        x = arith::MaximumFOp::create(b, loc, x, number(-kMostFactor * one));
        x = arith::MinimumFOp::create(b, loc, x, number(kMostFactor * one));
        Value y = arith::FPToSIOp::create(b, loc, b.getI32Type(), x);
        linalg::YieldOp::create(b, loc, y);
      });
  return generic.getResult(0);
}

FailureOr<Value> PositionTables::convert(OpBuilder &b, Value value) {
  Operation *op = value.getDefiningOp();
  if (Value source = getSource(op)) {
    FailureOr<Value> converted = convert(b, source);
    if (failed(converted))
      return failure();
    return replayMovement(b, *converted, op);
  }
  if (auto load = dyn_cast_or_null<LoadWeightsOp>(op)) {
    FailureOr<Value> converted = convertWeights(b, load);
    if (failed(converted) || *converted)
      return converted;
  }
  return convertAtRunTime(b, value);
}

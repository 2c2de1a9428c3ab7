//===- PositionTables.cpp - factors that depend on positions --------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PositionTables.h"

#include "Conditions.h"
#include "Elementwise.h"
#include "PositionFolder.h"

#include "spikequant/Dialect/SpikeQuant/Transforms/Products.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/WeightSymbols.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

#include <cmath>

using namespace mlir;
using namespace mlir::spikequant;

/// An argument of the program that is no state, or an integer of a loop; real
/// numbers only if asked for.
static bool isInputArgument(Value value, bool reals) {
  auto argument = cast<BlockArgument>(value);
  auto function = dyn_cast<func::FuncOp>(argument.getOwner()->getParentOp());
  if (isa<FloatType>(getElementTypeOrSelf(value.getType())) &&
      !(reals && function))
    return false;
  return !function ||
         !function.getArgAttr(argument.getArgNumber(), "spikequant.state");
}

bool PositionTables::dependsOnInputs(Value value,
                                     llvm::DenseMap<Value, bool> &known,
                                     bool reals) {
  if (auto found = known.find(value); found != known.end())
    return found->second;
  known[value] = false;
  Operation *op = value.getDefiningOp();
  bool foreign = op && isa<SpikeQuantDialect>(op->getDialect());
  bool plain = op && (!op->getNumRegions() || isa<linalg::LinalgOp>(op));
  bool answer =
      op ? isa<LoadWeightsOp>(op) ||
               (!foreign && plain &&
                llvm::all_of(op->getOperands(),
                             [&](Value operand) {
                               return dependsOnInputs(operand, known, reals);
                             }))
         : isInputArgument(value, reals);
  known[value] = answer;
  return answer;
}

double PositionTables::getBound(Value value, double most) {
  if (Value source = getShownSource(value.getDefiningOp()))
    return getBound(source, most);
  const std::vector<double> *values = arrays.get(value);
  double largest = 0;
  for (double number : values ? *values : std::vector<double>())
    largest = std::max(largest, std::abs(number));
  return values ? largest : most;
}

/// Null if its values are not known.
FailureOr<Value> PositionTables::convertKnown(OpBuilder &b, Value value,
                                              FixedPoint fixed) {
  const std::vector<double> *values = arrays.get(value);
  if (!values ||
      llvm::any_of(*values, [](double value) { return std::isnan(value); }))
    return Value();
  SmallVector<int32_t> integers;
  for (double number : *values)
    integers.push_back(static_cast<int32_t>(std::nearbyint(
        std::clamp(number, -fixed.most, fixed.most) / fixed.unit)));
  auto load = value.getDefiningOp<LoadWeightsOp>();
  auto type = cast<RankedTensorType>(value.getType()).clone(b.getI32Type());
  auto symbol = symbols.getNumbers(
      (load ? load.getWeights() : StringRef("positions")) + ".fixed",
      cast<RankedTensorType>(type), integers, value.getLoc());
  if (failed(symbol))
    return failure();
  Value loaded = LoadWeightsOp::create(b, value.getLoc(), type, *symbol);
  return loaded;
}

/// Chosen entries of a known table; null if it is none.
FailureOr<Value> PositionTables::convertGather(OpBuilder &b,
                                               linalg::GenericOp op,
                                               FixedPoint fixed) {
  tensor::ExtractOp gather = op ? findGather(op) : tensor::ExtractOp();
  if (!gather)
    return Value();
  FailureOr<Value> table = convertKnown(b, gather.getTensor(), fixed);
  if (failed(table) || !*table)
    return table;
  return replayGather(b, op, *table);
}

/// Rounds to nearest, half up, and NaN to 0.
static Value convertAtRunTime(OpBuilder &b, Value value, FixedPoint fixed) {
  Location loc = value.getLoc();
  return createElementwise(
      b, loc, value, b.getI32Type(),
      [fixed](OpBuilder &b, Location loc, ValueRange in) -> Value {
        auto number = [&](double x) -> Value {
          return arith::ConstantOp::create(
              b, loc, b.getF32FloatAttr(static_cast<float>(x)));
        };
        Value x = arith::MulFOp::create(b, loc, in[0], number(1 / fixed.unit));
        x = arith::AddFOp::create(b, loc, x, number(0.5));
        x = math::FloorOp::create(b, loc, x);
        Value isNumber =
            arith::CmpFOp::create(b, loc, arith::CmpFPredicate::ORD, x, x);
        x = arith::SelectOp::create(b, loc, isNumber, x, number(0));
        double most = std::abs(fixed.most / fixed.unit);
        x = arith::MaximumFOp::create(b, loc, x, number(-most));
        x = arith::MinimumFOp::create(b, loc, x, number(most));
        return arith::FPToSIOp::create(b, loc, b.getI32Type(), x);
      });
}

FailureOr<Value> PositionTables::convert(OpBuilder &b, Value value,
                                         FixedPoint fixed) {
  Operation *op = value.getDefiningOp();
  if (Value source = getShownSource(op)) {
    FailureOr<Value> converted = convert(b, source, fixed);
    if (failed(converted))
      return failure();
    return replayMovement(b, *converted, op);
  }
  FailureOr<Value> converted = convertKnown(b, value, fixed);
  if (succeeded(converted) && !*converted)
    converted =
        convertGather(b, dyn_cast_or_null<linalg::GenericOp>(op), fixed);
  if (failed(converted) || *converted)
    return converted;
  return convertAtRunTime(b, value, fixed);
}

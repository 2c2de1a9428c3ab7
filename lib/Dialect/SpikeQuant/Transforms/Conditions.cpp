//===- Conditions.cpp - arrays of two values ------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Conditions.h"

#include "BodyInputs.h"

#include "spikequant/Dialect/SpikeQuant/Transforms/Products.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::spikequant;

std::optional<double> mlir::spikequant::getNumber(Attribute attribute) {
  if (auto real = dyn_cast_or_null<FloatAttr>(attribute))
    return real.getValueAsDouble();
  if (auto integer = dyn_cast_or_null<IntegerAttr>(attribute))
    return integer.getType().isInteger(1)
               ? double(integer.getValue().getBoolValue())
               : integer.getValue().signedRoundToDouble();
  auto elements = dyn_cast_or_null<DenseElementsAttr>(attribute);
  return elements && elements.isSplat()
             ? getNumber(elements.getSplatValue<Attribute>())
             : std::nullopt;
}

static std::optional<double> getConstant(Value value) {
  Attribute attribute;
  return matchPattern(value, m_Constant(&attribute)) ? getNumber(attribute)
                                                     : std::nullopt;
}

std::optional<double> mlir::spikequant::getSplat(Value array) {
  while (Operation *op = array.getDefiningOp()) {
    if (auto number = getConstant(array))
      return number;
    if (auto fill = dyn_cast<linalg::FillOp>(op))
      return getConstant(fill.getInputs()[0]);
    Value source = getMovedValue(op);
    if (!source)
      break;
    array = source;
  }
  return std::nullopt;
}

Value mlir::spikequant::replayMovement(OpBuilder &b, Value value,
                                       ArrayRef<Operation *> path) {
  Type element = getElementTypeOrSelf(value.getType());
  for (Operation *op : path) {
    auto type = cast<RankedTensorType>(op->getResult(0).getType());
    if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op)) {
      Value empty =
          tensor::EmptyOp::create(b, op->getLoc(), type.getShape(), element);
      auto generic = linalg::GenericOp::create(
          b, op->getLoc(), empty.getType(), value, empty,
          linalgOp.getIndexingMapsArray(), linalgOp.getIteratorTypesArray(),
          [](OpBuilder &b, Location loc, ValueRange in) {
            linalg::YieldOp::create(b, loc, in[0]);
          });
      value = generic.getResult(0);
      continue;
    }
    IRMapping mapping;
    mapping.map(op->getOperand(0), value);
    Operation *copy = b.clone(*op, mapping);
    copy->getResult(0).setType(type.clone(element));
    value = copy->getResult(0);
  }
  return value;
}

namespace {
/// The scalars of a body for both values of the condition.
class BodyReader {
public:
  explicit BodyReader(linalg::LinalgOp op) : op(op) {}

  std::optional<ConditionalArray> read() {
    if (!readOperands())
      return std::nullopt;
    auto onTrue = evaluate(op.getBlock()->getTerminator()->getOperand(0), true);
    auto onFalse =
        evaluate(op.getBlock()->getTerminator()->getOperand(0), false);
    if (!onTrue || !onFalse)
      return std::nullopt;
    result.onTrue = *onTrue;
    result.onFalse = *onFalse;
    return result;
  }

private:
  bool readOperands();
  std::optional<double> evaluate(Value scalar, bool condition);
  static std::optional<double> compute(Operation *inner, ArrayRef<double> in);

  linalg::LinalgOp op;
  ConditionalArray result;
  llvm::DenseMap<Value, std::pair<double, double>> known;
};
} // namespace

/// One operand may depend on a condition; it is read element by element.
bool BodyReader::readOperands() {
  for (OpOperand *operand : op.getDpsInputOperands()) {
    BlockArgument argument = op.getMatchingBlockArgument(operand);
    if (auto splat = getSplat(operand->get())) {
      known[argument] = {*splat, *splat};
      continue;
    }
    auto array = readConditional(operand->get());
    if (!array || result.condition ||
        !op.getMatchingIndexingMap(operand).isIdentity())
      return false;
    known[argument] = {array->onTrue, array->onFalse};
    result = *array;
  }
  return true;
}

std::optional<double> BodyReader::compute(Operation *inner,
                                          ArrayRef<double> in) {
  using Result = std::optional<double>;
  return llvm::TypeSwitch<Operation *, Result>(inner)
      .Case<arith::SelectOp>(
          [&](auto) -> Result { return in[0] != 0 ? in[1] : in[2]; })
      .Case<arith::UIToFPOp, arith::ExtUIOp, arith::ExtFOp>(
          [&](auto) -> Result { return in[0]; })
      .Case<arith::SIToFPOp, arith::ExtSIOp>([&](Operation *op) -> Result {
        bool bit = getElementTypeOrSelf(op->getOperand(0)).isInteger(1);
        return bit ? -in[0] : in[0];
      })
      .Case<arith::AddFOp>([&](auto) -> Result { return in[0] + in[1]; })
      .Case<arith::SubFOp>([&](auto) -> Result { return in[0] - in[1]; })
      .Case<arith::MulFOp>([&](auto) -> Result { return in[0] * in[1]; })
      .Case<arith::NegFOp>([&](auto) -> Result { return -in[0]; })
      .Case<arith::XOrIOp>([&](Operation *op) -> Result {
        bool bit = getElementTypeOrSelf(op->getOperand(0)).isInteger(1);
        return bit ? Result(in[0] != in[1]) : std::nullopt;
      })
      .Default([](Operation *) { return Result(); });
}

std::optional<double> BodyReader::evaluate(Value scalar, bool condition) {
  if (auto found = known.find(scalar); found != known.end())
    return condition ? found->second.first : found->second.second;
  if (auto constant = getConstant(scalar))
    return constant;
  Operation *inner = scalar.getDefiningOp();
  if (!inner || inner->getBlock() != op.getBlock())
    return std::nullopt;
  SmallVector<double> operands;
  for (Value operand : inner->getOperands()) {
    auto value = evaluate(operand, condition);
    if (!value)
      return std::nullopt;
    operands.push_back(*value);
  }
  return compute(inner, operands);
}

std::optional<ConditionalArray> mlir::spikequant::readConditional(Value array) {
  auto type = dyn_cast<RankedTensorType>(array.getType());
  if (!type)
    return std::nullopt;
  if (auto splat = getSplat(array))
    return ConditionalArray{{}, {}, *splat, *splat};
  Operation *op = array.getDefiningOp();
  if (Value source = op ? getMovedValue(op) : Value()) {
    auto moved = readConditional(source);
    if (moved && moved->condition)
      moved->path.push_back(op);
    return moved;
  }
  auto linalgOp = dyn_cast_or_null<linalg::LinalgOp>(op);
  if (isElementwise(linalgOp))
    if (auto result = BodyReader(linalgOp).read())
      return result;
  if (type.getElementType().isInteger(1))
    return ConditionalArray{array, {}, 1, 0};
  return std::nullopt;
}

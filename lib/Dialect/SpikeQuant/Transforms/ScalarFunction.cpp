//===- ScalarFunction.cpp - elementwise code as functions -----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ScalarFunction.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

#include <cmath>

using namespace mlir;
using namespace mlir::spikequant;

//===----------------------------------------------------------------------===//
// Leaves
//===----------------------------------------------------------------------===//

static bool isView(Operation *op) {
  return isa_and_nonnull<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op);
}

static bool isMove(Operation *op) {
  auto slice = dyn_cast_or_null<tensor::ExtractSliceOp>(op);
  return isView(op) || (slice && slice->getNumOperands() == 1);
}

std::optional<ScaleForm>
mlir::spikequant::findDecodeForm(Value value, ConstantReals &constants) {
  std::vector<ScaleForm> forms = findScaleForms(value, constants);
  for (ScaleForm &form : llvm::reverse(forms)) {
    auto decode = form.base.getDefiningOp<DecodeOp>();
    if (decode && decode->getNumOperands() == 1 && form.rows.empty() &&
        !form.rectified)
      return std::move(form);
  }
  return std::nullopt;
}

std::optional<int> ScalarFunctions::addLeaf(Value value) {
  SmallVector<Operation *> moves;
  Value current = value;
  std::optional<ScaleForm> form = findDecodeForm(current, constants);
  while (!form && isMove(current.getDefiningOp())) {
    moves.push_back(current.getDefiningOp());
    current = moves.back()->getOperand(0);
    form = findDecodeForm(current, constants);
  }
  if (!form)
    return std::nullopt;
  leaves.push_back({value, std::move(*form), std::move(moves)});
  FunctionStep step;
  step.leaf = leaves.size() - 1;
  steps.push_back(step);
  return steps.size() - 1;
}

std::optional<int> ScalarFunctions::addConstant(double value) {
  FunctionStep step;
  step.constant = value;
  steps.push_back(step);
  return steps.size() - 1;
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

static bool isDecoded(Value value) {
  while (isMove(value.getDefiningOp()))
    value = value.getDefiningOp()->getOperand(0);
  return value.getDefiningOp<DecodeOp>() != nullptr;
}

std::optional<int> ScalarFunctions::read(Value value) {
  if (auto known = valueSteps.find(value); known != valueSteps.end())
    return known->second;
  std::optional<int> step;
  Operation *op = value.getDefiningOp();
  if (isDecoded(value))
    step = addLeaf(value);
  else if (isView(op))
    step = read(op->getOperand(0));
  else if (auto linalgOp = dyn_cast_or_null<linalg::LinalgOp>(op))
    step = readElementwise(linalgOp);
  if (!step)
    step = addLeaf(value);
  if (step)
    valueSteps[value] = *step;
  return step;
}

std::optional<int> ScalarFunctions::readElementwise(linalg::LinalgOp op) {
  if (op->getNumResults() != 1 || op.getNumReductionLoops() ||
      !op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isIdentity())
    return std::nullopt;
  DenseMap<Value, int> known;
  return readScalar(op.getBlock()->getTerminator()->getOperand(0), op, known);
}

std::optional<int> ScalarFunctions::readOperand(OpOperand *operand,
                                                linalg::LinalgOp op) {
  if (op.isDpsInit(operand))
    return std::nullopt;
  Value value = operand->get();
  AffineMap map = op.getMatchingIndexingMap(operand);
  // The same value everywhere.
  DenseElementsAttr constant;
  if (matchPattern(value, m_Constant(&constant)) && constant.isSplat() &&
      constant.getElementType().isF32())
    return addConstant(constant.getSplatValue<APFloat>().convertToFloat());
  if (map.getNumResults() == 0) {
    std::optional<float> scalar = constants.at(value, {});
    return scalar ? addConstant(*scalar) : std::nullopt;
  }
  return map.isIdentity() ? read(value) : std::nullopt;
}

bool mlir::spikequant::isKnownFunction(Operation *op) {
  return isa<arith::AddFOp, arith::SubFOp, arith::MulFOp, arith::DivFOp,
             arith::NegFOp, arith::MaximumFOp, arith::MinimumFOp,
             arith::MaxNumFOp, arith::MinNumFOp, arith::SelectOp, arith::CmpFOp,
             math::AbsFOp, math::ExpOp, math::Exp2Op, math::ExpM1Op,
             math::LogOp, math::Log1pOp, math::TanhOp, math::ErfOp,
             math::ErfcOp, math::SqrtOp, math::RsqrtOp, math::FmaOp,
             math::PowFOp, math::CosOp, math::SinOp, math::FloorOp>(op);
}

std::optional<int> ScalarFunctions::readScalar(Value scalar,
                                               linalg::LinalgOp op,
                                               DenseMap<Value, int> &known) {
  if (auto found = known.find(scalar); found != known.end())
    return found->second;
  std::optional<int> result;
  auto argument = dyn_cast<BlockArgument>(scalar);
  FloatAttr constant;
  if (argument && argument.getOwner() == op.getBlock()) {
    result = readOperand(op.getMatchingOpOperand(argument), op);
  } else if (matchPattern(scalar, m_Constant(&constant))) {
    result = addConstant(constant.getValueAsDouble());
  } else if (Operation *inner = scalar.getDefiningOp();
             inner && inner->getBlock() == op.getBlock() &&
             isKnownFunction(inner)) {
    FunctionStep step;
    step.op = inner;
    for (Value operand : inner->getOperands()) {
      std::optional<int> read = readScalar(operand, op, known);
      if (!read)
        return std::nullopt;
      step.operands.push_back(*read);
    }
    steps.push_back(step);
    result = steps.size() - 1;
  }
  if (result)
    known[scalar] = *result;
  return result;
}

//===----------------------------------------------------------------------===//
// Questions
//===----------------------------------------------------------------------===//

SmallVector<int> ScalarFunctions::getFactors(int step, int depth) const {
  const FunctionStep &top = steps[step];
  if (isa_and_nonnull<math::PowFOp>(top.op)) {
    const FunctionStep &exponent = steps[top.operands[1]];
    bool square = !exponent.op && exponent.leaf < 0 && exponent.constant == 2;
    if (square)
      return {top.operands[0], top.operands[0]};
  }
  if (depth == 0 || !isa_and_nonnull<arith::MulFOp>(top.op))
    return {step};
  SmallVector<int> factors = getFactors(top.operands[0], depth - 1);
  llvm::append_range(factors, getFactors(top.operands[1], depth - 1));
  return factors;
}

std::optional<int> ScalarFunctions::getOnlyLeaf(int step) const {
  // Steps are in order; every one is asked once, however often it is used.
  std::vector<std::optional<int>> only(step + 1);
  for (int i = 0; i <= step; ++i) {
    only[i] = steps[i].leaf;
    for (int operand : steps[i].operands) {
      std::optional<int> other = only[operand];
      bool clash = !other || !only[i] ||
                   (*only[i] >= 0 && *other >= 0 && *other != *only[i]);
      only[i] =
          clash ? std::nullopt : std::optional(std::max(*only[i], *other));
    }
  }
  return only[step];
}

static bool compare(arith::CmpFPredicate predicate, double a, double b) {
  using P = arith::CmpFPredicate;
  switch (predicate) {
  case P::OEQ:
  case P::UEQ:
    return a == b;
  case P::OGT:
  case P::UGT:
    return a > b;
  case P::OGE:
  case P::UGE:
    return a >= b;
  case P::OLT:
  case P::ULT:
    return a < b;
  case P::OLE:
  case P::ULE:
    return a <= b;
  case P::ONE:
  case P::UNE:
    return a != b;
  case P::ORD:
  case P::AlwaysTrue:
    return true;
  case P::UNO:
  case P::AlwaysFalse:
    return false;
  }
  llvm_unreachable("all predicates are listed");
}

double mlir::spikequant::evaluateFunction(Operation *op, ArrayRef<double> x) {
  return llvm::TypeSwitch<Operation *, double>(op)
      .Case<arith::AddFOp>([&](auto) { return x[0] + x[1]; })
      .Case<arith::SubFOp>([&](auto) { return x[0] - x[1]; })
      .Case<arith::MulFOp>([&](auto) { return x[0] * x[1]; })
      .Case<arith::DivFOp>([&](auto) { return x[0] / x[1]; })
      .Case<arith::NegFOp>([&](auto) { return -x[0]; })
      .Case<arith::MaximumFOp, arith::MaxNumFOp>(
          [&](auto) { return std::max(x[0], x[1]); })
      .Case<arith::MinimumFOp, arith::MinNumFOp>(
          [&](auto) { return std::min(x[0], x[1]); })
      .Case<arith::SelectOp>([&](auto) { return x[0] != 0 ? x[1] : x[2]; })
      .Case<arith::CmpFOp>([&](arith::CmpFOp cmp) {
        return double(compare(cmp.getPredicate(), x[0], x[1]));
      })
      .Case<math::CosOp>([&](auto) { return std::cos(x[0]); })
      .Case<math::SinOp>([&](auto) { return std::sin(x[0]); })
      .Case<math::FloorOp>([&](auto) { return std::floor(x[0]); })
      .Case<math::AbsFOp>([&](auto) { return std::abs(x[0]); })
      .Case<math::ExpOp>([&](auto) { return std::exp(x[0]); })
      .Case<math::Exp2Op>([&](auto) { return std::exp2(x[0]); })
      .Case<math::ExpM1Op>([&](auto) { return std::expm1(x[0]); })
      .Case<math::LogOp>([&](auto) { return std::log(x[0]); })
      .Case<math::Log1pOp>([&](auto) { return std::log1p(x[0]); })
      .Case<math::TanhOp>([&](auto) { return std::tanh(x[0]); })
      .Case<math::ErfOp>([&](auto) { return std::erf(x[0]); })
      .Case<math::ErfcOp>([&](auto) { return std::erfc(x[0]); })
      .Case<math::SqrtOp>([&](auto) { return std::sqrt(x[0]); })
      .Case<math::RsqrtOp>([&](auto) { return 1 / std::sqrt(x[0]); })
      .Case<math::FmaOp>([&](auto) { return std::fma(x[0], x[1], x[2]); })
      .Case<math::PowFOp>([&](auto) { return std::pow(x[0], x[1]); })
      .Default([](Operation *) { return std::nan(""); });
}

double ScalarFunctions::evaluate(int step, double x) const {
  SmallVector<double> values;
  for (const FunctionStep &top : ArrayRef(steps).take_front(step + 1)) {
    SmallVector<double, 3> operands;
    for (int operand : top.operands)
      operands.push_back(values[operand]);
    values.push_back(top.op          ? evaluateFunction(top.op, operands)
                     : top.leaf >= 0 ? x
                                     : top.constant);
  }
  return values.back();
}

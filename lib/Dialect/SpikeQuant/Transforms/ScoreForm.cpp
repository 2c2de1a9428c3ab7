//===- ScoreForm.cpp - scores of a softmax as membranes -------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ScoreForm.h"

#include "BodyInputs.h"

#include "spikequant/Dialect/SpikeQuant/Transforms/Contractions.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Products.h"
#include "spikequant/Kernel/Exponent.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

#include <cmath>

using namespace mlir;
using namespace mlir::spikequant;

namespace {
/// A mask's value, added to the score or in its place.
struct HiddenValue {
  double value;
  bool added;
};

class ScoreReader {
public:
  ScoreReader(ConstantReals &constants, std::string &refused)
      : constants(constants), refused(refused) {}

  std::optional<ScoreForm> read(Value scores, int32_t largest);

private:
  bool readArray(Value array);
  bool readBody(linalg::LinalgOp op, Value &next);
  bool readScalar(linalg::LinalgOp op, Value scalar, Value &next);
  bool readSelect(linalg::LinalgOp op, arith::SelectOp choice, Value &next);
  bool readSum(linalg::LinalgOp op, Operation *sum, Value &next);
  bool readProduct(linalg::LinalgOp op, Operation *product, Value &next);
  bool readMembrane(linalg::LinalgOp op, arith::SIToFPOp conversion);
  bool addMask(linalg::LinalgOp op, Value condition, bool hides,
               HiddenValue value);
  bool scale(linalg::LinalgOp op, Value factor, bool divides);
  std::optional<double> getScalar(linalg::LinalgOp op, Value scalar);
  bool refuse(StringRef why) {
    refused = why;
    return false;
  }
  bool checkMasks(int32_t largest);

  ConstantReals &constants;
  std::string &refused;
  ScoreForm form;
  SmallVector<HiddenValue> hidden;
  int64_t rows = 1;
  bool moved = false;
};
} // namespace

/// The value of a scalar that is the same for all elements.
std::optional<double> ScoreReader::getScalar(linalg::LinalgOp op,
                                             Value scalar) {
  if (OpOperand *operand = getBodyInput(op, scalar))
    return getSplat(operand->get());
  return getSplat(scalar);
}

/// Source and map of an operand behind the linalg operations that move it.
static std::pair<Value, AffineMap> skipRepetition(Value value, AffineMap map) {
  while (auto op = value.getDefiningOp<linalg::LinalgOp>()) {
    Value source = getMovedValue(op);
    AffineMap output = op.getIndexingMapsArray().back();
    if (!source || !output.isPermutation())
      break;
    map = op.getIndexingMapsArray()[0]
              .compose(inversePermutation(output))
              .compose(map);
    value = source;
  }
  return {value, map};
}

/// Multiplies the rates: by one number, or by one per row.
bool ScoreReader::scale(linalg::LinalgOp op, Value factor, bool divides) {
  auto apply = [&](double &rate, double number) {
    rate = divides ? rate / number : rate * number;
  };
  if (auto number = getScalar(op, factor)) {
    for (double &rate : form.rates)
      apply(rate, *number);
    return true;
  }
  OpOperand *operand = getBodyInput(op, factor);
  if (!operand)
    return false;
  auto [source, map] =
      skipRepetition(operand->get(), op.getMatchingIndexingMap(operand));
  SmallVector<int64_t> shape = op.getStaticLoopRanges();
  if (moved || shape.empty() || map.isFunctionOfDim(shape.size() - 1))
    return false;
  SmallVector<double> rates(rows, form.rates.front());
  if (form.rates.size() > 1)
    rates = form.rates;
  for (int64_t row = 0; row < rows; ++row) {
    SmallVector<int64_t> point(shape.size(), 0);
    int64_t rest = row;
    for (int64_t dim = int64_t(shape.size()) - 2; dim >= 0; --dim) {
      point[dim] = rest % shape[dim];
      rest /= shape[dim];
    }
    auto index = applyMap(map, point);
    auto number = index ? constants.at(source, *index) : std::nullopt;
    if (!number)
      return false;
    apply(rates[row], *number);
  }
  form.rates = rates;
  return true;
}

bool ScoreReader::readProduct(linalg::LinalgOp op, Operation *product,
                              Value &next) {
  bool divides = isa<arith::DivFOp>(product);
  for (unsigned data = 0; data < (divides ? 1u : 2u); ++data)
    if (scale(op, product->getOperand(1 - data), divides)) {
      next = product->getOperand(data);
      return true;
    }
  return false;
}

bool ScoreReader::addMask(linalg::LinalgOp op, Value condition, bool hides,
                          HiddenValue value) {
  OpOperand *operand = getBodyInput(op, condition);
  if (!operand)
    return false;
  auto array = readConditional(operand->get());
  if (!array || !array->condition || array->onTrue == array->onFalse)
    return false;
  // A condition that is the negation of another one.
  bool negated = array->onTrue == 0;
  form.steps.push_back(
      {nullptr, *array, op.getMatchingIndexingMap(operand), hides != negated});
  hidden.push_back(value);
  return true;
}

bool ScoreReader::readSelect(linalg::LinalgOp op, arith::SelectOp choice,
                             Value &next) {
  auto onTrue = getScalar(op, choice.getTrueValue());
  auto onFalse = getScalar(op, choice.getFalseValue());
  if (onTrue.has_value() == onFalse.has_value())
    return false;
  next = onTrue ? choice.getFalseValue() : choice.getTrueValue();
  return addMask(op, choice.getCondition(), onTrue.has_value(),
                 {onTrue ? *onTrue : *onFalse, false});
}

/// A sum with 0 or one very negative number.
bool ScoreReader::readSum(linalg::LinalgOp op, Operation *sum, Value &next) {
  for (unsigned data = 0; data < 2; ++data) {
    OpOperand *operand = getBodyInput(op, sum->getOperand(1 - data));
    auto array = operand ? readConditional(operand->get()) : std::nullopt;
    if (!array)
      continue;
    next = sum->getOperand(data);
    // The same for all scores of a row: no difference changes.
    if (!array->condition && std::isfinite(array->onTrue))
      return true;
    bool hides = array->onTrue != 0;
    double value = hides ? array->onTrue : array->onFalse;
    if (!array->condition || (hides ? array->onFalse : array->onTrue) != 0)
      return refuse("a bias has two values and none of them is 0");
    form.steps.push_back(
        {nullptr, *array, op.getMatchingIndexingMap(operand), hides});
    hidden.push_back({value, true});
    return true;
  }
  return refuse("a bias is added to its scores that is no mask");
}

/// f32 of a product's integers.
bool ScoreReader::readMembrane(linalg::LinalgOp op,
                               arith::SIToFPOp conversion) {
  OpOperand *operand = getBodyInput(op, conversion.getIn());
  auto product = operand ? operand->get().getDefiningOp<linalg::LinalgOp>()
                         : linalg::LinalgOp();
  if (!product || !product->hasAttr(kProductAttr) ||
      !op.getMatchingIndexingMap(operand).isIdentity() ||
      !conversion.getIn().getType().isInteger(32))
    return false;
  SmallVector<unsigned> loops;
  product.getReductionDims(loops);
  // Counts of 8 bits.
  form.bound = int64_t{1} << 14;
  for (unsigned loop : loops)
    form.bound *= product.getStaticLoopRanges()[loop];
  for (Value input : product.getDpsInputs())
    if (!getElementTypeOrSelf(input.getType()).isInteger(8))
      return false;
  form.membrane = operand->get();
  return true;
}

/// Reads one operation of a body; `next` is what it computes from.
bool ScoreReader::readScalar(linalg::LinalgOp op, Value scalar, Value &next) {
  Operation *inner = scalar.getDefiningOp();
  if (!inner || inner->getBlock() != op.getBlock())
    return false;
  next = {};
  if (auto conversion = dyn_cast<arith::SIToFPOp>(inner))
    return readMembrane(op, conversion);
  if (auto choice = dyn_cast<arith::SelectOp>(inner))
    return readSelect(op, choice, next);
  if (isa<arith::AddFOp>(inner))
    return readSum(op, inner, next);
  if (isa<arith::MulFOp, arith::DivFOp>(inner))
    return readProduct(op, inner, next);
  return false;
}

/// `next` is the array that the body computes from, null at the membranes.
bool ScoreReader::readBody(linalg::LinalgOp op, Value &next) {
  Value scalar = op.getBlock()->getTerminator()->getOperand(0);
  while (!getBodyInput(op, scalar)) {
    Value inner;
    if (!readScalar(op, scalar, inner))
      return false;
    if (!inner)
      return true;
    scalar = inner;
  }
  OpOperand *operand = getBodyInput(op, scalar);
  next = operand->get();
  return op.getMatchingIndexingMap(operand).isIdentity();
}

bool ScoreReader::readArray(Value array) {
  while (array) {
    Operation *op = array.getDefiningOp();
    if (!op)
      return false;
    if (Value source = getMovedValue(op)) {
      ScoreStep step;
      step.move = op;
      form.steps.push_back(step);
      moved = true;
      array = source;
      continue;
    }
    auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
    if (!linalgOp || linalgOp.getNumReductionLoops() != 0 ||
        linalgOp->getNumResults() != 1 || linalgOp.hasIndexSemantics() ||
        !linalgOp.getIndexingMapsArray().back().isIdentity())
      return false;
    Value next;
    if (!readBody(linalgOp, next))
      return false;
    array = next;
  }
  return true;
}

/// Whether hidden scores never count beside visible ones, and all count the
/// same where a row has no other.
bool ScoreReader::checkMasks(int32_t largest) {
  double most = *llvm::max_element(form.rates) * double(form.bound);
  for (auto [value, added] : hidden) {
    form.infinite |= std::isinf(value);
    if (!(value < -(2 * most + std::log(2.0 * largest) + 1)))
      return refuse("a mask's value is not far below all scores");
    if (added && -value < std::ldexp(most, 26))
      return refuse("a mask's value leaves differences between hidden scores");
  }
  return true;
}

/// As few rates as possible: one for each of equally long runs of rows.
static SmallVector<double> mergeHeads(ArrayRef<double> rates) {
  auto rows = static_cast<int64_t>(rates.size());
  for (int64_t heads = 1; heads < rows; ++heads) {
    if (rows % heads != 0)
      continue;
    int64_t run = rows / heads;
    bool same = true;
    for (int64_t row = 0; row < rows && same; ++row)
      same = rates[row] == rates[row / run * run];
    if (!same)
      continue;
    SmallVector<double> merged;
    for (int64_t head = 0; head < heads; ++head)
      merged.push_back(rates[head * run]);
    return merged;
  }
  return SmallVector<double>(rates);
}

std::optional<ScoreForm> ScoreReader::read(Value scores, int32_t largest) {
  auto type = cast<RankedTensorType>(scores.getType());
  if (!type.hasStaticShape() || type.getNumElements() == 0)
    return std::nullopt;
  rows = type.getNumElements() / type.getShape().back();
  form.rates = {1.0};
  if (!readArray(scores))
    return std::nullopt;
  if (form.bound > ::spikequant::maxScore) {
    refuse("its products have too many channels");
    return std::nullopt;
  }
  form.rates = mergeHeads(form.rates);
  std::reverse(form.steps.begin(), form.steps.end());
  if (!checkMasks(largest))
    return std::nullopt;
  return form;
}

std::optional<ScoreForm> mlir::spikequant::readScores(Value scores,
                                                      int32_t largest,
                                                      ConstantReals &constants,
                                                      std::string &refused) {
  return ScoreReader(constants, refused).read(scores, largest);
}

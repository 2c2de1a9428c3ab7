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
/// A mask's value, in the score's place or added to it.
struct HiddenValue {
  double value;
  std::optional<size_t> added; ///< the step that may be a bias instead
};

class ScoreReader {
public:
  ScoreReader(ConstantReals &constants, PositionTables &tables,
              std::string &refused)
      : constants(constants), tables(tables), refused(refused) {}

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
  void addBiases(ArrayRead read, int depth);
  bool addBias(linalg::LinalgOp op, OpOperand *operand);
  bool scaleBiases();

  ConstantReals &constants;
  PositionTables &tables;
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
  ScoreStep step;
  step.mask = *array;
  step.map = op.getMatchingIndexingMap(operand);
  // A condition may be the negation of another one.
  step.hides = hides != (array->onTrue == 0);
  form.steps.push_back(step);
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
                 {onTrue ? *onTrue : *onFalse, std::nullopt});
}

/// The two arrays that `read` adds up; nothing for others.
static std::optional<std::pair<ArrayRead, ArrayRead>> splitSum(ArrayRead read) {
  auto op = read.value.getDefiningOp<linalg::GenericOp>();
  if (!isElementwise(op) || !isa<arith::AddFOp>(op.getBody()->front()) ||
      op.getBody()->getOperations().size() != 2)
    return std::nullopt;
  SmallVector<ArrayRead, 2> parts;
  for (Value scalar : op.getBody()->front().getOperands()) {
    OpOperand *operand = getBodyInput(op, scalar);
    if (!operand || !isa<RankedTensorType>(operand->get().getType()))
      return std::nullopt;
    AffineMap map = op.getMatchingIndexingMap(operand);
    parts.push_back(resolveRead({operand->get(), map.compose(read.map)}));
  }
  return std::pair(parts[0], parts[1]);
}

/// Parts of a sum are biases of their own: each has fewer elements than that.
void ScoreReader::addBiases(ArrayRead read, int depth) {
  constexpr int most = 4;
  if (auto parts = depth < most ? splitSum(read) : std::nullopt) {
    addBiases(parts->first, depth + 1);
    addBiases(parts->second, depth + 1);
    return;
  }
  ScoreStep step;
  step.bias = read;
  // Scales that differ by head have no common unit for it: see scaleBiases.
  step.factor = form.rates.size() == 1 ? form.rates.front() : NAN;
  form.steps.push_back(step);
}

/// A real array that no activation makes.
bool ScoreReader::addBias(linalg::LinalgOp op, OpOperand *operand) {
  if (!operand || !isa<RankedTensorType>(operand->get().getType()) ||
      !tables.isInput(operand->get()))
    return false;
  addBiases(resolveRead({operand->get(), op.getMatchingIndexingMap(operand)}),
            0);
  return true;
}

/// A sum with 0 or one very negative number is a mask; another one a bias.
bool ScoreReader::readSum(linalg::LinalgOp op, Operation *sum, Value &next) {
  bool negates = isa<arith::SubFOp>(sum);
  for (unsigned data = 0; data < (negates ? 1u : 2u); ++data) {
    OpOperand *operand = getBodyInput(op, sum->getOperand(1 - data));
    auto number = getScalar(op, sum->getOperand(1 - data));
    next = sum->getOperand(data);
    // The same for all scores of a row: no difference changes.
    if (number && std::isfinite(*number))
      return true;
    size_t first = form.steps.size();
    if (!addBias(op, operand))
      continue;
    for (ScoreStep &step : llvm::drop_begin(form.steps, first))
      step.factor *= negates ? -1 : 1;
    ScoreStep &step = form.steps.back();
    auto array = readConditional(operand->get());
    if (!array || !array->condition || negates ||
        form.steps.size() != first + 1)
      return true;
    bool hides = array->onTrue != 0;
    if ((hides ? array->onFalse : array->onTrue) != 0)
      return true;
    step.mask = *array;
    step.map = op.getMatchingIndexingMap(operand);
    step.hides = hides;
    hidden.push_back(
        {hides ? array->onTrue : array->onFalse, form.steps.size() - 1});
    return true;
  }
  return refuse("a bias is added to its scores that depends on activations");
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
  if (isa<arith::AddFOp, arith::SubFOp>(inner))
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
    if (!isElementwise(linalgOp))
      return false;
    Value next;
    if (!readBody(linalgOp, next))
      return false;
    array = next;
  }
  return true;
}

/// Whether hidden scores never count beside visible ones, and all count the
/// same where a row has no other. What is added and does not hide is a bias.
bool ScoreReader::checkMasks(int32_t largest) {
  double most = *llvm::max_element(form.rates) * double(form.bound);
  for (auto [value, added] : hidden) {
    bool far = value < -(2 * most + std::log(2.0 * largest) + 1);
    if (added && far && -value >= std::ldexp(most, 26))
      form.steps[*added].bias = {};
    if (!added && !far)
      return refuse("a mask's value is not far below all scores");
    form.infinite |= std::isinf(value);
  }
  form.biased = llvm::any_of(
      form.steps, [](const ScoreStep &step) { return bool(step.bias.value); });
  return true;
}

/// Scores of at most 2^-10 nats, or as little as 2^27 of them hold, so that
/// rounding a bias to them is no error that shows.
bool ScoreReader::scaleBiases() {
  constexpr int64_t mostBound = int64_t{1} << 27;
  if (form.rates.size() != 1 || form.bound > mostBound)
    return refuse("it has a bias, and scales for each head or too many "
                  "channels");
  while (form.rates.front() > 0x1p-10 && form.bound <= mostBound / 2) {
    form.rates.front() /= 2;
    form.bound *= 2;
    ++form.shift;
  }
  for (ScoreStep &step : form.steps) {
    if (step.bias.value && !std::isfinite(step.factor))
      return refuse("its scales differ by head where a bias is added");
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
  if (!checkMasks(largest) || (form.biased && !scaleBiases()))
    return std::nullopt;
  std::reverse(form.steps.begin(), form.steps.end());
  return form;
}

std::optional<ScoreForm> mlir::spikequant::readScores(Value scores,
                                                      int32_t largest,
                                                      ConstantReals &constants,
                                                      PositionTables &tables,
                                                      std::string &refused) {
  return ScoreReader(constants, tables, refused).read(scores, largest);
}

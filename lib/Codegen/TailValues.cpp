//===- TailValues.cpp - what masked ends of arrays hold -------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every scalar of an operation's body is evaluated twice: for any iteration,
// and for those in the tail of one loop, which an operand or a comparison of an
// index with start + row brings in. Three assumptions are made about real
// numbers, which hold for every finite computation: magnitudes stay below 1e28
// unless a constant says otherwise, 0 * x = 0 and 0 / x = 0.
//
//===----------------------------------------------------------------------===//

#include "TailValues.h"

#include "spikequant/Kernel/Exponent.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::spikequant;

namespace {

constexpr double kHidden = -1e28;

Known constant(TypedAttr value) {
  Known known;
  if (value)
    known = {Known::Constant, value};
  return known;
}

std::optional<double> getReal(const Known &known) {
  auto value = dyn_cast_or_null<FloatAttr>(known.value);
  if (known.kind != Known::Constant || !value)
    return std::nullopt;
  return value.getValueAsDouble();
}

bool isZero(const Known &known) {
  if (known.kind != Known::Constant)
    return false;
  if (auto integer = dyn_cast<IntegerAttr>(known.value))
    return integer.getValue().isZero();
  std::optional<double> real = getReal(known);
  return real && *real == 0;
}

/// A mask's value, or a difference from one.
bool isHidden(const Known &known) {
  std::optional<double> real = getReal(known);
  return known.kind == Known::Hidden || (real && *real <= kHidden);
}

/// Whether it is a constant that a hidden value is certainly below.
bool isPlainReal(const Known &known) {
  std::optional<double> real = getReal(known);
  return real && *real > kHidden / 10;
}

/// The integer of a score that a mask hides.
bool isHiddenScore(const Known &known) {
  auto integer = dyn_cast_or_null<IntegerAttr>(known.value);
  return known.kind == Known::Constant && integer &&
         integer.getType().isInteger(32) &&
         integer.getValue().isMinSignedValue();
}

/// Whether it is a constant of at most 2^30.
bool isNear(const Known &known) {
  auto integer = dyn_cast_or_null<IntegerAttr>(known.value);
  return known.kind == Known::Constant && integer &&
         integer.getValue().ule(::spikequant::maxScore);
}

/// Evaluates the body of one operation.
class BodyEvaluator {
public:
  /// `tail` null: for any iteration.
  BodyEvaluator(linalg::LinalgOp op, std::optional<Tail> tail)
      : op(op), sizes(op.getStaticLoopRanges()), tail(tail) {}

  void setArgument(unsigned number, const Known &known) {
    knownOf[op.getBlock()->getArgument(number)] = known;
  }
  void run() {
    for (Operation &inner : op.getBlock()->without_terminator())
      if (inner.getNumResults() == 1)
        knownOf[inner.getResult(0)] = evaluate(inner);
  }
  Known get(Value value) const;

  /// The tail that the last comparison of an index with a bound has found.
  std::optional<Tail> found;

private:
  Known evaluate(Operation &inner);
  Known compare(arith::CmpIOp comparison);
  Known compareReals(arith::CmpFOp comparison) const;
  Known select(arith::SelectOp choice) const;
  Known add(const Known &lhs, const Known &rhs) const;
  Known difference(const Known &lhs) const;
  Known distance(const Known &rhs) const;
  Known minimum(arith::MinUIOp least) const;
  Known product(Operation &inner) const;
  Known maximum(Operation &inner) const;
  Known fold(Operation &inner) const;
  std::optional<Known> upperBound(const Known &known) const;
  Known truth(bool value) const {
    return constant(BoolAttr::get(op->getContext(), value));
  }

  linalg::LinalgOp op;
  SmallVector<int64_t> sizes;
  std::optional<Tail> tail;
  llvm::DenseMap<Value, Known> knownOf;
};

} // namespace

Known BodyEvaluator::get(Value value) const {
  TypedAttr attribute;
  if (matchPattern(value, m_Constant(&attribute)))
    return constant(attribute);
  return knownOf.lookup(value);
}

/// As AtMost.
std::optional<Known> BodyEvaluator::upperBound(const Known &known) const {
  Known bound;
  bound.kind = Known::AtMost;
  switch (known.kind) {
  case Known::AtMost:
    return known;
  case Known::Index:
    bound.addend = sizes[known.dim] - 1 + known.addend;
    return bound;
  case Known::Constant:
    if (auto integer = dyn_cast<IntegerAttr>(known.value)) {
      bound.addend = integer.getInt();
      return bound;
    }
    return std::nullopt;
  default:
    return std::nullopt;
  }
}

Known BodyEvaluator::add(const Known &lhs, const Known &rhs) const {
  if (lhs.kind == Known::Constant && rhs.kind == Known::Index)
    return add(rhs, lhs);
  std::optional<Known> left = upperBound(lhs), right = upperBound(rhs);
  if (!left || !right || (left->argument >= 0 && right->argument >= 0))
    return {};
  if (lhs.kind == Known::Index && rhs.kind == Known::Constant) {
    Known sum = lhs;
    sum.addend += right->addend;
    return sum;
  }
  left->addend += right->addend;
  left->argument = std::max(left->argument, right->argument);
  return *left;
}

/// An index compared with start + row: from some index on, the answer is known.
Known BodyEvaluator::compare(arith::CmpIOp comparison) {
  using arith::CmpIPredicate;
  Known lhs = get(comparison.getLhs()), rhs = get(comparison.getRhs());
  CmpIPredicate predicate = comparison.getPredicate();
  if (lhs.kind == Known::Far && isNear(rhs) && predicate == CmpIPredicate::ult)
    return truth(false);
  if (lhs.kind != Known::Index) {
    std::swap(lhs, rhs);
    predicate = predicate == CmpIPredicate::sge   ? CmpIPredicate::sle
                : predicate == CmpIPredicate::sgt ? CmpIPredicate::slt
                : predicate == CmpIPredicate::sle ? CmpIPredicate::sge
                : predicate == CmpIPredicate::slt ? CmpIPredicate::sgt
                                                  : CmpIPredicate::eq;
  }
  std::optional<Known> bound = upperBound(rhs);
  if (lhs.kind != Known::Index || !bound || bound->argument < 0)
    return fold(*comparison);
  // lhs <= bound is false, lhs > bound is true from bound + 1 on.
  bool inclusive =
      predicate == CmpIPredicate::sle || predicate == CmpIPredicate::sgt;
  bool isLess =
      predicate == CmpIPredicate::sle || predicate == CmpIPredicate::slt;
  bool isGreater =
      predicate == CmpIPredicate::sge || predicate == CmpIPredicate::sgt;
  if (!isLess && !isGreater)
    return {};
  Tail where{lhs.dim, bound->argument,
             bound->addend - lhs.addend + (inclusive ? 1 : 0)};
  found = where;
  return tail && *tail == where ? truth(isGreater) : Known();
}

Known BodyEvaluator::compareReals(arith::CmpFOp comparison) const {
  using arith::CmpFPredicate;
  Known lhs = get(comparison.getLhs()), rhs = get(comparison.getRhs());
  bool swapped = isHidden(rhs) && isPlainReal(lhs);
  if (!swapped && !(isHidden(lhs) && isPlainReal(rhs)))
    return fold(*comparison);
  switch (comparison.getPredicate()) {
  case CmpFPredicate::OLT:
  case CmpFPredicate::OLE:
  case CmpFPredicate::ULT:
  case CmpFPredicate::ULE:
    return truth(!swapped);
  case CmpFPredicate::OGT:
  case CmpFPredicate::OGE:
  case CmpFPredicate::UGT:
  case CmpFPredicate::UGE:
    return truth(swapped);
  case CmpFPredicate::UNO:
    return truth(false);
  case CmpFPredicate::ORD:
    return truth(true);
  default:
    return {};
  }
}

Known BodyEvaluator::select(arith::SelectOp choice) const {
  Known condition = get(choice.getCondition());
  if (condition.kind != Known::Constant)
    return {};
  bool isTrue = !isZero(condition);
  return get(isTrue ? choice.getTrueValue() : choice.getFalseValue());
}

/// lhs - x of unknown x.
Known BodyEvaluator::difference(const Known &lhs) const {
  Known result;
  if (isHidden(lhs))
    result.kind = Known::Hidden;
  return result;
}

/// x - rhs of a score x: far as unsigned numbers if rhs is a hidden one.
Known BodyEvaluator::distance(const Known &rhs) const {
  Known result;
  if (isHiddenScore(rhs))
    result.kind = Known::Far;
  return result;
}

Known BodyEvaluator::minimum(arith::MinUIOp least) const {
  Known lhs = get(least.getLhs()), rhs = get(least.getRhs());
  if (lhs.kind == Known::Far && isNear(rhs))
    return rhs;
  return rhs.kind == Known::Far && isNear(lhs) ? lhs : fold(*least);
}

Known BodyEvaluator::product(Operation &inner) const {
  for (Value factor : inner.getOperands())
    if (isZero(get(factor)))
      return get(factor);
  return fold(inner);
}

Known BodyEvaluator::maximum(Operation &inner) const {
  Known lhs = get(inner.getOperand(0)), rhs = get(inner.getOperand(1));
  if (isHidden(lhs))
    return rhs;
  return isHidden(rhs) ? lhs : fold(inner);
}

static Known foldFma(math::FmaOp op, ArrayRef<Known> operands) {
  SmallVector<APFloat> values;
  for (const Known &operand : operands)
    values.push_back(cast<FloatAttr>(operand.value).getValue());
  values[0].fusedMultiplyAdd(values[1], values[2],
                             APFloat::rmNearestTiesToEven);
  return constant(FloatAttr::get(op.getType(), values[0]));
}

/// Of constants only.
Known BodyEvaluator::fold(Operation &inner) const {
  SmallVector<Known> known;
  SmallVector<Attribute> values;
  for (Value operand : inner.getOperands()) {
    known.push_back(get(operand));
    if (known.back().kind != Known::Constant)
      return {};
    values.push_back(known.back().value);
  }
  if (auto fma = dyn_cast<math::FmaOp>(inner))
    return foldFma(fma, known);
  SmallVector<OpFoldResult> results;
  if (values.empty() || failed(inner.fold(values, results)) ||
      results.size() != 1)
    return {};
  if (auto value = dyn_cast<Value>(results[0]))
    return get(value);
  return constant(dyn_cast<TypedAttr>(cast<Attribute>(results[0])));
}

Known BodyEvaluator::evaluate(Operation &inner) {
  return llvm::TypeSwitch<Operation *, Known>(&inner)
      .Case([&](linalg::IndexOp index) {
        Known known;
        known.kind = Known::Index;
        known.dim = index.getDim();
        return known;
      })
      .Case<arith::IndexCastOp, arith::ExtSIOp, arith::TruncIOp>(
          [&](auto cast) {
            Known known = get(cast.getIn());
            return known.kind == Known::Constant ? fold(*cast) : known;
          })
      .Case([&](arith::AddIOp sum) {
        Known folded = fold(*sum);
        return folded.kind != Known::Nothing
                   ? folded
                   : add(get(sum.getLhs()), get(sum.getRhs()));
      })
      .Case([&](arith::CmpIOp comparison) { return compare(comparison); })
      .Case([&](arith::CmpFOp comparison) { return compareReals(comparison); })
      .Case([&](arith::SelectOp choice) { return select(choice); })
      .Case([&](arith::SubFOp sub) {
        Known folded = fold(*sub);
        return folded.kind != Known::Nothing ? folded
                                             : difference(get(sub.getLhs()));
      })
      .Case<arith::MulFOp, arith::MulIOp, arith::AndIOp>(
          [&](auto) { return product(inner); })
      .Case([&](arith::DivFOp quotient) {
        Known lhs = get(quotient.getLhs());
        return isZero(lhs) ? lhs : fold(inner);
      })
      .Case<arith::MaximumFOp, arith::MaxNumFOp>(
          [&](auto) { return maximum(inner); })
      .Case([&](arith::SubIOp sub) {
        Known folded = fold(*sub);
        return folded.kind != Known::Nothing ? folded
                                             : distance(get(sub.getRhs()));
      })
      .Case([&](arith::MinUIOp least) { return minimum(least); })
      .Default([&](Operation *) { return fold(inner); });
}

//===----------------------------------------------------------------------===//
// Arrays
//===----------------------------------------------------------------------===//

/// The loop that steps along dimension `dim` of an operand, or -1.
static int64_t getLoop(AffineMap map, int64_t dim) {
  auto expression = dyn_cast<AffineDimExpr>(map.getResult(dim));
  return expression ? expression.getPosition() : -1;
}

/// The dimension of a result that loop `loop` steps along, or -1.
static int64_t getDimension(AffineMap map, int64_t loop) {
  for (int64_t dim = 0, rank = map.getNumResults(); dim < rank; ++dim)
    if (getLoop(map, dim) == loop)
      return dim;
  return -1;
}

static Known atLoops(Known known, AffineMap map) {
  if (known.kind == Known::Index && (known.dim = getLoop(map, known.dim)) < 0)
    return {};
  return known;
}

/// An index along a dimension that is about to be reshaped.
static Known getLargestIndex(Value array, const Known &index) {
  Known largest;
  largest.kind = Known::AtMost;
  auto type = cast<RankedTensorType>(array.getType());
  largest.addend = type.getDimSize(index.dim) - 1 + index.addend;
  return largest;
}

ArrayFacts TailValues::getFacts(Value array) const {
  return facts.lookup(array);
}

TailValues::TailValues(func::FuncOp function) {
  for (BlockArgument argument : function.getArguments()) {
    auto type = dyn_cast<RankedTensorType>(argument.getType());
    if (!type || type.getRank() != 0 ||
        !type.getElementType().isSignlessInteger())
      continue;
    ArrayFacts &known = facts[argument];
    known.all.kind = Known::AtMost;
    known.all.argument = argument.getArgNumber();
  }
  for (Operation &op : function.getBody().front()) {
    if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op)) {
      visit(linalgOp);
    } else if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op)) {
      ArrayFacts known = getFacts(op.getOperand(0));
      if (known.all.kind == Known::Index)
        known.all = getLargestIndex(op.getOperand(0), known.all);
      if (known.tail)
        known.tail = getTailOfResult(&op, *known.tail);
      facts[op.getResult(0)] = known;
    }
  }
}

namespace {
/// Evaluates the body with what is known of the operands.
struct Evaluation {
  template <typename GetFacts>
  Evaluation(linalg::LinalgOp op, GetFacts getFacts) : any(op, std::nullopt) {
    auto setArguments = [&](BodyEvaluator &evaluator) {
      for (OpOperand *operand : op.getDpsInputOperands()) {
        AffineMap map = op.getMatchingIndexingMap(operand);
        ArrayFacts known = getFacts(operand->get());
        Known scalar = known.all;
        if (tail && known.tail) {
          Tail own = *known.tail;
          own.dim = getLoop(map, own.dim);
          if (own == *tail)
            scalar = known.inTail;
        }
        evaluator.setArgument(operand->getOperandNumber(),
                              atLoops(scalar, map));
      }
    };
    setArguments(any);
    any.run();
    tail = any.found;
    for (OpOperand *operand : op.getDpsInputOperands())
      if (std::optional<Tail> own = getFacts(operand->get()).tail) {
        own->dim = getLoop(op.getMatchingIndexingMap(operand), own->dim);
        if (own->dim >= 0)
          tail = own;
      }
    if (!tail)
      return;
    inTail.emplace(op, tail);
    setArguments(*inTail);
    inTail->run();
  }

  BodyEvaluator any;
  std::optional<Tail> tail;
  std::optional<BodyEvaluator> inTail;
};
} // namespace

void TailValues::visit(linalg::LinalgOp op) {
  if (op.getNumReductionLoops() != 0 || !op.hasPureTensorSemantics())
    return;
  Evaluation evaluation(op, [&](Value array) { return getFacts(array); });
  for (OpResult result : op->getResults()) {
    AffineMap map = op.getIndexingMapMatchingResult(result);
    Value yielded =
        op.getBlock()->getTerminator()->getOperand(result.getResultNumber());
    ArrayFacts &known = facts[result];
    known.all = evaluation.any.get(yielded);
    if (known.all.kind == Known::Index)
      known.all.dim = getDimension(map, known.all.dim);
    if (known.all.kind == Known::Index && known.all.dim < 0)
      known.all = {};
    if (!evaluation.tail)
      continue;
    Tail tail = *evaluation.tail;
    tail.dim = getDimension(map, tail.dim);
    known.inTail = evaluation.inTail->get(yielded);
    bool isOne = known.inTail.kind == Known::Constant ||
                 known.inTail.kind == Known::Hidden;
    if (tail.dim >= 0 && isOne)
      known.tail = tail;
  }
}

std::optional<Tail> TailValues::getNeutralReduction(linalg::LinalgOp op) const {
  if (op.getNumReductionLoops() == 0 || !op.hasPureTensorSemantics())
    return std::nullopt;
  Evaluation evaluation(op, [&](Value array) { return getFacts(array); });
  if (!evaluation.tail || op.getIteratorTypesArray()[evaluation.tail->dim] !=
                              utils::IteratorType::reduction)
    return std::nullopt;
  for (auto [yielded, out] :
       llvm::zip_equal(op.getBlock()->getTerminator()->getOperands(),
                       op.getRegionOutputArgs())) {
    Operation *combine = yielded.getDefiningOp();
    if (!combine || combine->getNumOperands() != 2 ||
        !llvm::is_contained(combine->getOperands(), out))
      return std::nullopt;
    Value added = combine->getOperand(combine->getOperand(0) == out ? 1 : 0);
    Known known = evaluation.inTail->get(added);
    bool neutral = isa<arith::AddFOp, arith::AddIOp>(combine) ? isZero(known)
                   : isa<arith::MaxSIOp>(combine) ? isHiddenScore(known)
                   : isa<arith::MaximumFOp, arith::MaxNumFOp>(combine)
                       ? isHidden(known)
                       : false;
    if (!neutral)
      return std::nullopt;
  }
  return evaluation.tail;
}

//===----------------------------------------------------------------------===//
// Reshapes
//===----------------------------------------------------------------------===//

/// The group of dimensions that `dim` of the shorter shape stands for.
static ReassociationIndices getGroup(Operation *reshape, int64_t dim) {
  if (auto expand = dyn_cast<tensor::ExpandShapeOp>(reshape))
    return expand.getReassociationIndices()[dim];
  return cast<tensor::CollapseShapeOp>(reshape).getReassociationIndices()[dim];
}

/// From the shorter shape to the longer one: the first dimension of the group
/// that is longer than 1 counts steps of all others.
static std::optional<Tail> toLonger(Operation *reshape, Tail tail,
                                    RankedTensorType longer) {
  int64_t steps = 1;
  for (int64_t dim : llvm::reverse(getGroup(reshape, tail.dim))) {
    tail.dim = dim;
    steps *= longer.getDimSize(dim);
  }
  for (int64_t dim = tail.dim;
       longer.getDimSize(dim) == 1 && dim < longer.getRank() - 1 && steps > 1;)
    tail.dim = ++dim;
  tail.divisor *= steps / longer.getDimSize(tail.dim);
  return tail;
}

static std::optional<Tail> toShorter(Operation *reshape, Tail tail,
                                     RankedTensorType longer,
                                     RankedTensorType shorter) {
  for (int64_t dim = 0; dim < shorter.getRank(); ++dim) {
    if (!llvm::is_contained(getGroup(reshape, dim), tail.dim))
      continue;
    Tail whole = tail;
    whole.dim = dim;
    int64_t steps = shorter.getDimSize(dim) / longer.getDimSize(tail.dim);
    if (steps == 0 || tail.divisor % steps != 0)
      return std::nullopt;
    whole.divisor /= steps;
    // Only if the dimension comes first in its group is it the same tail.
    std::optional<Tail> again = toLonger(reshape, whole, longer);
    return again && *again == tail ? std::optional(whole) : std::nullopt;
  }
  return std::nullopt;
}

static RankedTensorType typeOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

std::optional<Tail> mlir::spikequant::getTailOfResult(Operation *reshape,
                                                      const Tail &source) {
  RankedTensorType from = typeOf(reshape->getOperand(0)),
                   to = typeOf(reshape->getResult(0));
  if (isa<tensor::ExpandShapeOp>(reshape))
    return toLonger(reshape, source, to);
  return toShorter(reshape, source, from, to);
}

std::optional<Tail> mlir::spikequant::getTailOfSource(Operation *reshape,
                                                      const Tail &result) {
  RankedTensorType from = typeOf(reshape->getOperand(0)),
                   to = typeOf(reshape->getResult(0));
  if (isa<tensor::ExpandShapeOp>(reshape))
    return toShorter(reshape, result, to, from);
  return toLonger(reshape, result, from);
}

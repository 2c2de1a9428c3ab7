//===- ProductSoftmax.cpp - recognises probabilities ----------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   %m = maximum of %x over the last dimension, and of -infinity or not
//   %e = exp(%x - broadcast %m)                   numerators, in [0, 1]
//   %s = sum of %e over the last dimension
//   %p = %e / broadcast %s                        probabilities
//
//===----------------------------------------------------------------------===//

#include "BodyInputs.h"
#include "Conditions.h"

#include "spikequant/Dialect/SpikeQuant/Transforms/Products.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"

#include <limits>

using namespace mlir;
using namespace mlir::spikequant;

Value mlir::spikequant::getMovedValue(Operation *op) {
  if (isa_and_nonnull<tensor::ExpandShapeOp, tensor::CollapseShapeOp,
                      tensor::CastOp>(op))
    return op->getOperand(0);
  auto linalgOp = dyn_cast_or_null<linalg::LinalgOp>(op);
  if (!linalgOp || linalgOp.getNumDpsInputs() != 1 ||
      linalgOp.getNumDpsInits() != 1 || linalgOp.getNumReductionLoops() != 0)
    return {};
  Block *body = linalgOp.getBlock();
  bool moves = llvm::hasSingleElement(*body) &&
               body->getTerminator()->getOperand(0) == body->getArgument(0);
  return moves ? linalgOp.getDpsInputs()[0] : Value();
}

namespace {

/// An elementwise operation with a body of one scalar operation T.
template <typename T> linalg::GenericOp getElementwise(Value value) {
  auto op = value.getDefiningOp<linalg::GenericOp>();
  if (!op || op.getNumReductionLoops() != 0 || op->getNumResults() != 1)
    return {};
  Block *body = op.getBody();
  auto inner = dyn_cast<T>(&body->front());
  bool single = inner && inner->getNextNode() == body->getTerminator() &&
                body->getTerminator()->getOperand(0) == inner->getResult(0);
  return single && op.getIndexingMapsArray().back().isIdentity()
             ? op
             : linalg::GenericOp();
}

/// The operand of `op` behind operand `number` of its scalar operation.
OpOperand *getScalarOperand(linalg::GenericOp op, unsigned number) {
  return getBodyInput(op, op.getBody()->front().getOperand(number));
}

/// Dimensions of an array by which dimension of the whole one they follow;
/// those of size 1 are left out.
using Dimensions = SmallVector<int64_t>;

std::optional<Dimensions> getDimensions(AffineMap map, RankedTensorType type) {
  Dimensions dimensions;
  for (auto [expr, size] : llvm::zip_equal(map.getResults(), type.getShape())) {
    if (size == 1)
      continue;
    auto dim = dyn_cast<AffineDimExpr>(expr);
    if (!dim)
      return std::nullopt;
    dimensions.push_back(dim.getPosition());
  }
  return dimensions;
}

/// A reshape that adds or removes dimensions of size 1 alone.
bool isUnitReshape(Operation *op) {
  if (!isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op))
    return false;
  auto sizes = [](Value value) {
    SmallVector<int64_t> shape(
        cast<RankedTensorType>(value.getType()).getShape());
    llvm::erase(shape, 1);
    return shape;
  };
  return sizes(op->getOperand(0)) == sizes(op->getResult(0));
}

/// Follows a broadcast back to the statistic of the last dimension that it
/// repeats: what `dimensions` says of `value` must come out as all dimensions
/// of `whole` but the last.
Value skipBroadcast(Value value, Dimensions dimensions,
                    RankedTensorType whole) {
  while (Operation *op = value.getDefiningOp()) {
    Value source = getMovedValue(op);
    if (!source)
      break;
    if (auto generic = dyn_cast<linalg::LinalgOp>(op)) {
      auto maps = generic.getIndexingMapsArray();
      auto inner =
          getDimensions(maps[0], cast<RankedTensorType>(source.getType()));
      auto outer =
          getDimensions(maps[1], cast<RankedTensorType>(value.getType()));
      if (!inner || !outer || outer->size() != dimensions.size())
        return {};
      for (int64_t &dimension : *inner) {
        auto *place = llvm::find(*outer, dimension);
        if (place == outer->end())
          return {};
        dimension = dimensions[place - outer->begin()];
      }
      dimensions = *inner;
    } else if (!isUnitReshape(op)) {
      return {};
    }
    value = source;
  }
  Dimensions rows;
  for (int64_t i = 0; i + 1 < whole.getRank(); ++i)
    if (whole.getDimSize(i) != 1)
      rows.push_back(i);
  return dimensions == rows ? value : Value();
}

/// The statistic that operand `number` of the scalar operation of `op` repeats
/// along the last dimension.
Value getStatistic(linalg::GenericOp op, unsigned number) {
  OpOperand *operand = getScalarOperand(op, number);
  if (!operand)
    return {};
  auto type = dyn_cast<RankedTensorType>(operand->get().getType());
  if (!type)
    return {};
  auto dimensions = getDimensions(op.getMatchingIndexingMap(operand), type);
  if (!dimensions)
    return {};
  return skipBroadcast(operand->get(), *dimensions,
                       cast<RankedTensorType>(op.getResult(0).getType()));
}

/// Whether `value` reduces the last dimension of `source` by T.
template <typename T> bool isReduction(Value value, Value source) {
  auto op = value ? value.getDefiningOp<linalg::LinalgOp>() : nullptr;
  if (!op || op.getNumDpsInputs() != 1 || op.getNumDpsInits() != 1 ||
      op.getDpsInputs()[0] != source || op.getNumReductionLoops() != 1)
    return false;
  auto maps = op.getIndexingMapsArray();
  unsigned last = op.getNumLoops() - 1;
  Operation *inner = &op.getBlock()->front();
  return maps[0].isIdentity() && maps[1] == maps[0].getMajorSubMap(last) &&
         op.getIteratorTypesArray()[last] == utils::IteratorType::reduction &&
         isa<T>(inner) &&
         inner->getNextNode() == op.getBlock()->getTerminator();
}

/// The value of an operand that is read element by element.
Value getWhole(linalg::GenericOp op, unsigned number) {
  OpOperand *operand = getScalarOperand(op, number);
  return operand && op.getMatchingIndexingMap(operand).isIdentity()
             ? operand->get()
             : Value();
}

/// What `value` is the elementwise maximum of, beside -infinity, or itself.
Value skipLowest(Value value) {
  auto op =
      value ? getElementwise<arith::MaximumFOp>(value) : linalg::GenericOp();
  for (unsigned number = 0; op && number < 2; ++number) {
    OpOperand *other = getScalarOperand(op, 1 - number);
    Value scalar = op.getBody()->front().getOperand(1 - number);
    std::optional<double> lowest = getSplat(other ? other->get() : scalar);
    Value whole = getWhole(op, number);
    if (whole && lowest && *lowest == -std::numeric_limits<double>::infinity())
      return whole;
  }
  return value;
}

} // namespace

std::optional<SoftmaxNumerators>
mlir::spikequant::matchSoftmax(Value probabilities) {
  auto quotient = getElementwise<arith::DivFOp>(probabilities);
  Value numerators = quotient ? getWhole(quotient, 0) : Value();
  if (!numerators ||
      !isReduction<arith::AddFOp>(getStatistic(quotient, 1), numerators))
    return std::nullopt;
  if (!matchNumerators(numerators))
    return std::nullopt;
  return SoftmaxNumerators{numerators, probabilities};
}

std::optional<SoftmaxExponent>
mlir::spikequant::matchNumerators(Value numerators) {
  auto exponential = getElementwise<math::ExpOp>(numerators);
  Value exponent = exponential ? getWhole(exponential, 0) : Value();
  auto difference =
      exponent ? getElementwise<arith::SubFOp>(exponent) : linalg::GenericOp();
  Value scores = difference ? getWhole(difference, 0) : Value();
  if (!scores)
    return std::nullopt;
  Value maximum = skipLowest(getStatistic(difference, 1));
  if (!isReduction<arith::MaximumFOp>(maximum, scores) &&
      !isReduction<arith::MaxNumFOp>(maximum, scores))
    return std::nullopt;
  return SoftmaxExponent{scores, maximum};
}

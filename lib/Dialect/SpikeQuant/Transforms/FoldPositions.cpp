//===- FoldPositions.cpp - rotations and divided rows in integers ---------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   %a = spikequant.decode %acc, @q
//   %y = [%a0 * cos - %a1 * sin, %a1 * cos + %a0 * sin]
//   %n = spikequant.encode %y {step = 0.1 : f32, ..}
// becomes
//   %g = spikequant.grid %acc, @q.grid
//   %y = [%g0 * cos' - %g1 * sin', %g1 * cos' + %g0 * sin']      i64
//   %n = spikequant.fire %y
//
// A first walk back from the encode decides whether all arrays are linear in
// decoded ones and what unit they get; a second one makes the integers.
//
//===----------------------------------------------------------------------===//

#include "PositionFolder.h"

#include "FixedPointFire.h"
#include "RowFactors.h"

#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Products.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include <cmath>

namespace mlir::spikequant {
#define GEN_PASS_DEF_FOLDPOSITIONS
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h.inc"

Value getShownSource(Operation *op) {
  if (auto slice = dyn_cast_or_null<tensor::ExtractSliceOp>(op))
    return slice.getSource();
  return op ? getMovedValue(op) : Value();
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

std::optional<Linear> PositionFolder::read(Value value) {
  if (auto found = known.find(value); found != known.end())
    return found->second;
  std::optional<Linear> result = readNew(value);
  known[value] = result;
  return result;
}

std::optional<Linear> PositionFolder::readNew(Value value) {
  Operation *producer = value.getDefiningOp();
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!producer || !type || !type.hasStaticShape() ||
      !type.getElementType().isF32())
    return std::nullopt;
  if (auto form = findDecodeForm(value, constants)) {
    leaves[value] = {value, std::move(*form), {}};
    return Linear();
  }
  if (auto row = matchDividedRows(producer)) {
    hasRows = true;
    return Linear();
  }
  if (Value source = getShownSource(producer))
    return read(source);
  if (auto insertion = dyn_cast<tensor::InsertSliceOp>(producer))
    return readInsertion(insertion);
  if (std::optional<Linear> norm = readNorm(value))
    return norm;
  return readLinear(producer);
}

/// A norm of one head's values: a stream with a factor per row.
std::optional<Linear> PositionFolder::readNorm(Value value) {
  if (streams.plan(value) != StreamSource::Scaled)
    return std::nullopt;
  streams.want(value);
  norms.insert(value);
  return Linear();
}

std::optional<Linear> PositionFolder::readLinear(Operation *producer) {
  auto linalgOp = dyn_cast<linalg::LinalgOp>(producer);
  if (!isElementwise(linalgOp))
    return std::nullopt;
  return readScalar(linalgOp,
                    linalgOp.getBlock()->getTerminator()->getOperand(0));
}

/// Numbers of one array have one unit: the finer of both.
static std::optional<Linear> join(std::optional<Linear> a,
                                  std::optional<Linear> b) {
  constexpr int mostShift = 2 * kFactorBits;
  if (!a || !b || a->scale != b->scale ||
      std::max(a->shift, b->shift) > mostShift)
    return std::nullopt;
  return Linear{std::max(a->shift, b->shift), a->scale,
                std::max(a->error, b->error),
                std::max(a->relative, b->relative)};
}

std::optional<Linear>
PositionFolder::readInsertion(tensor::InsertSliceOp insertion) {
  std::optional<Linear> part = read(insertion.getSource());
  if (insertion.getDest().getDefiningOp<tensor::EmptyOp>() ||
      getSplat(insertion.getDest()) == 0.0)
    return part;
  return join(part, read(insertion.getDest()));
}

std::optional<Linear> PositionFolder::readScalar(linalg::LinalgOp op,
                                                 Value scalar) {
  if (OpOperand *operand = getBodyInput(op, scalar))
    return op.getMatchingIndexingMap(operand).isProjectedPermutation(true)
               ? read(operand->get())
               : std::nullopt;
  Operation *inner = scalar.getDefiningOp();
  if (!inner || inner->getBlock() != op.getBlock())
    return std::nullopt;
  std::optional<Linear> result;
  if (isa<arith::NegFOp>(inner)) {
    result = readScalar(op, inner->getOperand(0));
  } else if (isa<arith::AddFOp, arith::SubFOp>(inner)) {
    auto x = readScalar(op, inner->getOperand(0));
    auto y = readScalar(op, inner->getOperand(1));
    result = join(x, y);
    hasSums = true;
    if (result) {
      result->error = x->error + y->error;
      result->relative = x->relative + y->relative;
    }
  } else if (isa<arith::MulFOp>(inner)) {
    result = readProduct(op, inner);
  }
  known[scalar] = result;
  return result;
}

/// With a constant, or with a factor of positions.
std::optional<Linear> PositionFolder::readProduct(linalg::LinalgOp op,
                                                  Operation *product) {
  for (unsigned data = 0; data < 2; ++data) {
    Value factor = product->getOperand(1 - data);
    auto number = getConstant(op, factor);
    if (!number && !isFactor(op, factor))
      continue;
    auto result = readScalar(op, product->getOperand(data));
    if (!result || (number && !std::isfinite(*number)))
      return std::nullopt;
    if (number) {
      result->scale *= *number;
      return result;
    }
    hasFactors = true;
    double bound =
        tables.getBound(getBodyInput(op, factor)->get(), kFactors.most);
    if (bound > kFactors.most)
      return std::nullopt;
    result->shift += kFactorBits;
    result->error *= bound;
    result->relative = result->relative * bound + 1;
    return result;
  }
  return std::nullopt;
}

/// At most 1/512 of a channel's step.
bool PositionFolder::chooseUnit() {
  double step = op.getStep().convertToDouble();
  if (auto gains = op.getGainsAttr()) {
    double most = 0;
    for (float gain : constants.getValues(gains))
      most = std::max(most, std::abs(double(gain)));
    if (most == 0)
      return false;
    step /= most;
  }
  unit = std::exp2(std::floor(std::log2(step / 512)));
  return std::isnormal(static_cast<float>(unit));
}

//===----------------------------------------------------------------------===//
// The encode
//===----------------------------------------------------------------------===//

/// How far the integers are from the real values, in steps of the site.
void PositionFolder::remark(const Linear &root) {
  double error =
      root.error * unit * std::abs(root.scale) / op.getStep().convertToDouble();
  remark::passed(op.getLoc(), context.remark("positions-folded"))
      << remark::add("site '{0}': fires from fixed-point numbers of {1:E2}{2}; "
                     "off by at most {3:F4} steps and {4} 2^-15 of the largest "
                     "decoded value",
                     op.getSite(), unit,
                     hasRows || !norms.empty()
                         ? ", rows scaled by mantissa and exponent"
                         : "",
                     error, root.relative);
}

/// Sums of decoded arrays alone are the residual stream's.
bool PositionFolder::isWanted() {
  if (!norms.empty() && streams.chooseUnit() == 0)
    return false;
  return hasFactors || hasRows || !norms.empty() || !hasSums;
}

FailureOr<bool> PositionFolder::fold() {
  if (op.getRowScale() || !getElementTypeOrSelf(op.getInput()).isF32() ||
      !op.getType().hasStaticShape())
    return false;
  std::optional<int32_t> window = getCommonWindow(op);
  if (op.getOverflow() && !window)
    return false;
  std::optional<Linear> root = read(op.getInput());
  if (!root || !isWanted() || !(root->scale > 0) || !chooseUnit())
    return false;
  int32_t most = window.value_or(std::numeric_limits<int16_t>::max());
  CountRange range{-most, most};
  double whole = unit * root->scale * std::exp2(-root->shift);
  auto thresholds = getUnitThresholds(op, whole, constants, range);
  if (!thresholds)
    return false;
  b.setInsertionPoint(op);
  FailureOr<Value> membrane = emit(op.getInput());
  if (failed(membrane))
    return failure();
  streams.foldStatistics(b);
  remark(*root);
  b.setInsertionPoint(op);
  replaceByFire(op, *membrane, *thresholds, range, b);
  return true;
}

namespace {
struct FoldPositionsPass : impl::FoldPositionsBase<FoldPositionsPass> {
  using FoldPositionsBase::FoldPositionsBase;

  void runOnOperation() override {
    GridSymbols grids(getOperation());
    auto fold = [&](EncodeOp op, ConstantReals &constants,
                    FoldContext context) -> LogicalResult {
      return PositionFolder(op, constants, context, grids).fold();
    };
    if (failed(foldEncodes(getOperation(), weights, fold)))
      signalPassFailure();
  }
};
} // namespace

} // namespace mlir::spikequant

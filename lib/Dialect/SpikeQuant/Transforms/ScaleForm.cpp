//===- ScaleForm.cpp - the algebra of scales ------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ScaleForm.h"

#include "RowShape.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace mlir::spikequant;

namespace {

/// An operand of a body, as an array read through a map from the loops.
using Leaf = ArrayRead;

/// What the other side of a product or a sum is.
struct Side {
  enum class Kind { None, Row, Channel } kind = Kind::None;
  Leaf leaf;
  SmallVector<double> values; ///< Kind::Channel: one per channel
};

/// One elementwise operation, backwards.
class BodyTracer {
public:
  BodyTracer(linalg::LinalgOp op, ConstantReals &constants, ScaleForm form)
      : op(op), constants(constants), form(std::move(form)) {
    type = cast<RankedTensorType>(op->getResult(0).getType());
  }
  std::optional<ScaleForm> run();

private:
  bool step(Value &current);
  bool stepProduct(Operation *inner, Value &current);
  bool stepSum(Operation *inner, Value &current);
  bool stepMaximum(Operation *inner, Value &current);
  bool multiply(const Side &side, bool reciprocal);
  bool add(const Side &side, double sign);
  Side getSide(Value scalar);
  std::optional<Leaf> getLeaf(Value scalar);
  bool isBase(Value scalar);

  linalg::LinalgOp op;
  ConstantReals &constants;
  ScaleForm form;
  RankedTensorType type;
};

} // namespace

//===----------------------------------------------------------------------===//
// Leaves
//===----------------------------------------------------------------------===//

/// The map into the source of a reshape that only adds or drops dimensions of
/// size 1, or null.
static AffineMap moveThroughReshape(Operation *reshape, AffineMap map) {
  bool expands = isa<tensor::ExpandShapeOp>(reshape);
  auto source = cast<RankedTensorType>(reshape->getOperand(0).getType());
  auto result = cast<RankedTensorType>(reshape->getResult(0).getType());
  auto groups =
      expands
          ? cast<tensor::ExpandShapeOp>(reshape).getReassociationIndices()
          : cast<tensor::CollapseShapeOp>(reshape).getReassociationIndices();
  RankedTensorType wide = expands ? result : source;
  AffineExpr zero = getAffineConstantExpr(0, map.getContext());
  SmallVector<AffineExpr> exprs(source.getRank(), zero);
  for (auto [narrow, group] : llvm::enumerate(groups)) {
    int64_t real = -1;
    for (int64_t i : group)
      if (wide.getDimSize(i) != 1) {
        if (real >= 0)
          return {};
        real = i;
      }
    if (real < 0)
      continue;
    if (expands)
      exprs[narrow] = map.getResult(real);
    else
      exprs[real] = map.getResult(narrow);
  }
  return AffineMap::get(map.getNumDims(), 0, exprs, map.getContext());
}

ArrayRead mlir::spikequant::resolveRead(ArrayRead leaf) {
  DenseElementsAttr constant;
  if (matchPattern(leaf.value, m_Constant(&constant)) && constant.isSplat()) {
    AffineExpr zero = getAffineConstantExpr(0, leaf.map.getContext());
    SmallVector<AffineExpr> origin(leaf.map.getNumResults(), zero);
    return {leaf.value, AffineMap::get(leaf.map.getNumDims(), 0, origin,
                                       leaf.map.getContext())};
  }
  while (Operation *producer = leaf.value.getDefiningOp()) {
    if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(producer)) {
      AffineMap map = moveThroughReshape(producer, leaf.map);
      if (!map)
        return leaf;
      leaf = {producer->getOperand(0), map};
      continue;
    }
    auto moved = dyn_cast<linalg::LinalgOp>(producer);
    if (!moved || moved->getNumResults() != 1 || moved.getNumReductionLoops() ||
        !moved.getMatchingIndexingMap(moved.getDpsInitOperand(0)).isIdentity())
      return leaf;
    auto yielded = dyn_cast<BlockArgument>(
        moved.getBlock()->getTerminator()->getOperand(0));
    if (!yielded || yielded.getOwner() != moved.getBlock())
      return leaf;
    OpOperand *operand = moved.getMatchingOpOperand(yielded);
    if (moved.isDpsInit(operand) || moved.isScalar(operand))
      return leaf;
    leaf = {operand->get(),
            moved.getMatchingIndexingMap(operand).compose(leaf.map)};
  }
  return leaf;
}

std::optional<Leaf> BodyTracer::getLeaf(Value scalar) {
  auto argument = dyn_cast<BlockArgument>(scalar);
  if (argument && argument.getOwner() == op.getBlock()) {
    OpOperand *operand = op.getMatchingOpOperand(argument);
    if (op.isDpsInit(operand))
      return std::nullopt;
    return resolveRead({operand->get(), op.getMatchingIndexingMap(operand)});
  }
  if (matchPattern(scalar, m_Constant()))
    return Leaf{scalar, AffineMap::get(type.getRank(), 0, op->getContext())};
  return std::nullopt;
}

Side BodyTracer::getSide(Value scalar) {
  Side side;
  std::optional<Leaf> leaf = getLeaf(scalar);
  if (!leaf)
    return side;
  side.leaf = *leaf;
  unsigned channel = type.getRank() - 1;
  bool usesChannel = leaf->map.isFunctionOfDim(channel), usesRow = false;
  for (unsigned i = 0; i < channel; ++i)
    usesRow |= leaf->map.isFunctionOfDim(i);
  SmallVector<int64_t> point(type.getRank(), 0);
  for (int64_t j = 0; !usesRow && j < type.getShape().back(); ++j) {
    point.back() = j;
    auto index = applyMap(leaf->map, point);
    std::optional<float> value =
        index ? constants.at(leaf->value, *index) : std::nullopt;
    if (!value)
      break;
    side.values.push_back(*value);
  }
  if (static_cast<int64_t>(side.values.size()) == type.getShape().back())
    side.kind = Side::Kind::Channel;
  else if (!usesChannel && applyMap(leaf->map, point))
    side.kind = Side::Kind::Row;
  return side;
}

/// Whether `scalar` is an operand with as many elements, in the same order.
bool BodyTracer::isBase(Value scalar) {
  auto argument = dyn_cast<BlockArgument>(scalar);
  if (!argument || argument.getOwner() != op.getBlock())
    return false;
  OpOperand *operand = op.getMatchingOpOperand(argument);
  return !op.isDpsInit(operand) && operand->get().getType() == type &&
         op.getMatchingIndexingMap(operand).isIdentity();
}

//===----------------------------------------------------------------------===//
// Steps
//===----------------------------------------------------------------------===//

bool BodyTracer::multiply(const Side &side, bool reciprocal) {
  ++form.roundings;
  if (side.kind == Side::Kind::Row) {
    form.rows.push_back({side.leaf.value, side.leaf.map,
                         llvm::to_vector(type.getShape()), reciprocal,
                         form.views});
    return true;
  }
  auto load = side.leaf.value.getDefiningOp<LoadWeightsOp>();
  auto array = dyn_cast<ShapedType>(side.leaf.value.getType());
  bool whole = load && !reciprocal && !form.scaled && array.getRank() == 1 &&
               array.getDimSize(0) == type.getShape().back();
  form.gain = whole ? load : LoadWeightsOp();
  for (auto [scale, value] : llvm::zip_equal(form.scales, side.values))
    scale = reciprocal ? scale / value : scale * value;
  form.scaled = true;
  return true;
}

bool BodyTracer::add(const Side &side, double sign) {
  // base * row + A: the row must not scale what is added inside.
  if (side.kind != Side::Kind::Channel || !form.rows.empty())
    return false;
  ++form.roundings;
  for (auto [shift, scale, value] :
       llvm::zip_equal(form.shifts, form.scales, side.values))
    shift += sign * scale * value;
  form.shifted = true;
  return true;
}

bool BodyTracer::stepProduct(Operation *inner, Value &current) {
  bool quotient = isa<arith::DivFOp>(inner);
  for (unsigned i : {1u, 0u}) {
    if (quotient && i == 0)
      break;
    Side side = getSide(inner->getOperand(i));
    if (side.kind == Side::Kind::None)
      continue;
    current = inner->getOperand(1 - i);
    return multiply(side, quotient);
  }
  return false;
}

bool BodyTracer::stepSum(Operation *inner, Value &current) {
  bool difference = isa<arith::SubFOp>(inner);
  for (unsigned i : {1u, 0u}) {
    Side side = getSide(inner->getOperand(i));
    if (side.kind != Side::Kind::Channel)
      continue;
    // c - x is (-1) x + c.
    if (!add(side, difference && i == 1 ? -1.0 : 1.0))
      return false;
    if (difference && i == 0) {
      for (double &scale : form.scales)
        scale = -scale;
      form.scaled = true;
      form.gain = {};
    }
    current = inner->getOperand(1 - i);
    return true;
  }
  return false;
}

/// max(z, 0) C + 0 = max(C z, 0) for positive C.
bool BodyTracer::stepMaximum(Operation *inner, Value &current) {
  if (form.shifted || form.rectified || !form.rows.empty() ||
      !llvm::all_of(form.scales, [](double scale) { return scale > 0; }))
    return false;
  for (unsigned i : {1u, 0u}) {
    Side side = getSide(inner->getOperand(i));
    if (side.kind != Side::Kind::Channel ||
        !llvm::all_of(side.values, [](double value) { return value == 0; }))
      continue;
    form.rectified = true;
    current = inner->getOperand(1 - i);
    return true;
  }
  return false;
}

bool BodyTracer::step(Value &current) {
  Operation *inner = current.getDefiningOp();
  if (!inner || inner->getBlock() != op.getBlock())
    return false;
  if (isa<arith::MulFOp, arith::DivFOp>(inner))
    return stepProduct(inner, current);
  if (isa<arith::AddFOp, arith::SubFOp>(inner))
    return stepSum(inner, current);
  if (isa<arith::MaximumFOp, arith::MaxNumFOp>(inner))
    return stepMaximum(inner, current);
  if (!isa<arith::NegFOp>(inner))
    return false;
  for (double &scale : form.scales)
    scale = -scale;
  form.scaled = true;
  form.gain = {};
  current = inner->getOperand(0);
  return true;
}

std::optional<ScaleForm> BodyTracer::run() {
  if (op->getNumResults() != 1 || op.getNumReductionLoops() ||
      !op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isIdentity())
    return std::nullopt;
  Value current = op.getBlock()->getTerminator()->getOperand(0);
  while (!isBase(current))
    if (!step(current))
      return std::nullopt;
  form.base = op.getMatchingOpOperand(cast<BlockArgument>(current))->get();
  return std::move(form);
}

/// A reshape that keeps the channels apart keeps rows in order.
static bool keepsChannels(Operation *op) {
  auto source = cast<RankedTensorType>(op->getOperand(0).getType());
  auto result = cast<RankedTensorType>(op->getResult(0).getType());
  return source.hasStaticShape() && result.hasStaticShape() &&
         source.getRank() > 0 && result.getRank() > 0 &&
         source.getShape().back() == result.getShape().back();
}

/// `value` as `shape`, in row-major order.
static Value reshapeTo(OpBuilder &b, Location loc, Value value,
                       ArrayRef<int64_t> shape) {
  auto type = cast<RankedTensorType>(value.getType());
  if (type.getShape() == shape)
    return value;
  Value flat = flattenAll(b, loc, value);
  if (shape.size() == 1)
    return flat;
  SmallVector<ReassociationIndices> groups;
  if (!shape.empty())
    groups.push_back(
        llvm::to_vector(llvm::seq<int64_t>(0, int64_t(shape.size()))));
  RankedTensorType target = type.clone(shape);
  if (shape.empty())
    return tensor::CollapseShapeOp::create(b, loc, target, flat, groups);
  return tensor::ExpandShapeOp::create(b, loc, target, flat, groups);
}

/// Whether every row that is taken is taken whole.
static bool slicesRows(tensor::ExtractSliceOp slice) {
  int64_t last = slice.getSourceType().getRank() - 1;
  return slice.getStaticOffsets()[last] == 0 &&
         slice.getStaticSizes()[last] ==
             slice.getSourceType().getDimSize(last) &&
         slice.getStaticStrides()[last] == 1 &&
         !slice.getDroppedDims().test(last);
}

static Value replaySlice(OpBuilder &b, Location loc, Value value,
                         tensor::ExtractSliceOp slice, bool ofRows) {
  auto keep = [&](SmallVector<OpFoldResult> list) {
    if (ofRows)
      list.pop_back();
    return list;
  };
  ArrayRef<int64_t> shape = slice.getType().getShape();
  auto type = RankedTensorType::get(
      ofRows ? shape.drop_back() : shape,
      cast<RankedTensorType>(value.getType()).getElementType());
  return tensor::ExtractSliceOp::create(
      b, loc, type, value, keep(slice.getMixedOffsets()),
      keep(slice.getMixedSizes()), keep(slice.getMixedStrides()));
}

/// Without the first views that only reshape `value` to the shape that it has.
static ArrayRef<Operation *>
dropRoundTrip(Value value, ArrayRef<Operation *> views, bool ofRows) {
  ArrayRef<Operation *> rest = views;
  ArrayRef<int64_t> own = cast<RankedTensorType>(value.getType()).getShape();
  while (!views.empty() && !isa<tensor::ExtractSliceOp>(views.back())) {
    auto type = cast<RankedTensorType>(views.back()->getResult(0).getType());
    views = views.drop_back();
    if ((ofRows ? type.getShape().drop_back() : type.getShape()) == own)
      rest = views;
  }
  return rest;
}

Value mlir::spikequant::replayViews(OpBuilder &b, Location loc, Value value,
                                    ArrayRef<Operation *> views, bool ofRows) {
  while (!views.empty()) {
    views = dropRoundTrip(value, views, ofRows);
    if (views.empty())
      break;
    Operation *view = views.back();
    views = views.drop_back();
    if (auto slice = dyn_cast<tensor::ExtractSliceOp>(view)) {
      value = replaySlice(b, loc, value, slice, ofRows);
      continue;
    }
    auto type = cast<RankedTensorType>(view->getResult(0).getType());
    auto expand = dyn_cast<tensor::ExpandShapeOp>(view);
    if (ofRows)
      value = reshapeTo(b, loc, value, type.getShape().drop_back());
    else if (expand)
      value = tensor::ExpandShapeOp::create(
          b, loc, type.clone(getElementTypeOrSelf(value)), value,
          expand.getReassociationIndices());
    else
      value = tensor::CollapseShapeOp::create(
          b, loc, type.clone(getElementTypeOrSelf(value)), value,
          cast<tensor::CollapseShapeOp>(view).getReassociationIndices());
  }
  return value;
}

static std::optional<ScaleForm> stepBack(const ScaleForm &form,
                                         ConstantReals &constants) {
  Operation *producer = form.base.getDefiningOp();
  if (!producer || !isa<RankedTensorType>(form.base.getType()))
    return std::nullopt;
  if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp,
          tensor::ExtractSliceOp>(producer)) {
    auto slice = dyn_cast<tensor::ExtractSliceOp>(producer);
    if (!keepsChannels(producer) || (slice && !slicesRows(slice)))
      return std::nullopt;
    ScaleForm next = form;
    next.views.push_back(producer);
    next.base = producer->getOperand(0);
    return next;
  }
  auto linalgOp = dyn_cast<linalg::LinalgOp>(producer);
  if (!linalgOp || !linalgOp.hasPureTensorSemantics())
    return std::nullopt;
  return BodyTracer(linalgOp, constants, form).run();
}

std::vector<ScaleForm>
mlir::spikequant::findScaleForms(Value value, ConstantReals &constants) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!type || !type.hasStaticShape() || type.getRank() == 0)
    return {};
  ScaleForm form;
  form.base = value;
  form.scales.assign(type.getShape().back(), 1.0);
  form.shifts.assign(type.getShape().back(), 0.0);
  std::vector<ScaleForm> forms = {form};
  while (std::optional<ScaleForm> next = stepBack(forms.back(), constants))
    forms.push_back(std::move(*next));
  return forms;
}

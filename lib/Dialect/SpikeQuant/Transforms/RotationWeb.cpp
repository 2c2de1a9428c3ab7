//===- RotationWeb.cpp - what turns with the channels of a value ----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RotationWeb.h"

#include "mlir/IR/Matchers.h"
#include "spikequant/Conversion/GraphContext.h"
#include "spikequant/Dialect/SpikeQuant/IR/WeightView.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/WeightOperand.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/WeightSymbols.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::spikequant;

static constexpr llvm::StringLiteral kStateAttr = "spikequant.state";

static RankedTensorType typeOf(Value value) {
  return dyn_cast<RankedTensorType>(value.getType());
}

static std::string nameOf(Operation *op) {
  return ("'" + op->getName().getStringRef() + "'").str();
}

LogicalResult RotationWeb::grow(ChannelAxis seed) {
  if (failed(add(seed)))
    return failure();
  while (!pending.empty())
    if (failed(visit(pending.pop_back_val())))
      return failure();
  return weights.empty() ? refuse("no weights make it") : success();
}

/// Zeros stay what they are when they turn, and may have readers that do not.
static bool isZero(Value value) {
  if (auto fill = value.getDefiningOp<linalg::FillOp>())
    return matchPattern(fill.getInputs()[0], m_AnyZeroFloat());
  return value.getDefiningOp<tensor::EmptyOp>() ||
         matchPattern(value, m_AnyZeroFloat());
}

LogicalResult RotationWeb::add(ChannelAxis axis) {
  if (isZero(axis.value))
    return success();
  RankedTensorType type = typeOf(axis.value);
  if (!type || !type.hasStaticShape() || !type.getElementType().isF32())
    return refuse("a value on the way is no f32 tensor of fixed shape");
  if ((axis.end - axis.begin) % block != 0)
    return refuse("a value on the way has only a part of a block");
  for (const ChannelAxis &other : known[axis.value]) {
    if (axis.isSame(other))
      return success();
    if (axis.dimension != other.dimension ||
        (axis.begin < other.end && other.begin < axis.end))
      return refuse("the same value would be rotated in two ways");
  }
  known[axis.value].push_back(axis);
  pending.push_back(axis);
  return success();
}

LogicalResult RotationWeb::visit(const ChannelAxis &axis) {
  if (failed(visitProducer(axis)))
    return failure();
  for (OpOperand &use : axis.value.getUses())
    if (failed(visitUse(axis, use)))
      return failure();
  return success();
}

LogicalResult RotationWeb::visitProducer(const ChannelAxis &axis) {
  Operation *op = axis.value.getDefiningOp();
  if (!op)
    return visitArgument(axis);
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](LoadWeightsOp load) { return visitWeights(axis, load); })
      .Case([&](tensor::ExpandShapeOp o) { return visitExpand(axis, o); })
      .Case([&](tensor::CollapseShapeOp o) { return visitCollapse(axis, o); })
      .Case([&](tensor::ExtractSliceOp o) { return visitExtract(axis, o); })
      .Case([&](tensor::InsertSliceOp o) { return visitInsert(axis, o); })
      .Case([&](linalg::LinalgOp o) { return visitLinalg(axis, o, -1); })
      .Default([&](Operation *o) {
        return refuse(nameOf(o) + " makes a value on the way");
      });
}

LogicalResult RotationWeb::visitUse(const ChannelAxis &axis, OpOperand &use) {
  return llvm::TypeSwitch<Operation *, LogicalResult>(use.getOwner())
      .Case([&](tensor::ExpandShapeOp o) { return visitExpand(axis, o); })
      .Case([&](tensor::CollapseShapeOp o) { return visitCollapse(axis, o); })
      .Case([&](tensor::ExtractSliceOp o) { return visitExtract(axis, o); })
      .Case([&](tensor::InsertSliceOp o) { return visitInsert(axis, o); })
      .Case([&](linalg::LinalgOp o) {
        return visitLinalg(axis, o, use.getOperandNumber());
      })
      .Case([&](func::ReturnOp) { return visitReturn(axis, use); })
      .Default([&](Operation *o) {
        return refuse(nameOf(o) + " reads a value on the way");
      });
}

//===----------------------------------------------------------------------===//
// The program's edges
//===----------------------------------------------------------------------===//

/// A state's next value is the result of its number: both turn.
LogicalResult RotationWeb::visitArgument(const ChannelAxis &axis) {
  auto argument = cast<BlockArgument>(axis.value);
  auto function = dyn_cast<func::FuncOp>(argument.getOwner()->getParentOp());
  if (!function)
    return refuse("a loop carries a value on the way");
  auto state = function.getArgAttrOfType<IntegerAttr>(argument.getArgNumber(),
                                                      kStateAttr);
  if (!state)
    return refuse("it reaches an input of the program");
  Operation *end = function.getBody().back().getTerminator();
  return add({end->getOperand(unsigned(state.getInt())), axis.dimension,
              axis.begin, axis.end});
}

LogicalResult RotationWeb::visitReturn(const ChannelAxis &axis,
                                       OpOperand &use) {
  auto function = use.getOwner()->getParentOfType<func::FuncOp>();
  for (BlockArgument argument : function.getArguments()) {
    auto state = function.getArgAttrOfType<IntegerAttr>(argument.getArgNumber(),
                                                        kStateAttr);
    if (state && state.getInt() == use.getOperandNumber())
      return add({argument, axis.dimension, axis.begin, axis.end});
  }
  return refuse("it reaches a result of the program");
}

/// The dimension of the stored array that dimension `d` of the view steps
/// through, and where it begins; nothing if that is not plain.
static std::optional<std::pair<int64_t, int64_t>>
findStoredDimension(const WeightView &view, int64_t d) {
  const WeightView::Dimension &steps = view.getDimension(d);
  if (steps.size() != 1 || steps[0].chosen)
    return std::nullopt;
  ArrayRef<int64_t> shape = view.getSourceShape();
  int64_t stride = 1;
  for (int64_t i = shape.size(); i-- > 0; stride *= shape[i])
    if (stride == steps[0].stride && steps[0].size <= shape[i])
      return std::pair(i, view.getOffset() / stride % shape[i]);
  return std::nullopt;
}

LogicalResult RotationWeb::visitWeights(const ChannelAxis &axis,
                                        LoadWeightsOp load) {
  WeightsOp op = lookupWeights(module, load.getWeights());
  if (!op || !op.getSource())
    return refuse("its weights are constants of the graph");
  StringRef source = *op.getSource();
  auto found = findStoredDimension(WeightView::of(op), axis.dimension);
  if (!found)
    return refuse("weight '" + source + "' is not read channel by channel");
  int64_t dimension = found->first, offset = found->second;
  StoredAxis stored{dimension, offset + axis.begin, offset + axis.end};
  auto [entry, isNew] = weights.insert({source, stored});
  const StoredAxis &first = entry->second;
  if (!isNew)
    return first.dimension == stored.dimension && first.begin == stored.begin &&
                   first.end == stored.end
               ? success()
               : refuse("weight '" + source + "' would be rotated in two ways");
  // Every reader of the array sees it rotated, in all graphs.
  LogicalResult result = success();
  module.walk([&](LoadWeightsOp other) {
    WeightsOp weight = lookupWeights(module, other.getWeights());
    if (failed(result) || !weight || weight.getSource() != source)
      return;
    WeightView view = WeightView::of(weight);
    for (int64_t d = 0; d < view.getRank(); ++d) {
      auto place = findStoredDimension(view, d);
      if (!place || place->first != dimension)
        continue;
      result = add(
          {other, d, stored.begin - place->second, stored.end - place->second});
      return;
    }
    result = refuse("weight '" + source + "' is also read in another way");
  });
  return result;
}

//===----------------------------------------------------------------------===//
// Movement
//===----------------------------------------------------------------------===//

LogicalResult RotationWeb::visitExpand(const ChannelAxis &axis,
                                       tensor::ExpandShapeOp op) {
  return regroup(axis, op.getSrc(), op.getResult(),
                 op.getReassociationIndices());
}

LogicalResult RotationWeb::visitCollapse(const ChannelAxis &axis,
                                         tensor::CollapseShapeOp op) {
  return regroup(axis, op.getResult(), op.getSrc(),
                 op.getReassociationIndices());
}

/// Blocks lie in the innermost of the parts, and all of them turn.
LogicalResult RotationWeb::regroup(const ChannelAxis &axis, Value whole,
                                   Value parts,
                                   ArrayRef<ReassociationIndices> groups) {
  bool isWhole = axis.value == whole;
  for (auto [d, group] : llvm::enumerate(groups)) {
    bool isHere = isWhole ? int64_t(d) == axis.dimension
                          : llvm::is_contained(group, axis.dimension);
    if (!isHere)
      continue;
    int64_t size = typeOf(whole).getDimSize(d);
    int64_t innermost = group.back();
    while (innermost > group.front() &&
           typeOf(parts).getDimSize(innermost) == 1)
      --innermost;
    int64_t inner = typeOf(parts).getDimSize(innermost);
    bool all = axis.begin == 0 &&
               axis.end == typeOf(axis.value).getDimSize(axis.dimension);
    if (!isWhole && axis.dimension != innermost)
      return refuse("a reshape takes its channels apart");
    if (inner == size)
      return isWhole ? add({parts, innermost, axis.begin, axis.end})
                     : add({whole, int64_t(d), axis.begin, axis.end});
    if (!all || inner % block != 0)
      return refuse("a reshape takes its channels apart");
    return isWhole ? add({parts, innermost, 0, inner})
                   : add({whole, int64_t(d), 0, size});
  }
  return refuse("a reshape takes its channels apart");
}

/// Dimensions of a slice that its rank-reduced result has.
static SmallVector<int64_t>
getKeptDimensions(OffsetSizeAndStrideOpInterface op,
                  const llvm::SmallBitVector &gone) {
  SmallVector<int64_t> kept;
  for (int64_t d = 0, rank = op.getStaticSizes().size(); d < rank; ++d)
    if (!gone.test(d))
      kept.push_back(d);
  return kept;
}

/// First position and number of the positions of `d`; nothing if they are only
/// known at run time or not neighbours.
static std::optional<std::pair<int64_t, int64_t>>
getPart(OffsetSizeAndStrideOpInterface op, int64_t d) {
  int64_t offset = op.getStaticOffsets()[d], size = op.getStaticSizes()[d];
  if (ShapedType::isDynamic(offset) || ShapedType::isDynamic(size) ||
      op.getStaticStrides()[d] != 1)
    return std::nullopt;
  return std::pair(offset, size);
}

LogicalResult RotationWeb::visitExtract(const ChannelAxis &axis,
                                        tensor::ExtractSliceOp op) {
  SmallVector<int64_t> kept = getKeptDimensions(op, op.getDroppedDims());
  bool isResult = axis.value == op.getResult();
  int64_t d = isResult ? kept[axis.dimension] : axis.dimension;
  auto part = getPart(op, d);
  if (!part)
    return refuse("a slice is cut across its channels");
  auto [offset, size] = *part;
  if (isResult)
    return add({op.getSource(), d, offset + axis.begin, offset + axis.end});
  if (offset >= axis.end || offset + size <= axis.begin)
    return success();
  auto *place = llvm::find(kept, d);
  if (axis.begin < offset || axis.end > offset + size || place == kept.end())
    return refuse("a slice is cut across its channels");
  return add({op.getResult(), place - kept.begin(), axis.begin - offset,
              axis.end - offset});
}

/// The values inserted and those around them turn alike, unless they lie in
/// other channels.
LogicalResult RotationWeb::visitInsert(const ChannelAxis &axis,
                                       tensor::InsertSliceOp op) {
  SmallVector<int64_t> kept = getKeptDimensions(op, op.getDroppedDims());
  bool isSource = axis.value == op.getSource();
  int64_t d = isSource ? kept[axis.dimension] : axis.dimension;
  auto part = getPart(op, d);
  auto *place = llvm::find(kept, d);
  if (!part)
    return refuse("a slice is put across its channels");
  auto [offset, size] = *part;
  int64_t shift = isSource ? offset : 0;
  ChannelAxis around{op.getResult(), d, axis.begin + shift, axis.end + shift};
  if (failed(add(around)) ||
      failed(add({op.getDest(), d, around.begin, around.end})))
    return failure();
  if (offset >= around.end || offset + size <= around.begin)
    return success();
  if (around.begin < offset || around.end > offset + size ||
      place == kept.end())
    return refuse("a slice is put across its channels");
  return add({op.getSource(), place - kept.begin(), around.begin - offset,
              around.end - offset});
}

//===----------------------------------------------------------------------===//
// Arithmetic
//===----------------------------------------------------------------------===//

namespace {
/// How a scalar of a body depends on the numbers that turn.
enum class Degree {
  Zero,   ///< The number 0.
  Free,   ///< Not at all.
  Linear, ///< A sum of multiples of them.
  Square, ///< A product of two linear ones.
  Other
};

class DegreeFinder {
public:
  /// `turns` has a bit for each block argument.
  DegreeFinder(Block *body, llvm::SmallBitVector turns, unsigned loop)
      : body(body), turns(std::move(turns)), loop(loop) {}

  Degree find(Value value) {
    if (auto argument = dyn_cast<BlockArgument>(value))
      return argument.getOwner() == body && turns.test(argument.getArgNumber())
                 ? Degree::Linear
                 : Degree::Free;
    if (matchPattern(value, m_AnyZeroFloat()))
      return Degree::Zero;
    Operation *op = value.getDefiningOp();
    if (op->getBlock() != body)
      return Degree::Free;
    if (auto index = dyn_cast<linalg::IndexOp>(op))
      return index.getDim() == loop ? Degree::Other : Degree::Free;
    if (op->getNumRegions() != 0)
      return Degree::Other;
    SmallVector<Degree> in = llvm::map_to_vector(
        op->getOperands(), [&](Value operand) { return find(operand); });
    return combine(op, in);
  }

private:
  static bool isFree(Degree d) {
    return d == Degree::Zero || d == Degree::Free;
  }

  Degree combine(Operation *op, ArrayRef<Degree> in) {
    if (llvm::all_of(in, isFree))
      return isMemoryEffectFree(op) ? Degree::Free : Degree::Other;
    if (isa<arith::AddFOp, arith::SubFOp>(op))
      return add(in[0], in[1]);
    if (isa<arith::SelectOp>(op))
      return isFree(in[0]) ? add(in[1], in[2]) : Degree::Other;
    if (isa<arith::MulFOp>(op))
      return multiply(in[0], in[1]);
    if (isa<arith::DivFOp>(op))
      return isFree(in[1]) ? in[0] : Degree::Other;
    return isa<arith::NegFOp>(op) ? in[0] : Degree::Other;
  }

  static Degree add(Degree a, Degree b) {
    if (a == Degree::Zero || b == Degree::Zero)
      return a == Degree::Zero ? b : a;
    return a == b ? a : Degree::Other;
  }

  static Degree multiply(Degree a, Degree b) {
    if (isFree(a) || isFree(b))
      return isFree(a) ? b : a;
    return a == Degree::Linear && b == Degree::Linear ? Degree::Square
                                                      : Degree::Other;
  }

  Block *body;
  llvm::SmallBitVector turns;
  unsigned loop;
};
} // namespace

/// The dimension of an operand that is exactly `loop`, -1 if it does not have
/// that loop, -2 if it has it in another way.
static int64_t findLoop(AffineMap map, unsigned loop) {
  int64_t found = -1;
  for (auto [d, expr] : llvm::enumerate(map.getResults())) {
    if (!expr.isFunctionOfDim(loop))
      continue;
    bool isPlain = isa<AffineDimExpr>(expr) && found == -1;
    found = isPlain ? int64_t(d) : -2;
  }
  return found;
}

LogicalResult RotationWeb::visitLinalg(const ChannelAxis &axis,
                                       linalg::LinalgOp op, int64_t position) {
  if (isa<linalg::FillOp>(op))
    return refuse("a constant is filled in");
  if (op->getNumResults() != 1 || !op.hasPureTensorSemantics())
    return refuse("an operation with several results");
  OpOperand &operand =
      position < 0 ? *op.getDpsInitOperand(0) : op->getOpOperand(position);
  AffineExpr expr =
      op.getMatchingIndexingMap(&operand).getResult(axis.dimension);
  auto dim = dyn_cast<AffineDimExpr>(expr);
  if (!dim)
    return refuse("channels are read in another order");
  // What an element-wise operation writes over does not matter.
  if (position >= 0 && op.isDpsInit(&operand) &&
      !op.payloadUsesValueFromOperand(&operand))
    return success();
  unsigned loop = dim.getPosition();
  return op.getIteratorTypesArray()[loop] == utils::IteratorType::parallel
             ? passOn(axis, op, loop)
             : absorb(axis, op, loop);
}

/// Bits of the body's arguments that have `loop`; nothing if one has it in
/// another way than as a dimension.
static std::optional<llvm::SmallBitVector> findTurning(linalg::LinalgOp op,
                                                       unsigned loop) {
  llvm::SmallBitVector turns(op->getNumOperands());
  for (OpOperand &operand : op->getOpOperands()) {
    int64_t d = findLoop(op.getMatchingIndexingMap(&operand), loop);
    if (d == -2)
      return std::nullopt;
    if (d >= 0)
      turns.set(operand.getOperandNumber());
  }
  return turns;
}

LogicalResult RotationWeb::passOn(const ChannelAxis &axis, linalg::LinalgOp op,
                                  unsigned loop) {
  auto turns = findTurning(op, loop);
  if (!turns)
    return refuse("channels are read in another order");
  Value yielded = op.getBlock()->getTerminator()->getOperand(0);
  Degree degree = DegreeFinder(op.getBlock(), *turns, loop).find(yielded);
  if (degree != Degree::Linear && degree != Degree::Zero)
    return refuse("an operation that is not linear along its channels");
  for (OpOperand &operand : op->getOpOperands()) {
    bool isRead = op.payloadUsesValueFromOperand(&operand);
    if (!turns->test(operand.getOperandNumber()) || !isRead)
      continue;
    int64_t d = findLoop(op.getMatchingIndexingMap(&operand), loop);
    if (failed(add({operand.get(), d, axis.begin, axis.end})))
      return failure();
  }
  int64_t d =
      findLoop(op.getMatchingIndexingMap(op.getDpsInitOperand(0)), loop);
  return add({op->getResult(0), d, axis.begin, axis.end});
}

/// A sum of products of two values that turn alike stays as it is.
LogicalResult RotationWeb::absorb(const ChannelAxis &axis, linalg::LinalgOp op,
                                  unsigned loop) {
  auto turns = findTurning(op, loop);
  if (!turns)
    return refuse("channels are read in another order");
  Block *body = op.getBlock();
  auto sum =
      body->getTerminator()->getOperand(0).getDefiningOp<arith::AddFOp>();
  Value start = op.getRegionOutputArgs()[0];
  Value term;
  if (sum)
    term = sum.getLhs() == start ? sum.getRhs() : sum.getLhs();
  if (!sum || (sum.getLhs() != start && sum.getRhs() != start) ||
      DegreeFinder(body, *turns, loop).find(term) != Degree::Square)
    return refuse("an operation over its channels that is no sum of products");
  for (OpOperand *operand : op.getDpsInputOperands()) {
    int64_t d = findLoop(op.getMatchingIndexingMap(operand), loop);
    if (d < 0)
      continue;
    if (failed(add({operand->get(), d, axis.begin, axis.end})))
      return failure();
    if (std::optional<WeightOperand> weight =
            traceWeight(operand->get()).operand)
      if (WeightsOp symbol = lookupWeights(module, weight->load.getWeights()))
        absorbing.insert(symbol.getSource().value_or(symbol.getSymName()));
  }
  return success();
}

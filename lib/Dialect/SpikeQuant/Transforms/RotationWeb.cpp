//===- RotationWeb.cpp - what turns with the channels of a value ----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RotationWeb.h"

#include "mlir/IR/Matchers.h"
#include "spikequant/Conversion/GraphContext.h"
#include "spikequant/Dialect/SpikeQuant/IR/WeightView.h"
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

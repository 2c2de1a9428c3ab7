//===- WeightOperand.cpp - the weights behind an operand ------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Dialect/SpikeQuant/Transforms/WeightOperand.h"

#include "BodyInputs.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Transforms/RegionUtils.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/WeightSymbols.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::spikequant;

using Dimension = WeightView::Dimension;

Value mlir::spikequant::stripClamp(Value number, int64_t size) {
  while (Operation *op = number.getDefiningOp()) {
    if (isa<arith::IndexCastOp, arith::ExtSIOp>(op)) {
      number = op->getOperand(0);
      continue;
    }
    if (!isa<arith::MaxSIOp, arith::MinSIOp>(op))
      return number;
    APInt bound;
    if (!matchPattern(op->getOperand(1), m_ConstantInt(&bound)) ||
        bound.getSExtValue() != (isa<arith::MaxSIOp>(op) ? 0 : size - 1))
      return {};
    number = op->getOperand(0);
  }
  return number;
}

namespace {

class Tracer {
public:
  std::optional<WeightOperand> trace(Value value);
  std::string reason;

private:
  using Result = std::optional<WeightOperand>;

  Result visit(LoadWeightsOp op);
  Result visit(arith::ConstantOp op);
  Result visit(tensor::CastOp op) { return trace(op.getSource()); }
  Result visit(tensor::CollapseShapeOp op) { return reshape(op, op.getSrc()); }
  Result visit(tensor::ExpandShapeOp op) { return reshape(op, op.getSrc()); }
  Result visit(tensor::ExtractSliceOp op);
  Result visit(linalg::LinalgOp op);
  Result visitMovement(linalg::LinalgOp op);
  Result visitGather(linalg::GenericOp op, tensor::ExtractOp extract);

  Result reshape(Operation *op, Value source);
  LogicalResult chooseScalar(WeightOperand &operand, int64_t d, Value number);
  LogicalResult chooseIds(WeightOperand &operand, linalg::GenericOp op,
                          int64_t d, Value number,
                          MutableArrayRef<Dimension> loops);
  Result fail(const Twine &why) {
    reason = why.str();
    return std::nullopt;
  }
  LogicalResult refuse(const Twine &why) {
    reason = why.str();
    return failure();
  }
};

} // namespace

/// The same number, or one of another floating-point type. Rounding a weight to
/// f16 or bf16 is less than what quantisation does to it.
static bool isConversion(Value yielded, Value in) {
  if (yielded == in)
    return true;
  Operation *op = yielded.getDefiningOp();
  return op && isa<arith::ExtFOp, arith::TruncFOp>(op) &&
         op->getOperand(0) == in;
}

static RankedTensorType typeOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

std::optional<WeightOperand> Tracer::trace(Value value) {
  Operation *op = value.getDefiningOp();
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!op || !type || !type.hasStaticShape())
    return std::nullopt;
  return llvm::TypeSwitch<Operation *, Result>(op)
      .Case<LoadWeightsOp, arith::ConstantOp, tensor::CastOp,
            tensor::CollapseShapeOp, tensor::ExpandShapeOp,
            tensor::ExtractSliceOp, linalg::LinalgOp>(
          [&](auto concrete) { return visit(concrete); })
      .Default([](Operation *) { return std::nullopt; });
}

std::optional<WeightOperand> Tracer::visit(LoadWeightsOp op) {
  auto module = op->getParentOfType<ModuleOp>();
  WeightsOp weights = lookupWeights(module, op.getWeights());
  if (!weights)
    return std::nullopt;
  Type element = weights.getArrayType().getElementType();
  if (!element.isF32() && !element.isF16() && !element.isBF16()) {
    std::string type;
    llvm::raw_string_ostream(type) << element;
    return fail("its weight is stored as " + type);
  }
  return WeightOperand{op, WeightView::of(weights), {}};
}

/// Constants worth it have become symbols before.
std::optional<WeightOperand> Tracer::visit(arith::ConstantOp op) {
  auto elements = dyn_cast<ElementsAttr>(op.getValue());
  if (!elements)
    return std::nullopt;
  if (elements.isSplat())
    return fail("its weight is a constant of equal elements");
  return fail("its weight is a constant of only " +
              Twine(elements.getNumElements()) + " elements");
}

std::optional<WeightOperand> Tracer::reshape(Operation *op, Value source) {
  Result operand = trace(source);
  if (!operand)
    return std::nullopt;
  FailureOr<WeightView> view =
      operand->view.reshape(typeOf(op->getResult(0)).getShape());
  if (failed(view))
    return fail("its weight is reshaped across a slice or a transposition");
  operand->view = *view;
  return operand;
}

LogicalResult Tracer::chooseScalar(WeightOperand &operand, int64_t d,
                                   Value number) {
  FailureOr<WeightView::Step> step = operand.view.choose(d);
  if (failed(step))
    return refuse("its weight is sliced at run time across a reshape");
  operand.choice.scalars.push_back({*step, number});
  return success();
}

std::optional<WeightOperand> Tracer::visit(tensor::ExtractSliceOp op) {
  Result operand = trace(op.getSource());
  if (!operand)
    return std::nullopt;
  if (!op.hasUnitStride() && ShapedType::isDynamicShape(op.getStaticStrides()))
    return fail("its weight is sliced with a stride known at run time");
  for (int64_t d = 0; d < operand->view.getRank(); ++d) {
    int64_t size = op.getStaticSizes()[d], whole = operand->view.getSize(d);
    int64_t begin = op.getStaticOffsets()[d];
    // A slice must lie inside: of a whole dimension, it starts at 0.
    if (ShapedType::isDynamic(begin) && size == whole)
      begin = 0;
    if (!ShapedType::isDynamic(begin)) {
      FailureOr<WeightView> view =
          operand->view.slice(d, begin, size, op.getStaticStrides()[d]);
      if (failed(view))
        return fail("its weight is sliced across a reshape");
      operand->view = *view;
      continue;
    }
    if (size != 1)
      return fail("its weight is a slice of " + Twine(size) +
                  " that starts at a place known at run time");
    if (failed(chooseScalar(*operand, d, op.getDynamicOffset(d))))
      return std::nullopt;
  }
  SmallVector<int64_t> kept;
  llvm::SmallBitVector dropped = op.getDroppedDims();
  for (int64_t d = 0; d < operand->view.getRank(); ++d)
    if (!dropped[d])
      kept.push_back(d);
  operand->view = operand->view.permute(kept);
  return operand;
}

std::optional<WeightOperand> Tracer::visit(linalg::LinalgOp op) {
  if (!op.hasPureTensorSemantics() || op.getNumDpsInits() != 1 ||
      op.getNumParallelLoops() != op.getNumLoops() ||
      !op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isPermutation())
    return std::nullopt;
  Value yielded = op.getBlock()->getTerminator()->getOperand(0);
  auto generic = dyn_cast<linalg::GenericOp>(op.getOperation());
  if (auto extract = yielded.getDefiningOp<tensor::ExtractOp>();
      extract && generic)
    return visitGather(generic, extract);
  if (op.getNumDpsInputs() == 1 &&
      isConversion(yielded, op.getBlock()->getArgument(0)))
    return visitMovement(op);
  return std::nullopt;
}

/// Dimensions of the result of `op`, given the steps of each of its loops;
/// loops without any repeat the same elements.
static WeightView viewOfLoops(linalg::LinalgOp op, const WeightView &view,
                              ArrayRef<Dimension> loops,
                              ArrayRef<bool> isUsed) {
  SmallVector<Dimension> dimensions;
  SmallVector<int64_t> sizes = op.getStaticLoopRanges();
  AffineMap map = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  for (AffineExpr result : map.getResults()) {
    unsigned d = cast<AffineDimExpr>(result).getPosition();
    dimensions.push_back(loops[d]);
    if (!isUsed[d] && sizes[d] > 1)
      dimensions.back() = {{sizes[d], 0}};
  }
  return view.withDimensions(dimensions);
}

/// Transpositions, broadcasts, copies and conversions.
std::optional<WeightOperand> Tracer::visitMovement(linalg::LinalgOp op) {
  Result operand = trace(op.getDpsInputOperand(0)->get());
  if (!operand)
    return std::nullopt;
  SmallVector<Dimension> loops(op.getNumLoops());
  SmallVector<bool> isUsed(op.getNumLoops(), false);
  AffineMap map = op.getMatchingIndexingMap(op.getDpsInputOperand(0));
  for (auto [d, result] : llvm::enumerate(map.getResults())) {
    if (auto constant = dyn_cast<AffineConstantExpr>(result)) {
      FailureOr<WeightView> view =
          operand->view.slice(d, constant.getValue(), 1, 1);
      if (failed(view))
        return fail("its weight is sliced across a reshape");
      operand->view = *view;
      continue;
    }
    auto loop = dyn_cast<AffineDimExpr>(result);
    if (!loop || isUsed[loop.getPosition()])
      return fail("its weight is read along a diagonal");
    loops[loop.getPosition()] = operand->view.getDimension(d);
    isUsed[loop.getPosition()] = true;
  }
  operand->view = viewOfLoops(op, operand->view, loops, isUsed);
  return operand;
}

//===----------------------------------------------------------------------===//
// Gathers
//===----------------------------------------------------------------------===//

/// The tensor of numbers behind `number` in the body of `op`, and for each of
/// its dimensions the loop that runs along it (or -1 where it has size 1).
static Value findIds(linalg::GenericOp op, Value number,
                     SmallVectorImpl<int64_t> &loops) {
  if (OpOperand *input = getBodyInput(op, number)) {
    for (AffineExpr result : op.getMatchingIndexingMap(input).getResults()) {
      auto loop = dyn_cast<AffineDimExpr>(result);
      loops.push_back(loop ? static_cast<int64_t>(loop.getPosition()) : -1);
    }
    return input->get();
  }
  auto extract = number.getDefiningOp<tensor::ExtractOp>();
  if (!extract)
    return {};
  for (Value index : extract.getIndices()) {
    auto loop = index.getDefiningOp<linalg::IndexOp>();
    loops.push_back(loop ? static_cast<int64_t>(loop.getDim()) : -1);
  }
  return extract.getTensor();
}

/// Dimension `d` of the table is indexed by `number`, which ids hold.
LogicalResult Tracer::chooseIds(WeightOperand &operand, linalg::GenericOp op,
                                int64_t d, Value number,
                                MutableArrayRef<Dimension> loops) {
  Value id = stripClamp(number, operand.view.getSize(d));
  SmallVector<int64_t> idLoops;
  Value ids = id ? findIds(op, id, idLoops) : Value();
  auto type =
      ids ? dyn_cast<RankedTensorType>(ids.getType()) : RankedTensorType();
  if (operand.choice.ids)
    return refuse("its weight is gathered by two arrays of numbers");
  if (!type || !type.hasStaticShape() ||
      !(type.getElementType().isInteger(32) ||
        type.getElementType().isInteger(64)))
    return refuse("its weight is gathered in a way that is not known");
  FailureOr<WeightView::Step> entries = operand.view.choose(d);
  if (failed(entries))
    return refuse("its weight is gathered across a reshape");
  operand.choice.ids = ids;
  operand.choice.entries = *entries;
  SmallVector<int64_t> sizes = op.getStaticLoopRanges();
  SmallVector<int64_t> strides = computeSuffixProduct(type.getShape());
  for (auto [loop, size, stride] :
       llvm::zip_equal(idLoops, type.getShape(), strides)) {
    if (size == 1)
      continue;
    if (loop < 0 || size != sizes[loop] || !loops[loop].empty())
      return refuse("its weight is gathered in a way that is not known");
    loops[loop] = {{size, stride, /*chosen=*/true}};
  }
  return success();
}

/// tensor.extract %table[.., %id, .., linalg.index d, ..]
std::optional<WeightOperand> Tracer::visitGather(linalg::GenericOp op,
                                                 tensor::ExtractOp extract) {
  Result operand = trace(extract.getTensor());
  if (!operand)
    return std::nullopt;
  SmallVector<Dimension> loops(op.getNumLoops());
  SmallVector<bool> isUsed(op.getNumLoops(), false);
  SmallVector<int64_t> sizes = op.getStaticLoopRanges();
  for (auto [d, index] : llvm::enumerate(extract.getIndices())) {
    auto loop = index.getDefiningOp<linalg::IndexOp>();
    if (!loop)
      continue;
    unsigned number = loop.getDim();
    if (isUsed[number] || operand->view.getSize(d) != sizes[number])
      return fail("its weight is gathered in a way that is not known");
    loops[number] = operand->view.getDimension(d);
    isUsed[number] = true;
  }
  for (auto [d, index] : llvm::enumerate(extract.getIndices())) {
    if (index.getDefiningOp<linalg::IndexOp>() || operand->view.getSize(d) == 1)
      continue;
    bool isScalar = !op.getRegion().isAncestor(index.getParentRegion());
    if (failed(isScalar ? chooseScalar(*operand, d, index)
                        : chooseIds(*operand, op, d, index, loops)))
      return std::nullopt;
  }
  for (auto [used, loop] : llvm::zip_equal(isUsed, loops))
    used = used || !loop.empty();
  operand->view = viewOfLoops(op, operand->view, loops, isUsed);
  return operand;
}

//===----------------------------------------------------------------------===//
// Values computed from weights
//===----------------------------------------------------------------------===//

/// Whether `value` depends on weights, and on nothing that changes from run to
/// run; a large computation counts as one that does.
static bool isComputedFromWeights(Value value) {
  constexpr size_t maxOperations = 64;
  llvm::SetVector<Operation *> seen;
  auto add = [&](Value operand) {
    Operation *op = operand.getDefiningOp();
    return op && (seen.insert(op), seen.size() <= maxOperations) &&
           op->getNumRegions() <= 1 && isMemoryEffectFree(op);
  };
  if (!add(value))
    return false;
  bool hasWeights = false;
  for (size_t i = 0; i < seen.size(); ++i) {
    hasWeights |= isa<LoadWeightsOp>(seen[i]);
    SetVector<Value> used;
    getUsedValuesDefinedAbove(seen[i]->getRegions(), used);
    if (!llvm::all_of(seen[i]->getOperands(), add) || !llvm::all_of(used, add))
      return false;
  }
  return hasWeights;
}

/// What the operation behind `value` does, in the words of its body.
static StringRef getComputation(Value value) {
  Operation *op = value.getDefiningOp();
  if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op)) {
    Value yielded = linalgOp.getBlock()->getTerminator()->getOperand(0);
    if (Operation *inner = yielded.getDefiningOp())
      op = inner;
  }
  return op->getName().getStringRef();
}

TracedWeight mlir::spikequant::traceWeight(Value value) {
  Tracer tracer;
  TracedWeight result;
  result.operand = tracer.trace(value);
  result.reason = tracer.reason;
  if (!result.operand && result.reason.empty() && isComputedFromWeights(value))
    result.reason = ("its weight is computed at run time, by '" +
                     getComputation(value) + "'")
                        .str();
  return result;
}

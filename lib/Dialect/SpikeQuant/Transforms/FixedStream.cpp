//===- FixedStream.cpp - which real arrays fixed point can hold -----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FixedStream.h"

#include "Conditions.h"

#include "spikequant/Dialect/SpikeQuant/Transforms/WeightSymbols.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

#include <cmath>

using namespace mlir;
using namespace mlir::spikequant;

//===----------------------------------------------------------------------===//
// Bodies
//===----------------------------------------------------------------------===//

static bool isElementwise(linalg::LinalgOp op) {
  return op && op.hasPureTensorSemantics() && op->getNumResults() == 1 &&
         op.getNumReductionLoops() == 0 &&
         op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isIdentity() &&
         getElementTypeOrSelf(op->getResult(0).getType()).isF32();
}

/// Whether the body only hands on its one input.
static bool isMovement(linalg::LinalgOp op) {
  if (!isElementwise(op) || op.getNumDpsInputs() != 1)
    return false;
  auto yielded =
      dyn_cast<BlockArgument>(op.getBlock()->getTerminator()->getOperand(0));
  return yielded && yielded.getOwner() == op.getBlock() &&
         yielded.getArgNumber() == 0;
}

tensor::ExtractOp mlir::spikequant::findGather(linalg::LinalgOp op) {
  if (!isElementwise(op))
    return {};
  auto extract = op.getBlock()
                     ->getTerminator()
                     ->getOperand(0)
                     .getDefiningOp<tensor::ExtractOp>();
  bool indices = llvm::all_of(op.getDpsInputs(), [](Value input) {
    return !isa<FloatType>(getElementTypeOrSelf(input.getType()));
  });
  return indices ? extract : tensor::ExtractOp();
}

static bool addSumOperands(Value scalar, linalg::LinalgOp op,
                           SmallVectorImpl<OpOperand *> &operands) {
  if (auto argument = dyn_cast<BlockArgument>(scalar)) {
    if (argument.getOwner() != op.getBlock())
      return false;
    operands.push_back(op.getMatchingOpOperand(argument));
    return !op.isDpsInit(operands.back());
  }
  Operation *inner = scalar.getDefiningOp();
  return isa_and_nonnull<arith::AddFOp, arith::SubFOp, arith::NegFOp>(inner) &&
         llvm::all_of(inner->getOperands(), [&](Value operand) {
           return addSumOperands(operand, op, operands);
         });
}

std::optional<SmallVector<OpOperand *>>
mlir::spikequant::findSumOperands(linalg::LinalgOp op) {
  SmallVector<OpOperand *> operands;
  Value result = op.getBlock()->getTerminator()->getOperand(0);
  if (!isElementwise(op) || !result.getDefiningOp() ||
      !addSumOperands(result, op, operands))
    return std::nullopt;
  return operands;
}

SumTerm mlir::spikequant::findTerm(linalg::LinalgOp op, OpOperand *operand,
                                   ConstantReals &constants) {
  SumTerm term;
  term.operand = operand;
  auto type = cast<RankedTensorType>(op->getResult(0).getType());
  if (!type.hasStaticShape() || type.getRank() == 0 ||
      !isa<RankedTensorType>(operand->get().getType()))
    return term;
  term.read = resolveRead({operand->get(), op.getMatchingIndexingMap(operand)});
  unsigned channel = type.getRank() - 1;
  bool usesRow = false;
  for (unsigned i = 0; i < channel; ++i)
    usesRow |= term.read.map.isFunctionOfDim(i);
  SmallVector<int64_t> point(type.getRank(), 0);
  for (int64_t j = 0; !usesRow && j < type.getShape().back(); ++j) {
    point.back() = j;
    auto index = applyMap(term.read.map, point);
    auto value = index ? constants.at(term.read.value, *index) : std::nullopt;
    if (!value)
      break;
    term.values.push_back(*value);
  }
  if (static_cast<int64_t>(term.values.size()) == type.getShape().back())
    term.kind = SumTerm::Kind::Channels;
  else if (!term.read.map.isFunctionOfDim(channel) &&
           applyMap(term.read.map, point))
    term.kind = SumTerm::Kind::Row;
  return term;
}

//===----------------------------------------------------------------------===//
// Plan
//===----------------------------------------------------------------------===//

std::optional<DecodedLeaf> FixedStreams::findDecode(Value value) {
  std::optional<ScaleForm> form = findDecodeForm(value, constants);
  return form ? std::optional(DecodedLeaf{value, std::move(*form), {}})
              : std::nullopt;
}

/// Not larger than program text should hold.
bool FixedStreams::isTable(LoadWeightsOp op) {
  constexpr int64_t most = 1 << 20;
  WeightsOp weights = lookupWeights(module, op.getWeights());
  return weights && weights.getArrayType().getNumElements() <= most &&
         !constants.getValues(weights).empty();
}

/// A norm, or a product with channels, of a stream.
std::optional<ScaleForm> FixedStreams::findScaled(Value value) {
  std::vector<ScaleForm> forms = findScaleForms(value, constants);
  for (ScaleForm &form : llvm::reverse(forms)) {
    bool plain = form.base == value || form.rectified || form.isTrivial() ||
                 !areRowTensors(form);
    if (plain)
      continue;
    plan(form.base);
    if (isStream(form.base))
      return std::move(form);
  }
  return std::nullopt;
}

StreamSource FixedStreams::plan(Value value) {
  if (auto known = sources.find(value); known != sources.end())
    return known->second;
  StreamSource source = find(value);
  sources[value] = source;
  return source;
}

StreamSource FixedStreams::find(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  Operation *op = value.getDefiningOp();
  if (!op || !type || !type.getElementType().isF32() ||
      !type.hasStaticShape() || type.getRank() == 0)
    return StreamSource::None;
  if (isa<LookupOp>(op))
    return StreamSource::Lookup;
  if (auto load = dyn_cast<LoadWeightsOp>(op))
    return isTable(load) ? StreamSource::Table : StreamSource::None;
  if (findDecode(value))
    return StreamSource::Decode;
  auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
  if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp,
          tensor::ExtractSliceOp>(op) ||
      (linalgOp && isMovement(linalgOp)))
    return findView(op);
  if (auto insertion = dyn_cast<tensor::InsertSliceOp>(op))
    return findJoined(insertion);
  if (!linalgOp)
    return StreamSource::None;
  if (tensor::ExtractOp gather = findGather(linalgOp)) {
    auto load = gather.getTensor().getDefiningOp<LoadWeightsOp>();
    bool known = load && plan(load) == StreamSource::Table;
    return known ? StreamSource::Table : StreamSource::None;
  }
  StreamSource source = findSum(linalgOp);
  if (source == StreamSource::None && findScaled(value))
    return StreamSource::Scaled;
  return source;
}

StreamSource FixedStreams::findView(Operation *op) {
  plan(op->getOperand(0));
  return isStream(op->getOperand(0)) ? StreamSource::View : StreamSource::None;
}

/// Whether what is inserted leaves nothing of it, or zeros.
static bool isBlank(Value value) {
  return value.getDefiningOp<tensor::EmptyOp>() || getSplat(value) == 0.0;
}

StreamSource FixedStreams::findJoined(tensor::InsertSliceOp op) {
  plan(op.getSource());
  bool blank = isBlank(op.getDest());
  if (!blank)
    plan(op.getDest());
  if (!isStream(blank ? op.getSource() : op.getDest()))
    return StreamSource::None;
  if (!isStream(op.getSource()))
    sources[op.getSource()] = StreamSource::Real;
  return StreamSource::Joined;
}

/// Of streams, at least one, and rows and channels. Other real numbers are
/// converted where they are added to a stream.
StreamSource FixedStreams::findSum(linalg::LinalgOp op) {
  auto operands = findSumOperands(op);
  if (!operands)
    return StreamSource::None;
  bool some = false;
  SmallVector<Value> others;
  for (OpOperand *operand : *operands) {
    plan(operand->get());
    if (isStream(operand->get()))
      some = true;
    else if (findTerm(op, operand, constants).kind == SumTerm::Kind::None)
      others.push_back(operand->get());
  }
  if (!some)
    return StreamSource::None;
  for (Value other : others) {
    auto type = dyn_cast<RankedTensorType>(other.getType());
    if (!type || !type.getElementType().isF32() || !type.hasStaticShape())
      return StreamSource::None;
    sources[other] = StreamSource::Real;
  }
  return StreamSource::Sum;
}

SmallVector<Value> FixedStreams::getParts(Value value, StreamSource source) {
  SmallVector<Value> parts;
  Operation *op = value.getDefiningOp();
  if (source == StreamSource::View)
    parts.push_back(op->getOperand(0));
  if (source == StreamSource::Joined)
    for (Value operand : op->getOperands().take_front(2))
      if (isPlanned(operand))
        parts.push_back(operand);
  if (source == StreamSource::Scaled)
    parts.push_back(findScaled(value)->base);
  if (source == StreamSource::Table && !isa<LoadWeightsOp>(op))
    parts.push_back(findGather(cast<linalg::LinalgOp>(op)).getTensor());
  if (source != StreamSource::Sum)
    return parts;
  auto operands = findSumOperands(cast<linalg::LinalgOp>(op));
  for (OpOperand *operand : *operands)
    if (isPlanned(operand->get()))
      parts.push_back(operand->get());
  return parts;
}

//===----------------------------------------------------------------------===//
// Unit
//===----------------------------------------------------------------------===//

/// About the standard deviation of what enters the stream here.
std::optional<double> FixedStreams::estimate(Value value, StreamSource source) {
  if (source == StreamSource::Decode)
    return estimateSpread(*findDecode(value), constants, module);
  WeightsOp weights;
  if (auto lookup = value.getDefiningOp<LookupOp>())
    weights = lookupWeights(module, lookup.getWeights());
  if (auto load = value.getDefiningOp<LoadWeightsOp>())
    weights = lookupWeights(module, load.getWeights());
  auto square = weights ? constants.getMeanRowSquare(weights) : std::nullopt;
  if (!square || !(*square > 0) || !std::isfinite(*square))
    return std::nullopt;
  return std::sqrt(*square / double(weights.getArrayType().getShape().back()));
}

void FixedStreams::want(Value value) {
  SmallVector<Value> queue = {value};
  while (!queue.empty()) {
    Value next = queue.pop_back_val();
    if (!wanted.insert(next).second)
      continue;
    StreamSource source = sources.lookup(next);
    if (auto spread = estimate(next, source)) {
      least = least > 0 ? std::min(least, *spread) : *spread;
      total = std::hypot(total, *spread);
    }
    llvm::append_range(queue, getParts(next, source));
  }
}

double FixedStreams::chooseUnit() {
  if (least > 0)
    unit = std::max(roundDownToPower(std::ldexp(least, -12)),
                    roundDownToPower(std::ldexp(total, -17)));
  return unit;
}

//===- Contractions.cpp - which contractions are sites --------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Dialect/SpikeQuant/Transforms/Contractions.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/LinalgInterfaces.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::spikequant;

/// Beyond this, a group's dot products might not fit i32.
static constexpr int64_t kMaxChannels = 65536;

static Contraction leave(const Twine &reason) {
  Contraction contraction;
  contraction.kind = Contraction::Kind::Left;
  contraction.reason = reason.str();
  return contraction;
}

/// The first result of the map that each loop appears in, or -1.
static SmallVector<int64_t> getPositions(AffineMap map) {
  SmallVector<int64_t> positions(map.getNumDims(), -1);
  for (auto [position, result] : llvm::enumerate(map.getResults()))
    for (unsigned loop = 0; loop < map.getNumDims(); ++loop)
      if (positions[loop] < 0 && result.isFunctionOfDim(loop))
        positions[loop] = static_cast<int64_t>(position);
  return positions;
}

namespace {

/// Sorts the loops of a contraction with one weight.
class SiteMatcher {
public:
  SiteMatcher(linalg::LinalgOp op, OpOperand *activation, OpOperand *weight,
              const WeightOperand &operand)
      : op(op), activation(activation), operand(operand),
        inActivation(getPositions(op.getMatchingIndexingMap(activation))),
        inWeight(getPositions(op.getMatchingIndexingMap(weight))),
        inResult(
            getPositions(op.getMatchingIndexingMap(op.getDpsInitOperand(0)))) {}

  Contraction match();

private:
  /// Empty if all loops were sorted, else why not.
  std::string sortLoops();
  std::string sortLoop(unsigned loop, SmallVectorImpl<unsigned> &summed);
  RowForm getRows();
  WeightView getCodes();

  linalg::LinalgOp op;
  OpOperand *activation;
  const WeightOperand &operand;
  SmallVector<int64_t> inActivation, inWeight, inResult;
  LoopOrder loops;
};

} // namespace

std::string SiteMatcher::sortLoop(unsigned loop,
                                  SmallVectorImpl<unsigned> &summed) {
  bool a = inActivation[loop] >= 0, w = inWeight[loop] >= 0,
       r = inResult[loop] >= 0;
  const WeightView &view = operand.view;
  if (a + w + r < 2)
    return "it sums over a dimension of one operand alone";
  if (w && view.hasChosen(inWeight[loop])) {
    if (!view.isChosen(inWeight[loop]))
      return "its gathered weight is merged with another dimension";
    if (view.getDimension(inWeight[loop]).size() != 1)
      return "its weight is gathered by a permuted array of numbers";
    (r ? loops.slices : summed).push_back(loop);
  } else if (a && r) {
    bool isBatch = w && !view.isBroadcast(inWeight[loop]);
    (isBatch ? loops.slices : loops.rows).push_back(loop);
  } else {
    (a ? loops.channels : loops.outputs).push_back(loop);
  }
  return "";
}

std::string SiteMatcher::sortLoops() {
  SmallVector<unsigned> summed;
  for (unsigned loop = 0; loop < op.getNumLoops(); ++loop)
    if (std::string reason = sortLoop(loop, summed); !reason.empty())
      return reason;
  auto sortBy = [](SmallVectorImpl<unsigned> &list,
                   ArrayRef<int64_t> positions) {
    llvm::sort(list, [&](unsigned a, unsigned b) {
      return positions[a] < positions[b];
    });
  };
  sortBy(loops.slices, inResult);
  sortBy(summed, inWeight);
  sortBy(loops.rows, inActivation);
  sortBy(loops.outputs, inResult);
  sortBy(loops.channels, inActivation);
  loops.summed = summed.size();
  loops.slices.append(summed);
  if (loops.channels.empty())
    return "it contracts no dimension of one matrix of weights";
  if (loops.outputs.empty())
    return "its weight has no dimension of outputs";
  return "";
}

RowForm SiteMatcher::getRows() {
  RowForm form;
  form.value = activation->get();
  form.slices = loops.slices.size();
  form.channels = loops.channels.size();
  SmallVector<int64_t> sizes = op.getStaticLoopRanges();
  SmallVector<AffineExpr> places(op.getNumLoops(),
                                 getAffineConstantExpr(0, op.getContext()));
  for (unsigned loop :
       llvm::concat<const unsigned>(loops.slices, loops.rows, loops.channels)) {
    places[loop] = getAffineDimExpr(form.sizes.size(), op.getContext());
    form.sizes.push_back(sizes[loop]);
  }
  form.reads = op.getMatchingIndexingMap(activation)
                   .replaceDimsAndSymbols(places, {}, form.sizes.size(), 0);
  return form;
}

/// [N, K]; a stack's dimension L comes first: the entries that are chosen from
/// at run time, each with the weight's own batch dimensions.
WeightView SiteMatcher::getCodes() {
  auto concatenate = [&](ArrayRef<unsigned> list) {
    WeightView::Dimension steps;
    for (unsigned loop : list)
      if (inWeight[loop] >= 0)
        for (const auto &step : operand.view.getDimension(inWeight[loop]))
          if (!step.chosen)
            steps.push_back(step);
    return steps;
  };
  WeightView::Dimension stack;
  for (const RuntimeChoice::Scalar &scalar : operand.choice.scalars)
    stack.push_back(scalar.entries);
  if (operand.choice.ids)
    stack.push_back(operand.choice.entries);
  stack.append(concatenate(loops.slices));
  SmallVector<WeightView::Dimension> dimensions = {concatenate(loops.outputs),
                                                   concatenate(loops.channels)};
  if (operand.choice || !loops.slices.empty())
    dimensions.insert(dimensions.begin(), stack);
  return operand.view.withDimensions(dimensions);
}

Contraction SiteMatcher::match() {
  if (std::string reason = sortLoops(); !reason.empty())
    return leave(reason);
  Contraction result;
  result.kind = Contraction::Kind::Site;
  WeightView codes = getCodes();
  int64_t rank = codes.getRank();
  int64_t channels = codes.getSize(rank - 1);
  if (channels > kMaxChannels)
    return leave("it has " + Twine(channels) + " channels, more than " +
                 Twine(kMaxChannels));
  result.site = {
      op, getRows(), operand, loops, codes, channels, codes.getSize(rank - 2)};
  return result;
}

/// Checks types before the loops of a contraction with one weight are sorted.
static Contraction classifyWithWeights(linalg::LinalgOp op, unsigned index,
                                       const WeightOperand &operand) {
  OpOperand *weight = op.getDpsInputOperand(index);
  OpOperand *activation = op.getDpsInputOperand(1 - index);
  for (Value value :
       {weight->get(), activation->get(), Value(op->getResult(0))}) {
    auto type = cast<RankedTensorType>(value.getType());
    if (!type.getElementType().isF32())
      return leave("its element type is not f32");
    if (!type.hasStaticShape())
      return leave("its shape is dynamic");
    if (type.getNumElements() == 0)
      return leave("it is empty");
  }
  return SiteMatcher(op, activation, weight, operand).match();
}

/// Whether the body adds the product of the inputs to the result.
static bool addsProducts(linalg::LinalgOp op) {
  Block *body = op.getBlock();
  auto sum =
      body->getTerminator()->getOperand(0).getDefiningOp<arith::AddFOp>();
  if (!sum || op.getNumDpsInputs() != 2 || op.getNumDpsInits() != 1)
    return false;
  bool isFirst = sum.getLhs() == body->getArgument(2);
  auto product =
      (isFirst ? sum.getRhs() : sum.getLhs()).getDefiningOp<arith::MulFOp>();
  if (!product || (!isFirst && sum.getRhs() != body->getArgument(2)))
    return false;
  Value first = body->getArgument(0), second = body->getArgument(1);
  return (product.getLhs() == first && product.getRhs() == second) ||
         (product.getLhs() == second && product.getRhs() == first);
}

/// A convolution with weights, or nothing. It contracts the windows of its
/// activation, which its map spells out.
static std::optional<Contraction> classifyConvolution(linalg::LinalgOp op) {
  if (op.getNumDpsInputs() != 2 || !linalg::isaConvolutionOpInterface(op))
    return std::nullopt;
  OpOperand *weight = op.getDpsInputOperand(1);
  TracedWeight traced = traceWeight(weight->get());
  if (!traced.operand && traced.reason.empty())
    return std::nullopt;
  Contraction result = leave("it does more than adding products");
  if (!traced.operand)
    result = leave(traced.reason);
  else if (addsProducts(op) &&
           op.getMatchingIndexingMap(weight).isProjectedPermutation() &&
           op.getMatchingIndexingMap(op.getDpsInitOperand(0))
               .isProjectedPermutation())
    result = classifyWithWeights(op, 1, *traced.operand);
  if (result.kind == Contraction::Kind::Left)
    result.reason = "it is a convolution; " + result.reason;
  return result;
}

std::optional<Contraction>
mlir::spikequant::classifyContraction(linalg::LinalgOp op) {
  if (!op.hasPureTensorSemantics())
    return std::nullopt;
  if (!linalg::isaContractionOpInterface(op))
    return classifyConvolution(op);
  TracedWeight traced[2];
  for (unsigned i = 0; i < 2; ++i)
    traced[i] = traceWeight(op.getDpsInputOperand(i)->get());
  auto isConstant = [](const TracedWeight &weight) {
    return weight.operand || !weight.reason.empty();
  };
  // Rows that run-time numbers choose, embeddings, are as good as activations.
  for (unsigned i = 0; i < 2; ++i)
    if (traced[i].operand && traced[i].operand->choice &&
        traced[1 - i].operand && !traced[1 - i].operand->choice)
      traced[i] = {};
  if (isConstant(traced[0]) && isConstant(traced[1]))
    return leave("both operands are weights");
  if (isConstant(traced[0]) || isConstant(traced[1])) {
    unsigned index = isConstant(traced[0]) ? 0 : 1;
    if (!traced[index].operand)
      return leave(traced[index].reason);
    return classifyWithWeights(op, index, *traced[index].operand);
  }
  Contraction product = leave("a product of two activations");
  product.kind = Contraction::Kind::Product;
  return product;
}

SmallVector<linalg::LinalgOp>
mlir::spikequant::getNamedOperations(func::FuncOp function) {
  SmallVector<linalg::LinalgOp> operations;
  function.walk([&](linalg::LinalgOp op) {
    if (op->hasAttrOfType<StringAttr>(kSiteAttr))
      operations.push_back(op);
  });
  return operations;
}

std::vector<Site> mlir::spikequant::getNamedSites(func::FuncOp function) {
  std::vector<Site> sites;
  for (linalg::LinalgOp op : getNamedOperations(function)) {
    std::optional<Contraction> contraction = classifyContraction(op);
    if (contraction && contraction->kind == Contraction::Kind::Site)
      sites.push_back(contraction->site);
  }
  return sites;
}

std::pair<unsigned, bool> RowForms::insert(const RowForm &form) {
  auto &forms = known[form.value];
  for (const auto &[other, number] : forms)
    if (other == form)
      return {number, false};
  forms.push_back({form, count});
  return {count++, true};
}

Operation *mlir::spikequant::getEncodePoint(const Site &site) {
  Value activation = site.activation.value;
  Block *block = activation.getParentBlock();
  if (Operation *ancestor =
          block->findAncestorOpInBlock(*linalg::LinalgOp(site.op)))
    return ancestor;
  return block->getTerminator();
}

std::string mlir::spikequant::getEncodeSiteName(linalg::LinalgOp op) {
  return (op->getAttrOfType<StringAttr>(kSiteAttr).getValue() + ".in").str();
}

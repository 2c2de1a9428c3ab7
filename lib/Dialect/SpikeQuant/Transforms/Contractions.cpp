//===- Contractions.cpp - which contractions are sites --------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Dialect/SpikeQuant/Transforms/Contractions.h"

#include "mlir/Dialect/Linalg/IR/LinalgInterfaces.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::spikequant;

/// Operations that move or convert the elements of one tensor.
static Value getMovedTensor(Operation *op) {
  if (isa<tensor::CastOp, tensor::CollapseShapeOp, tensor::ExpandShapeOp,
          tensor::ExtractSliceOp, tensor::PadOp>(op))
    return op->getOperand(0);
  auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
  if (linalgOp && linalgOp.getNumDpsInputs() == 1 &&
      linalgOp.getNumReductionLoops() == 0)
    return linalgOp.getDpsInputOperand(0)->get();
  return {};
}

LoadWeightsOp mlir::spikequant::findWeights(Value value, Operation *&through) {
  through = nullptr;
  while (Operation *op = value.getDefiningOp()) {
    if (auto load = dyn_cast<LoadWeightsOp>(op))
      return load;
    value = getMovedTensor(op);
    if (!value)
      return {};
    through = op;
  }
  return {};
}

static Contraction leave(const Twine &reason) {
  return {Contraction::Kind::Left, {}, reason.str()};
}

/// Matches the shapes of a contraction with one weight.
static Contraction classifyWithWeights(linalg::LinalgOp op,
                                       unsigned weightIndex,
                                       LoadWeightsOp weights) {
  OpOperand *weight = op.getDpsInputOperand(weightIndex);
  OpOperand *activation = op.getDpsInputOperand(1 - weightIndex);
  for (Value value :
       {weight->get(), activation->get(), Value(op->getResult(0))}) {
    auto type = cast<RankedTensorType>(value.getType());
    if (!type.getElementType().isF32())
      return leave("its element type is not f32");
    if (!type.hasStaticShape())
      return leave("its shape is dynamic");
  }
  auto weightType = cast<RankedTensorType>(weight->get().getType());
  if (weightType.getRank() != 2)
    return leave("its weight has rank " + Twine(weightType.getRank()) +
                 ", not 2");

  AffineMap weightMap = op.getMatchingIndexingMap(weight);
  AffineMap inputMap = op.getMatchingIndexingMap(activation);
  AffineMap resultMap = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  if (inputMap.getNumResults() == 0 || resultMap.getNumResults() == 0)
    return leave("its weight is contracted over both dimensions");
  AffineExpr channel = inputMap.getResults().back();
  AffineExpr output = resultMap.getResults().back();
  bool channelsFirst = weightMap.getResult(0) == channel;
  if (weightMap.getResult(channelsFirst ? 0 : 1) != channel)
    return leave("the contracted dimension is not its activation's last");
  if (weightMap.getResult(channelsFirst ? 1 : 0) != output)
    return leave("the weight's output channel is not its result's last "
                 "dimension");
  if (inputMap.getResults().drop_back() != resultMap.getResults().drop_back())
    return leave("rows of its activation and its result differ in order");

  Contraction result{Contraction::Kind::Site, {}, {}};
  result.site = {op,
                 activation->get(),
                 weights,
                 channelsFirst,
                 weightType.getDimSize(channelsFirst ? 0 : 1),
                 weightType.getDimSize(channelsFirst ? 1 : 0)};
  return result;
}

std::optional<Contraction>
mlir::spikequant::classifyContraction(linalg::LinalgOp op) {
  if (!op.hasPureTensorSemantics() || !linalg::isaContractionOpInterface(op))
    return std::nullopt;
  Operation *through[2];
  LoadWeightsOp weights[2];
  for (unsigned i = 0; i < 2; ++i)
    weights[i] = findWeights(op.getDpsInputOperand(i)->get(), through[i]);
  if (weights[0] && weights[1])
    return leave("both operands are weights");
  if (!weights[0] && !weights[1]) {
    Contraction product = leave("a product of two activations");
    product.kind = Contraction::Kind::Product;
    return product;
  }
  unsigned index = weights[0] ? 0 : 1;
  if (through[index])
    return leave("its weight passes through '" +
                 through[index]->getName().getStringRef() + "'");
  return classifyWithWeights(op, index, weights[index]);
}

SmallVector<Site> mlir::spikequant::getNamedSites(func::FuncOp function) {
  SmallVector<Site> sites;
  function.walk([&](linalg::LinalgOp op) {
    if (!op->hasAttrOfType<StringAttr>(kSiteAttr))
      return;
    std::optional<Contraction> contraction = classifyContraction(op);
    if (contraction && contraction->kind == Contraction::Kind::Site)
      sites.push_back(contraction->site);
  });
  return sites;
}

Operation *mlir::spikequant::getEncodePoint(Site site) {
  Block *block = site.activation.getParentBlock();
  if (Operation *ancestor = block->findAncestorOpInBlock(*site.op))
    return ancestor;
  return block->getTerminator();
}

std::string mlir::spikequant::getEncodeSiteName(linalg::LinalgOp op) {
  return (op->getAttrOfType<StringAttr>(kSiteAttr).getValue() + ".in").str();
}

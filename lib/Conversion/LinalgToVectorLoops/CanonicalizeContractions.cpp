//===- CanonicalizeContractions.cpp - contiguous columns ------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The register tile wants the innermost loop of the output to be the innermost
// dimension of the operand that has it:
//
//   linalg.generic ins(%x, %w : tensor<128x576xf32>, tensor<49152x576xf32>)
//                  outs(%y : tensor<128x49152xf32>)   // y[m, n] += x[m, k]
//                  w[n, k]
//
// becomes
//
//   %t = linalg.transpose ins(%w) outs(%e : tensor<576x49152xf32>)
//                         permutation = [1, 0]
//   linalg.generic ins(%x, %t) outs(%y)               // y[m, n] += x[m, k]
//   t[k, n]
//
// A transposed weight later folds into its symbol. No value changes.
//
//===----------------------------------------------------------------------===//

#include "spikequant/Conversion/LinalgToVectorLoops.h"
#include "spikequant/Conversion/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"

namespace mlir::spikequant {
#define GEN_PASS_DEF_SPIKEQUANTCANONICALIZECONTRACTIONS
#include "spikequant/Conversion/Passes.h.inc"
} // namespace mlir::spikequant

using namespace mlir;
using namespace mlir::spikequant;

/// Two inputs, one output, reductions, projected permutations, on tensors.
static bool isContractionLike(linalg::LinalgOp op) {
  return op.hasPureTensorSemantics() && op.getNumDpsInputs() == 2 &&
         op.getNumDpsInits() == 1 && op.getNumReductionLoops() > 0 &&
         linalg::isaContractionOpInterface(op);
}

/// The loop of the innermost dimension of `map` that is not of size 1.
static std::optional<unsigned> innermostLoop(AffineMap map,
                                             ArrayRef<int64_t> loopSizes) {
  for (AffineExpr expr : llvm::reverse(map.getResults())) {
    unsigned loop = cast<AffineDimExpr>(expr).getPosition();
    if (loopSizes[loop] != 1)
      return loop;
  }
  return std::nullopt;
}

/// The input that alone has `loop`, if it is not innermost there already.
static OpOperand *findMisplaced(linalg::LinalgOp op, unsigned loop,
                                ArrayRef<int64_t> loopSizes) {
  OpOperand *owner = nullptr;
  for (OpOperand *input : op.getDpsInputOperands()) {
    AffineMap map = op.getMatchingIndexingMap(input);
    if (!map.isFunctionOfDim(loop))
      continue;
    if (owner)
      return nullptr;
    owner = input;
  }
  if (!owner ||
      innermostLoop(op.getMatchingIndexingMap(owner), loopSizes) == loop)
    return nullptr;
  return owner;
}

/// The operand with the dimension of `loop` moved to the end.
static Value moveInnermost(RewriterBase &rewriter, Location loc, Value value,
                           int64_t dimension, SmallVector<int64_t> &order) {
  auto type = cast<RankedTensorType>(value.getType());
  for (int64_t dim = 0; dim < type.getRank(); ++dim)
    if (dim != dimension)
      order.push_back(dim);
  order.push_back(dimension);
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(rewriter, loc, value);
  SmallVector<OpFoldResult> permuted;
  for (int64_t dim : order)
    permuted.push_back(sizes[dim]);
  Value empty =
      tensor::EmptyOp::create(rewriter, loc, permuted, type.getElementType());
  return linalg::TransposeOp::create(rewriter, loc, value, empty, order)
      ->getResult(0);
}

static void transposeOperand(RewriterBase &rewriter, linalg::LinalgOp op,
                             OpOperand &operand, unsigned loop) {
  rewriter.setInsertionPoint(op);
  AffineMap map = op.getMatchingIndexingMap(&operand);
  unsigned dimension = *map.getResultPosition(rewriter.getAffineDimExpr(loop));
  SmallVector<int64_t> order;
  Value moved =
      moveInnermost(rewriter, op.getLoc(), operand.get(), dimension, order);
  unsigned number = operand.getOperandNumber();
  auto generic = dyn_cast<linalg::GenericOp>(op.getOperation());
  if (!generic)
    generic = *linalg::generalizeNamedOp(rewriter, op);
  SmallVector<AffineExpr> results;
  for (int64_t dim : order)
    results.push_back(map.getResult(dim));
  SmallVector<AffineMap> maps = generic.getIndexingMapsArray();
  maps[number] =
      AffineMap::get(map.getNumDims(), 0, results, rewriter.getContext());
  rewriter.modifyOpInPlace(generic, [&] {
    generic->setOperand(number, moved);
    generic.setIndexingMapsAttr(rewriter.getAffineMapArrayAttr(maps));
  });
}

namespace {

struct CanonicalizeContractions
    : mlir::spikequant::impl::SpikeQuantCanonicalizeContractionsBase<
          CanonicalizeContractions> {
  using Base::Base;

  void runOnOperation() override {
    IRRewriter rewriter(&getContext());
    SmallVector<linalg::LinalgOp> ops;
    getOperation().walk([&](linalg::LinalgOp op) {
      if (isContractionLike(op))
        ops.push_back(op);
    });
    for (linalg::LinalgOp op : ops) {
      SmallVector<int64_t> sizes = op.getStaticLoopRanges();
      AffineMap output = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
      std::optional<unsigned> loop = innermostLoop(output, sizes);
      if (!loop)
        continue;
      if (OpOperand *operand = findMisplaced(op, *loop, sizes))
        transposeOperand(rewriter, op, *operand, *loop);
    }
  }
};

} // namespace

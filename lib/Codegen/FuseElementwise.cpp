//===- FuseElementwise.cpp - fuse elementwise operations ---------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Codegen/Passes.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace mlir::spikequant {
#define GEN_PASS_DEF_FUSEELEMENTWISE
#include "spikequant/Codegen/Passes.h.inc"

namespace {
/// Whether code generation wants the operation under its name, or recognises
/// its body: contractions, convolutions, fills and copies.
bool isKept(linalg::LinalgOp op) {
  return linalg::isaContractionOpInterface(op) ||
         linalg::isaConvolutionOpInterface(op) || isa<linalg::FillOp>(op);
}

struct GeneralizeElementwise : OpInterfaceRewritePattern<linalg::LinalgOp> {
  using OpInterfaceRewritePattern::OpInterfaceRewritePattern;
  LogicalResult matchAndRewrite(linalg::LinalgOp op,
                                PatternRewriter &rewriter) const override {
    if (isa<linalg::GenericOp>(op) || isKept(op))
      return failure();
    return linalg::generalizeNamedOp(rewriter, op);
  }
};

/// A body that only forwards an input or a constant: copying it into every
/// consumer costs nothing.
bool computesNothing(linalg::GenericOp op) {
  return llvm::all_of(*op.getBody(), [](Operation &inner) {
    return isa<linalg::YieldOp>(inner) ||
           inner.hasTrait<OpTrait::ConstantLike>();
  });
}

/// Whether each element of the producer is read once: otherwise fusion would
/// compute it again for every reader.
bool isReadOnce(OpOperand *operand, linalg::GenericOp consumer) {
  return consumer.getMatchingIndexingMap(operand).isPermutation();
}

/// A body that continues from the old contents of its output.
bool readsOutput(linalg::GenericOp op) {
  return llvm::any_of(op.getDpsInitsMutable(), [&](OpOperand &output) {
    return op.payloadUsesValueFromOperand(&output);
  });
}

bool shouldFuse(OpOperand *operand) {
  auto consumer = dyn_cast<linalg::GenericOp>(operand->getOwner());
  auto producer = operand->get().getDefiningOp<linalg::GenericOp>();
  if (!consumer || !producer || isKept(consumer) || isKept(producer) ||
      readsOutput(producer))
    return false;
  return computesNothing(producer) ||
         (producer->hasOneUse() && isReadOnce(operand, consumer));
}

struct FuseElementwisePass : impl::FuseElementwiseBase<FuseElementwisePass> {
  void runOnOperation() override {
    MLIRContext *context = &getContext();
    RewritePatternSet patterns(context);
    patterns.add<GeneralizeElementwise>(context);
    linalg::populateElementwiseOpsFusionPatterns(patterns, shouldFuse);
    affine::AffineApplyOp::getCanonicalizationPatterns(patterns, context);
    linalg::GenericOp::getCanonicalizationPatterns(patterns, context);
    // Top-down keeps the original order of operations in fused bodies.
    if (failed(applyPatternsGreedily(
            getOperation(), std::move(patterns),
            GreedyRewriteConfig().setUseTopDownTraversal(true))))
      signalPassFailure();
  }
};
} // namespace
} // namespace mlir::spikequant

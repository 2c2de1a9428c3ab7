//===- FuseMultiplyAdd.cpp - contractions as fused multiply-adds ---------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ReferenceLowering.h"
#include "spikequant/Conversion/LinalgToVectorLoops.h"

#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace mlir::spikequant;

/// `acc + a * b` in the body becomes fma(a, b, acc).
static void fuseBody(RewriterBase &rewriter, linalg::LinalgOp op) {
  Operation *terminator = op.getBlock()->getTerminator();
  auto sum = terminator->getOperand(0).getDefiningOp<arith::AddFOp>();
  Value accumulator = op.getRegionOutputArgs().front();
  Value other = sum.getLhs() == accumulator ? sum.getRhs() : sum.getLhs();
  auto product = other.getDefiningOp<arith::MulFOp>();
  rewriter.setInsertionPoint(sum);
  rewriter.replaceOpWithNewOp<math::FmaOp>(sum, product.getLhs(),
                                           product.getRhs(), accumulator);
  if (product->use_empty())
    rewriter.eraseOp(product);
}

LogicalResult mlir::spikequant::fuseContractions(ModuleOp module) {
  IRRewriter rewriter(module.getContext());
  SmallVector<linalg::LinalgOp> contractions;
  module.walk([&](linalg::LinalgOp op) {
    if (isFusedContraction(op))
      contractions.push_back(op);
  });
  for (linalg::LinalgOp op : contractions) {
    if (!isa<linalg::GenericOp>(op)) {
      rewriter.setInsertionPoint(op);
      FailureOr<linalg::GenericOp> generic =
          linalg::generalizeNamedOp(rewriter, op);
      if (failed(generic))
        return failure();
      op = *generic;
    }
    fuseBody(rewriter, op);
  }
  return success();
}

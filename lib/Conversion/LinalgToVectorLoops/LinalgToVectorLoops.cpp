//===- LinalgToVectorLoops.cpp - linalg on buffers to vector loops --------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//   linalg.matmul ins(%a, %b : memref<128x576xf32>, memref<576x1536xf32>)
//                 outs(%c : memref<128x1536xf32>)
//
// becomes one work-shared loop over panels of 32 columns, see
// ContractionEmitter.cpp and CountContractionEmitter.cpp; other operations see GenericEmitter.cpp. Operations
// with dynamic shapes or maps that are not linear become scalar loops.
//
//===----------------------------------------------------------------------===//

#include "spikequant/Conversion/LinalgToVectorLoops.h"
#include "NestBuilder.h"
#include "spikequant/Conversion/GraphContext.h"
#include "spikequant/Conversion/Passes.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/PatternMatch.h"

namespace mlir::spikequant {
#define GEN_PASS_DEF_CONVERTLINALGTOVECTORLOOPS
#include "spikequant/Conversion/Passes.h.inc"
} // namespace mlir::spikequant

using namespace mlir;
using namespace mlir::spikequant;

//===----------------------------------------------------------------------===//
// Scalar loops for whatever has no static nest
//===----------------------------------------------------------------------===//

/// Rewrites the payload of a contraction to a fused multiply-add.
static void fusePayload(RewriterBase &rewriter, linalg::LinalgOp op) {
  Operation *yield = op.getBlock()->getTerminator();
  OpBuilder::InsertionGuard guard(rewriter);
  rewriter.setInsertionPoint(yield);
  Block &body = *op.getBlock();
  Value fused = math::FmaOp::create(rewriter, op.getLoc(), body.getArgument(0),
                                    body.getArgument(1), body.getArgument(2));
  rewriter.modifyOpInPlace(yield, [&] { yield->setOperand(0, fused); });
}

/// Scalar loops in one iteration of an outermost parallel loop.
static LogicalResult emitScalarLoops(RewriterBase &rewriter,
                                     linalg::LinalgOp op) {
  Location loc = op.getLoc();
  if (isFusedContraction(op))
    fusePayload(rewriter, op);
  Value zero = arith::ConstantIndexOp::create(rewriter, loc, 0);
  Value one = arith::ConstantIndexOp::create(rewriter, loc, 1);
  auto parallel = scf::ParallelOp::create(rewriter, loc, ValueRange{zero},
                                          ValueRange{one}, ValueRange{one});
  rewriter.moveOpBefore(op, parallel.getBody()->getTerminator());
  rewriter.setInsertionPoint(op);
  if (failed(linalg::linalgOpToLoops(rewriter, op)))
    return failure();
  rewriter.eraseOp(op);
  return success();
}

//===----------------------------------------------------------------------===//
// Conversion
//===----------------------------------------------------------------------===//

LogicalResult mlir::spikequant::convertLinalgToVectorLoops(
    RewriterBase &rewriter, linalg::LinalgOp op,
    const VectorLoopsOptions &options) {
  if (!op.hasPureBufferSemantics())
    return op.emitOpError(
        "works on tensors; bufferise before the conversion to loops");
  if (llvm::is_contained(op.getStaticLoopRanges(), 0)) {
    rewriter.eraseOp(op); // no iteration: the outputs stay as they are
    return success();
  }
  OpBuilder::InsertionGuard guard(rewriter);
  rewriter.setInsertionPoint(op);
  FailureOr<StridedNest> nest = analyzeNest(op);
  if (failed(nest) && op->hasAttr(kLimitAttr))
    return op.emitOpError("has a limit but no static strides");
  if (failed(nest))
    return emitScalarLoops(rewriter, op);
  simplifyNest(*nest);
  flattenOperands(rewriter, *nest);
  NestBuilder builder(rewriter, *nest, options);
  if (failed(emitCountContraction(builder)) &&
      failed(emitContraction(builder)))
    emitGeneric(builder);
  // What lies behind the limit of a sum was never written.
  for (const NestLoop &loop : nest->loops)
    if (loop.reduction && loop.limit && !loop.isEnded)
      return op.emitOpError("has a reduction that does not stop at its limit");
  rewriter.eraseOp(op);
  return success();
}

namespace {

struct ConvertLinalgToVectorLoops
    : mlir::spikequant::impl::ConvertLinalgToVectorLoopsBase<
          ConvertLinalgToVectorLoops> {
  using Base::Base;

  void runOnOperation() override {
    IRRewriter rewriter(&getContext());
    expandCopies(rewriter);
    SmallVector<linalg::LinalgOp> ops;
    getOperation().walk([&](linalg::LinalgOp op) { ops.push_back(op); });
    VectorLoopsOptions options{vectorBits};
    for (linalg::LinalgOp op : ops)
      if (failed(convertLinalgToVectorLoops(rewriter, op, options)))
        return signalPassFailure();
    if (failed(checkNothingLeft()))
      signalPassFailure();
  }

private:
  void expandCopies(RewriterBase &rewriter) {
    getOperation().walk([&](memref::CopyOp copy) {
      rewriter.setInsertionPoint(copy);
      linalg::makeMemRefCopyOp(rewriter, copy.getLoc(), copy.getSource(),
                               copy.getTarget());
      rewriter.eraseOp(copy);
    });
  }

  LogicalResult checkNothingLeft() {
    WalkResult result = getOperation().walk([](Operation *op) {
      if (!isa_and_nonnull<linalg::LinalgDialect>(op->getDialect()))
        return WalkResult::advance();
      op->emitOpError("has no structured form; decompose it before the "
                      "conversion to loops");
      return WalkResult::interrupt();
    });
    return failure(result.wasInterrupted());
  }
};

} // namespace

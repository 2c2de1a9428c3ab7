//===- ExpandMath.cpp - fixes the meaning of real arithmetic -------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//   %y = math.rsqrt %x : f32
// becomes
//   %r = math.sqrt %x : f32
//   %y = arith.divf %one, %r : f32
//
//===----------------------------------------------------------------------===//

#include "spikequant/Conversion/ExpandMath/ExpandMath.h"
#include "MathFunctions.h"
#include "spikequant/Conversion/Passes.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"

namespace mlir::spikequant {
#define GEN_PASS_DEF_EXPANDMATH
#include "spikequant/Conversion/Passes.h.inc"
} // namespace mlir::spikequant

using namespace mlir;
using namespace mlir::spikequant;

namespace {

/// `Op` of f32, or of f16 and bf16 through f32, by `emit`.
template <typename Op, auto emit> struct ExpandFunction : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;

  LogicalResult matchAndRewrite(Op op,
                                PatternRewriter &rewriter) const override {
    Type type = op.getResult().getType();
    unsigned width = getElementTypeOrSelf(type).getIntOrFloatBitWidth();
    if (width > 32)
      return rewriter.notifyMatchFailure(op, "f64 is left to the C library");
    FloatEmitter emitter(rewriter, op.getLoc(), type, 32);
    SmallVector<Value> operands(op->getOperands());
    if (width < 32)
      for (Value &operand : operands)
        operand = emitter.extend(operand);
    Value result = call(emitter, operands);
    if (width < 32)
      result = arith::TruncFOp::create(rewriter, op.getLoc(), type, result);
    rewriter.replaceOp(op, result);
    return success();
  }

private:
  static Value call(FloatEmitter &emitter, ArrayRef<Value> operands) {
    if constexpr (std::is_invocable_v<decltype(emit), FloatEmitter &, Value>)
      return emit(emitter, operands[0]);
    else
      return emit(emitter, operands[0], operands[1]);
  }
};

/// `Op` of f64 by `emit`.
template <typename Op, auto emit> struct ExpandDouble : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;

  LogicalResult matchAndRewrite(Op op,
                                PatternRewriter &rewriter) const override {
    Type type = op.getResult().getType();
    if (!getElementTypeOrSelf(type).isF64())
      return rewriter.notifyMatchFailure(op, "not of f64");
    FloatEmitter emitter(rewriter, op.getLoc(), type, 64);
    rewriter.replaceOp(op, emit(emitter, op.getOperand()));
    return success();
  }
};

/// f64 to f16 or bf16 through f32 that is rounded to odd: what the first
/// rounding lost stays visible in the last bit, so the second one is right.
struct ExpandNarrowing : OpRewritePattern<arith::TruncFOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(arith::TruncFOp op,
                                PatternRewriter &rewriter) const override {
    Type type = op.getType();
    if (!op.getIn().getType().isF64() || !type.isFloat(16))
      return rewriter.notifyMatchFailure(op, "no f64 to f16 or bf16");
    Value odd = emitRoundToOdd(rewriter, op.getLoc(), op.getIn());
    rewriter.replaceOpWithNewOp<arith::TruncFOp>(op, type, odd);
    return success();
  }

private:
  static Value emitRoundToOdd(OpBuilder &b, Location loc, Value wide) {
    Type f32 = b.getF32Type(), i32 = b.getI32Type();
    auto compare = [&](arith::CmpFPredicate predicate, Value x, Value y) {
      return arith::CmpFOp::create(b, loc, predicate, x, y).getResult();
    };
    Value nearest = arith::TruncFOp::create(b, loc, f32, wide);
    Value back = arith::ExtFOp::create(b, loc, wide.getType(), nearest);
    Value above =
        compare(arith::CmpFPredicate::OGT, math::AbsFOp::create(b, loc, back),
                math::AbsFOp::create(b, loc, wide));
    Value inexact = compare(arith::CmpFPredicate::ONE, back, wide);
    Value bits = arith::BitcastOp::create(b, loc, i32, nearest);
    Value step = arith::ExtUIOp::create(b, loc, i32, above);
    bits = arith::SubIOp::create(b, loc, bits, step);
    Value lowest = arith::ExtUIOp::create(b, loc, i32, inexact);
    bits = arith::OrIOp::create(b, loc, bits, lowest);
    return arith::BitcastOp::create(b, loc, f32, bits);
  }
};

struct ExpandMathPass : mlir::spikequant::impl::ExpandMathBase<ExpandMathPass> {
  void runOnOperation() override;
};

} // namespace

void mlir::spikequant::populateExpandMathPatterns(RewritePatternSet &patterns) {
  patterns.add<ExpandNarrowing, ExpandFunction<math::ExpOp, emitExp>,
               ExpandFunction<math::Exp2Op, emitExp2>,
               ExpandFunction<math::ExpM1Op, emitExpM1>,
               ExpandFunction<math::LogOp, emitLog>,
               ExpandFunction<math::Log1pOp, emitLog1p>,
               ExpandFunction<math::Log2Op, emitLog2>,
               ExpandFunction<math::Log10Op, emitLog10>,
               ExpandFunction<math::TanhOp, emitTanh>,
               ExpandFunction<math::ErfOp, emitErf>,
               ExpandFunction<math::SinOp, emitSin>,
               ExpandFunction<math::CosOp, emitCos>,
               ExpandFunction<math::RsqrtOp, emitRsqrt>,
               ExpandFunction<math::RoundOp, emitRound>,
               ExpandFunction<math::CbrtOp, emitCbrt>,
               ExpandFunction<math::PowFOp, emitPow>,
               ExpandDouble<math::ExpM1Op, emitExpM1Double>,
               ExpandDouble<math::Log1pOp, emitLog1pDouble>>(
      patterns.getContext());
}

/// Fast-math flags would let LLVM change results.
static void removeFastMathFlags(Operation *root) {
  auto none = arith::FastMathFlagsAttr::get(root->getContext(),
                                            arith::FastMathFlags::none);
  root->walk([&](arith::ArithFastMathInterface op) {
    op->setAttr(op.getFastMathAttrName(), none);
  });
}

/// Functions that are sums or quotients of others, by upstream's formulas.
static void expandComposed(Operation *root) {
  RewritePatternSet patterns(root->getContext());
  math::populateExpansionPatterns(
      patterns, {"sinh", "cosh", "tan", "asinh", "acosh", "atanh"});
  walkAndApplyPatterns(root, std::move(patterns));
}

/// The operations whose result is the same on every processor.
static bool isExact(Operation *op) {
  return isa<math::AbsFOp, math::AbsIOp, math::CeilOp, math::CopySignOp,
             math::CountLeadingZerosOp, math::CtPopOp,
             math::CountTrailingZerosOp, math::FloorOp, math::FmaOp,
             math::IPowIOp, math::IsFiniteOp, math::IsInfOp, math::IsNaNOp,
             math::IsNormalOp, math::RoundEvenOp, math::SqrtOp, math::TruncOp>(
      op);
}

static void warnAboutRest(Operation *root) {
  root->walk([&](Operation *op) {
    if (isa<math::MathDialect>(op->getDialect()) && !isExact(op))
      op->emitWarning() << "'" << op->getName()
                        << "' has no definition in the strict float profile: "
                           "its last bits depend on the C library";
  });
}

void ExpandMathPass::runOnOperation() {
  Operation *root = getOperation();
  removeFastMathFlags(root);
  expandComposed(root);
  RewritePatternSet functions(&getContext()), sums(&getContext());
  populateExpandMathPatterns(functions);
  walkAndApplyPatterns(root, std::move(functions));
  populateExpandReductionPatterns(sums);
  walkAndApplyPatterns(root, std::move(sums));
  warnAboutRest(root);
}

//===- SpikeQuantDot4ToLLVM.cpp - the dot product of codes and counts -----===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   %r = spikequant.dot4 %acc, %codes, %counts : vector<16xi32>, vector<64xi8>
//
// becomes, with AVX-512 VNNI,
//
//   %r = llvm.call_intrinsic "llvm.x86.avx512.vpdpbusd.512"(%acc, %codes,
//        %counts) : (vector<16xi32>, vector<64xi8>, vector<64xi8>)
//        -> vector<16xi32>
//
// with other processors what DotToX86.cpp and DotToNeon.cpp describe, and
// elsewhere four shifts, masks, products and additions on 16 lanes of i32. All
// wrap modulo 2^32, so they are equal to the bit. The choice must be made here:
// the backend cannot expand an instruction for a processor without it.
//
//===----------------------------------------------------------------------===//

#include "DotLanes.h"

#include "spikequant/Conversion/Passes.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"

namespace mlir::spikequant {
#define GEN_PASS_DEF_CONVERTDOT4TOLLVM
#include "spikequant/Conversion/Passes.h.inc"

namespace {

struct Dot4ToVector : OpRewritePattern<Dot4Op> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(Dot4Op op,
                                PatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    auto type = cast<VectorType>(op.getType());
    auto splat = [&](int32_t value) -> Value {
      return arith::ConstantOp::create(
          rewriter, loc,
          DenseElementsAttr::get(type, rewriter.getI32IntegerAttr(value)));
    };
    Value codes = vector::BitCastOp::create(rewriter, loc, type, op.getCodes());
    Value counts =
        vector::BitCastOp::create(rewriter, loc, type, op.getCounts());
    Value sum = op.getAcc();
    for (int32_t byte = 0; byte < 4; ++byte) {
      Value code =
          arith::ShRUIOp::create(rewriter, loc, codes, splat(8 * byte));
      code = arith::AndIOp::create(rewriter, loc, code, splat(255));
      Value count =
          arith::ShLIOp::create(rewriter, loc, counts, splat(24 - 8 * byte));
      count = arith::ShRSIOp::create(rewriter, loc, count, splat(24));
      Value product = arith::MulIOp::create(rewriter, loc, code, count);
      sum = arith::AddIOp::create(rewriter, loc, sum, product);
    }
    rewriter.replaceOp(op, sum);
    return success();
  }
};

struct Dot2ToVector : OpRewritePattern<Dot2Op> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(Dot2Op op,
                                PatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    auto type = cast<VectorType>(op.getType());
    Value sixteen = arith::ConstantOp::create(
        rewriter, loc,
        DenseElementsAttr::get(type, rewriter.getI32IntegerAttr(16)));
    auto high = [&](Value words) -> Value {
      return arith::ShRSIOp::create(rewriter, loc, words, sixteen);
    };
    auto low = [&](Value words) -> Value {
      return high(arith::ShLIOp::create(rewriter, loc, words, sixteen));
    };
    Value lhs = vector::BitCastOp::create(rewriter, loc, type, op.getLhs());
    Value rhs = vector::BitCastOp::create(rewriter, loc, type, op.getRhs());
    Value sum = arith::AddIOp::create(
        rewriter, loc, op.getAcc(),
        arith::MulIOp::create(rewriter, loc, low(lhs), low(rhs)));
    rewriter.replaceOpWithNewOp<arith::AddIOp>(
        op, sum, arith::MulIOp::create(rewriter, loc, high(lhs), high(rhs)));
    return success();
  }
};

struct ConvertDot4ToLLVMPass
    : impl::ConvertDot4ToLLVMBase<ConvertDot4ToLLVMPass> {
  using Base::Base;

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    MLIRContext *context = &getContext();
    switch (instructions) {
    case DotInstructions::Portable:
      patterns.add<Dot4ToVector, Dot2ToVector>(context);
      break;
    case DotInstructions::NeonDot:
    case DotInstructions::NeonI8mm:
      populateDotToNeon(patterns, instructions);
      patterns.add<Dot2ToVector>(context);
      break;
    default:
      populateDotToX86(patterns, instructions);
    }
    walkAndApplyPatterns(getOperation(), std::move(patterns));
  }
};

} // namespace
} // namespace mlir::spikequant

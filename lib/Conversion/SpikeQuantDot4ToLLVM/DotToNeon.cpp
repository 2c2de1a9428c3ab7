//===- DotToNeon.cpp - dot products by sdot and usdot ---------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// 16 codes c and counts n of a register of 128 bits. sdot takes signed bytes,
// and 128 is none:
//
//   with i8mm:               usdot(acc, c, n)
//   codes of at most 127:    sdot(acc, c, n)
//   any:                     sdot(sdot(sdot(acc, 64, n), 64, n), c - 128, n)
//
//===----------------------------------------------------------------------===//

#include "DotLanes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace mlir::spikequant;

namespace {

struct Dot4ToNeon : OpRewritePattern<Dot4Op> {
  Dot4ToNeon(MLIRContext *context, bool mixed)
      : OpRewritePattern(context), mixed(mixed) {}

  LogicalResult matchAndRewrite(Dot4Op op,
                                PatternRewriter &rewriter) const override {
    DotLanes lanes{rewriter, op.getLoc()};
    bool positive = getPossibleBits(op.getCodes()) <= 127;
    rewriter.replaceOp(op, emitPieces(lanes, op->getOperands(), /*pieces=*/4,
                                      [&](ValueRange part) {
                                        return emit(lanes, part[0], part[1],
                                                    part[2], positive);
                                      }));
    return success();
  }

private:
  Value emit(DotLanes lanes, Value acc, Value codes, Value counts,
             bool positive) const {
    auto dot = [&](StringRef name, Value acc, Value codes) {
      std::string intrinsic =
          ("llvm.aarch64.neon." + name + ".v4i32.v16i8").str();
      return lanes.call(intrinsic, acc.getType(), {acc, codes, counts});
    };
    if (mixed)
      return dot("usdot", acc, codes);
    if (positive)
      return dot("sdot", acc, codes);
    // Of the counts alone: shared by all codes that they meet.
    Value half = lanes.splat(lanes.type(8, 16), 64);
    Value zero = lanes.splat(lanes.type(32, 4), 0);
    Value bias = dot("sdot", dot("sdot", zero, half), half);
    Value less = arith::XOrIOp::create(lanes.b, lanes.loc, codes,
                                       lanes.splat(lanes.type(8, 16), -128));
    return dot("sdot", lanes.add(acc, bias), less);
  }

  bool mixed;
};

} // namespace

void spikequant::populateDotToNeon(RewritePatternSet &patterns,
                                   DotInstructions chosen) {
  patterns.add<Dot4ToNeon>(patterns.getContext(),
                           chosen == DotInstructions::NeonI8mm);
}

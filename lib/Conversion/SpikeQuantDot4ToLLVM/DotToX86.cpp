//===- DotToX86.cpp - dot products by AVX2, AVX-512 and VNNI --------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Without VNNI, 32 codes c and counts n of a register of AVX2:
//
//   codes of at most 128:    acc + madd16(maddubs(c, n), 1)
//   multiples of 16:         acc + madd16(maddubs(c >> 4, n), 16)
//   any:                     acc + madd16(even c, even n) + madd16(odd c, odd
//   n)
//
// maddubs saturates at 16 bits: 2 * 128 * 127 and 2 * 128 * -128 still fit.
// madd16 (vpmaddwd) adds two products of 16 bits in 32 and cannot saturate: its
// one sum that does not fit, of four times -32768, wraps as the definition
// does.
//
//===----------------------------------------------------------------------===//

#include "DotLanes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace mlir::spikequant;

namespace {

/// One instruction with the operands of the operation, in its order.
template <typename Op> struct DotToVnni : OpRewritePattern<Op> {
  DotToVnni(MLIRContext *context, StringRef name, int64_t pieces)
      : OpRewritePattern<Op>(context), pieces(pieces),
        intrinsic(("llvm.x86.avx512." + name + (pieces == 1 ? ".512" : ".256"))
                      .str()) {}

  LogicalResult matchAndRewrite(Op op,
                                PatternRewriter &rewriter) const override {
    DotLanes lanes{rewriter, op.getLoc()};
    rewriter.replaceOp(
        op, emitPieces(lanes, op->getOperands(), pieces, [&](ValueRange part) {
          return lanes.call(intrinsic, part[0].getType(), part);
        }));
    return success();
  }

private:
  int64_t pieces;
  std::string intrinsic;
};

/// Multiplications of one register of 256 or 512 bits.
struct Products : DotLanes {
  int64_t bytes;

  Value addPairs(Value lhs, Value rhs) const {
    return call(bytes == 64 ? "llvm.x86.avx512.pmaddw.d.512"
                            : "llvm.x86.avx2.pmadd.wd",
                type(32, bytes / 4), {as(16, lhs), as(16, rhs)});
  }
  Value addBytePairs(Value codes, Value counts) const {
    return call(bytes == 64 ? "llvm.x86.avx512.pmaddubs.w.512"
                            : "llvm.x86.avx2.pmadd.ub.sw",
                type(16, bytes / 2), {codes, counts});
  }
  Value words(int64_t value) const { return splat(type(16, bytes / 2), value); }
  template <typename Shift> Value shift(Value value, int64_t distance) const {
    return Shift::create(b, loc, as(16, value), words(distance));
  }

  Value quads(Value codes, Value counts, uint8_t possible) const {
    if (possible <= 128)
      return addPairs(addBytePairs(codes, counts), words(1));
    if (possible % 16 == 0) {
      Value quotients = as(8, shift<arith::ShRUIOp>(codes, 4));
      return addPairs(addBytePairs(quotients, counts), words(16));
    }
    Value evenCodes = arith::AndIOp::create(b, loc, as(16, codes), words(255));
    Value evenCounts =
        shift<arith::ShRSIOp>(shift<arith::ShLIOp>(counts, 8), 8);
    return add(addPairs(evenCodes, evenCounts),
               addPairs(shift<arith::ShRUIOp>(codes, 8),
                        shift<arith::ShRSIOp>(counts, 8)));
  }
};

struct Dot4ToMultiplyAdd : OpRewritePattern<Dot4Op> {
  Dot4ToMultiplyAdd(MLIRContext *context, int64_t pieces)
      : OpRewritePattern(context), pieces(pieces) {}

  LogicalResult matchAndRewrite(Dot4Op op,
                                PatternRewriter &rewriter) const override {
    Products lanes{{rewriter, op.getLoc()}, 64 / pieces};
    uint8_t possible = getPossibleBits(op.getCodes());
    rewriter.replaceOp(
        op, emitPieces(lanes, op->getOperands(), pieces, [&](ValueRange part) {
          return lanes.add(part[0], lanes.quads(part[1], part[2], possible));
        }));
    return success();
  }

private:
  int64_t pieces;
};

struct Dot2ToMultiplyAdd : OpRewritePattern<Dot2Op> {
  Dot2ToMultiplyAdd(MLIRContext *context, int64_t pieces)
      : OpRewritePattern(context), pieces(pieces) {}

  LogicalResult matchAndRewrite(Dot2Op op,
                                PatternRewriter &rewriter) const override {
    Products lanes{{rewriter, op.getLoc()}, 64 / pieces};
    rewriter.replaceOp(
        op, emitPieces(lanes, op->getOperands(), pieces, [&](ValueRange part) {
          return lanes.add(part[0], lanes.addPairs(part[1], part[2]));
        }));
    return success();
  }

private:
  int64_t pieces;
};

} // namespace

void spikequant::populateDotToX86(RewritePatternSet &patterns,
                                  DotInstructions chosen) {
  MLIRContext *context = patterns.getContext();
  bool wide = chosen == DotInstructions::Avx512Bw ||
              chosen == DotInstructions::Avx512Vnni;
  int64_t pieces = wide ? 1 : 2;
  if (chosen == DotInstructions::AvxVnni ||
      chosen == DotInstructions::Avx512Vnni) {
    patterns.add<DotToVnni<Dot4Op>>(context, "vpdpbusd", pieces);
    patterns.add<DotToVnni<Dot2Op>>(context, "vpdpwssd", pieces);
  } else {
    patterns.add<Dot4ToMultiplyAdd, Dot2ToMultiplyAdd>(context, pieces);
  }
}

//===- ScaleRowsToLinalg.cpp - integer arithmetic of scale_rows -----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// m, l and r come from the bits of the row's factor (see Kernel/GridEncode.h):
//
//   y = clamp((((x m) << l) + ((1 << r) >> 1)) >> r)
//
//===----------------------------------------------------------------------===//

#include "FireToLinalg.h"

#include "spikequant/Dialect/SpikeQuant/IR/WideIntegers.h"
#include "spikequant/Kernel/GridEncode.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::spikequant;

namespace {
/// Mantissa and shifts of a factor, in i32.
struct Factor {
  Value mantissa, left, right;
};

class Emitter {
public:
  Emitter(OpBuilder &b, Location loc) : b(b), loc(loc) {}

  Factor split(Value factor, int32_t unitExponent);
  Value scale(Value x, Factor factor);

private:
  Value word(int64_t value) {
    return arith::ConstantOp::create(
        b, loc, b.getI32IntegerAttr(static_cast<int32_t>(value)));
  }
  Value clamp(Value x, Value least, Value most) {
    x = arith::MaxSIOp::create(b, loc, x, least);
    return arith::MinSIOp::create(b, loc, x, most);
  }

  OpBuilder &b;
  Location loc;
};
} // namespace

Factor Emitter::split(Value factor, int32_t unitExponent) {
  Value bits = arith::BitcastOp::create(b, loc, b.getI32Type(), factor);
  Value field = arith::ShRUIOp::create(b, loc, bits, word(23));
  field = arith::AndIOp::create(b, loc, field, word(0xff));
  Value fraction = arith::AndIOp::create(b, loc, bits, word(0x7fffff));
  Value whole = arith::OrIOp::create(b, loc, fraction, word(0x800000));
  Value normal =
      arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, field, word(0));
  Value magnitude = arith::SelectOp::create(b, loc, normal, whole, fraction);
  Value negative =
      arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, bits, word(0));
  Value opposite = arith::SubIOp::create(b, loc, word(0), magnitude);
  Value exponent = arith::MaxSIOp::create(b, loc, field, word(1));
  exponent = arith::AddIOp::create(
      b, loc, exponent, word(unitExponent + ::spikequant::rowExponent - 150));
  Value below = arith::SubIOp::create(b, loc, word(0), exponent);
  return {arith::SelectOp::create(b, loc, negative, opposite, magnitude),
          clamp(exponent, word(0), word(8)), clamp(below, word(0), word(62))};
}

Value Emitter::scale(Value x, Factor factor) {
  WideIntegers w{b, loc};
  Value right = w.extend(factor.right);
  Value half = arith::ShLIOp::create(b, loc, w.number(1), right);
  half = arith::ShRUIOp::create(b, loc, half, w.number(1));
  Value y = w.mul(w.extend(x), w.extend(factor.mantissa));
  y = arith::ShLIOp::create(b, loc, y, w.extend(factor.left));
  return w.saturate(w.shift(w.add(y, half), right));
}

Value mlir::spikequant::lowerScaleRowsToLinalg(RewriterBase &rewriter,
                                               ScaleRowsOp op) {
  Location loc = op.getLoc();
  RankedTensorType type = op.getType();
  AffineMap all = rewriter.getMultiDimIdentityMap(type.getRank());
  AffineMap rows = all.getMajorSubMap(type.getRank() - 1);
  Value empty = tensor::EmptyOp::create(rewriter, loc, type.getShape(),
                                        type.getElementType());
  SmallVector<utils::IteratorType> loops(type.getRank(),
                                         utils::IteratorType::parallel);
  int32_t exponent = op.getUnit().getExactLog2();
  return linalg::GenericOp::create(
             rewriter, loc, type, ValueRange{op.getInput(), op.getRowScale()},
             empty, ArrayRef{all, rows, all}, loops,
             [&](OpBuilder &b, Location loc, ValueRange values) {
               Emitter emitter(b, loc);
               Factor factor = emitter.split(values[1], exponent);
               linalg::YieldOp::create(b, loc,
                                       emitter.scale(values[0], factor));
             })
      .getResult(0);
}

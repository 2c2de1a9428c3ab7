//===- FloatEmitter.h - arithmetic of one element type as IR -------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Emits arith and math operations on one "element shape": a scalar, a vector or
// a tensor. The same C++ expression so gives scalar and vector code. No
// operation carries fast-math flags; a fused multiply-add is one `math.fma`.
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_CONVERSION_EXPANDMATH_FLOATEMITTER_H
#define SPIKEQUANT_LIB_CONVERSION_EXPANDMATH_FLOATEMITTER_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::spikequant {

/// Builds arithmetic in f32 or f64 (`bits` = 32 or 64) with the shape of
/// `like`.
class FloatEmitter {
public:
  FloatEmitter(OpBuilder &builder, Location loc, Type like, unsigned bits)
      : b(loc, builder), like(like), bits(bits) {}

  /// The same shape with the other float width.
  FloatEmitter withBits(unsigned otherBits) {
    return FloatEmitter(b, b.getLoc(), like, otherBits);
  }

  Type floatType() {
    return shaped(bits == 64 ? Type(b.getF64Type()) : b.getF32Type());
  }
  Type intType() { return shaped(b.getIntegerType(bits)); }

  Value constant(double value) {
    Type element = getElementTypeOrSelf(floatType());
    return splat(b.getFloatAttr(element, value), floatType());
  }
  Value integer(int64_t value) {
    return splat(b.getIntegerAttr(b.getIntegerType(bits), value), intType());
  }

  Value add(Value x, Value y) { return arith::AddFOp::create(b, x, y); }
  Value sub(Value x, Value y) { return arith::SubFOp::create(b, x, y); }
  Value mul(Value x, Value y) { return arith::MulFOp::create(b, x, y); }
  Value div(Value x, Value y) { return arith::DivFOp::create(b, x, y); }
  Value neg(Value x) { return arith::NegFOp::create(b, x); }
  Value abs(Value x) { return math::AbsFOp::create(b, x); }
  Value exp(Value x) { return math::ExpOp::create(b, x); }
  Value log(Value x) { return math::LogOp::create(b, x); }
  Value sqrt(Value x) { return math::SqrtOp::create(b, x); }
  Value trunc(Value x) { return math::TruncOp::create(b, x); }
  Value copySign(Value magnitude, Value sign) {
    return math::CopySignOp::create(b, magnitude, sign);
  }
  /// x * y + z, rounded once.
  Value fma(Value x, Value y, Value z) {
    return math::FmaOp::create(b, x, y, z);
  }

  Value compare(arith::CmpFPredicate predicate, Value x, Value y) {
    return arith::CmpFOp::create(b, predicate, x, y);
  }
  Value less(Value x, Value y) {
    return compare(arith::CmpFPredicate::OLT, x, y);
  }
  Value equal(Value x, Value y) {
    return compare(arith::CmpFPredicate::OEQ, x, y);
  }
  Value select(Value condition, Value x, Value y) {
    return arith::SelectOp::create(b, condition, x, y);
  }
  Value both(Value x, Value y) { return arith::AndIOp::create(b, x, y); }
  Value either(Value x, Value y) { return arith::OrIOp::create(b, x, y); }

  /// x limited to [lo, hi]; NaN stays NaN.
  Value clamp(Value x, double lo, double hi) {
    Value low = constant(lo), high = constant(hi);
    x = select(less(x, low), low, x);
    return select(less(high, x), high, x);
  }

  Value toBits(Value x) { return arith::BitcastOp::create(b, intType(), x); }
  Value fromBits(Value x) {
    return arith::BitcastOp::create(b, floatType(), x);
  }
  Value addBits(Value x, Value y) { return arith::AddIOp::create(b, x, y); }
  Value subBits(Value x, Value y) { return arith::SubIOp::create(b, x, y); }
  Value andBits(Value x, int64_t y) {
    return arith::AndIOp::create(b, x, integer(y));
  }
  Value shiftLeft(Value x, int64_t y) {
    return arith::ShLIOp::create(b, x, integer(y));
  }
  Value shiftRight(Value x, int64_t y) {
    return arith::ShRSIOp::create(b, x, integer(y));
  }
  Value isZeroBits(Value x) {
    return arith::CmpIOp::create(b, arith::CmpIPredicate::eq, x, integer(0));
  }
  /// Conversions between f32 and f64, to the emitter's width.
  Value extend(Value x) { return arith::ExtFOp::create(b, floatType(), x); }
  Value truncate(Value x) { return arith::TruncFOp::create(b, floatType(), x); }
  Value fromInteger(Value x) {
    return arith::SIToFPOp::create(b, floatType(), x);
  }

  /// Horner's scheme in fused steps; `coefficients` from the constant term up.
  Value polynomial(Value x, ArrayRef<double> coefficients) {
    Value sum = constant(coefficients.back());
    for (double c : llvm::reverse(coefficients.drop_back()))
      sum = fma(sum, x, constant(c));
    return sum;
  }

private:
  Type shaped(Type element) {
    if (auto type = dyn_cast<ShapedType>(like))
      return type.clone(element);
    return element;
  }
  Value splat(TypedAttr value, Type type) {
    if (auto shapedType = dyn_cast<ShapedType>(type))
      value = SplatElementsAttr::get(shapedType, Attribute(value));
    return arith::ConstantOp::create(b, type, value);
  }

  ImplicitLocOpBuilder b;
  Type like;
  unsigned bits;
};

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_CONVERSION_EXPANDMATH_FLOATEMITTER_H

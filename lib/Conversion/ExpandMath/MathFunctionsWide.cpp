//===- MathFunctionsWide.cpp - functions that need f64 inside ------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// pow, cbrt, log2 and log10 of f32 values through log2 and exp2 in f64 with an
// error of about 2^-40, rounded once to f32.
//
//===----------------------------------------------------------------------===//

#include "MathFunctions.h"

using namespace mlir;
using namespace mlir::spikequant;

namespace {
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kMagic = 0x1.8p+52;

/// log2((1 + s) / (1 - s)) / s in s^2, (1 + s) / (1 - s) from sqrt(1/2) to
/// sqrt(2).
constexpr double kLog2P[] = {0x1.71547652b82ffp+1, 0x1.ec709dc39c8f3p-1,
                             0x1.2776c516bce3ep-1, 0x1.a617566211749p-2,
                             0x1.484fb17de4eefp-2, 0x1.0bb718d4808a6p-2,
                             0x1.f193d2a8c2cf6p-3};
/// 2^r, |r| <= 1/2.
constexpr double kExp2P[] = {0x1.0p+0,
                             0x1.62e42fefa375ap-1,
                             0x1.ebfbdff8158e6p-3,
                             0x1.c6b08d70d05e5p-5,
                             0x1.3b2ab729e38c8p-7,
                             0x1.5d87fd92ea531p-10,
                             0x1.4308901faf235p-13,
                             0x1.ffce1d0ceaaf1p-17,
                             0x1.63ed8eed89aa0p-20,
                             0x1.b3fa689af329dp-24};
} // namespace

/// log2 of a non-negative f64 that came from an f32, so normal or 0 or
/// infinite: log2(0) is -infinity.
static Value log2Wide(FloatEmitter &e, Value x) {
  constexpr int64_t sqrtHalfBits = 0x3FE6A09E667F3BCD;
  Value bits = e.toBits(x);
  Value k = e.shiftRight(e.subBits(bits, e.integer(sqrtHalfBits)), 52);
  Value m = e.fromBits(e.subBits(bits, e.shiftLeft(k, 52)));
  Value one = e.constant(1.0);
  Value s = e.div(e.sub(m, one), e.add(m, one));
  Value p = e.polynomial(e.mul(s, s), kLog2P);
  Value result = e.fma(s, p, e.fromInteger(k));
  Value infinity = e.constant(kInfinity);
  result =
      e.select(e.equal(x, e.constant(0.0)), e.constant(-kInfinity), result);
  Value finite = e.compare(arith::CmpFPredicate::OLT, x, infinity);
  return e.select(finite, result, x); // infinity and NaN
}

/// 2^x; beyond the range of f32 a number that rounds to 0 or infinity.
static Value exp2Wide(FloatEmitter &e, Value x) {
  x = e.clamp(x, -200.0, 200.0);
  Value shifted = e.add(x, e.constant(kMagic));
  Value r = e.sub(x, e.sub(shifted, e.constant(kMagic)));
  Value exponent = e.shiftLeft(e.toBits(shifted), 52);
  Value power = e.fromBits(e.addBits(exponent, e.toBits(e.constant(1.0))));
  return e.mul(e.polynomial(r, kExp2P), power);
}

namespace {
/// An f32 emitter's f64 twin with the conversions.
struct Wide {
  FloatEmitter narrow, wide;
  explicit Wide(FloatEmitter &e) : narrow(e), wide(e.withBits(64)) {}
  Value in(Value x) { return wide.extend(x); }
  Value out(Value x) { return narrow.truncate(x); }
};
} // namespace

/// `factor` log2(x) with log's special values.
static Value scaledLog2(FloatEmitter &e, Value x, double factor) {
  Wide w(e);
  Value value = w.in(x);
  Value result = log2Wide(w.wide, value);
  if (factor != 1.0)
    result = w.wide.mul(result, w.wide.constant(factor));
  Value negative = e.less(x, e.constant(0.0));
  return e.select(negative, e.constant(kNaN), w.out(result));
}

Value mlir::spikequant::emitLog2(FloatEmitter &e, Value x) {
  return scaledLog2(e, x, 1.0);
}

Value mlir::spikequant::emitLog10(FloatEmitter &e, Value x) {
  return scaledLog2(e, x, 0x1.34413509f79ffp-2);
}

Value mlir::spikequant::emitCbrt(FloatEmitter &e, Value x) {
  Wide w(e);
  Value third = w.wide.constant(1.0 / 3.0);
  Value log = log2Wide(w.wide, w.in(e.abs(x)));
  return e.copySign(w.out(exp2Wide(w.wide, w.wide.mul(log, third))), x);
}

/// Whether y is an odd integer. From 2^24 on every f32 is an even one.
static Value isOdd(FloatEmitter &e, Value y) {
  Value half = e.mul(y, e.constant(0.5));
  Value notEven = e.compare(arith::CmpFPredicate::UNE, e.trunc(half), half);
  return e.both(e.equal(e.trunc(y), y), notEven);
}

Value mlir::spikequant::emitPow(FloatEmitter &e, Value x, Value y) {
  Wide w(e);
  Value zero = e.constant(0.0), one = e.constant(1.0);
  Value magnitude = e.abs(x);
  Value log = log2Wide(w.wide, w.in(magnitude));
  Value result = w.out(exp2Wide(w.wide, w.wide.mul(log, w.in(y))));
  // |x| = 1 with infinite y, and y = 0 or x = 1 even with NaN.
  Value infiniteY = e.equal(e.abs(y), e.constant(kInfinity));
  Value unit = e.both(e.equal(magnitude, one), infiniteY);
  result = e.select(unit, one, result);
  result = e.select(isOdd(e, y), e.copySign(result, x), result);
  Value negative =
      e.both(e.less(x, zero), e.less(magnitude, e.constant(kInfinity)));
  Value notIntegral = e.compare(arith::CmpFPredicate::UNE, e.trunc(y), y);
  result = e.select(e.both(negative, notIntegral), e.constant(kNaN), result);
  Value always = e.either(e.equal(y, zero), e.equal(x, one));
  return e.select(always, one, result);
}

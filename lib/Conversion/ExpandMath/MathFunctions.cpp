//===- MathFunctions.cpp - elementary functions in f32 -------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Polynomials are minimax fits of the relative error of the whole function,
// with coefficients rounded to f32 one after the other. No conversion from
// float to integer is used: adding 1.5 * 2^23 rounds to an integer and leaves
// it in the low bits, which is defined for NaN and infinities too.
//
//===----------------------------------------------------------------------===//

#include "MathFunctions.h"

using namespace mlir;
using namespace mlir::spikequant;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kLog2E = 0x1.715476p+0;
constexpr double kLn2High = 0x1.62e43p-1, kLn2Low = -0x1.05c61p-29;
constexpr double kMagic = 0x1.8p+23; // adding it rounds to an integer
constexpr int64_t kMagicBits = 0x4B400000;

/// (e^r - 1 - r) / r^2 for |r| <= ln(2) / 2.
constexpr double kExpQ[] = {0x1.fffffcp-2, 0x1.55548cp-3, 0x1.555858p-5,
                            0x1.123de6p-7, 0x1.6ac7e4p-10};
/// (2^r - 1) / r for |r| <= 1/2.
constexpr double kExp2P[] = {0x1.62e43p-1,  0x1.ebfbep-3,   0x1.c6afdcp-5,
                             0x1.3b2decp-7, 0x1.5ebadcp-10, 0x1.3e4a3ap-13};
/// (log(1 + f) - f + f^2 / 2) / f^3 for 1 + f in [sqrt(1/2), sqrt(2)].
constexpr double kLogP[] = {0x1.555548p-2,  -0x1.00005p-2,  0x1.99a506p-3,
                            -0x1.553c5cp-3, 0x1.2313d6p-3,  -0x1.002d64p-3,
                            0x1.ed50d4p-4,  -0x1.c7b402p-4, 0x1.d5742ap-5};
/// (tanh(x) - x) / x^3 in x^2, |x| <= 0.625.
constexpr double kTanhP[] = {-0x1.555532p-2, 0x1.1106f6p-3, -0x1.b835a4p-5,
                             0x1.51f8cep-6, -0x1.750ce2p-8};
/// erf(x) / x - 1 in x^2, |x| <= 0.921875.
constexpr double kErfP[] = {0x1.06eba8p-3,  -0x1.81274p-2, 0x1.ce2d64p-4,
                            -0x1.b80118p-6, 0x1.5449e4p-8, -0x1.a606c2p-11,
                            0x1.4f562ep-14};
/// log(erfc(x)), 0.92 <= x <= 3.95.
constexpr double kLogErfcP[] = {0x1.707666p-13, -0x1.212836p+0, -0x1.4444bep-1,
                                -0x1.bb8f7ap-4, 0x1.9bacccp-6,  -0x1.11898ap-8,
                                0x1.c82e98p-12, -0x1.62ca2cp-16};
/// (sin(r) - r) / r^3 and (cos(r) - 1 + r^2 / 2) / r^4 in r^2, |r| <= pi / 4.
constexpr double kSinP[] = {-0x1.555556p-3, 0x1.111174p-7, -0x1.a05954p-13,
                            0x1.7c2c4ep-19};
constexpr double kCosP[] = {0x1.555556p-5, -0x1.6c175ep-10, 0x1.a071bep-16,
                            -0x1.36184ep-22};

/// x = k ln(2) + r with integer k: the low bits of `bits` hold k.
struct Reduced {
  Value k, bits, r;
};

} // namespace

/// Rounds `scaled * factor` to an integer.
static Reduced roundToInteger(FloatEmitter &e, Value x, double factor) {
  Value shifted = e.fma(x, e.constant(factor), e.constant(kMagic));
  return {e.sub(shifted, e.constant(kMagic)), e.toBits(shifted), {}};
}

static Reduced reduceExp(FloatEmitter &e, Value x) {
  Reduced result = roundToInteger(e, x, kLog2E);
  Value r = e.fma(result.k, e.constant(-kLn2High), x);
  result.r = e.fma(result.k, e.constant(-kLn2Low), r);
  return result;
}

/// 2^n for integers n with -126 <= n <= 127.
static Value powerOfTwo(FloatEmitter &e, Value n) {
  return e.fromBits(e.shiftLeft(e.addBits(n, e.integer(127)), 23));
}

/// p 2^k in two exact steps and one rounding, k from -252 to 254: right into
/// the subnormal numbers and up to infinity.
static Value scale(FloatEmitter &e, Value p, Value shiftedBits) {
  Value k = e.subBits(shiftedBits, e.integer(kMagicBits));
  Value half = e.shiftRight(k, 1);
  p = e.mul(p, powerOfTwo(e, half));
  return e.mul(p, powerOfTwo(e, e.subBits(k, half)));
}

Value mlir::spikequant::emitExp(FloatEmitter &e, Value x) {
  // Beyond these the result is 0 and infinity.
  x = e.clamp(x, -105.0, 90.0);
  Reduced reduced = reduceExp(e, x);
  Value r = reduced.r;
  Value p = e.fma(e.mul(r, r), e.polynomial(r, kExpQ), r);
  return scale(e, e.add(p, e.constant(1.0)), reduced.bits);
}

Value mlir::spikequant::emitExp2(FloatEmitter &e, Value x) {
  x = e.clamp(x, -152.0, 130.0);
  Reduced reduced = roundToInteger(e, x, 1.0);
  Value r = e.sub(x, reduced.k);
  Value p = e.fma(r, e.polynomial(r, kExp2P), e.constant(1.0));
  return scale(e, p, reduced.bits);
}

/// 2^k (e^r - 1) + 2^k - 1 with half the power, so that k = 128 works.
Value mlir::spikequant::emitExpM1(FloatEmitter &e, Value x) {
  Value limited = e.clamp(x, -18.0, 89.0);
  Reduced reduced = reduceExp(e, limited);
  Value r = reduced.r;
  Value q = e.fma(e.mul(r, r), e.polynomial(r, kExpQ), r);
  Value k = e.subBits(reduced.bits, e.integer(kMagicBits + 1));
  Value half = powerOfTwo(e, k);
  Value sum = e.fma(half, q, e.sub(half, e.constant(0.5)));
  Value result = e.add(sum, sum);
  // Keeps -0 and the subnormal numbers.
  Value tiny = e.less(e.abs(x), e.constant(0x1p-25));
  return e.select(tiny, x, result);
}

/// log(u) + correction for normal positive u, `exponent` being a number to add
/// to u's exponent.
static Value logCore(FloatEmitter &e, Value u, Value exponent,
                     Value correction) {
  constexpr int64_t sqrtHalfBits = 0x3F3504F3;
  Value bits = e.toBits(u);
  Value k = e.shiftRight(e.subBits(bits, e.integer(sqrtHalfBits)), 23);
  Value m = e.fromBits(e.subBits(bits, e.shiftLeft(k, 23)));
  Value f = e.sub(m, e.constant(1.0));
  k = e.fromInteger(k);
  if (exponent)
    k = e.add(k, exponent);
  Value square = e.mul(f, f);
  Value low = e.mul(k, e.constant(kLn2Low));
  if (correction)
    low = e.add(low, correction);
  Value cube = e.mul(square, f);
  Value tail = e.fma(cube, e.polynomial(f, kLogP), low);
  tail = e.fma(square, e.constant(-0.5), tail);
  return e.fma(k, e.constant(kLn2High), e.add(f, tail));
}

/// log's values outside the positive finite numbers: `x` is the argument,
/// `zero` where the result is -infinity.
static Value logSpecial(FloatEmitter &e, Value x, double zero, Value result) {
  Value infinity = e.constant(kInfinity);
  result =
      e.select(e.equal(x, e.constant(zero)), e.constant(-kInfinity), result);
  result = e.select(e.equal(x, infinity), infinity, result);
  Value bad = e.compare(arith::CmpFPredicate::ULT, x, e.constant(zero));
  return e.select(bad, e.constant(kNaN), result);
}

Value mlir::spikequant::emitLog(FloatEmitter &e, Value x) {
  Value small = e.less(x, e.constant(0x1p-126));
  Value u = e.select(small, e.mul(x, e.constant(0x1p+23)), x);
  Value exponent = e.select(small, e.constant(-23.0), e.constant(0.0));
  return logSpecial(e, x, 0.0, logCore(e, u, exponent, {}));
}

/// log(1 + x) through u = f32(1 + x), corrected by (1 + x - u) / u.
Value mlir::spikequant::emitLog1p(FloatEmitter &e, Value x) {
  Value one = e.constant(1.0);
  Value u = e.add(one, x);
  Value large = e.less(one, x);
  Value lost =
      e.select(large, e.sub(one, e.sub(u, x)), e.sub(x, e.sub(u, one)));
  Value result = logCore(e, u, {}, e.div(lost, u));
  Value tiny = e.less(e.abs(x), e.constant(0x1p-25));
  return e.select(tiny, x, logSpecial(e, x, -1.0, result));
}

/// A polynomial near 0, 1 - 2 / (e^2|x| + 1) beyond.
Value mlir::spikequant::emitTanh(FloatEmitter &e, Value x) {
  Value magnitude = e.abs(x), square = e.mul(x, x);
  Value near = e.fma(e.mul(square, x), e.polynomial(square, kTanhP), x);
  Value one = e.constant(1.0);
  Value exponential = emitExp(e, e.add(magnitude, magnitude));
  Value far = e.sub(one, e.div(e.constant(2.0), e.add(exponential, one)));
  Value isNear = e.less(magnitude, e.constant(0.625));
  return e.copySign(e.select(isNear, near, far), x); // keeps -0
}

/// A polynomial near 0, 1 - exp(log(erfc |x|)) beyond.
Value mlir::spikequant::emitErf(FloatEmitter &e, Value x) {
  Value magnitude = e.abs(x), square = e.mul(x, x);
  Value near = e.fma(x, e.polynomial(square, kErfP), x);
  // erfc(3.95) is less than half an ulp of 1.
  Value logErfc = e.polynomial(e.clamp(magnitude, 0.0, 3.95), kLogErfcP);
  Value far = e.sub(e.constant(1.0), emitExp(e, logErfc));
  Value isNear = e.less(magnitude, e.constant(0.921875));
  return e.select(isNear, near, e.copySign(far, x));
}

/// x = k pi/2 + r, pi/2 in three parts; r is limited to [-1, 1], which matters
/// only where |x| is so large that the reduction has lost all digits.
static Reduced reducePi(FloatEmitter &e, Value x) {
  Reduced result = roundToInteger(e, x, 0x1.45f306p-1);
  Value r = e.fma(result.k, e.constant(-0x1.921fb6p+0), x);
  r = e.fma(result.k, e.constant(0x1.777a5cp-25), r);
  r = e.fma(result.k, e.constant(0x1.ee59dap-50), r);
  result.r = e.clamp(r, -1.0, 1.0);
  return result;
}

/// sin(r + k pi/2) with k = the low bits of `quadrant`.
static Value sinOfQuadrant(FloatEmitter &e, Value r, Value quadrant) {
  Value square = e.mul(r, r);
  Value sine = e.fma(e.mul(square, r), e.polynomial(square, kSinP), r);
  Value cosine = e.fma(square, e.constant(-0.5), e.constant(1.0));
  cosine = e.fma(e.mul(square, square), e.polynomial(square, kCosP), cosine);
  Value even = e.isZeroBits(e.andBits(quadrant, 1));
  Value value = e.select(even, sine, cosine);
  Value positive = e.isZeroBits(e.andBits(quadrant, 2));
  return e.select(positive, value, e.neg(value));
}

Value mlir::spikequant::emitSin(FloatEmitter &e, Value x) {
  Reduced reduced = reducePi(e, x);
  Value result = sinOfQuadrant(e, reduced.r, reduced.bits);
  return e.select(e.equal(x, e.constant(0.0)), x, result); // keeps -0
}

Value mlir::spikequant::emitCos(FloatEmitter &e, Value x) {
  Reduced reduced = reducePi(e, x);
  return sinOfQuadrant(e, reduced.r, e.addBits(reduced.bits, e.integer(1)));
}

Value mlir::spikequant::emitRsqrt(FloatEmitter &e, Value x) {
  return e.div(e.constant(1.0), e.sqrt(x));
}

/// Half away from zero: the addend is the number below 1/2, so that the sum
/// does not round up to the next integer by itself.
Value mlir::spikequant::emitRound(FloatEmitter &e, Value x) {
  Value half = e.copySign(e.constant(0x1.fffffep-2), x);
  return e.trunc(e.add(x, half));
}

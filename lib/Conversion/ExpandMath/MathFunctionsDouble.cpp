//===- MathFunctionsDouble.cpp - f64 functions over the C library's ------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// MLIR lowers expm1(x) to exp(x) - 1 and log1p(x) to log(1 + x), which lose all
// digits of small x. With u = exp(x) or u = 1 + x as rounded, the error of u
// cancels in these quotients (W. Kahan).
//
//===----------------------------------------------------------------------===//

#include "MathFunctions.h"

using namespace mlir;
using namespace mlir::spikequant;

/// (u - 1) x / log(u) for |x| < 1, u - 1 elsewhere; x where u is 1.
Value mlir::spikequant::emitExpM1Double(FloatEmitter &e, Value x) {
  Value one = e.constant(1.0);
  Value u = e.exp(x);
  Value less = e.sub(u, one);
  Value exact = e.div(e.mul(less, x), e.log(u));
  Value result = e.select(e.less(e.abs(x), one), exact, less);
  return e.select(e.equal(u, one), x, result);
}

/// log(u) x / (u - 1); x where u is 1, log(u) where u is infinite.
Value mlir::spikequant::emitLog1pDouble(FloatEmitter &e, Value x) {
  Value one = e.constant(1.0);
  Value u = e.add(x, one);
  Value log = e.log(u);
  Value exact = e.div(e.mul(log, x), e.sub(u, one));
  Value infinity = e.constant(std::numeric_limits<double>::infinity());
  Value result = e.select(e.equal(u, infinity), log, exact);
  return e.select(e.equal(u, one), x, result);
}

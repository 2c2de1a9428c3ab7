//===- MathFunctions.h - elementary functions as IR ----------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Each function emits the operations that define it in the strict float
// profile; docs/FloatProfile.md states their accuracy. All take and return f32
// (of the emitter's shape) with an emitter of 32 bits.
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_CONVERSION_EXPANDMATH_MATHFUNCTIONS_H
#define SPIKEQUANT_LIB_CONVERSION_EXPANDMATH_MATHFUNCTIONS_H

#include "FloatEmitter.h"

namespace mlir::spikequant {

Value emitExp(FloatEmitter &e, Value x);
Value emitExp2(FloatEmitter &e, Value x);
Value emitExpM1(FloatEmitter &e, Value x);
Value emitLog(FloatEmitter &e, Value x);
Value emitLog1p(FloatEmitter &e, Value x);
Value emitTanh(FloatEmitter &e, Value x);
Value emitErf(FloatEmitter &e, Value x);
Value emitSin(FloatEmitter &e, Value x);
Value emitCos(FloatEmitter &e, Value x);
Value emitRsqrt(FloatEmitter &e, Value x);
Value emitRound(FloatEmitter &e, Value x);

// These compute in f64 and round once to f32.
Value emitLog2(FloatEmitter &e, Value x);
Value emitLog10(FloatEmitter &e, Value x);
Value emitCbrt(FloatEmitter &e, Value x);
Value emitPow(FloatEmitter &e, Value x, Value y);

// Of f64, over exp and log.
Value emitExpM1Double(FloatEmitter &e, Value x);
Value emitLog1pDouble(FloatEmitter &e, Value x);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_CONVERSION_EXPANDMATH_MATHFUNCTIONS_H

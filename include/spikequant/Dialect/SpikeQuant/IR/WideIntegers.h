//===- WideIntegers.h - i64 arithmetic in bodies ----------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_DIALECT_SPIKEQUANT_IR_WIDEINTEGERS_H
#define SPIKEQUANT_DIALECT_SPIKEQUANT_IR_WIDEINTEGERS_H

#include "spikequant/Kernel/Grid.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

namespace mlir::spikequant {

/// Emits operations on i64 scalars, those of an elementwise body for instance.
struct WideIntegers {
  OpBuilder &b;
  Location loc;

  Value number(int64_t value) {
    return arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(value));
  }
  Value number32(int32_t value) {
    return arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(value));
  }
  /// A signed integer of at most 64 bits as i64.
  Value extend(Value value) {
    return value.getType().isInteger(64)
               ? value
               : arith::ExtSIOp::create(b, loc, b.getI64Type(), value);
  }
  Value max(Value x, Value y) { return arith::MaxSIOp::create(b, loc, x, y); }
  Value min(Value x, Value y) { return arith::MinSIOp::create(b, loc, x, y); }
  Value add(Value x, Value y) { return arith::AddIOp::create(b, loc, x, y); }
  Value sub(Value x, Value y) { return arith::SubIOp::create(b, loc, x, y); }
  Value mul(Value x, Value y) { return arith::MulIOp::create(b, loc, x, y); }
  /// To the right, signed.
  Value shift(Value x, Value y) { return arith::ShRSIOp::create(b, loc, x, y); }
  Value clamp(Value x, int64_t lo, int64_t hi) {
    return min(max(x, number(lo)), number(hi));
  }
  /// x 2^-places, halves up; places is at least 1.
  Value scaleDown(Value x, Value places) {
    Value below = sub(places, number(1));
    Value half = arith::ShLIOp::create(b, loc, number(1), below);
    return shift(add(x, half), places);
  }
  /// A grid number, i32.
  Value saturate(Value x) {
    x = clamp(x, -::spikequant::maxGrid, ::spikequant::maxGrid);
    return arith::TruncIOp::create(b, loc, b.getI32Type(), x);
  }
};

} // namespace mlir::spikequant

#endif // SPIKEQUANT_DIALECT_SPIKEQUANT_IR_WIDEINTEGERS_H

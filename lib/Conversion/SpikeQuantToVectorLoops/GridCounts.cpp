//===- GridCounts.cpp - counts of fixed-point rows, in vectors ------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Per row, from the bits of its real factor: m, l, r (see Kernel/GridEncode.h).
// Per channel, in i64 lanes:
//
//   y = clamp((((x m) << l) + ((1 << r) >> 1)) >> r)
//   n = clamp(((y - Z) M + 2^(S-1)) >> S)
//
//===----------------------------------------------------------------------===//

#include "Kernels.h"

#include "spikequant/Kernel/Encode.h"
#include "spikequant/Kernel/Grid.h"
#include "spikequant/Kernel/GridEncode.h"

using namespace mlir;
using namespace mlir::spikequant;

Value GridCounts::number(int64_t value) {
  return b.integer(b.vectorOf(b.getI64Type(), lanes), value);
}

Value GridCounts::loadWide(Value memref, ValueRange indices, int64_t valid) {
  return b.extendSigned(b.load(memref, indices, lanes, valid), b.getI64Type());
}

static Value clamp(KernelBuilder &b, Value value, Value least, Value most) {
  value = arith::MaxSIOp::create(b, value, least);
  return arith::MinSIOp::create(b, value, most);
}

/// Mantissa and shifts of the row's factor, as scalars of 32 bits.
void GridCounts::beginRow(Value rowIndex) {
  row = rowIndex;
  if (!arrays.rowScale)
    return;
  Type i32 = b.getI32Type(), i64 = b.getI64Type();
  auto word = [&](int64_t value) { return b.integer(i32, value); };
  Value bits =
      arith::BitcastOp::create(b, i32, b.loadScalar(arrays.rowScale, row));
  Value field = arith::AndIOp::create(
      b, arith::ShRUIOp::create(b, bits, word(23)), word(0xff));
  Value fraction = arith::AndIOp::create(b, bits, word(0x7fffff));
  Value normal = b.compare(arith::CmpIPredicate::ne, field, word(0));
  Value whole = arith::OrIOp::create(b, fraction, word(0x800000));
  Value magnitude = b.select(normal, whole, fraction);
  Value negative = b.compare(arith::CmpIPredicate::slt, bits, word(0));
  Value m = b.select(negative, b.sub(word(0), magnitude), magnitude);
  Value exponent = arith::MaxSIOp::create(b, field, word(1));
  exponent = b.add(exponent,
                   word(shape.unitExponent + ::spikequant::rowExponent - 150));
  Value l = clamp(b, exponent, word(0), word(8));
  Value r = clamp(b, b.sub(word(0), exponent), word(0), word(62));
  auto spread = [&](Value value) {
    return b.broadcast(b.extendSigned(value, i64), lanes);
  };
  mantissa = spread(m);
  left = spread(l);
  right = spread(r);
  half = arith::ShRUIOp::create(b, arith::ShLIOp::create(b, number(1), right),
                                number(1));
}

Value GridCounts::scaleByRow(Value x) {
  Value y = arith::ShLIOp::create(b, b.mul(x, mantissa), left);
  y = arith::ShRSIOp::create(b, b.add(y, half), right);
  return clamp(b, y, number(-::spikequant::maxGrid),
               number(::spikequant::maxGrid));
}

Value GridCounts::counts(Value channel, int64_t valid) {
  Value y = loadWide(arrays.input, {row, channel}, valid);
  if (arrays.rowScale)
    y = scaleByRow(y);
  auto rate = [&](int64_t part) {
    return loadWide(arrays.rates, {b.index(part), channel}, valid);
  };
  if (shape.centred)
    y = b.sub(y, rate(2));
  Value shift = rate(1);
  // Channels that do not exist have no shift; nobody reads their counts.
  Value below = arith::MaxSIOp::create(b, b.sub(shift, number(1)), number(0));
  Value rounding = arith::ShLIOp::create(b, number(1), below);
  Value n =
      arith::ShRSIOp::create(b, b.add(b.mul(y, rate(0)), rounding), shift);
  constexpr int64_t most = ::spikequant::maxCount;
  return b.truncate(clamp(b, n, number(-most), number(most)), b.getI32Type());
}

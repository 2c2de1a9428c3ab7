//===- OverflowEpilogue.cpp - overflow entries and decoding ---------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A row without overflow decodes its accumulators at once. A row with overflow
// entries (channel j, count n) adds n * W_j first: in i32 if
// 127 R + sum |n_j| C_j < 2^31 (R largest row sum, C_j largest |W| of column
// j), else in i64. Both give the same bits.
//
//===----------------------------------------------------------------------===//

#include "IntegrateKernel.h"

using namespace mlir;
using namespace mlir::spikequant;

void IntegrateEmitter::emitEpilogue(const RegisterBlock &block,
                                    ValueRange accumulators) {
  for (int64_t row = 0; row < block.rows; ++row) {
    ValueRange own = accumulators.slice(row * block.tiles, block.tiles);
    Value entries =
        b.loadScalar(arrays.overflow, {rowOf(block, row), b.index(0)});
    Value any = b.compare(arith::CmpIPredicate::ne, entries, b.integer(i32, 0));
    b.branch(
        any, [&] { emitOverflow(block, row, entries, own); },
        [&] { emitRowResult(block, row, own); });
  }
}

/// y = f32(acc) * f32(step * s_w), and acc where it is wanted.
void IntegrateEmitter::emitRowResult(const RegisterBlock &block, int64_t row,
                                     ValueRange accumulators) {
  Value step = b.broadcast(arrays.step, kLanes);
  for (auto [tile, acc] : llvm::enumerate(accumulators)) {
    Value channel = b.scale(tileOf(block, tile), kLanes);
    int64_t lanes = block.lanesOf(tile);
    Value stored = b.scale(weightTileOf(block, tile), kLanes);
    Value scale = b.mul(step, b.load(arrays.weights.scales, stored, kLanes));
    Value y = b.mul(b.toReal(acc), scale);
    b.store(y, arrays.result, {rowOf(block, row), channel}, lanes);
    if (arrays.membrane)
      b.store(b.extendSigned(acc, b.getI64Type()), arrays.membrane,
              {rowOf(block, row), channel}, lanes);
  }
}

void IntegrateEmitter::emitOverflow(const RegisterBlock &block, int64_t row,
                                    Value entries, ValueRange accumulators) {
  Value count = b.indexCast(entries, b.getIndexType());
  auto finish = [&](ValueRange from, Type type) {
    emitRowResult(block, row, addOverflow(block, row, count, from, type));
  };
  auto inI64 = [&] {
    SmallVector<Value> wide;
    for (Value acc : accumulators)
      wide.push_back(b.extendSigned(acc, b.getI64Type()));
    finish(wide, b.getI64Type());
  };
  if (shape.wide)
    return inI64();
  b.branch(
      overflowFits(block, row, count), [&] { finish(accumulators, i32); },
      inI64);
}

/// Channel (index) and count (i32) of an overflow entry.
std::pair<Value, Value> IntegrateEmitter::loadEntry(const RegisterBlock &block,
                                                    int64_t row, Value entry) {
  Value slot = b.offset(b.scale(entry, 2), 2);
  Value channel = b.loadScalar(arrays.overflow, {rowOf(block, row), slot});
  Value count =
      b.loadScalar(arrays.overflow, {rowOf(block, row), b.offset(slot, 1)});
  return {b.indexCast(channel, b.getIndexType()), count};
}

/// sum |n_j| C_j <= 2^31 - 1 - 127 R.
Value IntegrateEmitter::overflowFits(const RegisterBlock &block, int64_t row,
                                     Value entries) {
  Type i64 = b.getI64Type();
  Value total =
      b.loop(b.index(0), entries, 1, b.integer(i64, 0),
             [&](Value entry, ValueRange carried) -> SmallVector<Value> {
               auto [channel, count] = loadEntry(block, row, entry);
               Value magnitude = arith::MaxSIOp::create(
                   b, count, b.sub(b.integer(i32, 0), count));
               Value largest = b.loadScalar(arrays.columnMax, channel);
               return {b.add(carried[0], b.mul(b.extendSigned(magnitude, i64),
                                               b.extendSigned(largest, i64)))};
             })[0];
  return b.compare(arith::CmpIPredicate::sle, total, arrays.slack);
}

SmallVector<Value> IntegrateEmitter::addOverflow(const RegisterBlock &block,
                                                 int64_t row, Value entries,
                                                 ValueRange accumulators,
                                                 Type type) {
  return b.loop(b.index(0), entries, 1, accumulators,
                [&](Value entry, ValueRange carried) {
                  auto [channel, count] = loadEntry(block, row, entry);
                  Value n = b.broadcast(b.extendSigned(count, type), kLanes);
                  SmallVector<Value> next;
                  for (int64_t tile = 0; tile < block.tiles; ++tile) {
                    Value w = weightColumn(block, channel, tile);
                    next.push_back(b.add(carried[tile],
                                         b.mul(b.extendSigned(w, type), n)));
                  }
                  return next;
                });
}

/// CodePlane::bitOf of a channel that is known at run time.
static Value placeInPlane(KernelBuilder &b, const CodesShape &weights,
                          CodePlane plane, Value channel) {
  if (weights.container == 8)
    return b.scale(b.remainderIndex(channel, 4), 8);
  Value place = b.remainderIndex(channel, 8);
  Value half = b.divideIndex(place, 4);
  if (plane.bits == 1)
    return place;
  if (plane.bits == 4)
    return b.add(b.scale(b.remainderIndex(channel, 4), 8), b.scale(half, 4));
  Value pair = b.remainderIndex(b.divideIndex(place, 2), 2);
  Value first = b.add(b.scale(b.remainderIndex(place, 2), 8), b.scale(pair, 4));
  return b.add(first, b.scale(half, 2));
}

/// W[o][channel] of a tile's 16 output channels, as lanes of i32.
Value IntegrateEmitter::weightColumn(const RegisterBlock &block, Value channel,
                                     int64_t tile) {
  // The bytes of an output channel are one lane; the code's place in it is the
  // same for all of them.
  Value group = weights.groups() == 1 ? b.index(0)
                                      : b.divideIndex(channel, weights.group);
  Value start =
      lineStart(block, group, b.divideIndex(channel, weights.kPerLine()));
  Value codes;
  for (CodePlane plane : weights.planes()) {
    Value words = planeWords(loadPlane(block, start, tile, plane), plane);
    Value shift = placeInPlane(b, weights, plane, channel);
    Value distance = b.broadcast(b.indexCast(shift, i32), kLanes);
    Value part = arith::ShRUIOp::create(b, words, distance);
    int64_t mask = weights.container == 8 ? 255 : (1 << plane.bits) - 1;
    part = arith::AndIOp::create(b, part, b.integer(sums, mask));
    if (plane.shift) {
      part = arith::ShLIOp::create(b, part, b.integer(sums, plane.shift));
      part = arith::OrIOp::create(b, codes, part);
    }
    codes = part;
  }
  Value m = multipliers(block, tile, group);
  return b.add(b.mul(m, codes), offsets(block, tile, group, m));
}

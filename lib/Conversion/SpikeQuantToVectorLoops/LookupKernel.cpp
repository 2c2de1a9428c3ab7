//===- LookupKernel.cpp - rows of packed weights, salience counters -------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A row of the matrix is one output channel: four bytes of each line of its
// tile. Per line, y[i][k0 + j] = f32(m * u + c) * s_w.
//
//===----------------------------------------------------------------------===//

#include "Kernels.h"

using namespace mlir;
using namespace mlir::spikequant;

namespace {

class LookupEmitter {
public:
  LookupEmitter(KernelBuilder &b, const CodesShape &shape,
                const CodesArrays &weights, Value ids, Value result)
      : b(b), shape(shape), weights(weights), ids(ids), result(result),
        i32(b.getI32Type()) {}

  void emitRow(Value rowIndex);

private:
  void locate();
  void emitLine(Value line, int64_t valid);
  Value codesOf(Value line);
  Value parameter(Value array, Value line);

  KernelBuilder &b;
  const CodesShape &shape;
  const CodesArrays &weights;
  Value ids, result;
  Type i32;
  Value row, tile, lane, firstLine, stride, scale;
};

} // namespace

/// Finds the row's tile and the address and stride of its lines.
void LookupEmitter::locate() {
  Value id = b.loadScalar(ids, row);
  Value zero = b.integer(id.getType(), 0);
  Value last = b.integer(id.getType(), shape.n - 1);
  id = arith::MinSIOp::create(b, arith::MaxSIOp::create(b, id, zero), last);
  Value channel = b.indexCast(id, b.getIndexType());
  tile = b.divideIndex(channel, kLanes);
  lane = b.remainderIndex(channel, kLanes);
  Value first = b.scale(b.divideIndex(tile, 4), 4);
  // The last panel may have fewer tiles and so a smaller stride.
  Value tilesLeft = b.sub(b.index(shape.tiles()), first);
  stride = arith::MinUIOp::create(b, tilesLeft, b.index(4));
  Value line = b.add(b.scale(first, shape.linesPerTile()), b.sub(tile, first));
  firstLine = b.add(b.scale(line, 64), b.scale(lane, 4));
  scale = b.loadScalar(weights.scales, channel);
}

/// The codes of one line as kPerLine lanes of i32, in the order of channels.
Value LookupEmitter::codesOf(Value line) {
  Value address = b.add(firstLine, b.scale(b.mul(line, stride), 64));
  Value four = b.extendUnsigned(b.load(weights.codes, address, 4), i32);
  if (shape.container == 8)
    return four;
  VectorType type = b.vectorOf(i32, 4);
  Value low = arith::AndIOp::create(b, four, b.integer(type, 15));
  Value high = arith::ShRUIOp::create(b, four, b.integer(type, 4));
  SmallVector<int64_t> inOrder = {0, 1, 2, 3, 4, 5, 6, 7};
  return vector::ShuffleOp::create(b, low, high, inOrder);
}

/// m or c of the row for a line's channels, one scalar.
Value LookupEmitter::parameter(Value array, Value line) {
  Value group = b.index(0);
  if (shape.groups() > 1)
    group = b.divideIndex(line, shape.group / shape.kPerLine());
  return b.loadScalar(array, {tile, group, lane});
}

void LookupEmitter::emitLine(Value line, int64_t valid) {
  int64_t lanes = shape.kPerLine();
  Value m = b.extendUnsigned(parameter(weights.multipliers, line), i32);
  Value c = b.extendSigned(parameter(weights.offsets, line), i32);
  Value w =
      b.add(b.mul(codesOf(line), b.broadcast(m, lanes)), b.broadcast(c, lanes));
  Value y = b.mul(b.toReal(w), b.broadcast(scale, lanes));
  b.store(y, result, {row, b.scale(line, lanes)}, valid);
}

void LookupEmitter::emitRow(Value rowIndex) {
  row = rowIndex;
  locate();
  int64_t whole = shape.k / shape.kPerLine();
  b.loop(b.index(0), b.index(whole), 1, {}, [&](Value line, ValueRange) {
    emitLine(line, shape.kPerLine());
    return SmallVector<Value>();
  });
  if (int64_t rest = shape.k % shape.kPerLine())
    emitLine(b.index(whole), rest);
}

void mlir::spikequant::emitLookup(KernelBuilder &b, int64_t rows,
                                  const CodesShape &shape,
                                  const CodesArrays &weights, Value ids,
                                  Value result) {
  b.parallel(rows, [&](Value row) {
    LookupEmitter(b, shape, weights, ids, result).emitRow(row);
  });
}

void mlir::spikequant::emitTally(KernelBuilder &b, int64_t rows, Value overflow,
                                 Value counters, Value site) {
  Type i64 = b.getI64Type();
  b.parallel(1, [&](Value) {
    Value total =
        b.loop(b.index(0), b.index(rows), 1, b.loadScalar(counters, site),
               [&](Value row, ValueRange carried) -> SmallVector<Value> {
                 Value salient = b.loadScalar(overflow, {row, b.index(1)});
                 return {b.add(carried[0], b.extendSigned(salient, i64))};
               })[0];
    b.storeScalar(total, counters, site);
  });
}

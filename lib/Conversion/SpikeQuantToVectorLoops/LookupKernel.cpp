//===- LookupKernel.cpp - rows of packed weights, salience counters -------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A row of the matrix is one output channel: some bytes of each plane of each
// line of its tile. Per line, y[i][k0 + j] = f32(m * u + c) * s_w.
//
//===----------------------------------------------------------------------===//

#include "Kernels.h"

#include "spikequant/Kernel/Grid.h"

using namespace mlir;
using namespace mlir::spikequant;

namespace {

class LookupEmitter {
public:
  LookupEmitter(KernelBuilder &b, const CodesShape &shape,
                const CodesArrays &weights, Value ids, Value result,
                Value rates)
      : b(b), shape(shape), weights(weights), ids(ids), result(result),
        rates(rates), i32(b.getI32Type()) {}

  void emitRow(Value rowIndex);

private:
  void locate();
  void emitLine(Value line, int64_t valid);
  void loadRate();
  Value toGrid(Value w);
  Value codesOf(Value line);
  Value planeOf(Value line, CodePlane plane);
  Value groupOf(Value line);
  std::pair<Value, Value> parameters(Value line);

  KernelBuilder &b;
  const CodesShape &shape;
  const CodesArrays &weights;
  Value ids, result, rates;
  Type i32;
  Value row, channel, tile, lane, panel, inPanel, stride, scale;
  Value multiplier, shift, half, bias; ///< i64: the rate of the row
};

} // namespace

/// Finds the row's tile, and the address and number of tiles of its panel.
void LookupEmitter::locate() {
  Value id = b.loadScalar(ids, row);
  Value zero = b.integer(id.getType(), 0);
  Value last = b.integer(id.getType(), shape.n - 1);
  id = arith::MinSIOp::create(b, arith::MaxSIOp::create(b, id, zero), last);
  channel = b.indexCast(id, b.getIndexType());
  tile = b.divideIndex(channel, kLanes);
  lane = b.remainderIndex(channel, kLanes);
  Value first = b.scale(b.divideIndex(tile, 4), 4);
  // The last panel may have fewer tiles and so a smaller stride.
  Value tilesLeft = b.sub(b.index(shape.tiles()), first);
  stride = arith::MinUIOp::create(b, tilesLeft, b.index(4));
  panel = b.scale(first, shape.tileBytes());
  inPanel = b.sub(tile, first);
  if (rates)
    return loadRate();
  scale = b.loadScalar(weights.scales, channel);
}

void LookupEmitter::loadRate() {
  Type i64 = b.getI64Type();
  auto load = [&](int64_t part) {
    return b.extendSigned(b.loadScalar(rates, {b.index(part), channel}), i64);
  };
  multiplier = load(0);
  shift = load(1);
  bias = load(2);
  Value one = b.integer(i64, 1);
  half = arith::ShLIOp::create(b, one, b.sub(shift, one));
}

/// clamp(((w M + 2^(S-1)) >> S) + b): the numbers of `grid`.
Value LookupEmitter::toGrid(Value w) {
  int64_t lanes = shape.kPerLine();
  Type wide = b.vectorOf(b.getI64Type(), lanes);
  Value y =
      b.mul(b.extendSigned(w, b.getI64Type()), b.broadcast(multiplier, lanes));
  y = arith::ShRSIOp::create(b, b.add(y, b.broadcast(half, lanes)),
                             b.broadcast(shift, lanes));
  y = b.add(y, b.broadcast(bias, lanes));
  y = arith::MaxSIOp::create(b, y, b.integer(wide, -::spikequant::maxGrid));
  y = arith::MinSIOp::create(b, y, b.integer(wide, ::spikequant::maxGrid));
  return b.truncate(y, i32);
}

/// The plane's part of the codes of one line, kPerLine lanes of i32.
Value LookupEmitter::planeOf(Value line, CodePlane plane) {
  Value headers = b.scale(b.offset(groupOf(line), 1), shape.groupBytes());
  Value before = b.add(b.scale(line, shape.lineBytes()),
                       b.offset(headers, plane.bytesBefore()));
  Value start = b.mul(before, stride);
  Value own =
      b.add(b.scale(inPanel, plane.bytesPerTile()), b.scale(lane, plane.bits));
  Value stored =
      b.load(weights.codes, b.add(panel, b.add(start, own)), plane.bits);
  if (shape.container == 8)
    return b.extendUnsigned(stored, i32);
  Type word = b.getIntegerType(8 * plane.bits);
  Value scalar =
      vector::ExtractOp::create(b, b.bitcast(stored, word, 1), int64_t{0});
  if (plane.bits != 4)
    scalar = b.extendUnsigned(scalar, i32);
  Value words = b.broadcast(scalar, 8);
  SmallVector<int32_t> places;
  for (int64_t j = 0; j < 8; ++j)
    places.push_back(plane.bitOf(j));
  Value shifts = arith::ConstantOp::create(
      b, DenseElementsAttr::get(b.vectorOf(i32, 8), ArrayRef(places)));
  Value part = arith::ShRUIOp::create(b, words, shifts);
  return arith::AndIOp::create(
      b, part, b.integer(b.vectorOf(i32, 8), (1 << plane.bits) - 1));
}

/// The codes of one line as kPerLine lanes of i32, in the order of channels.
Value LookupEmitter::codesOf(Value line) {
  Value codes;
  for (CodePlane plane : shape.planes()) {
    Value part = planeOf(line, plane);
    if (plane.shift) {
      Value places = b.integer(b.vectorOf(i32, 8), plane.shift);
      part = arith::ShLIOp::create(b, part, places);
      part = arith::OrIOp::create(b, codes, part);
    }
    codes = part;
  }
  return codes;
}

Value LookupEmitter::groupOf(Value line) {
  return shape.groups() == 1 ? b.index(0)
                             : b.divideIndex(line, shape.linesPerGroup());
}

/// m and c of the row for a line's channels, scalars of i32.
std::pair<Value, Value> LookupEmitter::parameters(Value line) {
  int64_t bytes =
      shape.groupBytes() + shape.linesPerGroup() * shape.lineBytes();
  Value start = b.add(panel, b.mul(b.scale(groupOf(line), bytes), stride));
  Value place = b.add(b.scale(inPanel, kLanes), lane);
  Value m =
      b.extendUnsigned(b.loadScalar(weights.codes, b.add(start, place)), i32);
  Value offsets = b.add(start, b.scale(stride, kLanes));
  if (shape.offsetBits == 8) {
    Value z = b.extendUnsigned(
        b.loadScalar(weights.codes, b.add(offsets, place)), i32);
    return {m, emitOffsets(b, shape, m, z)};
  }
  Value stored = b.load(weights.codes, b.add(offsets, b.scale(place, 2)), 2);
  Value c = vector::ExtractOp::create(b, b.bitcast(stored, b.getI16Type(), 1),
                                      int64_t{0});
  return {m, b.extendSigned(c, i32)};
}

void LookupEmitter::emitLine(Value line, int64_t valid) {
  int64_t lanes = shape.kPerLine();
  auto [m, c] = parameters(line);
  Value w =
      b.add(b.mul(codesOf(line), b.broadcast(m, lanes)), b.broadcast(c, lanes));
  Value y = rates ? toGrid(w) : b.mul(b.toReal(w), b.broadcast(scale, lanes));
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
                                  Value result, Value rates) {
  b.parallel(rows, [&](Value row) {
    LookupEmitter(b, shape, weights, ids, result, rates).emitRow(row);
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

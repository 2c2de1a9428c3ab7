//===- IntegrateKernel.cpp - dense part of the integrate kernel -----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Register blocks of rows x tiles; per group of input channels
//
//   p = sum of u * n            unsigned codes, signed counts: spikequant.dot4
//   acc += m * p + c * S        S = the group's sum of dense counts
//
// With several rows, c * S of two groups is one operation of 16-bit numbers.
// A line is loaded and unpacked once for all rows of the block, four counts are
// broadcast once for all of its tiles. Sums may wrap on the way: the final
// value fits (127 R < 2^31), or the accumulators have 64 bits (`wide`); p
// itself fits i32 for up to 65536 input channels.
//
//===----------------------------------------------------------------------===//

#include "IntegrateKernel.h"

#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

using namespace mlir;
using namespace mlir::spikequant;

IntegrateEmitter::IntegrateEmitter(KernelBuilder &b,
                                   const IntegrateShape &shape,
                                   const IntegrateArrays &arrays)
    : b(b), shape(shape), weights(shape.weights), arrays(arrays),
      i8(b.getI8Type()), i32(b.getI32Type()),
      accumulator(shape.wide ? Type(b.getI64Type()) : i32),
      bytes(b.vectorOf(i8, 64)), sums(b.vectorOf(i32, kLanes)) {}

/// Greatest multiple of `unit` above `begin` that does not exceed `end`.
static Value lastWhole(KernelBuilder &b, Value begin, Value end, int64_t unit) {
  Value units = b.divideIndex(b.sub(end, begin), unit);
  return b.add(begin, b.scale(units, unit));
}

void IntegrateEmitter::emitPanel(const Panel &panel, Value rowBegin,
                                 Value rowEnd) {
  if (shape.wide)
    return emitRows(panel, rowBegin, rowEnd, 1);
  // Rows are split in multiples of 4: what is left over is known here.
  Value begin = rowBegin;
  if (shape.rows >= 4) {
    Value end = lastWhole(b, begin, rowEnd, 4);
    emitRows(panel, begin, end, 4);
    begin = end;
  }
  if (shape.rows % 4 >= 2) {
    Value end = lastWhole(b, begin, rowEnd, 2);
    emitRows(panel, begin, end, 2);
    begin = end;
  }
  if (shape.rows % 2)
    emitRows(panel, begin, rowEnd, 1);
}

void IntegrateEmitter::emitRows(const Panel &panel, Value begin, Value end,
                                int64_t rows) {
  // Sums of a group and accumulators of 4 x 4 do not fit 32 registers.
  bool twoSets = weights.groups() > 1;
  int64_t width = rows == 4 && twoSets ? 2 : 4;
  b.loop(begin, end, rows, {}, [&](Value row, ValueRange) {
    for (int64_t tile = 0; tile < panel.tiles; tile += width) {
      int64_t tiles = std::min(width, panel.tiles - tile);
      bool last = tile + tiles == panel.tiles;
      emitBlock({panel, row, b.index(tile), rows, tiles,
                 last ? panel.lastLanes : kLanes});
    }
    return SmallVector<Value>();
  });
}

void IntegrateEmitter::emitBlock(const RegisterBlock &block) {
  emitEpilogue(block, emitDense(block));
}

SmallVector<Value> IntegrateEmitter::emitDense(const RegisterBlock &block) {
  int64_t linesPerGroup = weights.linesPerGroup();
  int64_t wholeGroups = weights.linesPerTile() / linesPerGroup;
  int64_t restLines = weights.linesPerTile() % linesPerGroup;
  Value zero = b.integer(b.vectorOf(accumulator, kLanes), 0);
  SmallVector<Value> accumulators(block.rows * block.tiles, zero);
  int64_t first = 0;
  if (wholeGroups > 1 && joinsGroups(block)) {
    first = wholeGroups / 2 * 2;
    accumulators = b.loop(b.index(0), b.index(first), 2, accumulators,
                          [&](Value group, ValueRange carried) {
                            return emitTwoGroups(block, group, carried);
                          });
  }
  if (wholeGroups - first == 1)
    accumulators =
        emitGroup(block, b.index(first), linesPerGroup, accumulators);
  else if (wholeGroups > first)
    accumulators =
        b.loop(b.index(0), b.index(wholeGroups), 1, accumulators,
               [&](Value group, ValueRange carried) {
                 return emitGroup(block, group, linesPerGroup, carried);
               });
  if (restLines)
    accumulators =
        emitGroup(block, b.index(wholeGroups), restLines, accumulators);
  return accumulators;
}

/// Where the multipliers of a group begin, in bytes of the codes.
Value IntegrateEmitter::groupStart(const RegisterBlock &block, Value group) {
  int64_t bytes =
      weights.groupBytes() + weights.linesPerGroup() * weights.lineBytes();
  return b.add(block.panel.base, b.scale(group, block.panel.tiles * bytes));
}

/// Where a line of a group begins, in bytes of the codes.
Value IntegrateEmitter::lineStart(const RegisterBlock &block, Value group,
                                  Value line) {
  int64_t tiles = block.panel.tiles;
  Value headers = b.scale(b.offset(group, 1), tiles * weights.groupBytes());
  Value lines = b.scale(line, tiles * weights.lineBytes());
  return b.add(block.panel.base, b.add(headers, lines));
}

Value IntegrateEmitter::multipliers(const RegisterBlock &block, int64_t tile,
                                    Value group) {
  Value place = b.scale(b.offset(block.tile, tile), kLanes);
  Value m = b.load(arrays.weights.codes, b.add(groupStart(block, group), place),
                   kLanes);
  return b.extendUnsigned(m, i32);
}

Value IntegrateEmitter::offsets(const RegisterBlock &block, int64_t tile,
                                Value group, Value multipliers) {
  int64_t width = weights.offsetBits / 8;
  Value place = b.scale(b.offset(block.tile, tile), width * kLanes);
  place = b.add(b.offset(place, block.panel.tiles * kLanes),
                groupStart(block, group));
  Value stored = b.load(arrays.weights.codes, place, width * kLanes);
  if (weights.offsetBits == 8)
    return emitOffsets(b, weights, multipliers, b.extendUnsigned(stored, i32));
  return b.extendSigned(b.bitcast(stored, b.getI16Type(), kLanes), i32);
}

Value mlir::spikequant::emitOffsets(KernelBuilder &b, const CodesShape &shape,
                                    Value multipliers, Value zeros) {
  Type type = zeros.getType();
  Value product = b.mul(multipliers, zeros);
  ::spikequant::PackedLayout layout = shape.layout();
  if (int32_t shift = layout.zeroShift()) {
    product = b.add(product, b.integer(type, layout.zeroRounding()));
    product = arith::ShRUIOp::create(b, product, b.integer(type, shift));
  }
  return b.sub(b.integer(type, 0), product);
}

SmallVector<Value> IntegrateEmitter::emitGroup(const RegisterBlock &block,
                                               Value group, int64_t lines,
                                               ValueRange accumulators,
                                               bool withOffsets) {
  SmallVector<Value> partials = emitDots(block, group, lines);
  SmallVector<Value> m, c, next;
  for (int64_t tile = 0; tile < block.tiles; ++tile) {
    Value narrow = multipliers(block, tile, group);
    m.push_back(b.extendSigned(narrow, accumulator));
    if (withOffsets)
      c.push_back(
          b.extendSigned(offsets(block, tile, group, narrow), accumulator));
  }
  for (int64_t row = 0; row < block.rows; ++row) {
    Value total;
    if (withOffsets) {
      Value counts = b.loadScalar(arrays.sums, {rowOf(block, row), group});
      total = b.broadcast(b.extendSigned(counts, accumulator), kLanes);
    }
    for (int64_t tile = 0; tile < block.tiles; ++tile) {
      int64_t i = row * block.tiles + tile;
      Value p = b.extendSigned(partials[i], accumulator);
      Value sum = accumulators[i];
      if (withOffsets)
        sum = b.add(sum, b.mul(c[tile], total));
      next.push_back(b.add(sum, b.mul(m[tile], p)));
    }
  }
  return next;
}

/// Low 16 bits of `low`, above them those of `high`.
static Value joinHalves(KernelBuilder &b, Value low, Value high) {
  Type type = low.getType();
  Value mask = b.integer(type, 65535), distance = b.integer(type, 16);
  return arith::OrIOp::create(b, arith::AndIOp::create(b, low, mask),
                              arith::ShLIOp::create(b, high, distance));
}

Value IntegrateEmitter::offsetPair(const RegisterBlock &block, int64_t tile,
                                   Value group) {
  auto of = [&](Value number) {
    return offsets(block, tile, number, multipliers(block, tile, number));
  };
  Value words = joinHalves(b, of(group), of(b.offset(group, 1)));
  return b.bitcast(words, b.getI16Type(), 2 * kLanes);
}

Value IntegrateEmitter::sumPair(const RegisterBlock &block, int64_t row,
                                Value group) {
  Value low = b.loadScalar(arrays.sums, {rowOf(block, row), group});
  Value high =
      b.loadScalar(arrays.sums, {rowOf(block, row), b.offset(group, 1)});
  Value words = b.broadcast(joinHalves(b, low, high), kLanes);
  return b.bitcast(words, b.getI16Type(), 2 * kLanes);
}

/// Groups `group` and the next one.
SmallVector<Value> IntegrateEmitter::emitTwoGroups(const RegisterBlock &block,
                                                   Value group,
                                                   ValueRange accumulators) {
  int64_t lines = weights.linesPerGroup();
  SmallVector<Value> sum =
      emitGroup(block, group, lines, accumulators, /*withOffsets=*/false);
  sum = emitGroup(block, b.offset(group, 1), lines, sum, /*withOffsets=*/false);
  SmallVector<Value> offsetPairs;
  for (int64_t tile = 0; tile < block.tiles; ++tile)
    offsetPairs.push_back(offsetPair(block, tile, group));
  for (int64_t row = 0; row < block.rows; ++row) {
    Value total = sumPair(block, row, group);
    for (int64_t tile = 0; tile < block.tiles; ++tile) {
      Value &acc = sum[row * block.tiles + tile];
      acc = Dot2Op::create(b, sums, acc, offsetPairs[tile], total);
    }
  }
  return sum;
}

/// The longest unrolling up to 4 lines that divides `lines`; short groups are
/// unrolled whole.
static int64_t unrollingOf(int64_t lines) {
  if (lines <= 8)
    return lines;
  for (int64_t factor : {4, 3, 2})
    if (lines % factor == 0)
      return factor;
  return 1;
}

SmallVector<Value> IntegrateEmitter::emitDots(const RegisterBlock &block,
                                              Value group, int64_t lines) {
  Value firstLine = b.scale(group, weights.linesPerGroup());
  int64_t count = block.rows * block.tiles;
  SmallVector<Value> partials(splitsHalves(block) ? 2 * count : count,
                              b.integer(sums, 0));
  int64_t factor = unrollingOf(lines);
  auto unrolled = [&](Value line, ValueRange carried) {
    SmallVector<Value> next(carried);
    for (int64_t i = 0; i < factor; ++i)
      emitLine(block, group, b.offset(line, i), next);
    return next;
  };
  if (factor == lines)
    partials = unrolled(firstLine, partials);
  else
    partials = b.loop(firstLine, b.offset(firstLine, lines), factor, partials,
                      unrolled);
  if (!splitsHalves(block))
    return partials;
  // The high sums are 16 times too large, exactly.
  Value four = b.integer(sums, 4);
  for (int64_t i = 0; i < count; ++i)
    partials[i] = b.add(partials[i],
                        arith::ShRSIOp::create(b, partials[count + i], four));
  partials.truncate(count);
  return partials;
}

/// The bytes of one plane of one tile, of the line that begins at `start`.
Value IntegrateEmitter::loadPlane(const RegisterBlock &block, Value start,
                                  int64_t tile, CodePlane plane) {
  start = b.offset(start, block.panel.tiles * plane.bytesBefore());
  Value address =
      b.add(start, b.scale(b.offset(block.tile, tile), plane.bytesPerTile()));
  return b.load(arrays.weights.codes, address, plane.bytesPerTile());
}

/// An output channel's bytes as one lane of i32.
Value IntegrateEmitter::planeWords(Value stored, CodePlane plane) {
  if (plane.bits == 4)
    return b.bitcast(stored, i32, kLanes);
  if (plane.bits == 2)
    stored = b.bitcast(stored, b.getI16Type(), kLanes);
  return b.extendUnsigned(stored, i32);
}

Value IntegrateEmitter::broadcastCounts(const RegisterBlock &block, int64_t row,
                                        Value channel) {
  Value four = b.load(arrays.dense, {rowOf(block, row), channel}, 4);
  Value word =
      vector::ExtractOp::create(b, b.bitcast(four, i32, 1), int64_t{0});
  return b.bitcast(b.broadcast(word, kLanes), i8, 64);
}

/// The plane with a part of each of four channels in every byte of a lane
/// (CodePlane::bitOf): 64 bytes.
Value IntegrateEmitter::spreadPlane(Value stored, CodePlane plane) {
  if (plane.bits == 4)
    return stored;
  SmallVector<int64_t> distances = {7, 14, 21};
  if (plane.bits == 2)
    distances = {12};
  Value words = planeWords(stored, plane), spread = words;
  for (int64_t distance : distances) {
    Value count = b.integer(sums, distance);
    Value moved = arith::ShLIOp::create(b, words, count);
    spread = arith::OrIOp::create(b, spread, moved);
  }
  return b.bitcast(spread, i8, 64);
}

/// The plane's part of the codes of channels 4 half .. 4 half + 3, where it is
/// in a code. Shifts words, not bytes: a shift of bytes becomes an instruction
/// that competes with the dot product for its ports.
Value IntegrateEmitter::planeOperand(Value spread, CodePlane plane,
                                     int64_t half) {
  int64_t distance = (plane.bits == 2 ? 2 : 4) * half - plane.shift;
  if (distance) {
    Value words = b.bitcast(spread, i32, kLanes);
    Value count = b.integer(sums, std::abs(distance));
    words = distance > 0 ? arith::ShRUIOp::create(b, words, count).getResult()
                         : arith::ShLIOp::create(b, words, count).getResult();
    spread = b.bitcast(words, i8, 64);
  }
  int64_t mask = ((1 << plane.bits) - 1) << plane.shift;
  return arith::AndIOp::create(b, spread, b.integer(bytes, mask));
}

/// The codes of a tile's line as operands over four channels each. Where halves
/// are split, the second one is 16 times too large.
SmallVector<Value> IntegrateEmitter::loadOperands(const RegisterBlock &block,
                                                  Value start, int64_t tile) {
  SmallVector<Value> operands;
  for (CodePlane plane : weights.planes()) {
    Value spread = spreadPlane(loadPlane(block, start, tile, plane), plane);
    if (weights.container == 8)
      return {spread};
    for (int64_t half : {0, 1}) {
      Value part = half && splitsHalves(block)
                       ? arith::AndIOp::create(b, spread, b.integer(bytes, -16))
                             .getResult()
                       : planeOperand(spread, plane, half);
      if (plane.shift)
        operands[half] = arith::OrIOp::create(b, operands[half], part);
      else
        operands.push_back(part);
    }
  }
  return operands;
}

/// One line of each tile against its input channels: partials[row][tile] (low
/// halves) and, where halves are split, as many high ones after them.
void IntegrateEmitter::emitLine(const RegisterBlock &block, Value group,
                                Value line, MutableArrayRef<Value> partials) {
  int64_t count = block.rows * block.tiles;
  Value start = lineStart(block, group, line);
  Value channel = b.scale(line, weights.kPerLine());
  SmallVector<SmallVector<Value>> codes; // [tile][half]
  for (int64_t tile = 0; tile < block.tiles; ++tile)
    codes.push_back(loadOperands(block, start, tile));
  for (int64_t half = 0; half < weights.kPerLine() / 4; ++half) {
    int64_t base = half && splitsHalves(block) ? count : 0;
    for (int64_t row = 0; row < block.rows; ++row) {
      Value counts = broadcastCounts(block, row, b.offset(channel, 4 * half));
      for (int64_t tile = 0; tile < block.tiles; ++tile) {
        Value &sum = partials[base + row * block.tiles + tile];
        sum = Dot4Op::create(b, sums, sum, codes[tile][half], counts);
      }
    }
  }
}

//===----------------------------------------------------------------------===//
// Work sharing
//===----------------------------------------------------------------------===//

/// Rows per work item: panels alone balance badly where they are few.
static constexpr int64_t kRowsPerItem = 32;

/// The matrix that slice `slice` uses.
static Value matrixOf(KernelBuilder &b, const IntegrateShape &shape,
                      Value index, Value slice) {
  Value number = index;
  if (isa<MemRefType>(index.getType()))
    number = b.indexCast(b.loadScalar(index, slice), b.getIndexType());
  number = arith::MaxSIOp::create(b, number, b.index(0));
  return arith::MinSIOp::create(b, number, b.index(shape.weights.stack - 1));
}

/// Rows begin..end-1 of panel `number` of a matrix whose first panel is
/// `first`.
static void emitOnePanel(KernelBuilder &b, const CodesShape &weights,
                         IntegrateEmitter &emitter, const Panel &first,
                         Value number, Value begin, Value end) {
  int64_t panels = weights.panels();
  int64_t lastTiles = weights.tiles() - (panels - 1) * 4;
  int64_t lastLanes = weights.n - (weights.tiles() - 1) * kLanes;
  Value tile = b.scale(number, 4);
  Panel panel{b.add(first.base, b.scale(number, 4 * weights.tileBytes())),
              b.add(first.firstTile, tile), b.add(first.weightTile, tile), 4,
              kLanes};
  Panel last = panel;
  last.tiles = lastTiles;
  last.lastLanes = lastLanes;
  bool lastDiffers = lastTiles != 4 || lastLanes != kLanes;
  if (!lastDiffers)
    return emitter.emitPanel(panel, begin, end);
  if (panels == 1)
    return emitter.emitPanel(last, begin, end);
  Value isLast =
      b.compare(arith::CmpIPredicate::eq, number, b.index(panels - 1));
  b.branch(
      isLast, [&] { emitter.emitPanel(last, begin, end); },
      [&] { emitter.emitPanel(panel, begin, end); });
}

void mlir::spikequant::emitIntegrate(KernelBuilder &b,
                                     const IntegrateShape &shape,
                                     const IntegrateArrays &arrays) {
  const CodesShape &weights = shape.weights;
  IntegrateEmitter emitter(b, shape, arrays);
  int64_t rowItems =
      std::max<int64_t>(llvm::divideCeil(shape.rows, kRowsPerItem), 1);
  int64_t items = shape.rows ? weights.panels() * rowItems : 0;

  // Items of one panel are neighbours, so that a thread reuses its codes.
  b.parallel(shape.slices * items, [&](Value item) {
    Panel first{b.index(0), b.index(0), b.index(0), 4, kLanes};
    Value base = b.index(0);
    if (weights.stack) {
      Value slice = b.divideIndex(item, std::max<int64_t>(items, 1));
      item = b.remainderIndex(item, std::max<int64_t>(items, 1));
      base = b.scale(slice, shape.rows);
      Value matrix = matrixOf(b, shape, arrays.index, slice);
      first.base = b.scale(matrix, weights.codesBytes());
      first.weightTile = b.scale(matrix, weights.tiles());
    }
    Value number = b.divideIndex(item, rowItems);
    Value begin = b.index(0), end = b.index(shape.rows);
    if (rowItems > 1) {
      begin = b.scale(b.remainderIndex(item, rowItems), kRowsPerItem);
      end = b.createOrFold<arith::MinUIOp>(b.offset(begin, kRowsPerItem), end);
    }
    emitOnePanel(b, weights, emitter, first, number, b.add(base, begin),
                 b.add(base, end));
  });
}

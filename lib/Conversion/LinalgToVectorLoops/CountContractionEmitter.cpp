//===- CountContractionEmitter.cpp - products of two arrays of counts -----===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// C[batch, m, n] += A[batch, m, k] B[batch, k, n] on i8 into i32, with n
// contiguous in C and B and k contiguous in A: queries with keys stored
// [width, context], probabilities with values stored [context, width].
//
//   scf.parallel (batch.., panel of 64 columns, row chunk):
//     scf.for row tile:
//       scf.for 4 steps of k:
//         load 4 rows of B, interleave them: 4 vectors of 16 columns x 4 k
//         broadcast 4 neighbours of A, of each row
//         rows x 4 products dot4
//       put columns in order, add C, store
//
// dot4 takes an unsigned and a signed factor. Where both are signed A is taken
// as A + 128, and 128 times the column sums of B, one more row of the tile, are
// subtracted. Sums wrap modulo 2^32 on the way; the result fits.
//
//===----------------------------------------------------------------------===//

#include "NestBuilder.h"

#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::spikequant;

namespace {

constexpr int64_t kColumns = 64, kLanes = 16, kVectors = 4, kSteps = 4;
constexpr int64_t kMostRows = 4;

/// What the payload does with an input.
enum class Extension { None, Signed, Unsigned };

class CountContractionEmitter {
public:
  explicit CountContractionEmitter(NestBuilder &b)
      : b(b), nest(b.nest), builder(b.builder), loc(b.loc) {}
  LogicalResult emit();

private:
  LogicalResult matchPayload();
  LogicalResult matchLoops();
  void choosePartition();
  void emitRows(Position position, Value firstRow, int64_t tail);
  void emitTile(const Position &position, int64_t count, int64_t tail);
  SmallVector<Value> emitSteps(const Position &position, ValueRange sums,
                               int64_t count, int64_t steps, int64_t tail);
  SmallVector<Value> loadPanel(const Position &position, int64_t steps,
                               int64_t tail);
  Value loadScalars(const Position &position, int64_t number, int64_t steps);
  void storeRow(const Position &position, int64_t number, ValueRange sums,
                int64_t tail);
  Value shuffle(Value x, Value y, ArrayRef<int64_t> mask) {
    return vector::ShuffleOp::create(builder, loc, x, y, mask);
  }
  Value mask(int64_t lanes, int64_t count) {
    return vector::ConstantMaskOp::create(
        builder, loc, VectorType::get({lanes}, builder.getI1Type()),
        ArrayRef<int64_t>{count});
  }
  Value splat(VectorType type, int64_t value) {
    return arith::ConstantOp::create(
        builder, loc,
        DenseElementsAttr::get(
            type, builder.getIntegerAttr(type.getElementType(), value)));
  }
  /// Both factors are signed: A + 128 is the unsigned one.
  bool isBiased() const {
    return extensions[0] == Extension::Signed &&
           extensions[1] == Extension::Signed;
  }

  NestBuilder &b;
  StridedNest &nest;
  OpBuilder &builder;
  Location loc;
  /// Of A and B, which are inputs `scalars` and `panel`.
  Extension extensions[2] = {Extension::None, Extension::None};
  unsigned scalars = 0, panel = 1;
  unsigned column = 0, reduction = 0;
  int64_t row = -1, rows = 1, columns = 1;
  SmallVector<unsigned> outer;
  int64_t outerCount = 1, panels = 1, rowChunk = 1, rowChunks = 1;
};

} // namespace

//===----------------------------------------------------------------------===//
// Decisions
//===----------------------------------------------------------------------===//

/// out + ext(in0) * ext(in1) in any order.
LogicalResult CountContractionEmitter::matchPayload() {
  if (nest.accesses.size() != 3 || nest.inputs != 2)
    return failure();
  for (unsigned i = 0; i < 2; ++i)
    if (nest.accesses[i].scalar || !nest.accesses[i].elementType.isInteger(8))
      return failure();
  Block &body = nest.payload();
  auto sum =
      body.getTerminator()->getOperand(0).getDefiningOp<arith::AddIOp>();
  if (!sum || !nest.accesses[2].elementType.isInteger(32) ||
      body.getOperations().size() != 5)
    return failure();
  bool first = sum.getLhs() == body.getArgument(2);
  auto product =
      (first ? sum.getRhs() : sum.getLhs()).getDefiningOp<arith::MulIOp>();
  if (!product || (!first && sum.getRhs() != body.getArgument(2)))
    return failure();
  for (Value factor : product->getOperands()) {
    Operation *extension = factor.getDefiningOp();
    if (!isa_and_nonnull<arith::ExtSIOp, arith::ExtUIOp>(extension))
      return failure();
    auto argument = dyn_cast<BlockArgument>(extension->getOperand(0));
    if (!argument || argument.getArgNumber() > 1)
      return failure();
    extensions[argument.getArgNumber()] = isa<arith::ExtSIOp>(extension)
                                              ? Extension::Signed
                                              : Extension::Unsigned;
  }
  bool whole = extensions[0] != Extension::None &&
               extensions[1] != Extension::None &&
               (extensions[0] == Extension::Signed ||
                extensions[1] == Extension::Signed);
  return success(whole);
}

LogicalResult CountContractionEmitter::matchLoops() {
  SmallVector<unsigned> reductions = nest.reductionLoops();
  if (reductions.size() != 1)
    return failure();
  reduction = reductions.front();
  auto strides = [&](unsigned access) -> ArrayRef<int64_t> {
    return nest.accesses[access].strides;
  };
  bool found = false;
  for (unsigned loop : nest.parallelLoops())
    for (unsigned input : {1u, 0u})
      if (!found && strides(2)[loop] == 1 && strides(input)[loop] == 1 &&
          strides(1 - input)[loop] == 0 && strides(1 - input)[reduction] == 1) {
        column = loop;
        panel = input;
        scalars = 1 - input;
        found = true;
      }
  if (!found)
    return failure();
  if (scalars == 1)
    std::swap(extensions[0], extensions[1]);
  for (unsigned loop : nest.parallelLoops()) {
    if (loop == column)
      continue;
    bool isRow = strides(scalars)[loop] != 0 && strides(panel)[loop] == 0;
    if (isRow && (row < 0 || nest.loops[loop].size > nest.loops[row].size)) {
      if (row >= 0)
        outer.push_back(row);
      row = loop;
    } else {
      outer.push_back(loop);
    }
  }
  llvm::sort(outer);
  return success();
}

void CountContractionEmitter::choosePartition() {
  constexpr int64_t kWanted = 16, kLeastRows = 32;
  columns = nest.loops[column].size;
  rows = row < 0 ? 1 : nest.loops[row].size;
  for (unsigned loop : outer)
    outerCount *= nest.loops[loop].size;
  panels = ceilDiv(columns, kColumns);
  int64_t pieces = ceilDiv(kWanted, panels * outerCount);
  rowChunk = std::max(ceilDiv(rows, pieces), kLeastRows);
  rowChunk = std::min<int64_t>(llvm::alignTo(rowChunk, kMostRows), rows);
  rowChunks = ceilDiv(rows, rowChunk);
}

//===----------------------------------------------------------------------===//
// Loops
//===----------------------------------------------------------------------===//

LogicalResult CountContractionEmitter::emit() {
  if (failed(matchPayload()) || failed(matchLoops()))
    return failure();
  // A limit is a multiple of 64 or the whole size: no step is cut by one.
  if (nest.loops[reduction].limit && nest.loops[reduction].size % kSteps != 0)
    return failure();
  choosePartition();
  b.parallel(outerCount * panels * rowChunks, [&](Value iteration) {
    SmallVector<Value> pieces =
        b.digits(iteration, {outerCount, panels, rowChunks});
    Position position = b.rowPosition(pieces[0], outer);
    Value firstColumn = b.mul(pieces[1], kColumns);
    position = b.advance(position, column, firstColumn);
    Value firstRow = b.mul(pieces[2], rowChunk);
    OpBuilder::InsertionGuard outside(builder);
    if (Value limit = nest.loops[column].limit) {
      Value isNeeded = arith::CmpIOp::create(
          builder, loc, arith::CmpIPredicate::slt, firstColumn, limit);
      auto branch = scf::IfOp::create(builder, loc, isNeeded, false);
      builder.setInsertionPointToStart(branch.thenBlock());
    }
    int64_t rest = columns % kColumns;
    if (rest == 0 || panels == 1)
      return emitRows(position, firstRow, rest);
    Value isWhole =
        arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt,
                              pieces[1], b.index(panels - 1));
    auto choice = scf::IfOp::create(builder, loc, isWhole, true);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(choice.thenBlock());
    emitRows(position, firstRow, 0);
    builder.setInsertionPointToStart(choice.elseBlock());
    emitRows(position, firstRow, rest);
  });
  return success();
}

void CountContractionEmitter::emitRows(Position position, Value firstRow,
                                       int64_t tail) {
  if (row < 0)
    return emitTile(position, 1, tail);
  int64_t most = std::min(rows, kMostRows);
  int64_t whole = rows - rows % most;
  Value endRow = b.add(firstRow, rowChunk);
  b.loop(firstRow, b.min(endRow, whole), most, [&](Value index) {
    emitTile(b.advance(position, row, index), most, tail);
  });
  if (whole == rows)
    return;
  b.loop(b.max(firstRow, whole), b.min(endRow, rows), rows % most,
         [&](Value index) {
           emitTile(b.advance(position, row, index), rows % most, tail);
         });
}

/// The sums of `count` rows, then, if A is biased, those of 128 B.
void CountContractionEmitter::emitTile(const Position &position, int64_t count,
                                       int64_t tail) {
  auto type = VectorType::get({kLanes}, builder.getI32Type());
  int64_t all = count + (isBiased() ? 1 : 0);
  SmallVector<Value> sums(all * kVectors, splat(type, 0));
  int64_t size = nest.loops[reduction].size, whole = size - size % kSteps;
  if (whole > 0) {
    Value end = b.end(reduction, b.index(whole));
    auto loop = scf::ForOp::create(builder, loc, b.index(0), end,
                                   b.index(kSteps), sums);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(loop.getBody());
    scf::YieldOp::create(
        builder, loc,
        emitSteps(b.advance(position, reduction, loop.getInductionVar()),
                  loop.getRegionIterArgs(), count, kSteps, tail));
    sums.assign(loop.result_begin(), loop.result_end());
  }
  if (whole != size)
    sums = emitSteps(b.advance(position, reduction, b.index(whole)), sums,
                     count, size - whole, tail);
  for (int64_t r = 0; r < count; ++r) {
    SmallVector<Value> result;
    for (int64_t i = 0; i < kVectors; ++i) {
      Value sum = sums[r * kVectors + i];
      if (isBiased())
        sum = arith::SubIOp::create(builder, loc, sum,
                                    sums[count * kVectors + i]);
      result.push_back(sum);
    }
    storeRow(position, r, result, tail);
  }
}

//===----------------------------------------------------------------------===//
// Steps
//===----------------------------------------------------------------------===//

/// `steps` rows of B, interleaved: lane 4 l + i of vector v holds column
/// 16 l + 4 v + i, as interleaving within 128 bits leaves them.
SmallVector<Value> CountContractionEmitter::loadPanel(const Position &position,
                                                      int64_t steps,
                                                      int64_t tail) {
  const NestAccess &access = nest.accesses[panel];
  auto bytes = VectorType::get({kColumns}, builder.getI8Type());
  auto words = VectorType::get({kColumns / 2}, builder.getI16Type());
  Value zero = splat(bytes, 0);
  SmallVector<Value> lines(kSteps, zero);
  for (int64_t k = 0; k < steps; ++k) {
    Value offset = b.add(position.offsets[panel], k * access.strides[reduction]);
    lines[k] = tail == 0
                   ? b.load(access, offset, 1, kColumns)
                   : vector::MaskedLoadOp::create(builder, loc, bytes,
                                                  access.base,
                                                  ValueRange{offset},
                                                  mask(kColumns, tail), zero);
  }
  auto interleave = [&](Value x, Value y, bool high) -> Value {
    int64_t size = cast<VectorType>(x.getType()).getNumElements();
    int64_t width = size / 4; // elements of 128 bits
    SmallVector<int64_t> order;
    for (int64_t block = 0; block < 4; ++block)
      for (int64_t i = 0; i < width / 2; ++i) {
        int64_t place = block * width + (high ? width / 2 : 0) + i;
        order.append({place, size + place});
      }
    return shuffle(x, y, order);
  };
  SmallVector<Value> pairs[2], result;
  for (int64_t half = 0; half < 2; ++half)
    for (bool high : {false, true})
      pairs[half].push_back(vector::BitCastOp::create(
          builder, loc, words,
          interleave(lines[2 * half], lines[2 * half + 1], high)));
  for (int64_t i = 0; i < 2; ++i)
    for (bool high : {false, true})
      result.push_back(vector::BitCastOp::create(
          builder, loc, bytes, interleave(pairs[0][i], pairs[1][i], high)));
  return result;
}

/// `steps` neighbours of a row of A in each lane.
Value CountContractionEmitter::loadScalars(const Position &position,
                                           int64_t number, int64_t steps) {
  const NestAccess &access = nest.accesses[scalars];
  int64_t stride = row < 0 ? 0 : access.strides[row];
  Value offset = b.add(position.offsets[scalars], number * stride);
  auto four = VectorType::get({kSteps}, builder.getI8Type());
  Value bytes;
  if (steps == kSteps)
    bytes = b.load(access, offset, 1, kSteps);
  else
    bytes = vector::MaskedLoadOp::create(builder, loc, four, access.base,
                                         ValueRange{offset},
                                         mask(kSteps, steps), splat(four, 0));
  Value one = vector::BitCastOp::create(
      builder, loc, VectorType::get({1}, builder.getI32Type()), bytes);
  Value word = vector::ExtractOp::create(builder, loc, one, 0);
  Value all = b.broadcast(word, kLanes);
  if (isBiased())
    all = arith::XOrIOp::create(
        builder, loc, all,
        splat(cast<VectorType>(all.getType()), int32_t(0x80808080)));
  return vector::BitCastOp::create(
      builder, loc, VectorType::get({kColumns}, builder.getI8Type()), all);
}

SmallVector<Value> CountContractionEmitter::emitSteps(const Position &position,
                                                      ValueRange sums,
                                                      int64_t count,
                                                      int64_t steps,
                                                      int64_t tail) {
  SmallVector<Value> vectors = loadPanel(position, steps, tail), results;
  bool panelIsUnsigned = extensions[1] == Extension::Unsigned;
  auto add = [&](Value sum, Value scalar, Value vector) {
    if (panelIsUnsigned)
      std::swap(scalar, vector);
    results.push_back(Dot4Op::create(builder, loc, sum.getType(), sum, scalar, vector));
  };
  for (int64_t r = 0; r < count; ++r) {
    Value scalar = loadScalars(position, r, steps);
    for (int64_t i = 0; i < kVectors; ++i)
      add(sums[r * kVectors + i], scalar, vectors[i]);
  }
  if (isBiased()) {
    Value bias =
        splat(VectorType::get({kColumns}, builder.getI8Type()), int8_t(-128));
    for (int64_t i = 0; i < kVectors; ++i)
      add(sums[count * kVectors + i], bias, vectors[i]);
  }
  return results;
}

/// Exchanges blocks of four lanes, so that vector l holds columns 16 l on.
static SmallVector<Value> orderColumns(
    ValueRange sums, function_ref<Value(Value, Value, ArrayRef<int64_t>)> mix) {
  auto blocks = [](ArrayRef<int64_t> list) {
    SmallVector<int64_t> mask;
    for (int64_t block : list)
      for (int64_t i = 0; i < 4; ++i)
        mask.push_back(4 * block + i);
    return mask;
  };
  SmallVector<int64_t> low = blocks({0, 1, 4, 5}), high = blocks({2, 3, 6, 7}),
                       even = blocks({0, 2, 4, 6}), odd = blocks({1, 3, 5, 7});
  Value first[2] = {mix(sums[0], sums[1], low), mix(sums[0], sums[1], high)};
  Value second[2] = {mix(sums[2], sums[3], low), mix(sums[2], sums[3], high)};
  return {mix(first[0], second[0], even), mix(first[0], second[0], odd),
          mix(first[1], second[1], even), mix(first[1], second[1], odd)};
}

void CountContractionEmitter::storeRow(const Position &position, int64_t number,
                                       ValueRange sums, int64_t tail) {
  const NestAccess &access = nest.accesses[2];
  int64_t stride = row < 0 ? 0 : access.strides[row];
  auto ordered = orderColumns(sums, [&](Value x, Value y, ArrayRef<int64_t> m) {
    return shuffle(x, y, m);
  });
  auto type = cast<VectorType>(ordered[0].getType());
  for (int64_t i = 0; i < kVectors; ++i) {
    int64_t lanes = tail == 0 ? kLanes : tail - i * kLanes;
    if (lanes <= 0)
      return;
    Value offset =
        b.add(position.offsets[2], number * stride + i * kLanes);
    if (lanes >= kLanes) {
      Value old = b.load(access, offset, 1, kLanes);
      Value sum = arith::AddIOp::create(builder, loc, old, ordered[i]);
      b.store(access, sum, offset, 1, kLanes);
      continue;
    }
    Value some = mask(kLanes, lanes);
    Value old = vector::MaskedLoadOp::create(builder, loc, type, access.base,
                                             ValueRange{offset}, some,
                                             splat(type, 0));
    Value sum = arith::AddIOp::create(builder, loc, old, ordered[i]);
    vector::MaskedStoreOp::create(builder, loc, access.base, ValueRange{offset},
                                  some, sum);
  }
}

LogicalResult mlir::spikequant::emitCountContraction(NestBuilder &b) {
  return CountContractionEmitter(b).emit();
}

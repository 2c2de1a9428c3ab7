//===- ContractionEmitter.cpp - register-tiled contractions ---------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// C[batch, m, n] += A[batch, m, k] B[batch, k, n] with n contiguous in C and B:
//
//   scf.parallel (batch.., column panel, row chunk):
//     scf.for row tile:
//       load the accumulators: rows x vectors registers
//       scf.for k, ascending:  accumulators carried
//         load `vectors` vectors of B, broadcast `rows` scalars of A
//         rows x vectors fused multiply-adds
//       store the accumulators
//
// Columns are outside rows, so that a panel of B stays in cache. The last
// panel masks the lanes beyond n; the last row tile has fewer rows.
//
// Few rows and a large B read each element of B once, so memory is the limit:
//
//   scf.parallel (batch.., wide column chunk):
//     scf.for 16 steps of k (fewer for more rows):
//       broadcast 16 scalars of A, of each row
//       scf.for vector of the chunk:
//         load the rows' accumulators, 16 fused multiply-adds each, store them
//
// reads 16 rows of B side by side in address order, 1.6 to 1.8 times as fast
// from memory as panels are. Every element still adds k ascending.
//
//===----------------------------------------------------------------------===//

#include "NestBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::spikequant;

namespace {

/// Registers of one tile; `tail` lanes of the last vector exist (0: all).
struct RegisterTile {
  int64_t rows;
  int64_t vectors;
  int64_t tail = 0;
};

class ContractionEmitter {
public:
  explicit ContractionEmitter(NestBuilder &b) : b(b), nest(b.nest) {}
  LogicalResult emit();

private:
  LogicalResult classify();
  bool chooseColumn();
  void chooseTile();
  void choosePartition();
  bool isColumn(unsigned loop, unsigned panelInput) const;
  bool isStream() const;
  void emitStream();
  void emitStreamSteps(Position position, Value lower, Value upper,
                       ArrayRef<unsigned> outerReductions);
  void emitStreamBlock(Position position, Value lower, Value upper,
                       int64_t steps);
  void emitStreamVector(const Position &position, ArrayRef<Value> broadcasts,
                        RegisterTile tile);
  void enterLimit(Value firstColumn);
  void emitPanel(Position position, Value firstRow, RegisterTile tile);
  void emitRows(Position position, Value firstRow, RegisterTile tile);
  void emitTile(Position position, RegisterTile tile);
  SmallVector<Value> emitStep(const Position &position, ValueRange values,
                              RegisterTile tile);
  Value loadVector(unsigned number, const Position &position, int64_t row,
                   int64_t vector, RegisterTile tile);
  void storeVector(Value value, const Position &position, int64_t row,
                   int64_t vector, RegisterTile tile);
  Value tailMask(RegisterTile tile);

  int64_t rowOffset(const NestAccess &access, int64_t number) const {
    return row < 0 ? 0 : access.strides[row] * number;
  }
  const NestAccess &scalars() const { return nest.accesses[1 - panelInput]; }
  const NestAccess &panel() const { return nest.accesses[panelInput]; }
  const NestAccess &output() const { return nest.accesses[2]; }

  NestBuilder &b;
  StridedNest &nest;
  unsigned panelInput = 1;
  unsigned column = 0;
  /// The loop of the register tile's rows, or -1 if there is none.
  int64_t row = -1;
  int64_t columns = 1, rows = 1, lanes = 1;
  SmallVector<unsigned> outer, innerRows, reductions;
  int64_t outerCount = 1;
  RegisterTile tile{1, 1};
  int64_t panels = 1, rowChunks = 1, rowChunk = 1;
};

} // namespace

//===----------------------------------------------------------------------===//
// Decisions
//===----------------------------------------------------------------------===//

/// Contiguous in the output and in one input, absent from the other.
bool ContractionEmitter::isColumn(unsigned loop, unsigned input) const {
  return nest.accesses[2].strides[loop] == 1 &&
         nest.accesses[input].strides[loop] == 1 &&
         nest.accesses[1 - input].strides[loop] == 0;
}

bool ContractionEmitter::chooseColumn() {
  for (unsigned loop : nest.parallelLoops())
    for (unsigned input : {1u, 0u})
      if (isColumn(loop, input)) {
        column = loop;
        panelInput = input;
        return true;
      }
  return false;
}

LogicalResult ContractionEmitter::classify() {
  reductions = nest.reductionLoops();
  if (nest.accesses.size() != 3 || nest.inputs != 2 || reductions.empty() ||
      nest.op.hasIndexSemantics() || !isVectorizablePayload(nest) ||
      mayPayloadTrap(nest))
    return failure();
  if (llvm::any_of(nest.accesses, [](const NestAccess &access) {
        return access.scalar || !access.elementType.isIntOrFloat() ||
               access.elementType.getIntOrFloatBitWidth() % 8 != 0;
      }))
    return failure();
  if (!chooseColumn())
    return failure();
  for (unsigned loop : nest.parallelLoops()) {
    if (loop == column)
      continue;
    bool isRow = scalars().strides[loop] != 0 && panel().strides[loop] == 0;
    (isRow ? innerRows : outer).push_back(loop);
  }
  return success();
}

/// Up to 16 accumulators in 32 registers, 12 in 16; one or two rows use more
/// vectors, so that the additions of one step do not wait for each other.
void ContractionEmitter::chooseTile() {
  bool manyRegisters = b.options.vectorBits >= 512;
  int64_t mostRows = manyRegisters ? 8 : 6;
  tile.rows = ceilDiv(rows, ceilDiv(rows, mostRows));
  tile.vectors = tile.rows > 4 ? 2 : 4;
  if (!manyRegisters && tile.rows > 2)
    tile.vectors = 2;
  if (tile.rows == 1 && columns >= 64 * lanes)
    tile.vectors = 8;
  tile.vectors = std::min(tile.vectors, ceilDiv(columns, lanes));
}

/// Panels first; when they are few, chunks of rows as well.
void ContractionEmitter::choosePartition() {
  constexpr int64_t kWanted = 16, kLeastRows = 32;
  panels = ceilDiv(columns, tile.vectors * lanes);
  int64_t pieces = ceilDiv(kWanted, panels * outerCount);
  rowChunk = std::max(ceilDiv(rows, pieces), kLeastRows);
  rowChunk = std::min<int64_t>(llvm::alignTo(rowChunk, tile.rows), rows);
  rowChunks = ceilDiv(rows, rowChunk);
}

//===----------------------------------------------------------------------===//
// Loops
//===----------------------------------------------------------------------===//

LogicalResult ContractionEmitter::emit() {
  if (failed(classify()))
    return failure();
  columns = nest.loops[column].size;
  unsigned bits = output().elementType.getIntOrFloatBitWidth();
  lanes = std::max<int64_t>(b.options.vectorBits / bits, 1);
  auto *largest = llvm::max_element(innerRows, [&](unsigned lhs, unsigned rhs) {
    return nest.loops[lhs].size < nest.loops[rhs].size;
  });
  if (largest != innerRows.end()) {
    row = *largest;
    innerRows.erase(largest);
    rows = nest.loops[row].size;
  }
  for (unsigned loop : outer)
    outerCount *= nest.loops[loop].size;
  if (isStream()) {
    emitStream();
    return success();
  }
  chooseTile();
  choosePartition();
  int64_t panelColumns = tile.vectors * lanes;
  b.parallel(outerCount * panels * rowChunks, [&](Value iteration) {
    SmallVector<Value> pieces =
        b.digits(iteration, {outerCount, panels, rowChunks});
    Position position = b.rowPosition(pieces[0], outer);
    Value firstColumn = b.mul(pieces[1], panelColumns);
    position = b.advance(position, column, firstColumn);
    Value firstRow = b.mul(pieces[2], rowChunk);
    OpBuilder::InsertionGuard outside(b.builder);
    enterLimit(firstColumn);
    int64_t rest = columns % panelColumns;
    RegisterTile last{tile.rows, ceilDiv(rest, lanes), rest % lanes};
    if (rest == 0 || panels == 1)
      return emitPanel(position, firstRow, rest == 0 ? tile : last);
    Value isWhole =
        arith::CmpIOp::create(b.builder, b.loc, arith::CmpIPredicate::slt,
                              pieces[1], b.index(panels - 1));
    auto choice = scf::IfOp::create(b.builder, b.loc, isWhole, true);
    OpBuilder::InsertionGuard guard(b.builder);
    b.builder.setInsertionPointToStart(choice.thenBlock());
    emitPanel(position, firstRow, tile);
    b.builder.setInsertionPointToStart(choice.elseBlock());
    emitPanel(position, firstRow, last);
  });
  return success();
}

/// Goes on inside a branch that panels behind the limit do not take.
void ContractionEmitter::enterLimit(Value firstColumn) {
  Value limit = nest.loops[column].limit;
  if (!limit)
    return;
  Value isNeeded = arith::CmpIOp::create(
      b.builder, b.loc, arith::CmpIPredicate::slt, firstColumn, limit);
  auto branch = scf::IfOp::create(b.builder, b.loc, isNeeded, false);
  b.builder.setInsertionPointToStart(branch.thenBlock());
}

void ContractionEmitter::emitPanel(Position position, Value firstRow,
                                   RegisterTile tile) {
  if (innerRows.empty())
    return emitRows(position, firstRow, tile);
  int64_t count = 1;
  for (unsigned loop : innerRows)
    count *= nest.loops[loop].size;
  b.loop(b.index(0), b.index(count), 1, [&](Value index) {
    SmallVector<int64_t> sizes;
    for (unsigned loop : innerRows)
      sizes.push_back(nest.loops[loop].size);
    Position inner = position;
    for (auto [loop, digit] :
         llvm::zip_equal(innerRows, b.digits(index, sizes)))
      inner = b.advance(inner, loop, digit);
    emitRows(inner, firstRow, tile);
  });
}

void ContractionEmitter::emitRows(Position position, Value firstRow,
                                  RegisterTile tile) {
  if (row < 0)
    return emitTile(position, tile);
  int64_t whole = rows - rows % tile.rows;
  Value endRow = b.add(firstRow, rowChunk);
  b.loop(firstRow, b.min(endRow, whole), tile.rows,
         [&](Value index) { emitTile(b.advance(position, row, index), tile); });
  if (whole == rows)
    return;
  RegisterTile last = tile;
  last.rows = rows % tile.rows;
  b.loop(b.max(firstRow, whole), b.min(endRow, rows), last.rows,
         [&](Value index) { emitTile(b.advance(position, row, index), last); });
}

//===----------------------------------------------------------------------===//
// The register tile
//===----------------------------------------------------------------------===//

Value ContractionEmitter::tailMask(RegisterTile tile) {
  return vector::ConstantMaskOp::create(
      b.builder, b.loc, VectorType::get({lanes}, b.builder.getI1Type()),
      ArrayRef<int64_t>{tile.tail});
}

Value ContractionEmitter::loadVector(unsigned number, const Position &position,
                                     int64_t rowNumber, int64_t vectorNumber,
                                     RegisterTile tile) {
  const NestAccess &access = nest.accesses[number];
  Value offset = b.add(position.offsets[number],
                       rowOffset(access, rowNumber) + vectorNumber * lanes);
  if (tile.tail == 0 || vectorNumber + 1 < tile.vectors)
    return b.load(access, offset, 1, lanes);
  auto type = VectorType::get({lanes}, access.elementType);
  Value zero = arith::ConstantOp::create(b.builder, b.loc, type,
                                         b.builder.getZeroAttr(type));
  return vector::MaskedLoadOp::create(b.builder, b.loc, type, access.base,
                                      ValueRange{offset}, tailMask(tile), zero);
}

void ContractionEmitter::storeVector(Value value, const Position &position,
                                     int64_t rowNumber, int64_t vectorNumber,
                                     RegisterTile tile) {
  Value offset = b.add(position.offsets[2],
                       rowOffset(output(), rowNumber) + vectorNumber * lanes);
  if (tile.tail == 0 || vectorNumber + 1 < tile.vectors)
    return b.store(output(), value, offset, 1, lanes);
  vector::MaskedStoreOp::create(b.builder, b.loc, output().base,
                                ValueRange{offset}, tailMask(tile), value);
}

SmallVector<Value> ContractionEmitter::emitStep(const Position &position,
                                                ValueRange values,
                                                RegisterTile tile) {
  SmallVector<Value> vectors, results;
  for (int64_t i = 0; i < tile.vectors; ++i)
    vectors.push_back(loadVector(panelInput, position, 0, i, tile));
  unsigned scalarInput = 1 - panelInput;
  for (int64_t r = 0; r < tile.rows; ++r) {
    Value offset =
        b.add(position.offsets[scalarInput], rowOffset(scalars(), r));
    Value scalar = b.load(scalars(), offset, 0, lanes);
    for (int64_t i = 0; i < tile.vectors; ++i) {
      SmallVector<Value> arguments = {scalar, vectors[i],
                                      values[r * tile.vectors + i]};
      if (panelInput == 0)
        std::swap(arguments[0], arguments[1]);
      llvm::append_range(results,
                         b.payload(arguments, position, column, lanes));
    }
  }
  return results;
}

void ContractionEmitter::emitTile(Position position, RegisterTile tile) {
  SmallVector<Value> accumulators;
  for (int64_t r = 0; r < tile.rows; ++r)
    for (int64_t i = 0; i < tile.vectors; ++i)
      accumulators.push_back(loadVector(2, position, r, i, tile));
  accumulators = b.carry(reductions, position, accumulators,
                         [&](Position inner, ValueRange values) {
                           return emitStep(inner, values, tile);
                         });
  for (int64_t r = 0; r < tile.rows; ++r)
    for (int64_t i = 0; i < tile.vectors; ++i)
      storeVector(accumulators[r * tile.vectors + i], position, r, i, tile);
}

//===----------------------------------------------------------------------===//
// Few rows, large panel: rows of the panel as streams
//===----------------------------------------------------------------------===//

bool ContractionEmitter::isStream() const {
  constexpr int64_t kCachedBytes = 64 * 1024, kMostRows = 4;
  int64_t bytes = columns * output().elementType.getIntOrFloatBitWidth() / 8;
  for (unsigned loop : reductions)
    bytes *= nest.loops[loop].size;
  // With several rows panels are worse only where they are narrower than B.
  return rows <= kMostRows && innerRows.empty() && bytes >= kCachedBytes &&
         columns >= (rows == 1 ? 4 : 16) * lanes &&
         nest.loops[reductions.back()].size >= 16;
}

void ContractionEmitter::emitStream() {
  constexpr int64_t kWidestChunk = 384;
  int64_t pieces = llvm::alignTo(ceilDiv(columns, kWidestChunk), 2);
  int64_t chunk = llvm::alignTo(ceilDiv(columns, pieces), lanes);
  pieces = ceilDiv(columns, chunk);
  b.parallel(outerCount * pieces, [&](Value iteration) {
    SmallVector<Value> digits = b.digits(iteration, {outerCount, pieces});
    Position position = b.rowPosition(digits[0], outer);
    Value lower = b.mul(digits[1], chunk);
    Value upper = b.end(column, b.min(b.add(lower, chunk), columns));
    emitStreamSteps(position, lower, upper,
                    ArrayRef<unsigned>(reductions).drop_back());
  });
}

void ContractionEmitter::emitStreamSteps(Position position, Value lower,
                                         Value upper,
                                         ArrayRef<unsigned> outerReductions) {
  if (!outerReductions.empty()) {
    unsigned loop = outerReductions.front();
    return b.loop(b.index(0), b.end(loop), 1, [&](Value k) {
      emitStreamSteps(b.advance(position, loop, k), lower, upper,
                      outerReductions.drop_front());
    });
  }
  unsigned inner = reductions.back();
  // Of the registers, half (or three quarters) hold scalars.
  int64_t registers = b.options.vectorBits >= 512 ? 16 : 8;
  int64_t steps = rows == 1
                      ? registers
                      : llvm::bit_floor<uint64_t>(registers * 3 / 2 / rows);
  int64_t size = nest.loops[inner].size, whole = size - size % steps;
  Value end = b.end(inner, b.index(whole));
  b.loop(b.index(0), end, steps, [&](Value k) {
    emitStreamBlock(b.advance(position, inner, k), lower, upper, steps);
  });
  // A limit is a multiple of `steps`, or the whole size.
  if (whole != size)
    b.loop(b.index(whole), b.end(inner), size - whole, [&](Value k) {
      emitStreamBlock(b.advance(position, inner, k), lower, upper,
                      size - whole);
    });
}

void ContractionEmitter::emitStreamBlock(Position position, Value lower,
                                         Value upper, int64_t steps) {
  unsigned inner = reductions.back(), scalarInput = 1 - panelInput;
  SmallVector<Value> broadcasts;
  for (int64_t step = 0; step < steps; ++step)
    for (int64_t r = 0; r < rows; ++r)
      broadcasts.push_back(b.load(
          scalars(),
          b.add(position.offsets[scalarInput],
                step * scalars().strides[inner] + rowOffset(scalars(), r)),
          0, lanes));
  int64_t whole = columns - columns % lanes;
  b.loop(lower, b.min(upper, whole), lanes, [&](Value element) {
    emitStreamVector(b.advance(position, column, element), broadcasts,
                     {rows, 1});
  });
  if (whole == columns)
    return;
  b.loop(b.max(lower, whole), upper, lanes, [&](Value element) {
    emitStreamVector(b.advance(position, column, element), broadcasts,
                     {rows, 1, columns - whole});
  });
}

void ContractionEmitter::emitStreamVector(const Position &position,
                                          ArrayRef<Value> broadcasts,
                                          RegisterTile tile) {
  SmallVector<Value> sums;
  for (int64_t r = 0; r < rows; ++r)
    sums.push_back(loadVector(2, position, r, 0, tile));
  int64_t stride = panel().strides[reductions.back()];
  for (int64_t step = 0, count = broadcasts.size() / rows; step < count;
       ++step) {
    Position at = position;
    at.offsets[panelInput] = b.add(at.offsets[panelInput], step * stride);
    Value vector = loadVector(panelInput, at, 0, 0, tile);
    for (int64_t r = 0; r < rows; ++r) {
      SmallVector<Value> arguments = {broadcasts[step * rows + r], vector,
                                      sums[r]};
      if (panelInput == 0)
        std::swap(arguments[0], arguments[1]);
      sums[r] = b.payload(arguments, at, column, lanes)[0];
    }
  }
  for (int64_t r = 0; r < rows; ++r)
    storeVector(sums[r], position, r, 0, tile);
}

LogicalResult mlir::spikequant::emitContraction(NestBuilder &b) {
  return ContractionEmitter(b).emit();
}

//===- GenericEmitter.cpp - elementwise operations and reductions ---------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Any strided nest:
//
//   scf.parallel chunk of (rows x strip):        the other parallel loops
//     scf.for row in chunk:
//       scf.for lane block in strip:             one parallel loop, vectorised
//         load accumulators
//         scf.for reductions, in order:          accumulators carried
//           payload on vectors
//         store
//       scf.for the strip's tail: the same on scalars
//
// Each output element sees its reduction points in iteration order, exactly as
// in a scalar loop nest.
//
//===----------------------------------------------------------------------===//

#include "NestBuilder.h"

using namespace mlir;
using namespace mlir::spikequant;

namespace {

/// An iteration of the outermost loop has at least about this much work.
constexpr int64_t kGrainBytes = 4096;
/// More iterations than this give no better balance.
constexpr int64_t kMaxIterations = 64;

class GenericEmitter {
public:
  explicit GenericEmitter(NestBuilder &b) : b(b), nest(b.nest) {}
  void emit();

private:
  void chooseStrip();
  int64_t scoreStrip(unsigned loop) const;
  int64_t laneCount() const;
  void partition();
  void emitRow(Position position, Value lower, Value upper);
  void emitPoint(Position position, int64_t lanes);
  Value loadInput(unsigned number, const Position &position, int64_t lanes);
  bool variesInReduction(const NestAccess &access) const;
  bool isUsed(unsigned number) const {
    return nest.fused || !nest.payload().getArgument(number).use_empty();
  }

  NestBuilder &b;
  StridedNest &nest;
  SmallVector<unsigned> reductions;
  /// Parallel loops outside the strip, and their product.
  SmallVector<unsigned> outer;
  int64_t rows = 1;
  /// The strip: a parallel loop, or -1 if the payload stays scalar.
  int64_t strip = -1;
  int64_t stripSize = 1;
  int64_t lanes = 0;
  /// Rows and strip elements per iteration of the outermost loop.
  int64_t rowChunk = 1;
  int64_t stripChunk = 1;
  /// Scalars that do not vary within a row, by access.
  SmallVector<Value> rowScalars;
};

} // namespace

//===----------------------------------------------------------------------===//
// Decisions
//===----------------------------------------------------------------------===//

/// Contiguous accesses count, outputs most; gathers are the last resort.
int64_t GenericEmitter::scoreStrip(unsigned loop) const {
  int64_t score = 0;
  for (auto [number, access] : llvm::enumerate(nest.accesses)) {
    bool output = number >= nest.inputs;
    if (access.scalar || access.strides[loop] == 0)
      score += 1;
    else if (access.strides[loop] == 1)
      score += output ? 16 : 4;
    else if (output)
      return -1;
  }
  return score;
}

/// Lanes of the widest element that the payload touches; an index or a bit is
/// as wide as its neighbours make it.
int64_t GenericEmitter::laneCount() const {
  unsigned widest = 8;
  auto visit = [&](Type type) {
    if (type.isIntOrFloat())
      widest = std::max(widest, type.getIntOrFloatBitWidth());
  };
  llvm::for_each(nest.payload().getArgumentTypes(), visit);
  for (Operation &op : nest.payload())
    llvm::for_each(op.getResultTypes(), visit);
  return std::max<int64_t>(b.options.vectorBits / llvm::PowerOf2Ceil(widest),
                           1);
}

void GenericEmitter::chooseStrip() {
  if (!isVectorizablePayload(nest))
    return;
  int64_t best = 0;
  for (unsigned loop : nest.parallelLoops()) {
    int64_t score = nest.loops[loop].size < 4 ? -1 : scoreStrip(loop);
    if (score > best || (score == best && strip >= 0 &&
                         nest.loops[loop].size > nest.loops[strip].size)) {
      best = score;
      strip = loop;
    }
  }
  if (strip < 0)
    return;
  stripSize = nest.loops[strip].size;
  lanes = std::min<int64_t>(laneCount(), llvm::bit_floor<uint64_t>(stripSize));
  if (lanes < 2)
    lanes = 0;
}

/// Divides rows first; a few long rows are divided along the strip.
void GenericEmitter::partition() {
  int64_t pointWork = 4 * nest.accesses.size();
  for (unsigned loop : reductions)
    pointWork *= nest.loops[loop].size;
  int64_t work = rows * stripSize * pointWork;
  int64_t iterations =
      std::clamp<int64_t>(work / kGrainBytes, 1, kMaxIterations);
  rowChunk = ceilDiv(rows, std::min(iterations, rows));
  int64_t stripPieces = std::max<int64_t>(iterations / rows, 1);
  int64_t granule = std::max<int64_t>(lanes, 1);
  stripChunk = llvm::alignTo(ceilDiv(stripSize, stripPieces), granule);
  stripChunk = std::min(stripChunk, stripSize);
}

//===----------------------------------------------------------------------===//
// Emission
//===----------------------------------------------------------------------===//

void GenericEmitter::emit() {
  reductions = nest.reductionLoops();
  chooseStrip();
  for (unsigned loop : nest.parallelLoops())
    if (static_cast<int64_t>(loop) != strip) {
      outer.push_back(loop);
      rows *= nest.loops[loop].size;
    }
  partition();
  int64_t rowPieces = ceilDiv(rows, rowChunk);
  int64_t stripPieces = ceilDiv(stripSize, stripChunk);
  b.parallel(rowPieces * stripPieces, [&](Value iteration) {
    SmallVector<Value> pieces = b.digits(iteration, {rowPieces, stripPieces});
    Value firstRow = b.mul(pieces[0], rowChunk);
    Value lower = b.mul(pieces[1], stripChunk);
    Value upper = b.min(b.add(lower, stripChunk), stripSize);
    Value lastRow = b.add(firstRow, rowChunk);
    if (rows % rowChunk != 0)
      lastRow = b.min(lastRow, rows);
    if (rowChunk == 1)
      return emitRow(b.rowPosition(firstRow, outer), lower, upper);
    b.loop(firstRow, lastRow, 1, [&](Value row) {
      emitRow(b.rowPosition(row, outer), lower, upper);
    });
  });
}

bool GenericEmitter::variesInReduction(const NestAccess &access) const {
  return !access.scalar && llvm::any_of(reductions, [&](unsigned loop) {
    return access.strides[loop] != 0;
  });
}

void GenericEmitter::emitRow(Position position, Value lower, Value upper) {
  rowScalars.assign(nest.accesses.size(), Value());
  for (unsigned number = 0; number < nest.inputs; ++number) {
    const NestAccess &access = nest.accesses[number];
    bool moves =
        variesInReduction(access) || (strip >= 0 && access.strides[strip] != 0);
    if (isUsed(number) && !moves)
      rowScalars[number] = b.load(access, position.offsets[number], 0, 0);
  }
  if (strip < 0)
    return emitPoint(position, 0);
  if (lanes == 0) {
    b.loop(lower, upper, 1, [&](Value element) {
      emitPoint(b.advance(position, strip, element), 0);
    });
    return;
  }
  upper = b.end(strip, upper);
  int64_t whole = stripSize - stripSize % lanes;
  b.loop(lower, b.min(upper, whole), lanes, [&](Value element) {
    emitPoint(b.advance(position, strip, element), lanes);
  });
  if (whole == stripSize)
    return;
  b.loop(b.max(lower, whole), upper, 1, [&](Value element) {
    emitPoint(b.advance(position, strip, element), 0);
  });
}

Value GenericEmitter::loadInput(unsigned number, const Position &position,
                                int64_t lanes) {
  if (!isUsed(number))
    return {};
  if (rowScalars[number])
    return b.broadcast(rowScalars[number], lanes);
  const NestAccess &access = nest.accesses[number];
  return b.load(access, position.offsets[number],
                strip < 0 ? 0 : access.strides[strip], lanes);
}

void GenericEmitter::emitPoint(Position position, int64_t lanes) {
  SmallVector<Value> arguments(nest.accesses.size());
  for (unsigned number = 0; number < nest.inputs; ++number)
    if (!variesInReduction(nest.accesses[number]))
      arguments[number] = loadInput(number, position, lanes);
  SmallVector<Value> carried;
  bool reduces = !reductions.empty();
  for (unsigned number = nest.inputs; number < nest.accesses.size(); ++number)
    if (reduces || isUsed(number))
      arguments[number] =
          b.load(nest.accesses[number], position.offsets[number],
                 strip < 0 ? 0 : nest.accesses[number].strides[strip], lanes);
  if (reduces)
    carried.assign(arguments.begin() + nest.inputs, arguments.end());
  SmallVector<Value> results = b.carry(
      reductions, position, carried, [&](Position inner, ValueRange values) {
        SmallVector<Value> all(arguments);
        llvm::copy(values, all.begin() + nest.inputs);
        for (unsigned number = 0; number < nest.inputs; ++number)
          if (variesInReduction(nest.accesses[number]))
            all[number] = loadInput(number, inner, lanes);
        return b.payload(all, inner, strip < 0 ? ~0u : strip, lanes);
      });
  for (auto [index, result] : llvm::enumerate(results)) {
    unsigned number = nest.inputs + index;
    const NestAccess &access = nest.accesses[number];
    b.store(access, result, position.offsets[number],
            strip < 0 ? 0 : access.strides[strip], lanes);
  }
}

void mlir::spikequant::emitGeneric(NestBuilder &b) { GenericEmitter(b).emit(); }

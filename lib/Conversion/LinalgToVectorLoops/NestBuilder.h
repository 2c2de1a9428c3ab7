//===- NestBuilder.h - emission of a strided nest's pieces ----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_CONVERSION_LINALGTOVECTORLOOPS_NESTBUILDER_H
#define SPIKEQUANT_LIB_CONVERSION_LINALGTOVECTORLOOPS_NESTBUILDER_H

#include "StridedNest.h"
#include "spikequant/Conversion/LinalgToVectorLoops.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

namespace mlir::spikequant {

/// Where the emitted code stands in the nest: the value of each loop and the
/// element offset of each access so far. Loops not entered count as 0.
struct Position {
  SmallVector<Value> loops;
  SmallVector<Value> offsets;
};

/// A value per lane, or one scalar if `lanes` is 0.
class NestBuilder {
public:
  NestBuilder(OpBuilder &builder, StridedNest &nest,
              const VectorLoopsOptions &options)
      : builder(builder), nest(nest), options(options), loc(nest.op.getLoc()) {}

  using Body = llvm::function_ref<void(Value)>;
  using CarryBody =
      llvm::function_ref<SmallVector<Value>(Position, ValueRange)>;

  Value index(int64_t value);
  Value add(Value lhs, Value rhs);
  Value add(Value lhs, int64_t rhs) { return add(lhs, index(rhs)); }
  Value mul(Value lhs, int64_t rhs);
  Value min(Value lhs, int64_t rhs);
  Value max(Value lhs, int64_t rhs);

  /// The outermost loop: one dimension from 0 to `count`, work-shared later.
  void parallel(int64_t count, Body body);
  /// Sequential loop; a static count of 1 or 0 emits no loop.
  void loop(Value lower, Value upper, int64_t step, Body body);
  /// Nested loops over `loops` in order, carrying values.
  SmallVector<Value> carry(ArrayRef<unsigned> loops, Position position,
                           ValueRange initial, CarryBody body);
  /// Row-major digits of `linear` for the given sizes.
  SmallVector<Value> digits(Value linear, ArrayRef<int64_t> sizes);

  /// Where a loop ends: its limit or its size.
  Value end(unsigned loop);
  /// The same, or the earlier `upper`.
  Value end(unsigned loop, Value upper);

  Position start();
  /// The position of a row-major index over `loops`.
  Position rowPosition(Value row, ArrayRef<unsigned> loops);
  Position advance(Position position, unsigned loop, Value value);

  /// Reads `access` at an element offset; `stride` is that of the lanes.
  Value load(const NestAccess &access, Value offset, int64_t stride,
             int64_t lanes);
  void store(const NestAccess &access, Value value, Value offset,
             int64_t stride, int64_t lanes);
  Value broadcast(Value scalar, int64_t lanes);

  /// The payload's results for its arguments; `lanesLoop` is the loop whose
  /// iterations are the lanes.
  SmallVector<Value> payload(ArrayRef<Value> arguments,
                             const Position &position, unsigned lanesLoop,
                             int64_t lanes);

  OpBuilder &builder;
  StridedNest &nest;
  const VectorLoopsOptions &options;
  Location loc;

private:
  Value bitAddress(const NestAccess &access, Value offset);
  Value loadBits(const NestAccess &access, Value offset, int64_t lanes);
  void storeBits(const NestAccess &access, Value value, Value offset,
                 int64_t lanes);
  Value indexOf(unsigned origin, const Position &position, unsigned lanesLoop,
                int64_t lanes);
  Value gather(memref::LoadOp op, IRMapping &mapping, int64_t lanes);
  Value cloneOnLanes(Operation &op, IRMapping &mapping, int64_t lanes);
};

inline int64_t ceilDiv(int64_t numerator, int64_t denominator) {
  return llvm::divideCeilSigned(numerator, denominator);
}

/// Register-tiled contraction; fails if the nest has another form.
LogicalResult emitContraction(NestBuilder &b);

/// A contraction of two arrays of i8 into i32 by dot4; fails if the nest has
/// another form.
LogicalResult emitCountContraction(NestBuilder &b);

/// Any nest: parallel loops outside, reductions inside.
void emitGeneric(NestBuilder &b);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_CONVERSION_LINALGTOVECTORLOOPS_NESTBUILDER_H

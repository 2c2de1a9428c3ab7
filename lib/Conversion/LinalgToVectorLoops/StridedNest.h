//===- StridedNest.h - a linalg operation as loops with strides -----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A static linalg operation on buffers, without maps and ranks: per loop a
// size, per operand a flat buffer and one element stride per loop. Unit loops,
// neighbouring loops that act as one, broadcast (stride 0) and contiguity
// (stride 1) become plain arithmetic on these numbers.
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_CONVERSION_LINALGTOVECTORLOOPS_STRIDEDNEST_H
#define SPIKEQUANT_LIB_CONVERSION_LINALGTOVECTORLOOPS_STRIDEDNEST_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace mlir::spikequant {

struct NestLoop {
  int64_t size;
  bool reduction;
  /// Loop of the operation, for linalg.index.
  unsigned origin;
  /// Where the loop may stop (index, a multiple of 64 elements, or `size`), or
  /// null. A reduction has to stop there.
  Value limit;
  /// An emitter has asked for the loop's end.
  bool isEnded = false;
};

struct NestAccess {
  /// The operand: a memref, later its flat view of rank 1, or a scalar.
  Value base;
  bool scalar = false;
  Type elementType;
  /// Elements from the start of the memref, and per loop of the nest.
  int64_t constant = 0;
  SmallVector<int64_t> strides;
};

struct StridedNest {
  linalg::LinalgOp op;
  SmallVector<NestLoop> loops;
  /// Inputs, then outputs, in operand order.
  SmallVector<NestAccess> accesses;
  unsigned inputs = 0;
  /// See isFusedContraction.
  bool fused = false;

  ArrayRef<NestAccess> outputs() const {
    return ArrayRef<NestAccess>(accesses).drop_front(inputs);
  }
  Block &payload() const { return *linalg::LinalgOp(op).getBlock(); }
  SmallVector<unsigned> parallelLoops() const;
  SmallVector<unsigned> reductionLoops() const;
};

/// Fails if a shape or an inner stride is dynamic, a map is not linear, an
/// output is written more than once per parallel point, or a reduction loop
/// addresses an output. Creates no operation.
FailureOr<StridedNest> analyzeNest(linalg::LinalgOp op);

/// Drops loops of size 1 and merges neighbours that every operand steps
/// through as one. Loops that linalg.index asks for are not merged.
void simplifyNest(StridedNest &nest);

/// Replaces every memref operand by a view of rank 1 with stride 1.
void flattenOperands(OpBuilder &builder, StridedNest &nest);

/// True if the payload can be cloned on vectors: elementwise operations,
/// constants and linalg.index on integers, floats and indices only.
bool isVectorizablePayload(const StridedNest &nest);

/// True if lanes that hold no element may fault (integer division).
bool mayPayloadTrap(const StridedNest &nest);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_CONVERSION_LINALGTOVECTORLOOPS_STRIDEDNEST_H

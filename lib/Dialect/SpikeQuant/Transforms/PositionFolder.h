//===- PositionFolder.h - linear code between decodes and encodes -*- C++ -*-=//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// One encode whose input is linear in decoded arrays, with factors that depend
/// on positions or, per row, on the row: FoldPositions.cpp reads it,
/// PositionEmission.cpp makes the same of integers.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_POSITIONFOLDER_H
#define SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_POSITIONFOLDER_H

#include "BodyInputs.h"
#include "Conditions.h"
#include "FixedStream.h"
#include "FoldScales.h"
#include "PositionTables.h"

namespace mlir::spikequant {

/// A real number that is an integer times unit * scale * 2^-shift.
struct Linear {
  int shift = 0;
  double scale = 1;
  double error = 0.5;  ///< of the real number, in units times scale
  double relative = 0; ///< and in 2^-15 of the largest decoded magnitude
};

class PositionFolder {
public:
  PositionFolder(EncodeOp op, ConstantReals &constants, FoldContext context,
                 GridSymbols &grids)
      : op(op), constants(constants), context(context), grids(grids),
        tables(constants, grids), streams(context.module, constants),
        b(context.rewriter) {}

  /// Whether it was folded; a failure has a diagnostic.
  FailureOr<bool> fold();

private:
  std::optional<Linear> read(Value value);
  std::optional<Linear> readNew(Value value);
  std::optional<Linear> readNorm(Value value);
  std::optional<Linear> readLinear(Operation *producer);
  std::optional<Linear> readInsertion(tensor::InsertSliceOp insertion);
  std::optional<Linear> readScalar(linalg::LinalgOp op, Value scalar);
  std::optional<Linear> readProduct(linalg::LinalgOp op, Operation *product);
  bool isWanted();
  bool chooseUnit();

  FailureOr<Value> emit(Value value);
  FailureOr<Value> emitNew(Value value);
  FailureOr<Value> emitInsertion(tensor::InsertSliceOp insertion);
  FailureOr<Value> emitBody(linalg::LinalgOp op);
  Value emitScalar(OpBuilder &b, linalg::LinalgOp op, Value scalar,
                   DenseMap<Value, Value> &done);
  Value align(Value value, int from, int to);
  void remark(const Linear &root);

  std::optional<double> getConstant(linalg::LinalgOp op, Value scalar) {
    OpOperand *operand = getBodyInput(op, scalar);
    return getSplat(operand ? operand->get() : scalar);
  }
  bool isFactor(linalg::LinalgOp op, Value scalar) {
    OpOperand *operand = getBodyInput(op, scalar);
    return operand && getElementTypeOrSelf(operand->get()).isF32() &&
           tables.isFactor(operand->get());
  }

  EncodeOp op;
  ConstantReals &constants;
  FoldContext context;
  GridSymbols &grids;
  PositionTables tables;
  FixedStreams streams; ///< what norms scale, in a unit of its own
  IRRewriter &b;
  double unit = 0;
  bool hasFactors = false, hasRows = false, hasSums = false;
  llvm::DenseSet<Value> norms;
  DenseMap<Value, std::optional<Linear>> known; ///< arrays and scalars
  DenseMap<Value, Value> emitted;
  DenseMap<Value, DecodedLeaf> leaves;
};

/// The array that `op` reshapes, slices or moves; null for other operations.
Value getShownSource(Operation *op);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_POSITIONFOLDER_H

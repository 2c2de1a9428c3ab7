//===- RowStatistics.h - exact sums of fixed-point rows ---------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_ROWSTATISTICS_H
#define SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_ROWSTATISTICS_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace mlir::spikequant {

/// A sum over the last dimension, from 0, of an array [.., K] or its squares.
struct RowSum {
  linalg::LinalgOp op;
  Value array;
  bool squares;
};

/// What `op` sums up, if it is such a sum with f32 numbers.
std::optional<RowSum> matchRowSum(linalg::LinalgOp op);

/// The sum as f32 [..], from `numbers` [.., K] of i32 in units of `unit`: the
/// integers are summed exactly (squares in two halves of 32 bits, i64 each, so
/// that no K below 2^31 overflows), converted with one rounding per half and
/// added.
Value sumRows(OpBuilder &builder, Location loc, Value numbers, double unit,
              bool squares);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_ROWSTATISTICS_H

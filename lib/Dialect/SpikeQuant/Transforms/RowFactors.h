//===- RowFactors.h - membranes divided by their rows' sums -----*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_ROWFACTORS_H
#define SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_ROWFACTORS_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace mlir::spikequant {

/// f32(membrane) * rows, of a product with probabilities.
struct DividedRows {
  linalg::LinalgOp op;
  Value membrane; ///< i32
  Value rows;     ///< f32, a positive number over the sum of a row's counts
  AffineMap map;  ///< from elements of the product to `rows`
};

std::optional<DividedRows> matchDividedRows(Operation *op);

/// round(membrane * rows / unit) as i32, from the mantissa and the exponent of
/// the rows' numbers; `unit` is a power of two, a number of 2^23 units or more
/// counts as less than 2^23. Saturates at 2^31 - 1.
Value emitDividedRows(OpBuilder &builder, const DividedRows &rows, double unit);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_ROWFACTORS_H

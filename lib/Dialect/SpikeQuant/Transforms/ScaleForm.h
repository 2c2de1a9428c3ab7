//===- ScaleForm.h - the algebra of scales ----------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// A real array [.., K] as a function of another one:
///
///     x = rectify(base * (product of row factors) * C_j + A_j)
///
/// C and A are known per channel at compile time, row factors are computed at
/// run time, one per row; `rectify` is max(., 0) or nothing. A form moves
/// backwards through reshapes of rows, products and quotients with rows,
/// channels and scalars, sums with channels and scalars (not inside a product
/// with a row), negations and max(., 0); and through slices of rows.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_SCALEFORM_H
#define SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_SCALEFORM_H

#include "spikequant/Dialect/SpikeQuant/Transforms/ConstantReals.h"

namespace mlir::spikequant {

/// A factor per row: `value` read through `map` from the points of `shape`
/// [rows.., K]; the map does not use the last dimension.
struct RowFactor {
  Value value;
  AffineMap map;
  SmallVector<int64_t> shape;
  bool reciprocal;
  /// What lies between those points and the array.
  SmallVector<Operation *> views;
};

/// An array read at every point of a loop nest.
struct ArrayRead {
  Value value;
  AffineMap map;
};

/// `read` of what lies behind broadcasts, transpositions and added dimensions
/// of size 1. An array of equal constants is read at one place.
ArrayRead resolveRead(ArrayRead read);

struct ScaleForm {
  Value base;
  SmallVector<RowFactor> rows;
  SmallVector<double> scales; ///< C_j
  SmallVector<double> shifts; ///< A_j
  bool scaled = false;        ///< some C_j is not 1
  bool shifted = false;       ///< some A_j is not 0
  bool rectified = false;
  /// C is exactly this array.
  LoadWeightsOp gain;
  int roundings = 0; ///< f32 operations between base and x
  /// Reshapes and slices of rows between base and x, the last one first.
  SmallVector<Operation *> views;

  bool isTrivial() const {
    return rows.empty() && !scaled && !shifted && !rectified;
  }
};

/// `value` [.., K], or [..] if `ofRows`, seen through `views` (the last first).
Value replayViews(OpBuilder &builder, Location loc, Value value,
                  ArrayRef<Operation *> views, bool ofRows);

/// The forms of `value`, from itself to the farthest base that can be reached.
std::vector<ScaleForm> findScaleForms(Value value, ConstantReals &constants);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_SCALEFORM_H

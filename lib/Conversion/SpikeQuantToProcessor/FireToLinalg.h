//===- FireToLinalg.h - integer arithmetic of fire --------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_CONVERSION_SPIKEQUANTTOPROCESSOR_FIRETOLINALG_H
#define SPIKEQUANT_LIB_CONVERSION_SPIKEQUANTTOPROCESSOR_FIRETOLINALG_H

#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

#include "mlir/IR/PatternMatch.h"

namespace mlir::spikequant {

/// The counts of `op` as a linalg.generic over its static shape:
/// clamp((clamp(acc, T(lo+1) - 1, T(hi)) * M + B) >> shift, lo, hi) in i64,
/// with the ladder's ends T computed here, exactly, or read from the table
/// that `thresholds` names; as i16 or f32 (`element`).
Value lowerFireToLinalg(RewriterBase &rewriter, FireOp op, Type element);

/// `input` elementwise through `body` into element type `element`.
Value mapElements(OpBuilder &b, Location loc, Value input, Type element,
                  function_ref<Value(OpBuilder &, Location, Value)> body);

/// linalg.generic over all elements: inputs[0] has the shape of the result, the
/// others have [channels]. `inputs` become the arguments of `body`.
Value mapChannels(OpBuilder &b, Location loc, ValueRange inputs, Type element,
                  function_ref<Value(OpBuilder &, Location, ValueRange)> body);

/// Row `row` of the packed i32 or i64 array [rows, channels] that `symbol`
/// names.
Value loadRow(OpBuilder &b, Location loc, FlatSymbolRefAttr symbol,
              RankedTensorType type, int64_t row);

/// The integer arithmetic of `grid`, `scale_rows` and `table`.
Value lowerGridToLinalg(RewriterBase &rewriter, GridOp op);
Value lowerScaleRowsToLinalg(RewriterBase &rewriter, ScaleRowsOp op);
Value lowerTableToLinalg(RewriterBase &rewriter, TableOp op, WeightsOp table);

/// The integer arithmetic of `exponent`.
Value lowerExponentToLinalg(RewriterBase &rewriter, ExponentOp op);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_CONVERSION_SPIKEQUANTTOPROCESSOR_FIRETOLINALG_H

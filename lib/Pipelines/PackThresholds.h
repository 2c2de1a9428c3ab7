//===- PackThresholds.h - thresholds of fires, once scales are known ----===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_PIPELINES_PACKTHRESHOLDS_H
#define SPIKEQUANT_LIB_PIPELINES_PACKTHRESHOLDS_H

#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

#include <optional>
#include <vector>

namespace mlir::spikequant {

/// The array [5, N] of `format` (rows T(lo + 1) - 1, T(hi), M, B, S),
/// row-major. `scales` holds s_w per output channel, 0 where all weights are. A
/// remark tells the largest relative error. Nothing if no shift holds a
/// threshold.
std::optional<std::vector<int64_t>>
makeThresholds(WeightsOp op, ThresholdsAttr format,
               llvm::ArrayRef<double> scales);

/// The array [3, N] of `format` (rows M, S, b), row-major, and a remark with
/// the largest relative error of a rate. Nothing if a rate or a bias is out of
/// range.
std::optional<std::vector<int32_t>> makeRates(WeightsOp op, RatesAttr format,
                                              llvm::ArrayRef<double> scales);

/// The array [3, K] of `format` (rows M, S, Z), row-major, and a remark with
/// the largest relative error of a rate. `gains` and `centres` have K values.
/// Nothing if a rate or a centre is out of range.
std::optional<std::vector<int32_t>>
makeCountRates(WeightsOp op, CountRatesAttr format,
               llvm::ArrayRef<double> gains, llvm::ArrayRef<double> centres);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_PIPELINES_PACKTHRESHOLDS_H

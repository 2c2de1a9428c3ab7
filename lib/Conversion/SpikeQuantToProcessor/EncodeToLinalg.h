//===- EncodeToLinalg.h - arithmetic of encode ------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_CONVERSION_SPIKEQUANTTOPROCESSOR_ENCODETOLINALG_H
#define SPIKEQUANT_LIB_CONVERSION_SPIKEQUANTTOPROCESSOR_ENCODETOLINALG_H

#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

#include "mlir/IR/PatternMatch.h"

namespace mlir::spikequant {

/// Whether all counts of `op` end at one window: no events, the same known bits
/// for all channels, or no bits at all.
bool hasOneWindow(EncodeOp op, WeightsOp bits);

/// The counts of such an `op`, whose shape is static, by linalg operations: for
/// readers that want the counts as an array, such as products of activations.
Value lowerEncodeToLinalg(RewriterBase &rewriter, EncodeOp op, WeightsOp bits);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_CONVERSION_SPIKEQUANTTOPROCESSOR_ENCODETOLINALG_H

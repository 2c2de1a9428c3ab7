//===- FixedPointFire.h - counts of fixed-point numbers ---------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_FIXEDPOINTFIRE_H
#define SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_FIXEDPOINTFIRE_H

#include "spikequant/Dialect/SpikeQuant/Transforms/ConstantReals.h"
#include "spikequant/Kernel/Thresholds.h"

namespace mlir::spikequant {

/// The least and the largest count.
struct CountRange {
  int32_t lo, hi;
};

/// The window that all counts of `op` saturate to, if it is one for all.
std::optional<int32_t> getCommonWindow(EncodeOp op);

/// Thresholds of what `op` encodes as numbers of `unit`, per channel or for
/// all, with one shift; nothing if gains or centres are not known, or a
/// threshold is not positive.
std::optional<::spikequant::FireTable>
getUnitThresholds(EncodeOp op, double unit, ConstantReals &constants,
                  CountRange range);

/// Replaces `op` by a fire of `membrane`, of the same site; counts have windows
/// unless they saturate at the ends of `range`.
void replaceByFire(EncodeOp op, Value membrane,
                   const ::spikequant::FireTable &thresholds, CountRange range,
                   RewriterBase &rewriter);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_FIXEDPOINTFIRE_H

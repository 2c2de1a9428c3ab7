//===- IslandKinds.h - what real-valued operations are for ------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_ANALYSIS_ISLANDKINDS_H
#define SPIKEQUANT_LIB_ANALYSIS_ISLANDKINDS_H

#include "RealValues.h"

#include "spikequant/Analysis/Islands.h"

#include "llvm/ADT/MapVector.h"

namespace mlir::spikequant {

/// Whether `op` reads or writes real numbers at run time. Constants, weights
/// and control flow do not count; what is in their regions does.
bool isRealOperation(Operation *op);

/// The kind of every real-valued operation, in program order.
llvm::MapVector<Operation *, IslandKind> findIslandKinds(func::FuncOp function);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_ANALYSIS_ISLANDKINDS_H

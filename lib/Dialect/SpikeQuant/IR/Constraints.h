//===- Constraints.h - checks that several operations share -----*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_DIALECT_CONSTRAINTS_H
#define SPIKEQUANT_LIB_DIALECT_CONSTRAINTS_H

#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

namespace mlir::spikequant {

/// The weights op that `symbol` names; an error that starts with `tag` if there
/// is none.
FailureOr<WeightsOp> findWeights(Operation *op, SymbolTableCollection &tables,
                                 FlatSymbolRefAttr symbol, StringRef tag);

/// The same, and its format must be codes.
FailureOr<WeightsOp> findCodes(Operation *op, SymbolTableCollection &tables,
                               FlatSymbolRefAttr symbol, StringRef tag);

/// Step finite, above 0, and its reciprocal finite and normal.
LogicalResult verifyStep(Operation *op, const APFloat &step, StringRef tag);

/// ENC-C3, C4 and C8.
LogicalResult verifyEncodeAttributes(Operation *op, const APFloat &step,
                                     int32_t tolerance, StringRef site);

/// ENC-C5 to C7: `bits`, `gains` and `centres` may be null.
LogicalResult verifyEncodeSymbols(Operation *op, SymbolTableCollection &tables,
                                  int64_t channels, float step,
                                  FlatSymbolRefAttr bits,
                                  FlatSymbolRefAttr gains,
                                  FlatSymbolRefAttr centres);

/// A stack of weights, and nothing else, has an index: a scalar or a vector
/// with one number for each of the leading slices of `rows`.
LogicalResult verifyStackIndex(Operation *op, WeightsOp weights, Value index,
                               ArrayRef<int64_t> rows, StringRef tag);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_DIALECT_CONSTRAINTS_H

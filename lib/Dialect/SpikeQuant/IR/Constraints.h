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

/// ENC-C10: fixed-point numbers, and nothing else, have a unit that is a power
/// of two and rates, which hold gains and centres.
LogicalResult verifyEncodeForm(Operation *op, Type element,
                               std::optional<APFloat> unit,
                               FlatSymbolRefAttr rates, bool hasChannels);

/// ENC-C11: `rates`, which may be null, names count rates of `channels`.
LogicalResult verifyCountRates(Operation *op, SymbolTableCollection &tables,
                               FlatSymbolRefAttr rates, int64_t channels);

/// `rates`, which may be null, names rates of all rows of `weights`.
LogicalResult verifyLookupRates(Operation *op, SymbolTableCollection &tables,
                                WeightsOp weights, FlatSymbolRefAttr rates,
                                StringRef tag);

/// A stack of weights, and nothing else, has an index: a scalar or a vector
/// with one number for each of the leading slices of `rows`.
LogicalResult verifyStackIndex(Operation *op, WeightsOp weights, Value index,
                               ArrayRef<int64_t> rows, StringRef tag);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_DIALECT_CONSTRAINTS_H

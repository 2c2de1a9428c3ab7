//===- GridSymbols.h - symbols of rates and tables --------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_GRIDSYMBOLS_H
#define SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_GRIDSYMBOLS_H

#include "ScalarFunction.h"

#include <map>

namespace mlir::spikequant {

/// Rates and tables of a module; equal ones share a symbol.
class GridSymbols {
public:
  explicit GridSymbols(ModuleOp module) : module(module) {}

  /// `#spikequant.rates` of a decoded array on a grid of `unit`.
  FailureOr<FlatSymbolRefAttr> getRates(const DecodedLeaf &leaf, double unit,
                                        Location loc);

  /// A literal i32 array.
  FailureOr<FlatSymbolRefAttr> getTable(ArrayRef<int32_t> entries,
                                        Location loc);

private:
  ModuleOp module;
  std::map<std::vector<int32_t>, FlatSymbolRefAttr> tables;
};

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_GRIDSYMBOLS_H

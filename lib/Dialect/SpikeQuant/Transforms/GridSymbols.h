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

  /// A decoded array on a grid of `unit`, i32, in the shape of its form.
  FailureOr<Value> makeGrid(OpBuilder &b, Location loc, const DecodedLeaf &leaf,
                            double unit);

  /// `#spikequant.rates` of the rows of `weights` on a grid of `unit`.
  FailureOr<FlatSymbolRefAttr> getRowRates(WeightsOp weights, double unit,
                                           Location loc);

  /// `#spikequant.rates` that take numbers of `step` through the channels of
  /// `form` to `unit`.
  FailureOr<FlatSymbolRefAttr>
  getScaledRates(const ScaleForm &form, double step, double unit, Location loc);

  /// A literal i32 array of `type`, called `name` or nearly so.
  FailureOr<FlatSymbolRefAttr> getNumbers(const Twine &name,
                                          RankedTensorType type,
                                          ArrayRef<int32_t> numbers,
                                          Location loc);

  /// `#spikequant.count_rates` of the encode `op` of numbers of `unit`.
  FailureOr<FlatSymbolRefAttr> getCountRates(EncodeOp op, double unit);

  /// A literal i32 array.
  FailureOr<FlatSymbolRefAttr> getTable(ArrayRef<int32_t> entries,
                                        Location loc);

private:
  ModuleOp module;
  std::map<std::vector<int32_t>, FlatSymbolRefAttr> tables;
};

/// About the standard deviation of a decoded array: its counts are taken as
/// three steps. Nothing without known weights.
std::optional<double> estimateSpread(const DecodedLeaf &leaf,
                                     ConstantReals &constants, ModuleOp module);

/// The largest power of two that is at most `value`.
double roundDownToPower(double value);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_GRIDSYMBOLS_H

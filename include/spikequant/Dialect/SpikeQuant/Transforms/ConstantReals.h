//===- ConstantReals.h - values of constants and weights --------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_CONSTANTREALS_H
#define SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_CONSTANTREALS_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/BuiltinOps.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"
#include "spikequant/Weights/Safetensors.h"
#include "llvm/ADT/StringMap.h"

#include <optional>
#include <vector>

namespace mlir::spikequant {

/// Evaluates f32 values that depend on constants and weights alone, at compile
/// time and with the roundings that the program would make.
class ConstantReals {
public:
  /// Weights with a source are read from `weightsFile`; without one, or where
  /// the file has no such f32 array, they have no value.
  explicit ConstantReals(ModuleOp module) : module(module) {}
  llvm::Error open(llvm::StringRef weightsFile);

  /// The element of a tensor, or the scalar if `index` is empty; nothing if it
  /// depends on an argument or is computed by an operation other than addf,
  /// subf, mulf, divf and negf on f32, broadcasts and reshapes.
  std::optional<float> at(Value value, ArrayRef<int64_t> index);

  /// All values of a real f32 symbol in row-major order; empty if not known, or
  /// if there is no symbol.
  ArrayRef<float> getValues(WeightsOp weights);
  ArrayRef<float> getValues(FlatSymbolRefAttr symbol);

  /// The mean over rows (the last dimension) of the sum of squares of a weight,
  /// of a literal or of what its source and view say.
  std::optional<double> getMeanRowSquare(WeightsOp weights);

private:
  std::optional<float> atLinear(Value value, int64_t position);
  std::optional<float> atLinalg(linalg::LinalgOp op, ArrayRef<int64_t> index);
  std::optional<float> evaluate(Value scalar, linalg::LinalgOp op,
                                ArrayRef<int64_t> index);
  std::vector<float> read(WeightsOp weights);

  ModuleOp module;
  std::optional<::spikequant::SafetensorsFile> file;
  llvm::StringMap<std::vector<float>> cache;
  llvm::StringMap<std::optional<double>> squares;
};

/// Where `map`, whose results are dimensions and constants, leads from `point`;
/// nothing for other maps.
std::optional<SmallVector<int64_t>> applyMap(AffineMap map,
                                             ArrayRef<int64_t> point);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_CONSTANTREALS_H

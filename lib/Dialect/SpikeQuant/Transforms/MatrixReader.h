//===- MatrixReader.h - the values of a site's weights ----------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_MATRIXREADER_H
#define SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_MATRIXREADER_H

#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"
#include "spikequant/Dialect/SpikeQuant/IR/WeightView.h"
#include "spikequant/Weights/Safetensors.h"

#include <optional>
#include <string>
#include <vector>

namespace mlir::spikequant {

/// Reads weights from literals of the module and from a safetensors file.
class MatrixReader {
public:
  explicit MatrixReader(ModuleOp module) : module(module) {}

  /// From now on sources are read from this file, with the module's rotations.
  llvm::Error open(StringRef path);

  /// Whether the elements of `view` have values.
  bool knows(WeightsOp weights, const WeightView &view) const;
  /// The elements of `view`, which is composed with the symbol's own view,
  /// row-major. Fails if they have no values.
  llvm::Expected<std::vector<float>> read(WeightsOp weights,
                                          const WeightView &view) const;

private:
  llvm::Error readSource(WeightsOp weights, const WeightView &view,
                         std::vector<float> &values) const;

  ModuleOp module;
  std::optional<::spikequant::SafetensorsFile> file;
  std::string path;
};

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_MATRIXREADER_H

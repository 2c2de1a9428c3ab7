//===- SiteBiases.h - constants of the inputs behind a matrix ---*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_SITEBIASES_H
#define SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_SITEBIASES_H

#include "MatrixReader.h"

#include "spikequant/Dialect/SpikeQuant/Transforms/Contractions.h"
#include "llvm/ADT/StringMap.h"

namespace mlir::spikequant {

/// What the constant part of an encoded value does behind a matrix. A value is
/// x = s n + offset_j + an error without a mean, so the matrix gives
/// W s n + b with b_o = sum_j W_oj offset_j, summed in f64 and rounded to f32.
class SiteBiases {
public:
  SiteBiases(ModuleOp module, const MatrixReader &reader)
      : module(module), reader(reader) {}

  /// Whether the value that `site` reads may have offsets: one matrix whose
  /// values are known, for all rows.
  static bool isPossible(ModuleOp module, const MatrixReader &reader,
                         const Site &site);

  /// The symbol of b [N], called after the site. Fails, with a diagnostic.
  FailureOr<WeightsOp> get(Site site, ArrayRef<float> offsets);

private:
  ModuleOp module;
  const MatrixReader &reader;
  /// By site: every graph of a bundle has the same ones.
  llvm::StringMap<std::vector<float>> known;
};

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_SITEBIASES_H

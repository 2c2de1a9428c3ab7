//===- PackWeights.h - weights symbols to the packed file ----- *- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_PIPELINES_PACKWEIGHTS_H
#define SPIKEQUANT_PIPELINES_PACKWEIGHTS_H

#include "spikequant/Calibration/GramMatrix.h"
#include "spikequant/Weights/PackedFile.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <string>

namespace mlir::spikequant {

/// What the code has to know about the packed file.
struct PackedFileInfo {
  uint64_t checksum = 0;
  uint64_t bytes = 0;
  int64_t secondOrder = 0; ///< Matrices rounded with error feedback.
};

/// Which encode site each weight's inputs come from. Weights with inputs from
/// several sites, and those that rows are looked up in, are left out: their
/// best rounding depends on more than one site's Gram matrix.
using WeightInputs = llvm::StringMap<std::string>;

/// Reads it from the integrate operations, which later stages replace.
WeightInputs findWeightInputs(ModuleOp module);

/// What rounding may know of the inputs, and whose they are. With `grams` it is
/// second-order; else nearest, errors weighted by `importance` of the channels
/// of an encode site where that is there.
struct SecondOrderOptions {
  const ::spikequant::GramFile *grams = nullptr;
  llvm::StringMap<std::vector<float>> importance;
  WeightInputs inputs;
  /// By encode site: the constant c of each channel that a bias behind the
  /// matrix stands for, and the channel's mean and mean square. The matrix sees
  /// x - c, so G becomes sum (x - c) (x - c)^T.
  struct Shift {
    std::vector<float> offsets;
    std::vector<double> means, squares;
  };
  llvm::StringMap<Shift> shifts;
  /// Without `grams`: sites with a shift are rounded with a G that only knows
  /// these moments, for else the mean of x - c, which may be far from 0, would
  /// meet the errors of all weights.
  bool ofMoments = false;
};

/// Writes the arrays of all `spikequant.weights` operations of the module to
/// `path` and puts their places in the file on the operations
/// (`spikequant.layout`). Sources are read from `safetensorsPath`, which may be
/// empty if no operation has a source. Errors name the weight and the file;
/// with Gram matrices, a site that has none is one.
llvm::Expected<PackedFileInfo>
packWeights(ModuleOp module, llvm::StringRef safetensorsPath,
            llvm::StringRef path, const SecondOrderOptions &secondOrder = {});

/// As `packWeights`, nearest rounding, into a file that is mapped and then
/// gone.
llvm::Expected<::spikequant::PackedFile>
packTemporarily(ModuleOp module, llvm::StringRef safetensorsPath);

/// Puts the places of a packed file that exists on the operations
/// (`spikequant.layout`). Errors: a weight is missing or has another shape.
llvm::Expected<PackedFileInfo> annotateWeights(ModuleOp module,
                                               llvm::StringRef path);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_PIPELINES_PACKWEIGHTS_H

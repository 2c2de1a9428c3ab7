//===- CollectLayers.h - what the layers of a graph read --------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_ENERGY_COLLECTLAYERS_H
#define SPIKEQUANT_LIB_ENERGY_COLLECTLAYERS_H

#include "spikequant/Calibration/Statistics.h"
#include "spikequant/Energy/OperationCounts.h"
#include "spikequant/Reference/Npz.h"
#include "spikequant/Weights/PackedFile.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace mlir::spikequant {

/// Where the counts of the sites come from.
struct CountSources {
  const ::spikequant::PackedFile *weights = nullptr;
  std::optional<::spikequant::NpzArrays> recorded;
  std::optional<::spikequant::CalibrationData> calibration;
  int32_t assumedWindow = 7;
};

/// The integrate operations of `function`, in order. Emits an error on an
/// operation whose counts or weights are not known.
FailureOr<std::vector<::spikequant::LayerActivity>>
collectLayers(func::FuncOp function, const CountSources &sources);

/// Operations on real numbers by kind; loops of unknown length are counted in
/// `unknownLoops`.
std::map<std::string, ::spikequant::RealOperations>
countRealOperations(func::FuncOp function, int64_t &unknownLoops);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_ENERGY_COLLECTLAYERS_H

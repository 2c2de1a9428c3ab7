//===- PositionTables.h - factors that depend on positions ------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_POSITIONTABLES_H
#define SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_POSITIONTABLES_H

#include "GridSymbols.h"
#include "ScalarFunction.h"

#include "mlir/IR/PatternMatch.h"

namespace mlir::spikequant {

/// Fixed-point factors count 2^-14.
inline constexpr int kFactorBits = 14;
/// Magnitudes end here.
inline constexpr double kMostFactor = 64;

class PositionTables {
public:
  PositionTables(ModuleOp module, ConstantReals &constants)
      : module(module), constants(constants) {}

  /// Whether an f32 array depends on constants, weights and integer arguments
  /// alone.
  bool isFactor(Value value);

  /// The largest magnitude of such an array, at most kMostFactor.
  double getBound(Value value);

  /// The same array in fixed point, i32, made at the builder: weights become
  /// literal integers, movement moves those, what is computed from positions is
  /// rounded where it is made.
  FailureOr<Value> convert(OpBuilder &b, Value value);

private:
  FailureOr<Value> convertWeights(OpBuilder &b, LoadWeightsOp load);
  ArrayRef<float> getValues(LoadWeightsOp load);

  ModuleOp module;
  ConstantReals &constants;
  llvm::DenseMap<Value, bool> known;
};

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_POSITIONTABLES_H

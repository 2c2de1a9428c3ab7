//===- PositionTables.h - factors that depend on positions ------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_POSITIONTABLES_H
#define SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_POSITIONTABLES_H

#include "ConstantArrays.h"
#include "GridSymbols.h"
#include "ScalarFunction.h"

#include "mlir/IR/PatternMatch.h"

namespace mlir::spikequant {

/// Integers that count `unit`; magnitudes end at `most`.
struct FixedPoint {
  double unit, most;
};

/// Factors that rotate: 2^-14, up to 64.
inline constexpr int kFactorBits = 14;
inline constexpr FixedPoint kFactors{1.0 / (1 << kFactorBits), 64};

class PositionTables {
public:
  PositionTables(ConstantReals &constants, GridSymbols &symbols)
      : symbols(symbols), arrays(constants) {}

  /// Whether an f32 array depends on constants, weights and integer arguments
  /// alone.
  bool isFactor(Value value) { return dependsOnInputs(value, factors, false); }

  /// The same, or on real arguments that are no states.
  bool isInput(Value value) { return dependsOnInputs(value, inputs, true); }

  /// The largest magnitude of such an array, `most` if it is not known.
  double getBound(Value value, double most);

  /// The same array in fixed point, i32, made at the builder: what compile time
  /// knows is literal integers, movement and choices of rows move those, what
  /// is computed from arguments is rounded where it is made.
  FailureOr<Value> convert(OpBuilder &b, Value value, FixedPoint fixed);

private:
  bool dependsOnInputs(Value value, llvm::DenseMap<Value, bool> &known,
                       bool reals);
  FailureOr<Value> convertKnown(OpBuilder &b, Value value, FixedPoint fixed);
  FailureOr<Value> convertGather(OpBuilder &b, linalg::GenericOp op,
                                 FixedPoint fixed);

  GridSymbols &symbols;
  ConstantArrays arrays;
  llvm::DenseMap<Value, bool> factors, inputs;
};

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_POSITIONTABLES_H

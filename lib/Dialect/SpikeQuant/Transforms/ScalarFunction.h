//===- ScalarFunction.h - elementwise code as functions ---------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Elementwise code between decodes and an encode, read as an expression whose
/// leaves are decoded values (possibly scaled and shifted per channel) and
/// which can be evaluated at compile time.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_SCALARFUNCTION_H
#define SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_SCALARFUNCTION_H

#include "ScaleForm.h"

#include "llvm/ADT/DenseMap.h"

namespace mlir::spikequant {

/// A decoded array: `form` of a decode, seen through `moves` (reshapes and
/// slices, the last first).
struct DecodedLeaf {
  Value value;
  ScaleForm form;
  SmallVector<Operation *> moves;

  DecodeOp getDecode() const { return form.base.getDefiningOp<DecodeOp>(); }
};

/// The farthest form of `value` on a decode of one matrix without row factors.
std::optional<ScaleForm> findDecodeForm(Value value, ConstantReals &constants);

/// Whether `op` is a real scalar operation that evaluateFunction knows.
bool isKnownFunction(Operation *op);

/// The result of the scalar operation `op` on `x` in double precision.
double evaluateFunction(Operation *op, ArrayRef<double> x);

/// One operation of an expression on earlier steps, a constant or a leaf.
struct FunctionStep {
  Operation *op = nullptr; ///< null for constants and leaves
  SmallVector<int, 3> operands;
  double constant = 0;
  int leaf = -1;
};

/// Steps in order; every value is the index of a step.
class ScalarFunctions {
public:
  explicit ScalarFunctions(ConstantReals &constants) : constants(constants) {}

  /// The step that computes `value`, an array whose elements depend on the
  /// elements at the same place of leaves; nothing for other code.
  std::optional<int> read(Value value);

  /// The factors of a step: the operands of nested products, twice the base of
  /// a square; products are looked into so deep.
  SmallVector<int> getFactors(int step, int depth = 8) const;

  /// The leaf of a step that depends on one leaf alone; -1 without any, nothing
  /// with several.
  std::optional<int> getOnlyLeaf(int step) const;

  bool isLeaf(int step) const { return steps[step].leaf >= 0; }

  /// The value of a step in double precision where its only leaf is `x`.
  double evaluate(int step, double x) const;

  const DecodedLeaf &getLeaf(int leaf) const { return leaves[leaf]; }

private:
  std::optional<int> addLeaf(Value value);
  std::optional<int> addConstant(double value);
  std::optional<int> readElementwise(linalg::LinalgOp op);
  std::optional<int> readScalar(Value scalar, linalg::LinalgOp op,
                                DenseMap<Value, int> &known);
  std::optional<int> readOperand(OpOperand *operand, linalg::LinalgOp op);

  ConstantReals &constants;
  std::vector<FunctionStep> steps;
  std::vector<DecodedLeaf> leaves;
  DenseMap<Value, int> valueSteps;
};

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_SCALARFUNCTION_H

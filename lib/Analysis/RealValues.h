//===- RealValues.h - what real values depend on ----------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_ANALYSIS_REALVALUES_H
#define SPIKEQUANT_LIB_ANALYSIS_REALVALUES_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "llvm/ADT/DenseMap.h"

namespace mlir::spikequant {

/// Ordered: an operation depends on the most variable of its operands.
enum class Dependence { Constant, Position, Data };

struct ValueTraits {
  Dependence dependence = Dependence::Constant;
  /// Computed only from results of reductions and constants.
  bool isRow = false;

  bool isData() const { return dependence == Dependence::Data; }
};

/// Float tensors and scalars.
bool isReal(Value value);
bool isRealType(Type type);

/// The scalar operations that `op` applies per element: the body of a linalg
/// operation, else `op` itself if it is elementwise.
SmallVector<Operation *> getScalarOperations(Operation *op);

/// Dependence of every value outside the bodies of linalg operations.
class RealValues {
public:
  explicit RealValues(func::FuncOp function);

  ValueTraits get(Value value) const { return traits.lookup(value); }

  /// Traits of the values in the body of `op`, seeded by its operands.
  llvm::DenseMap<Value, ValueTraits> getBody(linalg::LinalgOp op) const;

private:
  void visit(Operation *op);

  llvm::DenseMap<Value, ValueTraits> traits;
};

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_ANALYSIS_REALVALUES_H

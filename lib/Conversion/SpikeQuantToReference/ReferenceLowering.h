//===- ReferenceLowering.h - calls of scalar definitions -----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_CONVERSION_SPIKEQUANTTOREFERENCE_REFERENCELOWERING_H
#define SPIKEQUANT_LIB_CONVERSION_SPIKEQUANTTOREFERENCE_REFERENCELOWERING_H

#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/SymbolTable.h"

namespace mlir::spikequant {

/// Bodies of contractions (isFusedContraction) to math.fma.
LogicalResult fuseContractions(ModuleOp module);

/// Emits calls of C functions on the addresses of tensors' buffers.
class ReferenceCalls {
public:
  explicit ReferenceCalls(ModuleOp module)
      : module(module), symbols(module), b(module.getLoc(), module) {}

  /// New operations go before `op`, with its location.
  void setInsertionPoint(Operation *op) {
    b.setInsertionPoint(op);
    b.setLoc(op->getLoc());
  }
  OpBuilder &builder() { return b; }

  /// Address of a tensor's values, row-major and dense, for reading.
  Value address(Value tensor);
  /// Address of the constant `values`.
  Value address(DenseElementsAttr values);
  /// Address of the array behind a symbol of format `real`; null for no symbol.
  Value address(FlatSymbolRefAttr weights);
  /// Address of a part of packed codes: the start of one of the fields of
  /// `spikequant.layout`. Null with a diagnostic on `user` if there is none.
  Value address(Operation *user, WeightsOp weights, StringRef part);
  Value null();
  Value number(int64_t value, unsigned bits = 64);
  Value number(APFloat value);
  /// A buffer of this shape and type, and the tensor that it will be.
  struct Result {
    Value address;
    Value buffer;
    RankedTensorType type;
  };
  Result allocate(Type type);
  Value toTensor(const Result &result);
  void call(StringRef function, ValueRange arguments);

  WeightsOp lookup(FlatSymbolRefAttr weights) {
    return symbols.lookup<WeightsOp>(weights.getAttr());
  }

private:
  Value addressOfBuffer(Value buffer);
  WeightsOp getPart(WeightsOp weights, StringRef part, int64_t offset);

  ModuleOp module;
  SymbolTable symbols;
  ImplicitLocOpBuilder b;
};

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_CONVERSION_SPIKEQUANTTOREFERENCE_REFERENCELOWERING_H

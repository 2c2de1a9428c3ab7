//===- ConstantArrays.h - arrays that compile time knows --------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Values of arrays that depend on constants, weights and the places of their
/// elements alone: angles of positions, relative places, masks.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_CONSTANTARRAYS_H
#define SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_CONSTANTARRAYS_H

#include "spikequant/Dialect/SpikeQuant/Transforms/ConstantReals.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include <memory>

namespace mlir::spikequant {

class ConstantArrays {
public:
  explicit ConstantArrays(ConstantReals &reals) : reals(reals) {}

  /// The elements in row-major order: integers, or reals rounded to f32 after
  /// every operation. Null if they are not known or too many (2^20).
  const std::vector<double> *get(Value array);

private:
  using Values = std::optional<std::vector<double>>;

  Values compute(Value array);
  Values computeSlice(tensor::ExtractSliceOp op);
  Values computeInsertion(tensor::InsertSliceOp op);
  Values computeElements(linalg::LinalgOp op);
  bool computeElement(linalg::LinalgOp op, ArrayRef<int64_t> point,
                      double &result);
  std::optional<double> computeScalar(Operation *inner, ArrayRef<int64_t> point,
                                      ArrayRef<double> in);

  ConstantReals &reals;
  /// Pointers to values outlive later ones.
  llvm::DenseMap<Value, std::unique_ptr<Values>> known;
};

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_CONSTANTARRAYS_H

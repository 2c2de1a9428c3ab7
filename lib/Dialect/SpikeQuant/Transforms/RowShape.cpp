//===- RowShape.cpp - any rank as rows of channels ------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RowShape.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/ReshapeOpsUtils.h"

using namespace mlir;

/// Groups of dimensions between a tensor of `rank` (not 2) and [M, K].
static SmallVector<ReassociationIndices> getGroups(int64_t rank) {
  if (rank == 1)
    return {{0, 1}};
  return {llvm::to_vector<2>(llvm::seq<int64_t>(rank - 1)), {rank - 1}};
}

Value mlir::spikequant::flattenRows(OpBuilder &builder, Location loc,
                                    Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  if (type.getRank() == 2)
    return value;
  int64_t channels = type.getShape().back();
  auto flat = RankedTensorType::get(
      {type.getNumElements() / channels, channels}, type.getElementType());
  auto groups = getGroups(type.getRank());
  if (type.getRank() == 1)
    return tensor::ExpandShapeOp::create(builder, loc, flat, value, groups);
  return tensor::CollapseShapeOp::create(builder, loc, flat, value, groups);
}

Value mlir::spikequant::restoreRows(OpBuilder &builder, Location loc,
                                    Value rows, RankedTensorType type) {
  if (type.getRank() == 2)
    return rows;
  auto groups = getGroups(type.getRank());
  if (type.getRank() == 1)
    return tensor::CollapseShapeOp::create(builder, loc, type, rows, groups);
  return tensor::ExpandShapeOp::create(builder, loc, type, rows, groups);
}

Value mlir::spikequant::flattenAll(OpBuilder &builder, Location loc,
                                   Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  if (type.getRank() == 1)
    return value;
  auto flat =
      RankedTensorType::get(type.getNumElements(), type.getElementType());
  SmallVector<ReassociationIndices> groups;
  if (type.getRank() == 0)
    return tensor::ExpandShapeOp::create(builder, loc, flat, value, groups);
  groups.push_back(llvm::to_vector<2>(llvm::seq<int64_t>(type.getRank())));
  return tensor::CollapseShapeOp::create(builder, loc, flat, value, groups);
}

//===- RotationMovement.cpp - turned channels that move -------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RotationWeb.h"

using namespace mlir;
using namespace mlir::spikequant;

static RankedTensorType typeOf(Value value) {
  return dyn_cast<RankedTensorType>(value.getType());
}

LogicalResult RotationWeb::visitExpand(const ChannelAxis &axis,
                                       tensor::ExpandShapeOp op) {
  return regroup(axis, op.getSrc(), op.getResult(),
                 op.getReassociationIndices());
}

LogicalResult RotationWeb::visitCollapse(const ChannelAxis &axis,
                                         tensor::CollapseShapeOp op) {
  return regroup(axis, op.getResult(), op.getSrc(),
                 op.getReassociationIndices());
}

/// Blocks lie in the innermost of the parts, and all of them turn.
LogicalResult RotationWeb::regroup(const ChannelAxis &axis, Value whole,
                                   Value parts,
                                   ArrayRef<ReassociationIndices> groups) {
  bool isWhole = axis.value == whole;
  for (auto [d, group] : llvm::enumerate(groups)) {
    bool isHere = isWhole ? int64_t(d) == axis.dimension
                          : llvm::is_contained(group, axis.dimension);
    if (!isHere)
      continue;
    int64_t size = typeOf(whole).getDimSize(d);
    int64_t innermost = group.back();
    while (innermost > group.front() &&
           typeOf(parts).getDimSize(innermost) == 1)
      --innermost;
    int64_t inner = typeOf(parts).getDimSize(innermost);
    bool all = axis.begin == 0 &&
               axis.end == typeOf(axis.value).getDimSize(axis.dimension);
    if (!isWhole && axis.dimension != innermost)
      return refuse("a reshape takes its channels apart");
    if (inner == size)
      return isWhole ? add({parts, innermost, axis.begin, axis.end})
                     : add({whole, int64_t(d), axis.begin, axis.end});
    if (!all || inner % block != 0)
      return refuse("a reshape takes its channels apart");
    return isWhole ? add({parts, innermost, 0, inner})
                   : add({whole, int64_t(d), 0, size});
  }
  return refuse("a reshape takes its channels apart");
}

/// Dimensions of a slice that its rank-reduced result has.
static SmallVector<int64_t>
getKeptDimensions(OffsetSizeAndStrideOpInterface op,
                  const llvm::SmallBitVector &gone) {
  SmallVector<int64_t> kept;
  for (int64_t d = 0, rank = op.getStaticSizes().size(); d < rank; ++d)
    if (!gone.test(d))
      kept.push_back(d);
  return kept;
}

/// First position and number of the positions of `d`; nothing if they are only
/// known at run time or not neighbours.
static std::optional<std::pair<int64_t, int64_t>>
getPart(OffsetSizeAndStrideOpInterface op, int64_t d) {
  int64_t offset = op.getStaticOffsets()[d], size = op.getStaticSizes()[d];
  if (ShapedType::isDynamic(offset) || ShapedType::isDynamic(size) ||
      op.getStaticStrides()[d] != 1)
    return std::nullopt;
  return std::pair(offset, size);
}

LogicalResult RotationWeb::visitExtract(const ChannelAxis &axis,
                                        tensor::ExtractSliceOp op) {
  SmallVector<int64_t> kept = getKeptDimensions(op, op.getDroppedDims());
  bool isResult = axis.value == op.getResult();
  int64_t d = isResult ? kept[axis.dimension] : axis.dimension;
  auto part = getPart(op, d);
  if (!part)
    return refuse("a slice is cut across its channels");
  auto [offset, size] = *part;
  if (isResult)
    return add({op.getSource(), d, offset + axis.begin, offset + axis.end});
  if (offset >= axis.end || offset + size <= axis.begin)
    return success();
  auto *place = llvm::find(kept, d);
  if (axis.begin < offset || axis.end > offset + size || place == kept.end())
    return refuse("a slice is cut across its channels");
  return add({op.getResult(), place - kept.begin(), axis.begin - offset,
              axis.end - offset});
}

/// The values inserted and those around them turn alike, unless they lie in
/// other channels.
LogicalResult RotationWeb::visitInsert(const ChannelAxis &axis,
                                       tensor::InsertSliceOp op) {
  SmallVector<int64_t> kept = getKeptDimensions(op, op.getDroppedDims());
  bool isSource = axis.value == op.getSource();
  int64_t d = isSource ? kept[axis.dimension] : axis.dimension;
  auto part = getPart(op, d);
  auto *place = llvm::find(kept, d);
  if (!part)
    return refuse("a slice is put across its channels");
  auto [offset, size] = *part;
  int64_t shift = isSource ? offset : 0;
  ChannelAxis around{op.getResult(), d, axis.begin + shift, axis.end + shift};
  if (failed(add(around)) ||
      failed(add({op.getDest(), d, around.begin, around.end})))
    return failure();
  if (offset >= around.end || offset + size <= around.begin)
    return success();
  if (around.begin < offset || around.end > offset + size ||
      place == kept.end())
    return refuse("a slice is put across its channels");
  return add({op.getSource(), place - kept.begin(), around.begin - offset,
              around.end - offset});
}

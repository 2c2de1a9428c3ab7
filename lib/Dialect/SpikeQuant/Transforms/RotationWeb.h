//===- RotationWeb.h - what turns with the channels of a value --*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// If the channels of one value are multiplied by an orthogonal matrix, what
// else must be for all results to stay as they are? From one dimension of one
// value, follows every operation in both directions: what is linear along the
// channels passes the rotation on, a sum of products over them absorbs it,
// weights are where it is applied. Anything else (a softmax, an activation
// function, a product with numbers that differ by channel) refuses it.
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_DIALECT_TRANSFORMS_ROTATIONWEB_H
#define SPIKEQUANT_LIB_DIALECT_TRANSFORMS_ROTATIONWEB_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

namespace mlir::spikequant {

/// Positions [begin, end) of a dimension of a value, in blocks.
struct ChannelAxis {
  Value value;
  int64_t dimension = 0;
  int64_t begin = 0;
  int64_t end = 0;

  bool isSame(const ChannelAxis &other) const {
    return dimension == other.dimension && begin == other.begin &&
           end == other.end;
  }
};

class RotationWeb {
public:
  RotationWeb(ModuleOp module, int64_t block) : module(module), block(block) {}

  /// Follows the rotation of `seed`; fails if something refuses it, and then
  /// `getReason` says what. The program is not changed.
  LogicalResult grow(ChannelAxis seed);
  StringRef getReason() const { return reason; }

  /// Rotated arrays by their name in the weights file: dimension, begin, end.
  struct StoredAxis {
    int64_t dimension, begin, end;
  };
  const llvm::MapVector<StringRef, StoredAxis> &getWeights() const {
    return weights;
  }
  /// Those of them that rotated channels are multiplied with.
  const llvm::SetVector<StringRef> &getAbsorbing() const { return absorbing; }

private:
  LogicalResult add(ChannelAxis axis);
  LogicalResult visit(const ChannelAxis &axis);
  LogicalResult visitProducer(const ChannelAxis &axis);
  LogicalResult visitUse(const ChannelAxis &axis, OpOperand &use);
  LogicalResult visitArgument(const ChannelAxis &axis);
  LogicalResult visitReturn(const ChannelAxis &axis, OpOperand &use);
  LogicalResult visitWeights(const ChannelAxis &axis, LoadWeightsOp load);
  LogicalResult visitExpand(const ChannelAxis &axis, tensor::ExpandShapeOp op);
  LogicalResult visitCollapse(const ChannelAxis &axis,
                              tensor::CollapseShapeOp op);
  /// Between the one dimension of `whole` and the several of `parts`.
  LogicalResult regroup(const ChannelAxis &axis, Value whole, Value parts,
                        ArrayRef<ReassociationIndices> groups);
  LogicalResult visitExtract(const ChannelAxis &axis,
                             tensor::ExtractSliceOp op);
  LogicalResult visitInsert(const ChannelAxis &axis, tensor::InsertSliceOp op);
  /// `position`: number of the operand (or -1 for the result) of `axis`.
  LogicalResult visitLinalg(const ChannelAxis &axis, linalg::LinalgOp op,
                            int64_t position);
  LogicalResult passOn(const ChannelAxis &axis, linalg::LinalgOp op,
                       unsigned loop);
  LogicalResult absorb(const ChannelAxis &axis, linalg::LinalgOp op,
                       unsigned loop);
  LogicalResult refuse(const Twine &why) {
    reason = why.str();
    return failure();
  }

  ModuleOp module;
  int64_t block;
  std::string reason;
  llvm::DenseMap<Value, SmallVector<ChannelAxis, 1>> known;
  SmallVector<ChannelAxis> pending;
  llvm::MapVector<StringRef, StoredAxis> weights;
  llvm::SetVector<StringRef> absorbing;
};

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_DIALECT_TRANSFORMS_ROTATIONWEB_H

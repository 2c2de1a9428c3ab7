//===- WeightView.h - which elements of an array a value has ----*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Composes the transpositions, reshapes, slices and broadcasts between a
/// stored array and the operand of a contraction. Every dimension of the viewed
/// value is a row-major sequence of steps through the stored array; a reshape
/// only regroups steps, so that nothing depends on the order in which the
/// operations came. Besides, a dimension may step through the numbers that
/// choose matrices at run time (a gather).
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_DIALECT_SPIKEQUANT_IR_WEIGHTVIEW_H
#define SPIKEQUANT_DIALECT_SPIKEQUANT_IR_WEIGHTVIEW_H

#include "mlir/IR/BuiltinTypes.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

namespace mlir::spikequant {

class WeightView {
public:
  /// `size` positions, `stride` elements apart. Size 1 is left out.
  struct Step {
    int64_t size;
    int64_t stride;
    /// Through the numbers of a gather, not through the stored array.
    bool chosen = false;
    bool operator==(const Step &other) const {
      return size == other.size && stride == other.stride &&
             chosen == other.chosen;
    }
  };
  using Dimension = SmallVector<Step, 2>;

  /// A row-major array of this shape, whole.
  static WeightView identity(ArrayRef<int64_t> shape);
  /// The logical array of `op`, seen in its source or its literal value.
  static WeightView of(WeightsOp op);

  int64_t getRank() const { return dimensions.size(); }
  const Dimension &getDimension(int64_t d) const { return dimensions[d]; }
  int64_t getSize(int64_t d) const;
  SmallVector<int64_t> getShape() const;
  ArrayRef<int64_t> getSourceShape() const { return sourceShape; }
  int64_t getOffset() const { return offset; }

  /// Dimension d of the result is dimension `order[d]`. Left-out dimensions
  /// must have size 1.
  WeightView permute(ArrayRef<int64_t> order) const;
  /// Dimension d of the result is a new one of these steps.
  WeightView withDimensions(ArrayRef<Dimension> steps) const;
  /// The other functions fail where the result cannot be described by steps.
  FailureOr<WeightView> reshape(ArrayRef<int64_t> shape) const;
  FailureOr<WeightView> slice(int64_t d, int64_t begin, int64_t size,
                              int64_t stride) const;
  /// Takes dimension `d` out, leaving one of size 1, and returns its only step:
  /// a number that is known at run time will choose along it.
  FailureOr<Step> choose(int64_t d);

  /// All steps through the stored array, neighbours merged.
  Dimension getMergedSteps() const;
  /// Whether all elements of dimension `d` are the same.
  bool isBroadcast(int64_t d) const;
  /// Whether some or all steps of `d` are of a gather.
  bool hasChosen(int64_t d) const;
  bool isChosen(int64_t d) const;

  /// The permutation that maps the stored array to this one, if it is one.
  std::optional<SmallVector<int64_t>> getPermutation() const;
  /// The attribute for views that are none. Nothing may be chosen.
  ViewAttr getAttr(MLIRContext *context) const;
  /// `@0:64,128:192`, the smallest box of the stored array with all elements
  /// of the view; empty if that is the whole array.
  std::string getBoxName() const;
  /// The elements, row-major, from the bytes of the stored array.
  void gather(ArrayRef<char> from, size_t elementBytes, char *to) const;

private:
  int64_t offset = 0;
  SmallVector<Dimension> dimensions;
  SmallVector<int64_t> sourceShape;
};

} // namespace mlir::spikequant

#endif // SPIKEQUANT_DIALECT_SPIKEQUANT_IR_WEIGHTVIEW_H

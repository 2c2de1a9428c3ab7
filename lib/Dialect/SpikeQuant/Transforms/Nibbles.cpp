//===- Nibbles.cpp - two counts in a byte ---------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Nibbles.h"

#include "Elementwise.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::spikequant;

static RankedTensorType typeOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

static Value number(OpBuilder &b, Location loc, int8_t value) {
  return arith::ConstantOp::create(b, loc, b.getI8IntegerAttr(value));
}

/// One half of `counts` along a dimension.
static Value takeHalf(OpBuilder &b, Value counts, int64_t dimension,
                      bool second) {
  SmallVector<int64_t> sizes(typeOf(counts).getShape());
  sizes[dimension] /= 2;
  SmallVector<OpFoldResult> offsets(sizes.size(), b.getIndexAttr(0));
  SmallVector<OpFoldResult> strides(sizes.size(), b.getIndexAttr(1));
  if (second)
    offsets[dimension] = b.getIndexAttr(sizes[dimension]);
  return tensor::ExtractSliceOp::create(
      b, counts.getLoc(), counts, offsets,
      getAsIndexOpFoldResult(b.getContext(), sizes), strides);
}

Value mlir::spikequant::packNibbles(OpBuilder &b, Value counts,
                                    int64_t dimension) {
  Value low = takeHalf(b, counts, dimension, /*second=*/false);
  Value high = takeHalf(b, counts, dimension, /*second=*/true);
  return createElementwise(
      b, counts.getLoc(), {low, high}, b.getI8Type(),
      [](OpBuilder &b, Location loc, ValueRange in) -> Value {
        Value first = arith::AndIOp::create(b, loc, in[0], number(b, loc, 15));
        Value second = arith::ShLIOp::create(b, loc, in[1], number(b, loc, 4));
        return arith::OrIOp::create(b, loc, first, second);
      });
}

/// The count in the low or in the high bits of each byte.
static Value takeNibbles(OpBuilder &b, Value bytes, bool high) {
  return createElementwise(
      b, bytes.getLoc(), bytes, b.getI8Type(),
      [&](OpBuilder &b, Location loc, ValueRange in) -> Value {
        Value places = number(b, loc, 4);
        Value bits =
            high ? in[0] : arith::ShLIOp::create(b, loc, in[0], places);
        return arith::ShRSIOp::create(b, loc, bits, places);
      });
}

Value mlir::spikequant::unpackNibbles(OpBuilder &b, Value bytes,
                                      int64_t dimension) {
  Location loc = bytes.getLoc();
  SmallVector<int64_t> sizes(typeOf(bytes).getShape());
  SmallVector<int64_t> whole = sizes;
  whole[dimension] *= 2;
  Value counts = tensor::EmptyOp::create(b, loc, whole, b.getI8Type());
  SmallVector<OpFoldResult> offsets(sizes.size(), b.getIndexAttr(0));
  SmallVector<OpFoldResult> strides(sizes.size(), b.getIndexAttr(1));
  auto shape = getAsIndexOpFoldResult(b.getContext(), sizes);
  for (bool high : {false, true}) {
    offsets[dimension] = b.getIndexAttr(high ? sizes[dimension] : 0);
    counts = tensor::InsertSliceOp::create(b, loc, takeNibbles(b, bytes, high),
                                           counts, offsets, shape, strides);
  }
  return counts;
}

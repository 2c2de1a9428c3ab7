//===- ExponentToLinalg.cpp - integer arithmetic of exponent --------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// lib/Kernel/Exponent.h, in vectors of 32 bits: no table is gathered from.
//
//===----------------------------------------------------------------------===//

#include "FireToLinalg.h"

#include "spikequant/Kernel/Exponent.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::spikequant;

namespace {
/// u32 arithmetic in a body.
struct Unsigned {
  OpBuilder &b;
  Location loc;

  Value number(uint32_t value) {
    return arith::ConstantOp::create(
        b, loc, b.getI32IntegerAttr(static_cast<int32_t>(value)));
  }
  Value add(Value x, Value y) { return arith::AddIOp::create(b, loc, x, y); }
  Value sub(Value x, Value y) { return arith::SubIOp::create(b, loc, x, y); }
  Value mul(Value x, Value y) { return arith::MulIOp::create(b, loc, x, y); }
  Value min(Value x, Value y) { return arith::MinUIOp::create(b, loc, x, y); }
  Value shift(Value x, Value y) { return arith::ShRUIOp::create(b, loc, x, y); }
  Value shift(Value x, uint32_t y) { return y ? shift(x, number(y)) : x; }
};
} // namespace

static ::spikequant::ExponentForm getForm(ExponentOp op) {
  return {op.getLargestCount(), op.getPreshiftBits(), op.getShiftBits(),
          op.getOffsets().has_value()};
}

/// The count 2^-12 x octaves below the largest.
static Value emitCount(Unsigned u, Value x, Value offset,
                       const ::spikequant::ExponentConstants &c) {
  constexpr uint32_t bits = ::spikequant::exponentBits;
  Value fraction =
      arith::AndIOp::create(u.b, u.loc, x, u.number((1u << bits) - 1));
  Value p =
      u.sub(u.number(c.c2), u.shift(u.mul(fraction, u.number(c.c3)), bits));
  p = u.sub(u.number(c.c1), u.shift(u.mul(fraction, p), bits));
  p = u.sub(u.number(c.c0), u.shift(u.mul(fraction, p), bits));
  return u.shift(u.add(u.shift(p, u.shift(x, bits)), offset), c.fraction);
}

/// Scores, maximum, with several heads their multipliers and limits, and
/// offsets, if there are any, to a count.
static Value emitBody(OpBuilder &b, Location loc, ValueRange in,
                      ExponentOp op) {
  Unsigned u{b, loc};
  ::spikequant::ExponentForm form = getForm(op);
  int64_t first = op.getMultipliers().front();
  auto constants = *::spikequant::getExponentConstants(form, first);
  bool heads = op.getMultipliers().size() > 1;
  Value distance = u.sub(in[1], in[0]);
  Value near = u.min(distance, heads ? in[3] : u.number(constants.limit));
  Value multiplier = heads ? in[2] : u.number(static_cast<uint32_t>(first));
  Value x = u.mul(u.shift(near, form.preshift), multiplier);
  x = u.shift(u.add(x, u.number(1u << (form.shift - 1))), form.shift);
  Value offset = op.getOffsets() ? in[heads ? 4 : 2]
                                 : u.number(1u << (constants.fraction - 1));
  Value n = emitCount(u, x, offset, constants);
  if (heads || op.getOffsets()) {
    // Says what the limits imply: what a mask hides counts 0.
    Value seen =
        arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, distance,
                              u.number(::spikequant::maxScore));
    n = arith::SelectOp::create(b, loc, seen, n, u.number(0));
  }
  return arith::TruncIOp::create(b, loc, b.getI16Type(), n);
}

/// `value` [rows.., tail..] in `shape`, by way of one dimension of rows.
static Value reshapeRows(OpBuilder &b, Location loc, Value value, int64_t tail,
                         ArrayRef<int64_t> shape) {
  auto type = cast<RankedTensorType>(value.getType());
  auto groups = [&](int64_t rank) {
    SmallVector<ReassociationIndices> list = {
        llvm::to_vector<2>(llvm::seq<int64_t>(rank - tail))};
    for (int64_t dim = rank - tail; dim < rank; ++dim)
      list.push_back({dim});
    return list;
  };
  if (type.getRank() > tail + 1)
    value =
        tensor::CollapseShapeOp::create(b, loc, value, groups(type.getRank()));
  auto wanted = type.clone(shape);
  if (value.getType() != wanted)
    value = tensor::ExpandShapeOp::create(
        b, loc, wanted, value, groups(static_cast<int64_t>(shape.size())));
  return value;
}

/// One number of 32 bits per head.
static Value makeArray(OpBuilder &b, Location loc, ArrayRef<int32_t> values) {
  auto type = RankedTensorType::get({static_cast<int64_t>(values.size())},
                                    b.getI32Type());
  return arith::ConstantOp::create(b, loc,
                                   DenseElementsAttr::get(type, values));
}

Value mlir::spikequant::lowerExponentToLinalg(RewriterBase &b, ExponentOp op) {
  Location loc = op.getLoc();
  RankedTensorType type = op.getType();
  SmallVector<int64_t> shape(type.getShape());
  auto heads = static_cast<int64_t>(op.getMultipliers().size());
  SmallVector<Value> inputs = {op.getScores(), op.getMaximum()};
  if (heads > 1) {
    int64_t rows = type.getNumElements() / shape.back();
    shape = {heads, rows / heads, shape.back()};
    inputs[0] = reshapeRows(b, loc, inputs[0], 1, shape);
    inputs[1] = reshapeRows(b, loc, inputs[1], 0, ArrayRef(shape).drop_back());
    SmallVector<int32_t> multipliers, limits;
    for (int64_t multiplier : op.getMultipliers()) {
      auto c = ::spikequant::getExponentConstants(getForm(op), multiplier);
      multipliers.push_back(static_cast<int32_t>(multiplier));
      limits.push_back(static_cast<int32_t>(c->limit));
    }
    inputs.push_back(makeArray(b, loc, multipliers));
    inputs.push_back(makeArray(b, loc, limits));
  }
  auto rank = static_cast<int64_t>(shape.size());
  AffineMap all = b.getMultiDimIdentityMap(rank);
  SmallVector<AffineMap> maps = {all, all.getMajorSubMap(rank - 1)};
  maps.append(heads > 1 ? 2 : 0, all.getMajorSubMap(1));
  if (op.getOffsets()) {
    auto keys = RankedTensorType::get({shape.back()}, b.getI32Type());
    inputs.push_back(LoadWeightsOp::create(b, loc, keys, op.getOffsetsAttr()));
    maps.push_back(all.getMinorSubMap(1));
  }
  maps.push_back(all);
  Value empty = tensor::EmptyOp::create(b, loc, shape, b.getI16Type());
  SmallVector<utils::IteratorType> loops(rank, utils::IteratorType::parallel);
  auto generic = linalg::GenericOp::create(
      b, loc, empty.getType(), inputs, empty, maps, loops,
      [&](OpBuilder &b, Location loc, ValueRange in) {
        linalg::YieldOp::create(b, loc, emitBody(b, loc, in, op));
      });
  return heads > 1
             ? reshapeRows(b, loc, generic.getResult(0), 1, type.getShape())
             : generic.getResult(0);
}

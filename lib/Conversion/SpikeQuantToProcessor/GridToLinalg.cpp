//===- GridToLinalg.cpp - integer arithmetic of grid and table ------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FireToLinalg.h"

#include "spikequant/Dialect/SpikeQuant/IR/WideIntegers.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::spikequant;

Value mlir::spikequant::lowerGridToLinalg(RewriterBase &rewriter, GridOp op) {
  Location loc = op.getLoc();
  Type i32 = rewriter.getI32Type();
  auto rates = RankedTensorType::get({3, op.getType().getShape().back()}, i32);
  SmallVector<Value> inputs = {op.getMembrane()};
  for (int64_t row = 0; row < 3; ++row)
    inputs.push_back(loadRow(rewriter, loc, op.getRatesAttr(), rates, row));
  return mapChannels(rewriter, loc, inputs, i32,
                     [](OpBuilder &builder, Location loc, ValueRange values) {
                       WideIntegers w{builder, loc};
                       Value shift = w.extend(values[2]);
                       Value scaled =
                           w.mul(w.extend(values[0]), w.extend(values[1]));
                       scaled = w.scaleDown(scaled, shift);
                       return w.saturate(w.add(scaled, w.extend(values[3])));
                     });
}

/// What the straight ends add; nothing where both are level.
static Value emitEnds(WideIntegers w, TableOp op, Value x, Value nearest) {
  auto low = static_cast<int32_t>(op.getLowSlope());
  auto high = static_cast<int32_t>(op.getHighSlope());
  if (low == 0 && high == 0)
    return {};
  x = w.extend(x);
  nearest = w.extend(nearest);
  Value beyond = w.sub(x, nearest);
  if (low == 0)
    beyond = w.max(beyond, w.number(0));
  if (high == 0)
    beyond = w.min(beyond, w.number(0));
  constexpr int32_t unit = 1 << 24;
  int32_t slope = low == 0 ? high : low;
  bool one = low == high || low == 0 || high == 0;
  if (one && slope % unit == 0) // (k 2^24 d + 2^23) >> 24 is k d
    return w.mul(beyond, w.number(slope / unit));
  Value factor = w.number(slope);
  if (!one) {
    Value below = arith::CmpIOp::create(w.b, w.loc, arith::CmpIPredicate::slt,
                                        x, nearest);
    factor = arith::SelectOp::create(w.b, w.loc, below, w.number(low),
                                     w.number(high));
  }
  Value scaled = w.add(w.mul(beyond, factor), w.number(unit / 2));
  return w.shift(scaled, w.number(24));
}

Value mlir::spikequant::lowerTableToLinalg(RewriterBase &rewriter, TableOp op,
                                           WeightsOp table) {
  Location loc = op.getLoc();
  Type i32 = rewriter.getI32Type();
  RankedTensorType type = table.getArrayType();
  Value entries = LoadWeightsOp::create(rewriter, loc, type, op.getTableAttr());
  auto lo = static_cast<int32_t>(op.getLo());
  auto hi = static_cast<int32_t>(lo + type.getDimSize(0) - 1);
  return mapElements(
      rewriter, loc, op.getInput(), i32,
      [&](OpBuilder &b, Location loc, Value x) -> Value {
        auto number = [&](int32_t value) -> Value {
          return arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(value));
        };
        Value nearest = arith::MaxSIOp::create(b, loc, x, number(lo));
        nearest = arith::MinSIOp::create(b, loc, nearest, number(hi));
        Value place = arith::SubIOp::create(b, loc, nearest, number(lo));
        place = arith::IndexCastOp::create(b, loc, b.getIndexType(), place);
        Value entry = tensor::ExtractOp::create(b, loc, entries, place);
        WideIntegers w{b, loc};
        Value ends = emitEnds(w, op, x, nearest);
        return ends ? w.saturate(w.add(w.extend(entry), ends)) : entry;
      });
}

//===- FireToLinalg.cpp - integer arithmetic of fire ----------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FireToLinalg.h"

#include "spikequant/Kernel/Fire.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::spikequant;

static Value emptyLike(OpBuilder &b, Location loc, Value input, Type element) {
  auto type = cast<RankedTensorType>(input.getType());
  return tensor::EmptyOp::create(b, loc, type.getShape(), element);
}

/// linalg.generic over `inputs` of rank `rank`; the ones of rank 1 are indexed
/// by the last dimension.
static Value
elementwise(OpBuilder &b, Location loc, ValueRange inputs, Value output,
            function_ref<Value(OpBuilder &, Location, ValueRange)> body) {
  int64_t rank = cast<RankedTensorType>(output.getType()).getRank();
  AffineMap all = b.getMultiDimIdentityMap(rank);
  AffineMap channel = AffineMap::get(rank, 0, b.getAffineDimExpr(rank - 1));
  SmallVector<AffineMap> maps;
  for (auto [i, input] : llvm::enumerate(inputs))
    maps.push_back(i == 0 ? all : channel);
  maps.push_back(all);
  SmallVector<utils::IteratorType> loops(rank, utils::IteratorType::parallel);
  auto generic = linalg::GenericOp::create(
      b, loc, output.getType(), inputs, output, maps, loops,
      [&](OpBuilder &b, Location loc, ValueRange values) {
        linalg::YieldOp::create(b, loc, body(b, loc, values));
      });
  return generic.getResult(0);
}

Value mlir::spikequant::mapChannels(
    OpBuilder &b, Location loc, ValueRange inputs, Type element,
    function_ref<Value(OpBuilder &, Location, ValueRange)> body) {
  return elementwise(b, loc, inputs, emptyLike(b, loc, inputs[0], element),
                     body);
}

Value mlir::spikequant::loadRow(OpBuilder &b, Location loc,
                                FlatSymbolRefAttr symbol, RankedTensorType type,
                                int64_t row) {
  Value table = LoadWeightsOp::create(b, loc, type, symbol);
  int64_t channels = type.getDimSize(1);
  return tensor::ExtractSliceOp::create(
      b, loc, RankedTensorType::get({channels}, type.getElementType()), table,
      ArrayRef<OpFoldResult>{b.getIndexAttr(row), b.getIndexAttr(0)},
      ArrayRef<OpFoldResult>{b.getIndexAttr(1), b.getIndexAttr(channels)},
      ArrayRef<OpFoldResult>{b.getIndexAttr(1), b.getIndexAttr(1)});
}

Value mlir::spikequant::mapElements(
    OpBuilder &b, Location loc, Value input, Type element,
    function_ref<Value(OpBuilder &, Location, Value)> body) {
  return elementwise(b, loc, input, emptyLike(b, loc, input, element),
                     [&](OpBuilder &b, Location loc, ValueRange values) {
                       return body(b, loc, values[0]);
                     });
}

namespace {
/// One value per channel of each parameter of fire.
struct Ladder {
  SmallVector<int64_t> least, most, multipliers, biases;
};
} // namespace

static Ladder ladderOf(FireOp op) {
  auto type = cast<RankedTensorType>(op.getMembrane().getType());
  Ladder ladder;
  for (int64_t o = 0; o < type.getShape().back(); ++o) {
    auto pick = [&](ArrayRef<int64_t> values) {
      return values[values.size() == 1 ? 0 : o];
    };
    int64_t multiplier = pick(op.getMultipliers()), bias = pick(op.getBiases());
    ::spikequant::FireThreshold threshold{static_cast<int32_t>(multiplier),
                                          bias,
                                          static_cast<int32_t>(op.getShift())};
    int64_t first = ::spikequant::fireLadder(
        static_cast<int32_t>(op.getLo()) + 1, threshold);
    // Saturated ends stay where they are.
    constexpr int64_t lowest = std::numeric_limits<int64_t>::min();
    ladder.least.push_back(first == lowest ? first : first - 1);
    ladder.most.push_back(
        ::spikequant::fireLadder(static_cast<int32_t>(op.getHi()), threshold));
    ladder.multipliers.push_back(multiplier);
    ladder.biases.push_back(bias);
  }
  return ladder;
}

/// The rows of a packed table: least, most, M, B, S.
static SmallVector<Value> loadTable(OpBuilder &b, FireOp op) {
  Location loc = op.getLoc();
  int64_t channels = cast<RankedTensorType>(op.getType()).getShape().back();
  auto type = RankedTensorType::get({5, channels}, b.getI64Type());
  SmallVector<Value> rows;
  for (int64_t i = 0; i < 5; ++i)
    rows.push_back(loadRow(b, loc, op.getThresholdsAttr(), type, i));
  return rows;
}

/// The same rows as constants; the shift is one for all channels.
static SmallVector<Value> makeTable(OpBuilder &rewriter, FireOp op) {
  Location loc = op.getLoc();
  Ladder ladder = ladderOf(op);
  Type i64 = rewriter.getI64Type();
  SmallVector<Value> inputs;
  for (ArrayRef<int64_t> values :
       {ArrayRef(ladder.least), ArrayRef(ladder.most),
        ArrayRef(ladder.multipliers), ArrayRef(ladder.biases)}) {
    auto type = RankedTensorType::get(values.size(), i64);
    inputs.push_back(arith::ConstantOp::create(
        rewriter, loc, DenseElementsAttr::get(type, values)));
  }
  return inputs;
}

Value mlir::spikequant::lowerFireToLinalg(RewriterBase &rewriter, FireOp op,
                                          Type element) {
  Location loc = op.getLoc();
  Type i64 = rewriter.getI64Type();
  SmallVector<Value> inputs = {op.getMembrane()};
  llvm::append_range(inputs, op.getThresholds() ? loadTable(rewriter, op)
                                                : makeTable(rewriter, op));
  auto body = [&](OpBuilder &b, Location loc, ValueRange values) -> Value {
    auto constant = [&](int32_t value) -> Value {
      return arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(value));
    };
    Value acc = values[0];
    if (acc.getType() != i64)
      acc = arith::ExtSIOp::create(b, loc, i64, acc);
    acc = arith::MaxSIOp::create(b, loc, acc, values[1]);
    acc = arith::MinSIOp::create(b, loc, acc, values[2]);
    Value scaled = arith::MulIOp::create(b, loc, acc, values[3]);
    scaled = arith::AddIOp::create(b, loc, scaled, values[4]);
    Value shift = op.getThresholds() ? values[5] : constant(op.getShift());
    Value n = arith::ShRSIOp::create(b, loc, scaled, shift);
    n = arith::MaxSIOp::create(b, loc, n, constant(op.getLo()));
    n = arith::MinSIOp::create(b, loc, n, constant(op.getHi()));
    if (element.isInteger())
      return arith::TruncIOp::create(b, loc, element, n);
    // Counts have 16 bits: narrow first, vectors of i32 convert at once.
    n = arith::TruncIOp::create(b, loc, b.getI32Type(), n);
    return arith::SIToFPOp::create(b, loc, element, n);
  };
  return elementwise(rewriter, loc, inputs,
                     emptyLike(rewriter, loc, op.getMembrane(), element), body);
}

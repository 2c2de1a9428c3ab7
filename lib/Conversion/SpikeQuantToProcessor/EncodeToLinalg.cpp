//===- EncodeToLinalg.cpp - arithmetic of encode --------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   v = (x * row_scale) * r_j + h_j, r_j = a_j / step, h_j = 1/2 - z_j r_j
//   n = clamp(floor(v), -L, L), 0 for NaN
//
//===----------------------------------------------------------------------===//

#include "EncodeToLinalg.h"
#include "FireToLinalg.h"

#include "spikequant/Kernel/Encode.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::spikequant;

static std::optional<int8_t> getCommonBits(WeightsOp bits) {
  auto values = dyn_cast_or_null<DenseIntElementsAttr>(bits.getValueAttr());
  if (!values || !values.isSplat())
    return std::nullopt;
  return values.getSplatValue<int8_t>();
}

bool mlir::spikequant::hasOneWindow(EncodeOp op, WeightsOp bits) {
  if (!op.getBits())
    return true;
  return bits && op.saturates() && getCommonBits(bits);
}

static Value constant(OpBuilder &b, Location loc, float value) {
  return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(value));
}

namespace {
/// Rate and membrane, per channel or for all.
struct Threshold {
  Value rates, membranes;
  float rate, membrane;
};
} // namespace

/// The arrays are computed at run time, by the same three operations.
static Threshold getThreshold(OpBuilder &b, EncodeOp op) {
  Location loc = op.getLoc();
  float step = op.getStep().convertToFloat();
  Threshold result;
  auto plain = ::spikequant::encodeThreshold(step);
  result.rate = plain->rate;
  result.membrane = plain->membrane;
  auto load = [&](FlatSymbolRefAttr symbol) -> Value {
    auto type = RankedTensorType::get({op.getType().getShape().back()},
                                      b.getF32Type());
    return LoadWeightsOp::create(b, loc, type, symbol);
  };
  if (op.getGainsAttr())
    result.rates = mapElements(
        b, loc, load(op.getGainsAttr()), b.getF32Type(),
        [&](OpBuilder &b, Location loc, Value gain) -> Value {
          return arith::DivFOp::create(b, loc, gain, constant(b, loc, step));
        });
  if (!op.getCentresAttr())
    return result;
  Value centres = load(op.getCentresAttr());
  SmallVector<Value> inputs = {centres};
  if (result.rates)
    inputs.push_back(result.rates);
  AffineMap all = b.getMultiDimIdentityMap(1);
  SmallVector<AffineMap> maps(inputs.size() + 1, all);
  Value empty = tensor::EmptyOp::create(
      b, loc, cast<RankedTensorType>(centres.getType()).getShape(),
      b.getF32Type());
  auto generic = linalg::GenericOp::create(
      b, loc, empty.getType(), inputs, empty, maps,
      ArrayRef{utils::IteratorType::parallel},
      [&](OpBuilder &b, Location loc, ValueRange in) {
        Value rate = result.rates ? in[1] : constant(b, loc, result.rate);
        Value shift = arith::MulFOp::create(b, loc, in[0], rate);
        Value half = constant(b, loc, 0.5f);
        Value membrane = arith::SubFOp::create(b, loc, half, shift);
        linalg::YieldOp::create(b, loc, membrane);
      });
  result.membranes = generic.getResult(0);
  return result;
}

/// v to the count: the clamp precedes the conversion.
static Value toCount(OpBuilder &b, Location loc, Value v, float window) {
  v = math::FloorOp::create(b, loc, v);
  Value isNumber =
      arith::CmpFOp::create(b, loc, arith::CmpFPredicate::ORD, v, v);
  v = arith::SelectOp::create(b, loc, isNumber, v, constant(b, loc, 0.0f));
  v = arith::MaximumFOp::create(b, loc, v, constant(b, loc, -window));
  v = arith::MinimumFOp::create(b, loc, v, constant(b, loc, window));
  Value n = arith::FPToSIOp::create(b, loc, b.getI32Type(), v);
  return arith::TruncIOp::create(b, loc, b.getI16Type(), n);
}

Value mlir::spikequant::lowerEncodeToLinalg(RewriterBase &b, EncodeOp op,
                                            WeightsOp bits) {
  Location loc = op.getLoc();
  RankedTensorType type = op.getType();
  int64_t rank = type.getRank();
  Threshold threshold = getThreshold(b, op);
  float window = ::spikequant::maxCount;
  if (op.getBits())
    window = ::spikequant::windowOf(*getCommonBits(bits));
  AffineMap all = b.getMultiDimIdentityMap(rank);
  AffineMap channel = AffineMap::get(rank, 0, b.getAffineDimExpr(rank - 1));
  SmallVector<Value> inputs = {op.getInput()};
  SmallVector<AffineMap> maps = {all};
  auto add = [&](Value value, AffineMap map) -> int64_t {
    if (!value)
      return -1;
    inputs.push_back(value);
    maps.push_back(map);
    return inputs.size() - 1;
  };
  int64_t scale = add(op.getRowScale(), all.getMajorSubMap(rank - 1));
  int64_t rates = add(threshold.rates, channel);
  int64_t membranes = add(threshold.membranes, channel);
  maps.push_back(all);
  Value empty =
      tensor::EmptyOp::create(b, loc, type.getShape(), b.getI16Type());
  SmallVector<utils::IteratorType> loops(rank, utils::IteratorType::parallel);
  auto generic = linalg::GenericOp::create(
      b, loc, type, inputs, empty, maps, loops,
      [&](OpBuilder &b, Location loc, ValueRange in) {
        Value v = in[0];
        if (scale >= 0)
          v = arith::MulFOp::create(b, loc, v, in[scale]);
        v = arith::MulFOp::create(b, loc, v,
                                  rates >= 0
                                      ? in[rates]
                                      : constant(b, loc, threshold.rate));
        v = arith::AddFOp::create(b, loc, v,
                                  membranes >= 0
                                      ? in[membranes]
                                      : constant(b, loc, threshold.membrane));
        linalg::YieldOp::create(b, loc, toCount(b, loc, v, window));
      });
  return generic.getResult(0);
}

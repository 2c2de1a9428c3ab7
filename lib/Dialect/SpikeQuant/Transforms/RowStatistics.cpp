//===- RowStatistics.cpp - exact sums of fixed-point rows -----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RowStatistics.h"

#include "BodyInputs.h"

#include "spikequant/Dialect/SpikeQuant/IR/WideIntegers.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

#include <cmath>

using namespace mlir;
using namespace mlir::spikequant;

//===----------------------------------------------------------------------===//
// Recognition
//===----------------------------------------------------------------------===//

/// The input that `scalar` is, or is the square of.
static OpOperand *getSummed(linalg::LinalgOp op, Value scalar, bool &squares) {
  squares = false;
  if (OpOperand *input = getBodyInput(op, scalar))
    return input;
  squares = true;
  if (auto product = scalar.getDefiningOp<arith::MulFOp>()) {
    OpOperand *x = getBodyInput(op, product.getLhs()),
              *y = getBodyInput(op, product.getRhs());
    bool same = x && y && x->get() == y->get() &&
                op.getMatchingIndexingMap(x) == op.getMatchingIndexingMap(y);
    return same ? x : nullptr;
  }
  auto power = scalar.getDefiningOp<math::PowFOp>();
  FloatAttr exponent;
  if (power && matchPattern(power.getRhs(), m_Constant(&exponent)) &&
      exponent.getValueAsDouble() == 2)
    return getBodyInput(op, power.getLhs());
  return nullptr;
}

/// The array whose squares an elementwise operation makes, or null.
static Value getSquared(Value value) {
  auto op = value.getDefiningOp<linalg::LinalgOp>();
  if (!op || op->getNumResults() != 1 || op.getNumReductionLoops() ||
      !op.hasPureTensorSemantics() ||
      !op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isIdentity())
    return {};
  bool squares;
  OpOperand *input =
      getSummed(op, op.getBlock()->getTerminator()->getOperand(0), squares);
  bool whole = input && squares &&
               op.getMatchingIndexingMap(input).isIdentity() &&
               input->get().getType() == value.getType();
  if (whole)
    return input->get();
  // x^2 as a power with an array of twos.
  auto power = op.getBlock()
                   ->getTerminator()
                   ->getOperand(0)
                   .getDefiningOp<math::PowFOp>();
  if (!power || op.getNumDpsInputs() != 2)
    return {};
  DenseElementsAttr exponent;
  bool square =
      power.getLhs() == op.getBlock()->getArgument(0) &&
      power.getRhs() == op.getBlock()->getArgument(1) &&
      op.getMatchingIndexingMap(op.getDpsInputOperand(0)).isIdentity() &&
      matchPattern(op.getDpsInputOperand(1)->get(), m_Constant(&exponent)) &&
      exponent.isSplat() &&
      exponent.getSplatValue<APFloat>().convertToFloat() == 2;
  return square ? op.getDpsInputOperand(0)->get() : Value();
}

static bool startsFromZero(linalg::LinalgOp op) {
  auto fill = op.getDpsInitOperand(0)->get().getDefiningOp<linalg::FillOp>();
  return fill && matchPattern(fill.value(), m_AnyZeroFloat());
}

std::optional<RowSum> mlir::spikequant::matchRowSum(linalg::LinalgOp op) {
  SmallVector<unsigned> loops;
  op.getReductionDims(loops);
  if (op->getNumResults() != 1 || !op.hasPureTensorSemantics() ||
      loops.size() != 1 || loops[0] + 1 != op.getNumLoops() ||
      !startsFromZero(op) ||
      !getElementTypeOrSelf(op->getResult(0).getType()).isF32())
    return std::nullopt;
  AffineMap output = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  unsigned rank = op.getNumLoops();
  if (output != AffineMap::getMultiDimIdentityMap(rank, op->getContext())
                    .getMajorSubMap(rank - 1))
    return std::nullopt;
  auto sum = op.getBlock()
                 ->getTerminator()
                 ->getOperand(0)
                 .getDefiningOp<arith::AddFOp>();
  if (!sum)
    return std::nullopt;
  Value accumulator = op.getRegionOutputArgs().front();
  Value other = sum.getLhs() == accumulator ? sum.getRhs() : sum.getLhs();
  if (sum.getLhs() != accumulator && sum.getRhs() != accumulator)
    return std::nullopt;
  bool squares;
  OpOperand *input = getSummed(op, other, squares);
  if (!input || !op.getMatchingIndexingMap(input).isIdentity())
    return std::nullopt;
  Value squared = squares ? Value() : getSquared(input->get());
  if (squared)
    return RowSum{op, squared, true};
  return RowSum{op, input->get(), squares};
}

//===----------------------------------------------------------------------===//
// Emission
//===----------------------------------------------------------------------===//

static Value createZeros(OpBuilder &b, Location loc, ArrayRef<int64_t> shape) {
  Value empty = tensor::EmptyOp::create(b, loc, shape, b.getI64Type());
  Value zero = arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(0));
  return linalg::FillOp::create(b, loc, zero, empty).getResult(0);
}

/// What one number adds: itself, or the halves of its square.
static SmallVector<Value> getAddends(OpBuilder &b, Location loc, Value x,
                                     bool squares) {
  WideIntegers w{b, loc};
  x = arith::ExtSIOp::create(b, loc, b.getI64Type(), x);
  if (!squares)
    return {x};
  Value square = arith::MulIOp::create(b, loc, x, x);
  Value low = arith::AndIOp::create(b, loc, square, w.number(0xffffffff));
  Value high = arith::ShRUIOp::create(b, loc, square, w.number(32));
  return {low, high};
}

/// Sums over dimension `reduced` of [.., K] or [.., K / 16, 16].
static SmallVector<Value>
accumulate(OpBuilder &b, Location loc, ValueRange inputs, unsigned reduced,
           unsigned results,
           function_ref<SmallVector<Value>(OpBuilder &, Location, ValueRange)>
               getAddends) {
  auto type = cast<RankedTensorType>(inputs[0].getType());
  unsigned rank = type.getRank();
  SmallVector<int64_t> shape(type.getShape());
  shape.erase(shape.begin() + reduced);
  SmallVector<Value> outputs;
  for (unsigned i = 0; i < results; ++i)
    outputs.push_back(createZeros(b, loc, shape));
  AffineMap all = b.getMultiDimIdentityMap(rank);
  SmallVector<AffineMap> maps(inputs.size(), all);
  maps.append(results, all.dropResult(reduced));
  SmallVector<utils::IteratorType> loops(rank, utils::IteratorType::parallel);
  loops[reduced] = utils::IteratorType::reduction;
  auto generic = linalg::GenericOp::create(
      b, loc, ValueRange(outputs).getTypes(), inputs, outputs, maps, loops,
      [&](OpBuilder &b, Location loc, ValueRange values) {
        SmallVector<Value> sums =
            getAddends(b, loc, values.take_front(inputs.size()));
        for (unsigned i = 0; i < results; ++i)
          sums[i] =
              arith::AddIOp::create(b, loc, values[inputs.size() + i], sums[i]);
        linalg::YieldOp::create(b, loc, sums);
      });
  return llvm::to_vector_of<Value>(generic.getResults());
}

/// (low + high 2^32) unit^n as f32.
static Value toReals(OpBuilder &b, Location loc, ValueRange sums, double unit,
                     bool squares) {
  auto type = cast<RankedTensorType>(sums[0].getType());
  Type f32 = b.getF32Type();
  Value empty = tensor::EmptyOp::create(b, loc, type.getShape(), f32);
  SmallVector<AffineMap> maps(sums.size() + 1,
                              b.getMultiDimIdentityMap(type.getRank()));
  SmallVector<utils::IteratorType> loops(type.getRank(),
                                         utils::IteratorType::parallel);
  return linalg::GenericOp::create(
             b, loc, empty.getType(), sums, empty, maps, loops,
             [&](OpBuilder &b, Location loc, ValueRange values) {
               auto scaled = [&](Value sum, double factor) -> Value {
                 Value real = arith::SIToFPOp::create(b, loc, f32, sum);
                 Value scale = arith::ConstantOp::create(
                     b, loc, b.getF32FloatAttr(factor));
                 return arith::MulFOp::create(b, loc, real, scale);
               };
               double low = squares ? unit * unit : unit;
               Value result = scaled(values[0], low);
               if (squares)
                 result = arith::AddFOp::create(
                     b, loc, scaled(values[1], std::ldexp(low, 32)), result);
               linalg::YieldOp::create(b, loc, result);
             })
      .getResult(0);
}

/// [.., K] to [.., K / 16, 16], so that lanes add up beside each other.
static Value splitLanes(OpBuilder &b, Location loc, Value numbers) {
  constexpr int64_t lanes = 16;
  auto type = cast<RankedTensorType>(numbers.getType());
  if (type.getShape().back() % lanes || type.getShape().back() < 2 * lanes)
    return {};
  SmallVector<int64_t> shape(type.getShape());
  shape.back() /= lanes;
  shape.push_back(lanes);
  SmallVector<ReassociationIndices> groups;
  for (int64_t i = 0, rank = type.getRank(); i < rank; ++i)
    groups.push_back(i + 1 < rank ? ReassociationIndices{i}
                                  : ReassociationIndices{i, i + 1});
  return tensor::ExpandShapeOp::create(b, loc, type.clone(shape), numbers,
                                       groups);
}

Value mlir::spikequant::sumRows(OpBuilder &b, Location loc, Value numbers,
                                double unit, bool squares) {
  unsigned rank = cast<RankedTensorType>(numbers.getType()).getRank();
  unsigned results = squares ? 2 : 1;
  auto addends = [&](OpBuilder &b, Location loc, ValueRange values) {
    return getAddends(b, loc, values[0], squares);
  };
  Value split = splitLanes(b, loc, numbers);
  SmallVector<Value> sums =
      accumulate(b, loc, split ? split : numbers, rank - 1, results, addends);
  if (split)
    sums = accumulate(b, loc, sums, rank - 1, results,
                      [](OpBuilder &, Location, ValueRange values) {
                        return llvm::to_vector(values);
                      });
  return toReals(b, loc, sums, unit, squares);
}

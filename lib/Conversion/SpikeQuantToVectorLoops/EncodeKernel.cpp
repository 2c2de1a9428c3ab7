//===- EncodeKernel.cpp - real rows to dense counts and overflow ----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Per row, in vectors of 16 channels (8 where a group is an odd multiple of 8):
//
//   v = (x * rowScale) * rate + membrane     each one f32 rounding
//   n = clamp(floor(v)), 0 for NaN           clamp before the conversion
//   window and tolerance by the channel's bits
//   dense = |n| <= 127 ? n : 0; sums += dense; salient += ..
//   if any lane has |n| > 127: append those lanes to the overflow list
//
//===----------------------------------------------------------------------===//

#include "Kernels.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace mlir::spikequant;

namespace {

/// What a row carries from vector to vector.
struct RowState {
  Value entries; ///< index: overflow entries so far
  Value salient; ///< i32 lanes: salient counts so far
  Value sum;     ///< i32 lanes: dense counts of the group

  SmallVector<Value> pack() const { return {entries, salient, sum}; }
  static RowState unpack(ValueRange values) {
    return {values[0], values[1], values[2]};
  }
};

class EncodeEmitter {
public:
  EncodeEmitter(KernelBuilder &b, const EncodeShape &shape,
                const EncodeArrays &arrays)
      : b(b), shape(shape), arrays(arrays), f32(b.getF32Type()),
        i32(b.getI32Type()), lanes(lanesOf(shape)),
        grid(b, shape, arrays, lanes) {
    reals = b.vectorOf(f32, lanes);
    integers = b.vectorOf(i32, lanes);
  }

  void emitRow(Value rowIndex);

private:
  static int64_t lanesOf(const EncodeShape &shape) {
    bool odd = shape.group < shape.k && shape.group % kLanes != 0;
    return odd ? kLanes / 2 : kLanes;
  }
  RowState emitGroup(Value group, Value begin, int64_t length, RowState state);
  RowState emitVector(Value channel, int64_t valid, RowState state);
  Value rates(Value channel, int64_t valid);
  Value potentials(Value channel, int64_t valid);
  Value countsOf(Value potential);
  Value applyWindow(Value counts, Value channel, int64_t valid, Value &salient);
  Value appendOverflow(Value counts, Value over, Value channel, Value entries);
  Value zeros() { return b.integer(integers, 0); }

  KernelBuilder &b;
  const EncodeShape &shape;
  const EncodeArrays &arrays;
  Type f32, i32;
  int64_t lanes;
  GridCounts grid;
  VectorType reals, integers;
  Value row, rowFactor, commonRate;
};

} // namespace

void EncodeEmitter::emitRow(Value rowIndex) {
  row = rowIndex;
  if (arrays.rates)
    grid.beginRow(row);
  else if (arrays.rowScale)
    rowFactor = b.broadcast(b.loadScalar(arrays.rowScale, row), lanes);
  Value one = b.real(f32, 1.0);
  commonRate = b.broadcast(arith::DivFOp::create(b, one, arrays.step), lanes);

  int64_t fullGroups = shape.k / shape.group;
  RowState state{b.index(0), zeros(), zeros()};
  if (fullGroups == 1) {
    state = emitGroup(b.index(0), b.index(0), shape.group, state);
  } else if (fullGroups > 1) {
    state = RowState::unpack(
        b.loop(b.index(0), b.index(fullGroups), 1, state.pack(),
               [&](Value group, ValueRange carried) {
                 return emitGroup(group, b.scale(group, shape.group),
                                  shape.group, RowState::unpack(carried))
                     .pack();
               }));
  }
  if (int64_t rest = shape.k % shape.group)
    state = emitGroup(b.index(fullGroups), b.index(fullGroups * shape.group),
                      rest, state);

  Value entries = b.indexCast(state.entries, i32);
  b.storeScalar(entries, arrays.overflow, {row, b.index(0)});
  Value salient =
      vector::ReductionOp::create(b, vector::CombiningKind::ADD, state.salient);
  b.storeScalar(salient, arrays.overflow, {row, b.index(1)});
}

RowState EncodeEmitter::emitGroup(Value group, Value begin, int64_t length,
                                  RowState state) {
  state.sum = zeros();
  int64_t whole = length / lanes * lanes;
  if (whole == lanes) {
    state = emitVector(begin, lanes, state);
  } else if (whole) {
    state = RowState::unpack(b.loop(
        begin, b.offset(begin, whole), lanes, state.pack(),
        [&](Value channel, ValueRange carried) {
          return emitVector(channel, lanes, RowState::unpack(carried)).pack();
        }));
  }
  if (length > whole)
    state = emitVector(b.offset(begin, whole), length - whole, state);
  Value sum =
      vector::ReductionOp::create(b, vector::CombiningKind::ADD, state.sum);
  b.storeScalar(sum, arrays.sums, {row, group});
  return state;
}

/// r_j = f32(a_j / step).
Value EncodeEmitter::rates(Value channel, int64_t valid) {
  if (!arrays.gains)
    return commonRate;
  Value gains = b.load(arrays.gains, channel, lanes, valid);
  return arith::DivFOp::create(b, gains, b.broadcast(arrays.step, lanes));
}

/// v = (x * rowScale) * r_j + h_j, h_j = f32(1/2 - f32(z_j * r_j)).
Value EncodeEmitter::potentials(Value channel, int64_t valid) {
  Value x = b.load(arrays.input, {row, channel}, lanes, valid);
  if (rowFactor)
    x = b.mul(x, rowFactor);
  Value rate = rates(channel, valid);
  Value membrane = b.real(reals, 0.5);
  if (arrays.centres)
    membrane = b.sub(
        membrane, b.mul(b.load(arrays.centres, channel, lanes, valid), rate));
  return b.add(b.mul(x, rate), membrane);
}

/// n = clamp(floor(v), -32767, 32767), 0 for NaN, as i32 lanes.
Value EncodeEmitter::countsOf(Value potential) {
  using arith::CmpFPredicate;
  Value unordered =
      arith::CmpFOp::create(b, CmpFPredicate::UNO, potential, potential);
  Value v = math::FloorOp::create(b, potential);
  Value lowest = b.real(reals, -32767.0), highest = b.real(reals, 32767.0);
  // A NaN compares false and so becomes a number before the conversion.
  v = b.select(arith::CmpFOp::create(b, CmpFPredicate::OGT, v, lowest), v,
               lowest);
  v = b.select(arith::CmpFOp::create(b, CmpFPredicate::OLT, v, highest), v,
               highest);
  Value counts = arith::FPToSIOp::create(b, integers, v);
  return b.select(unordered, zeros(), counts);
}

/// L < |n| <= L + tolerance saturates to +-L; beyond, n is salient.
Value EncodeEmitter::applyWindow(Value counts, Value channel, int64_t valid,
                                 Value &salient) {
  using arith::CmpIPredicate;
  Value bits = b.extendSigned(b.load(arrays.bits, channel, lanes, valid), i32);
  Value one = b.integer(integers, 1);
  // L = 2^(b-1) - 1, and 0 for 0 or 1 bits.
  Value exponent =
      arith::MaxSIOp::create(b, b.sub(bits, one), zeros()).getResult();
  Value window = b.sub(arith::ShLIOp::create(b, one, exponent), one);
  Value negative = b.sub(zeros(), counts);
  Value magnitude = arith::MaxSIOp::create(b, counts, negative);
  Value limit = window;
  if (shape.tolerance)
    limit = b.add(window, b.integer(integers, shape.tolerance));
  Value beyond = b.compare(CmpIPredicate::sgt, magnitude, limit);
  salient = b.add(salient, b.extendUnsigned(beyond, i32));
  if (!shape.tolerance)
    return counts;
  Value outside = b.compare(CmpIPredicate::sgt, magnitude, window);
  Value below = b.compare(CmpIPredicate::slt, counts, zeros());
  Value bound = b.select(below, b.sub(zeros(), window), window);
  Value kept = b.select(outside, bound, counts);
  return b.select(beyond, counts, kept);
}

RowState EncodeEmitter::emitVector(Value channel, int64_t valid,
                                   RowState state) {
  Value counts = arrays.rates ? grid.counts(channel, valid)
                              : countsOf(potentials(channel, valid));
  if (valid < lanes) {
    // Channels that do not exist count nothing, whatever their membrane.
    SmallVector<int32_t> exists(lanes, 0);
    std::fill_n(exists.begin(), valid, -1);
    Value mask = arith::ConstantOp::create(
        b, DenseElementsAttr::get(integers, ArrayRef(exists)));
    counts = arith::AndIOp::create(b, counts, mask);
  }
  if (arrays.bits)
    counts = applyWindow(counts, channel, valid, state.salient);
  if (arrays.counts)
    b.store(b.truncate(counts, b.getI16Type()), arrays.counts, {row, channel},
            valid);

  // |n| > 127 as one unsigned comparison.
  Value shifted = b.add(counts, b.integer(integers, 127));
  Value over =
      b.compare(arith::CmpIPredicate::ugt, shifted, b.integer(integers, 254));
  Value dense = b.select(over, zeros(), counts);
  state.sum = b.add(state.sum, dense);
  b.store(b.truncate(dense, b.getI8Type()), arrays.dense, {row, channel},
          llvm::alignTo(valid, 8));
  state.entries = appendOverflow(counts, over, channel, state.entries);
  return state;
}

Value EncodeEmitter::appendOverflow(Value counts, Value over, Value channel,
                                    Value entries) {
  Value any = vector::ReductionOp::create(b, vector::CombiningKind::OR, over);
  auto rare = scf::IfOp::create(b, TypeRange{b.getIndexType()}, any,
                                /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(rare.elseBlock());
  scf::YieldOp::create(b, entries);
  b.setInsertionPointToStart(rare.thenBlock());
  Value next = b.loop(
      b.index(0), b.index(lanes), 1, entries,
      [&](Value lane, ValueRange carried) -> SmallVector<Value> {
        Value count = vector::ExtractOp::create(b, counts, OpFoldResult(lane));
        Value isOver = vector::ExtractOp::create(b, over, OpFoldResult(lane));
        auto keep = scf::IfOp::create(b, TypeRange{b.getIndexType()}, isOver,
                                      /*withElseRegion=*/true);
        OpBuilder::InsertionGuard guard(b);
        b.setInsertionPointToStart(keep.elseBlock());
        scf::YieldOp::create(b, carried);
        b.setInsertionPointToStart(keep.thenBlock());
        Value slot = b.offset(b.scale(carried[0], 2), 2);
        Value where = b.indexCast(b.add(channel, lane), i32);
        b.storeScalar(where, arrays.overflow, {row, slot});
        b.storeScalar(count, arrays.overflow, {row, b.offset(slot, 1)});
        scf::YieldOp::create(b, b.offset(carried[0], 1));
        return {keep.getResult(0)};
      })[0];
  scf::YieldOp::create(b, next);
  return rare.getResult(0);
}

void mlir::spikequant::emitEncode(KernelBuilder &b, const EncodeShape &shape,
                                  const EncodeArrays &arrays) {
  b.parallel(shape.rows,
             [&](Value row) { EncodeEmitter(b, shape, arrays).emitRow(row); });
}

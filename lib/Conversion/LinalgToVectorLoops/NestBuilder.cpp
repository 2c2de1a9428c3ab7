//===- NestBuilder.cpp - emission of a strided nest's pieces --------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "NestBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::spikequant;

//===----------------------------------------------------------------------===//
// Index arithmetic
//===----------------------------------------------------------------------===//

Value NestBuilder::index(int64_t value) {
  return arith::ConstantIndexOp::create(builder, loc, value);
}

Value NestBuilder::add(Value lhs, Value rhs) {
  return builder.createOrFold<arith::AddIOp>(loc, lhs, rhs);
}

Value NestBuilder::mul(Value lhs, int64_t rhs) {
  return builder.createOrFold<arith::MulIOp>(loc, lhs, index(rhs));
}

Value NestBuilder::min(Value lhs, int64_t rhs) {
  return builder.createOrFold<arith::MinSIOp>(loc, lhs, index(rhs));
}

Value NestBuilder::max(Value lhs, int64_t rhs) {
  return builder.createOrFold<arith::MaxSIOp>(loc, lhs, index(rhs));
}

SmallVector<Value> NestBuilder::digits(Value linear, ArrayRef<int64_t> sizes) {
  SmallVector<Value> result(sizes.size());
  int64_t above = llvm::product_of(sizes);
  for (unsigned i = sizes.size(); i-- > 0;) {
    above /= sizes[i];
    if (sizes[i] == 1) {
      result[i] = index(0);
      continue;
    }
    result[i] = linear;
    if (above == 1)
      continue;
    Value size = index(sizes[i]);
    result[i] = builder.createOrFold<arith::RemUIOp>(loc, linear, size);
    linear = builder.createOrFold<arith::DivUIOp>(loc, linear, size);
  }
  return result;
}

//===----------------------------------------------------------------------===//
// Loops
//===----------------------------------------------------------------------===//

void NestBuilder::parallel(int64_t count, Body body) {
  Value zero = index(0), one = index(1), upper = index(count);
  auto loop = scf::ParallelOp::create(builder, loc, ValueRange{zero},
                                      ValueRange{upper}, ValueRange{one});
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(loop.getBody());
  body(loop.getInductionVars()[0]);
}

void NestBuilder::loop(Value lower, Value upper, int64_t step, Body body) {
  std::optional<int64_t> from = getConstantIntValue(lower);
  std::optional<int64_t> to = getConstantIntValue(upper);
  if (from && to && *from >= *to)
    return;
  if (from && to && *from + step >= *to)
    return body(lower);
  auto loop = scf::ForOp::create(builder, loc, lower, upper, index(step));
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(loop.getBody());
  body(loop.getInductionVar());
}

SmallVector<Value> NestBuilder::carry(ArrayRef<unsigned> loops,
                                      Position position, ValueRange initial,
                                      CarryBody body) {
  if (loops.empty())
    return body(position, initial);
  auto loop = scf::ForOp::create(builder, loc, index(0), end(loops[0]),
                                 index(1), initial);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(loop.getBody());
  Position inner = advance(position, loops[0], loop.getInductionVar());
  SmallVector<Value> results =
      carry(loops.drop_front(), inner, loop.getRegionIterArgs(), body);
  scf::YieldOp::create(builder, loc, results);
  return SmallVector<Value>(loop.getResults());
}

Value NestBuilder::end(unsigned loop) {
  nest.loops[loop].isEnded = true;
  Value limit = nest.loops[loop].limit;
  return limit ? limit : index(nest.loops[loop].size);
}

Value NestBuilder::end(unsigned loop, Value upper) {
  nest.loops[loop].isEnded = true;
  Value limit = nest.loops[loop].limit;
  return limit ? builder.createOrFold<arith::MinSIOp>(loc, upper, limit)
               : upper;
}

Position NestBuilder::start() {
  Position position;
  position.loops.assign(nest.loops.size(), Value());
  for (const NestAccess &access : nest.accesses)
    position.offsets.push_back(index(access.constant));
  return position;
}

Position NestBuilder::advance(Position position, unsigned loop, Value value) {
  position.loops[loop] =
      position.loops[loop] ? add(position.loops[loop], value) : value;
  for (auto [offset, access] : llvm::zip_equal(position.offsets, nest.accesses))
    if (access.strides[loop] != 0)
      offset = add(offset, mul(value, access.strides[loop]));
  return position;
}

Position NestBuilder::rowPosition(Value row, ArrayRef<unsigned> loops) {
  SmallVector<int64_t> sizes;
  for (unsigned loop : loops)
    sizes.push_back(nest.loops[loop].size);
  Position position = start();
  for (auto [loop, value] : llvm::zip_equal(loops, digits(row, sizes)))
    position = advance(position, loop, value);
  return position;
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

/// A vector of bits or nibbles is packed in memory, a memref of them is not.
static bool hasVectorMemory(Type type) {
  return type.isIndex() || (type.getIntOrFloatBitWidth() % 8 == 0 &&
                            llvm::isPowerOf2_32(type.getIntOrFloatBitWidth()));
}

/// A bit of a memref occupies a byte that holds 0 or 1: address of one.
Value NestBuilder::bitAddress(const NestAccess &access, Value offset) {
  auto parts =
      memref::ExtractStridedMetadataOp::create(builder, loc, access.base);
  Value start =
      memref::ExtractAlignedPointerAsIndexOp::create(builder, loc, access.base);
  Value address = add(add(start, parts.getOffset()), offset);
  Value number =
      arith::IndexCastOp::create(builder, loc, builder.getI64Type(), address);
  return LLVM::IntToPtrOp::create(
      builder, loc, LLVM::LLVMPointerType::get(builder.getContext()), number);
}

Value NestBuilder::loadBits(const NestAccess &access, Value offset,
                            int64_t lanes) {
  auto bytes = VectorType::get({lanes}, builder.getI8Type());
  Value loaded =
      LLVM::LoadOp::create(builder, loc, bytes, bitAddress(access, offset), 1);
  return arith::TruncIOp::create(
      builder, loc, VectorType::get({lanes}, builder.getI1Type()), loaded);
}

void NestBuilder::storeBits(const NestAccess &access, Value value, Value offset,
                            int64_t lanes) {
  auto bytes = VectorType::get({lanes}, builder.getI8Type());
  Value wide = arith::ExtUIOp::create(builder, loc, bytes, value);
  LLVM::StoreOp::create(builder, loc, wide, bitAddress(access, offset), 1);
}

Value NestBuilder::broadcast(Value scalar, int64_t lanes) {
  if (lanes == 0)
    return scalar;
  return vector::BroadcastOp::create(
      builder, loc, VectorType::get({lanes}, scalar.getType()), scalar);
}

Value NestBuilder::load(const NestAccess &access, Value offset, int64_t stride,
                        int64_t lanes) {
  if (access.scalar)
    return broadcast(access.base, lanes);
  if (lanes == 0 || stride == 0)
    return broadcast(memref::LoadOp::create(builder, loc, access.base, offset),
                     lanes);
  auto type = VectorType::get({lanes}, access.elementType);
  if (stride == 1 && hasVectorMemory(access.elementType))
    return vector::LoadOp::create(builder, loc, type, access.base,
                                  ValueRange{offset});
  if (stride == 1 && access.elementType.isInteger(1))
    return loadBits(access, offset, lanes);
  SmallVector<Value> elements;
  for (int64_t lane = 0; lane < lanes; ++lane)
    elements.push_back(memref::LoadOp::create(builder, loc, access.base,
                                              add(offset, lane * stride)));
  return vector::FromElementsOp::create(builder, loc, type, elements);
}

void NestBuilder::store(const NestAccess &access, Value value, Value offset,
                        int64_t stride, int64_t lanes) {
  if (lanes == 0) {
    memref::StoreOp::create(builder, loc, value, access.base, offset);
    return;
  }
  if (stride == 1 && hasVectorMemory(access.elementType)) {
    vector::StoreOp::create(builder, loc, value, access.base,
                            ValueRange{offset});
    return;
  }
  if (stride == 1 && access.elementType.isInteger(1))
    return storeBits(access, value, offset, lanes);
  for (int64_t lane = 0; lane < lanes; ++lane) {
    Value element = vector::ExtractOp::create(builder, loc, value, lane);
    memref::StoreOp::create(builder, loc, element, access.base,
                            add(offset, lane * stride));
  }
}

//===----------------------------------------------------------------------===//
// Payload
//===----------------------------------------------------------------------===//

Value NestBuilder::indexOf(unsigned origin, const Position &position,
                           unsigned lanesLoop, int64_t lanes) {
  Value value;
  bool varies = false;
  for (auto [number, loop] : llvm::enumerate(nest.loops))
    if (loop.origin == origin) {
      value = position.loops[number];
      varies = number == lanesLoop;
    }
  if (!value)
    value = index(0);
  if (lanes == 0)
    return value;
  Value all = broadcast(value, lanes);
  if (!varies)
    return all;
  Value step = vector::StepOp::create(
      builder, loc, VectorType::get({lanes}, builder.getIndexType()));
  return arith::AddIOp::create(builder, loc, all, step);
}

/// Clones an elementwise operation with every type turned into a vector.
Value NestBuilder::cloneOnLanes(Operation &op, IRMapping &mapping,
                                int64_t lanes) {
  if (isa<arith::ConstantOp>(op))
    return broadcast(builder.clone(op)->getResult(0), lanes);
  for (Value operand : op.getOperands())
    if (!mapping.contains(operand))
      mapping.map(operand, broadcast(operand, lanes));
  Operation *clone = builder.clone(op, mapping);
  for (Value result : clone->getResults())
    result.setType(VectorType::get({lanes}, result.getType()));
  for (auto [from, to] : llvm::zip(op.getResults(), clone->getResults()))
    mapping.map(from, to);
  return clone->getResult(0);
}

/// Lanes of a load whose places are computed. Places that were numbers of 32
/// bits stay so: twice as many fit a register.
Value NestBuilder::gather(memref::LoadOp op, IRMapping &mapping,
                          int64_t lanes) {
  Value place = op.getIndices().front();
  if (auto cast = place.getDefiningOp<arith::IndexCastOp>())
    if (mapping.contains(cast.getIn()))
      place = cast.getIn();
  place = mapping.lookupOrDefault(place);
  if (!isa<VectorType>(place.getType()))
    place = broadcast(place, lanes);
  auto type = VectorType::get({lanes}, op.getType());
  Value all = arith::ConstantOp::create(
      builder, loc,
      DenseElementsAttr::get(VectorType::get({lanes}, builder.getI1Type()),
                             true));
  Value none =
      arith::ConstantOp::create(builder, loc, type, builder.getZeroAttr(type));
  return vector::GatherOp::create(builder, loc, type, op.getMemref(),
                                  ValueRange{index(0)}, place, all, none);
}

SmallVector<Value> NestBuilder::payload(ArrayRef<Value> arguments,
                                        const Position &position,
                                        unsigned lanesLoop, int64_t lanes) {
  if (nest.fused)
    return {math::FmaOp::create(builder, loc, arguments[0], arguments[1],
                                arguments[2])};
  IRMapping mapping;
  for (auto [argument, value] :
       llvm::zip_equal(nest.payload().getArguments(), arguments))
    if (value)
      mapping.map(argument, value);
  for (Operation &op : nest.payload().without_terminator()) {
    if (auto indexOp = dyn_cast<linalg::IndexOp>(op)) {
      mapping.map(op.getResult(0),
                  indexOf(indexOp.getDim(), position, lanesLoop, lanes));
    } else if (auto load = dyn_cast<memref::LoadOp>(op); load && lanes != 0) {
      mapping.map(load.getResult(), gather(load, mapping, lanes));
    } else if (lanes != 0) {
      Value result = cloneOnLanes(op, mapping, lanes);
      if (op.getNumResults() == 1)
        mapping.map(op.getResult(0), result);
    } else {
      builder.clone(op, mapping);
    }
  }
  SmallVector<Value> results;
  for (Value yielded : nest.payload().getTerminator()->getOperands()) {
    Value result = mapping.lookupOrDefault(yielded);
    bool widened = lanes == 0 || mapping.contains(yielded);
    results.push_back(widened ? result : broadcast(result, lanes));
  }
  return results;
}

//===- KernelBuilder.cpp - short names for building kernel bodies ---------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelBuilder.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace mlir::spikequant;

static Type sameShape(Value value, Type element) {
  if (auto vector = dyn_cast<VectorType>(value.getType()))
    return VectorType::get(vector.getShape(), element);
  return element;
}

static bool isReal(Value value) {
  return isa<FloatType>(getElementTypeOrSelf(value.getType()));
}

Value KernelBuilder::index(int64_t value) {
  return arith::ConstantIndexOp::create(*this, value);
}

static Value splatOrScalar(KernelBuilder &b, Type type, TypedAttr element) {
  TypedAttr value = element;
  if (auto vector = dyn_cast<VectorType>(type))
    value = DenseElementsAttr::get(vector, element);
  return arith::ConstantOp::create(b, value);
}

Value KernelBuilder::integer(Type type, int64_t value) {
  return splatOrScalar(*this, type,
                       IntegerAttr::get(getElementTypeOrSelf(type), value));
}

Value KernelBuilder::real(Type type, double value) {
  return splatOrScalar(*this, type,
                       FloatAttr::get(getElementTypeOrSelf(type), value));
}

Value KernelBuilder::add(Value a, Value b) {
  if (isReal(a))
    return arith::AddFOp::create(*this, a, b);
  return createOrFold<arith::AddIOp>(a, b);
}

Value KernelBuilder::sub(Value a, Value b) {
  if (isReal(a))
    return arith::SubFOp::create(*this, a, b);
  return createOrFold<arith::SubIOp>(a, b);
}

Value KernelBuilder::mul(Value a, Value b) {
  if (isReal(a))
    return arith::MulFOp::create(*this, a, b);
  return createOrFold<arith::MulIOp>(a, b);
}

Value KernelBuilder::divideIndex(Value a, int64_t b) {
  return b == 1 ? a : createOrFold<arith::DivUIOp>(a, index(b));
}

Value KernelBuilder::remainderIndex(Value a, int64_t b) {
  return createOrFold<arith::RemUIOp>(a, index(b));
}

Value KernelBuilder::compare(arith::CmpIPredicate predicate, Value a, Value b) {
  return arith::CmpIOp::create(*this, predicate, a, b);
}

Value KernelBuilder::select(Value condition, Value a, Value b) {
  return arith::SelectOp::create(*this, condition, a, b);
}

Value KernelBuilder::broadcast(Value value, int64_t lanes) {
  return vector::BroadcastOp::create(*this, vectorOf(value.getType(), lanes),
                                     value);
}

Value KernelBuilder::extendSigned(Value value, Type element) {
  if (getElementTypeOrSelf(value.getType()) == element)
    return value;
  return arith::ExtSIOp::create(*this, sameShape(value, element), value);
}

Value KernelBuilder::extendUnsigned(Value value, Type element) {
  return arith::ExtUIOp::create(*this, sameShape(value, element), value);
}

Value KernelBuilder::truncate(Value value, Type element) {
  return arith::TruncIOp::create(*this, sameShape(value, element), value);
}

Value KernelBuilder::toReal(Value integers) {
  return arith::SIToFPOp::create(*this, sameShape(integers, getF32Type()),
                                 integers);
}

Value KernelBuilder::bitcast(Value vector, Type element, int64_t lanes) {
  return vector::BitCastOp::create(*this, vectorOf(element, lanes), vector);
}

Value KernelBuilder::indexCast(Value value, Type type) {
  return createOrFold<arith::IndexCastOp>(type, value);
}

Value KernelBuilder::loadScalar(Value memref, ValueRange indices) {
  return memref::LoadOp::create(*this, memref, indices);
}

void KernelBuilder::storeScalar(Value value, Value memref, ValueRange indices) {
  memref::StoreOp::create(*this, value, memref, indices);
}

Value KernelBuilder::firstLanes(int64_t lanes, int64_t valid) {
  SmallVector<bool> mask(lanes, false);
  std::fill_n(mask.begin(), valid, true);
  return arith::ConstantOp::create(
      *this, DenseElementsAttr::get(vectorOf(getI1Type(), lanes), mask));
}

Value KernelBuilder::load(Value memref, ValueRange indices, int64_t lanes,
                          int64_t valid) {
  Type element = cast<MemRefType>(memref.getType()).getElementType();
  VectorType type = vectorOf(element, lanes);
  if (valid < 0 || valid == lanes)
    return vector::LoadOp::create(*this, type, memref, indices);
  Value zero = arith::ConstantOp::create(*this, getZeroAttr(type));
  if (valid == 1)
    return vector::InsertOp::create(*this, loadScalar(memref, indices), zero,
                                    int64_t{0});
  return vector::MaskedLoadOp::create(*this, type, memref, indices,
                                      firstLanes(lanes, valid), zero);
}

void KernelBuilder::store(Value vector, Value memref, ValueRange indices,
                          int64_t valid) {
  int64_t lanes = cast<VectorType>(vector.getType()).getNumElements();
  if (valid < 0 || valid == lanes) {
    vector::StoreOp::create(*this, vector, memref, indices);
    return;
  }
  // LLVM 22 stores too many bytes for a truncated vector with one lane enabled.
  if (valid == 1)
    return storeScalar(vector::ExtractOp::create(*this, vector, int64_t{0}),
                       memref, indices);
  vector::MaskedStoreOp::create(*this, memref, indices,
                                firstLanes(lanes, valid), vector);
}

SmallVector<Value> KernelBuilder::loop(Value begin, Value end, int64_t step,
                                       ValueRange carried, LoopBody body) {
  auto loop =
      scf::ForOp::create(*this, begin, end, index(step), carried,
                         [](OpBuilder &, Location, Value, ValueRange) {});
  InsertionGuard guard(*this);
  setInsertionPointToStart(loop.getBody());
  SmallVector<Value> next =
      body(loop.getInductionVar(), loop.getRegionIterArgs());
  scf::YieldOp::create(*this, next);
  return llvm::to_vector(ValueRange(loop.getResults()));
}

void KernelBuilder::parallel(int64_t count, function_ref<void(Value)> body) {
  auto loop =
      scf::ParallelOp::create(*this, ValueRange{index(0)},
                              ValueRange{index(count)}, ValueRange{index(1)});
  InsertionGuard guard(*this);
  setInsertionPointToStart(loop.getBody());
  body(loop.getInductionVars().front());
}

void KernelBuilder::branch(Value condition, function_ref<void()> then,
                           function_ref<void()> otherwise) {
  auto branch = scf::IfOp::create(*this, condition,
                                  /*withElseRegion=*/bool(otherwise));
  InsertionGuard guard(*this);
  setInsertionPointToStart(branch.thenBlock());
  then();
  if (!otherwise)
    return;
  setInsertionPointToStart(branch.elseBlock());
  otherwise();
}

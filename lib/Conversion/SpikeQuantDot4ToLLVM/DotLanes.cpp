//===- DotLanes.cpp - registers of dot products ---------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DotLanes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/Sequence.h"

using namespace mlir;
using namespace mlir::spikequant;

uint8_t spikequant::getPossibleBits(Value codes) {
  DenseIntElementsAttr constant;
  if (matchPattern(codes, m_Constant(&constant)) && constant.isSplat())
    return constant.getSplatValue<APInt>().getZExtValue();
  if (auto both = codes.getDefiningOp<arith::AndIOp>())
    return getPossibleBits(both.getLhs()) & getPossibleBits(both.getRhs());
  if (auto either = codes.getDefiningOp<arith::OrIOp>())
    return getPossibleBits(either.getLhs()) | getPossibleBits(either.getRhs());
  return 255;
}

Value DotLanes::splat(VectorType type, int64_t value) const {
  APInt bits(type.getElementTypeBitWidth(), value, /*isSigned=*/true);
  return arith::ConstantOp::create(b, loc, DenseElementsAttr::get(type, bits));
}

Value DotLanes::as(unsigned bits, Value value) const {
  auto from = cast<VectorType>(value.getType());
  if (from.getElementTypeBitWidth() == bits)
    return value;
  int64_t total = from.getNumElements() * from.getElementTypeBitWidth();
  return vector::BitCastOp::create(b, loc, type(bits, total / bits), value);
}

Value DotLanes::add(Value lhs, Value rhs) const {
  return arith::AddIOp::create(b, loc, lhs, rhs);
}

Value DotLanes::call(StringRef intrinsic, Type result,
                     ValueRange operands) const {
  return LLVM::CallIntrinsicOp::create(b, loc, result,
                                       b.getStringAttr(intrinsic), operands)
      .getResult(0);
}

SmallVector<Value> DotLanes::split(Value value, int64_t count) const {
  if (count == 1)
    return {value};
  int64_t lanes = cast<VectorType>(value.getType()).getNumElements() / count;
  SmallVector<Value> pieces;
  for (int64_t i = 0; i < count; ++i) {
    auto places =
        llvm::to_vector(llvm::seq<int32_t>(i * lanes, (i + 1) * lanes));
    pieces.push_back(
        LLVM::ShuffleVectorOp::create(b, loc, value, value, places));
  }
  return pieces;
}

Value DotLanes::join(SmallVector<Value> pieces) const {
  while (pieces.size() > 1) {
    int64_t lanes = cast<VectorType>(pieces[0].getType()).getNumElements();
    auto places = llvm::to_vector(llvm::seq<int32_t>(0, 2 * lanes));
    for (size_t i = 0; i < pieces.size() / 2; ++i)
      pieces[i] = LLVM::ShuffleVectorOp::create(b, loc, pieces[2 * i],
                                                pieces[2 * i + 1], places);
    pieces.truncate(pieces.size() / 2);
  }
  return pieces[0];
}

Value spikequant::emitPieces(DotLanes lanes, ValueRange operands,
                             int64_t pieces,
                             function_ref<Value(ValueRange)> emit) {
  SmallVector<SmallVector<Value>> parts;
  for (Value operand : operands)
    parts.push_back(lanes.split(operand, pieces));
  SmallVector<Value> results;
  for (int64_t i = 0; i < pieces; ++i)
    results.push_back(emit(llvm::to_vector(
        llvm::map_range(parts, [&](auto &part) { return part[i]; }))));
  return lanes.join(results);
}

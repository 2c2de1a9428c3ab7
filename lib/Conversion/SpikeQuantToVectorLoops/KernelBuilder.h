//===- KernelBuilder.h - short names for building kernel bodies -*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// A builder whose methods work on scalars and vectors alike, so that a kernel
/// reads like the arithmetic that it does. Integers are signless; names say
/// where the sign matters.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_CONVERSION_SPIKEQUANTTOVECTORLOOPS_KERNELBUILDER_H
#define SPIKEQUANT_LIB_CONVERSION_SPIKEQUANTTOVECTORLOOPS_KERNELBUILDER_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::spikequant {

class KernelBuilder : public ImplicitLocOpBuilder {
public:
  using ImplicitLocOpBuilder::ImplicitLocOpBuilder;

  /// Body of a loop: the induction variable and the carried values in, the next
  /// carried values out.
  using LoopBody = function_ref<SmallVector<Value>(Value, ValueRange)>;

  VectorType vectorOf(Type element, int64_t lanes) {
    return VectorType::get({lanes}, element);
  }

  Value index(int64_t value);
  /// A constant, or a splat of one if `type` is a vector.
  Value integer(Type type, int64_t value);
  Value real(Type type, double value);

  Value add(Value a, Value b);
  Value sub(Value a, Value b);
  Value mul(Value a, Value b);
  Value divideIndex(Value a, int64_t b);
  Value remainderIndex(Value a, int64_t b);
  Value offset(Value a, int64_t b) { return add(a, index(b)); }
  Value scale(Value a, int64_t b) { return mul(a, index(b)); }
  Value compare(arith::CmpIPredicate predicate, Value a, Value b);
  Value select(Value condition, Value a, Value b);

  /// `value` in every lane.
  Value broadcast(Value value, int64_t lanes);
  /// Same lanes, other element type of integers.
  Value extendSigned(Value value, Type element);
  Value extendUnsigned(Value value, Type element);
  Value truncate(Value value, Type element);
  Value toReal(Value integers);
  Value bitcast(Value vector, Type element, int64_t lanes);
  Value indexCast(Value value, Type type);

  Value loadScalar(Value memref, ValueRange indices);
  void storeScalar(Value value, Value memref, ValueRange indices);
  /// `lanes` neighbouring elements, of which the first `valid` exist; the
  /// others read as zero.
  Value load(Value memref, ValueRange indices, int64_t lanes,
             int64_t valid = -1);
  /// Stores the first `valid` lanes.
  void store(Value vector, Value memref, ValueRange indices,
             int64_t valid = -1);

  /// for (i = begin; i < end; i += step).
  SmallVector<Value> loop(Value begin, Value end, int64_t step,
                          ValueRange carried, LoopBody body);
  /// The work-shared loop of a kernel: i = 0 .. count-1.
  void parallel(int64_t count, function_ref<void(Value)> body);
  /// An if without results.
  void branch(Value condition, function_ref<void()> then,
              function_ref<void()> otherwise = nullptr);

private:
  Value firstLanes(int64_t lanes, int64_t valid);
};

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_CONVERSION_SPIKEQUANTTOVECTORLOOPS_KERNELBUILDER_H

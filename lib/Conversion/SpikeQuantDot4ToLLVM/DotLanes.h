//===- DotLanes.h - registers of dot products -------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_CONVERSION_SPIKEQUANTDOT4TOLLVM_DOTLANES_H
#define SPIKEQUANT_LIB_CONVERSION_SPIKEQUANTDOT4TOLLVM_DOTLANES_H

#include "spikequant/Conversion/DotInstructions.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/PatternMatch.h"

namespace mlir::spikequant {

/// Bits that may be set in a byte of `codes`: of a mask, of a constant, of what
/// was or-ed from such; else 255.
uint8_t getPossibleBits(Value codes);

/// Makes vectors of one register and calls intrinsics on them.
struct DotLanes {
  OpBuilder &b;
  Location loc;

  VectorType type(unsigned bits, int64_t lanes) const {
    return VectorType::get({lanes}, b.getIntegerType(bits));
  }
  Value splat(VectorType type, int64_t value) const;
  /// The same bits as lanes of another width.
  Value as(unsigned bits, Value value) const;
  Value add(Value lhs, Value rhs) const;
  Value call(StringRef intrinsic, Type result, ValueRange operands) const;
  /// Equal pieces of a vector, in order.
  SmallVector<Value> split(Value value, int64_t count) const;
  /// The inverse; the number of pieces is a power of two.
  Value join(SmallVector<Value> pieces) const;
};

/// Lets `emit(lanes, operands of one piece)` make each of `pieces` pieces.
Value emitPieces(DotLanes lanes, ValueRange operands, int64_t pieces,
                 function_ref<Value(ValueRange)> emit);

/// Patterns for every instruction set but `Portable`.
void populateDotToX86(RewritePatternSet &patterns, DotInstructions chosen);
void populateDotToNeon(RewritePatternSet &patterns, DotInstructions chosen);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_CONVERSION_SPIKEQUANTDOT4TOLLVM_DOTLANES_H

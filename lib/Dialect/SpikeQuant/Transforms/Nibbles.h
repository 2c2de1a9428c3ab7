//===- Nibbles.h - two counts in a byte ---------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_NIBBLES_H
#define SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_NIBBLES_H

#include "mlir/IR/Builders.h"

namespace mlir::spikequant {

/// i8 counts of -8 to 7 as bytes, half as many along `dimension`, of even size:
/// counts of its first half are the low bits, those of the second the high.
Value packNibbles(OpBuilder &builder, Value counts, int64_t dimension);

/// The counts again.
Value unpackNibbles(OpBuilder &builder, Value bytes, int64_t dimension);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_NIBBLES_H

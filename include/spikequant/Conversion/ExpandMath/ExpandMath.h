//===- ExpandMath.h - the strict float profile as patterns ---------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_CONVERSION_EXPANDMATH_EXPANDMATH_H
#define SPIKEQUANT_CONVERSION_EXPANDMATH_EXPANDMATH_H

#include "mlir/IR/PatternMatch.h"

namespace mlir::spikequant {

/// Elementary functions of f32 (f16 and bf16 through f32) to arithmetic and
/// math.fma. Applies to scalars, vectors and tensors.
void populateExpandMathPatterns(RewritePatternSet &patterns);

/// Reductions over the innermost dimension to 16 partial results and a tree.
void populateExpandReductionPatterns(RewritePatternSet &patterns);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_CONVERSION_EXPANDMATH_EXPANDMATH_H

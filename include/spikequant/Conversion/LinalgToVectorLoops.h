//===- LinalgToVectorLoops.h - linalg on buffers to vector loops ----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Real-number kernels of the step: every linalg operation on memrefs becomes
// one outermost `scf.parallel` that holds `scf.for` loops and vector code.
// Values are those of a scalar loop nest in iteration order, bit for bit; a
// contraction is one chain of fused multiply-adds, k ascending, that starts
// from the initial value.
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_CONVERSION_LINALGTOVECTORLOOPS_H
#define SPIKEQUANT_CONVERSION_LINALGTOVECTORLOOPS_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace mlir::spikequant {

struct VectorLoopsOptions {
  /// Width of a vector register in bits: 512, 256 or 128. Changes speed only.
  int64_t vectorBits = 512;
};

/// True for `out += lhs * rhs` on f32 or f64 with at least one reduction loop
/// and projected permutations as maps: the operations whose meaning is a chain
/// of fused multiply-adds. The reference lowering uses the same test.
bool isFusedContraction(linalg::LinalgOp op);

/// Replaces `op`, which works on buffers, by loops inside an outermost
/// `scf.parallel`. Static shapes with affine maps that are linear give vector
/// code; everything else gives scalar loops. Fails on tensors only.
LogicalResult convertLinalgToVectorLoops(RewriterBase &rewriter,
                                         linalg::LinalgOp op,
                                         const VectorLoopsOptions &options);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_CONVERSION_LINALGTOVECTORLOOPS_H

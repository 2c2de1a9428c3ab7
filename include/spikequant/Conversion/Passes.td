//===- Passes.td - conversions and code generation passes -------*- tablegen -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_CONVERSION_PASSES
#define SPIKEQUANT_CONVERSION_PASSES

include "mlir/Pass/PassBase.td"

def ConvertDot4ToLLVM : Pass<"convert-spikequant-dot4-to-llvm"> {
  let summary = "dot4 to the VNNI instruction or to vector operations";
  let options = [
    Option<"vnni", "vnni", "bool", "false", "use the AVX-512 VNNI instruction">
  ];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::arith::ArithDialect",
                           "::mlir::vector::VectorDialect"];
}

<<<<<<< HEAD
def ExpandMath : Pass<"spikequant-expand-math"> {
  let summary = "defines every real operation: the strict float profile";
  let description = [{
    Rewrites elementary functions of f32 values to additions, multiplications,
    fused multiply-adds and comparisons, so that their bits are the same on every
    processor (docs/FloatProfile.md states their accuracy), and reductions over
    the innermost dimension to 16 partial results (lane = index mod 16, indices
    ascending) that a tree of 8, 4, 2 and 1 combines. Works inside linalg bodies
    and on scalars, vectors and tensors. Fast-math flags are removed.
    Contractions (a product of two inputs added up) keep their form: they are one
    chain of fused multiply-adds. Other reductions stay chains in loop order.

    ```mlir
    %y = math.rsqrt %x : f32
=======
def SpikeQuantCanonicalizeContractions
    : Pass<"spikequant-canonicalize-contractions", "::mlir::func::FuncOp"> {
  let summary = "give contractions an operand that is contiguous along the columns";
  let description = [{
    A contraction on tensors whose innermost output loop is not the innermost
    dimension of the operand that has it gets a `linalg.transpose` of that
    operand. Afterwards `convert-linalg-to-vector-loops` finds contiguous vectors
    everywhere. Values do not change. For example `y[m, n] += x[m, k] w[n, k]`
    becomes

    ```mlir
    %t = linalg.transpose ins(%w : tensor<7x5xf32>) outs(%e : tensor<5x7xf32>)
           permutation = [1, 0]
    linalg.generic ... // y[m, n] += x[m, k] t[k, n]
    ```
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
}

def ConvertLinalgToVectorLoops
    : Pass<"convert-linalg-to-vector-loops", "::mlir::func::FuncOp"> {
  let summary = "linalg on buffers to one work-shared loop of vector code per operation";
  let description = [{
    Replaces every linalg operation on memrefs, and every `memref.copy`, by an
    outermost `scf.parallel` of one dimension (which may have a single iteration)
    that holds `scf.for` loops and vector operations. All memory writes are inside
    it. Do not canonicalise between this pass and the one that shares the work:
    loops with one iteration would be inlined.

    Values equal those of a scalar loop nest in iteration order bit for bit; a
    multiply-add contraction on f32 or f64 is one chain of fused multiply-adds per
    element, k ascending. Operations with dynamic shapes become scalar loops.

    ```mlir
    linalg.add ins(%a, %b : memref<64xf32>, memref<64xf32>) outs(%c : memref<64xf32>)
>>>>>>> loops
    ```

    becomes

    ```mlir
<<<<<<< HEAD
    %0 = math.sqrt %x : f32
    %y = arith.divf %cst, %0 : f32
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
=======
    scf.parallel (%i) = (%c0) to (%c1) step (%c1) {
      scf.for %j = %c0 to %c64 step %c16 {
        %x = vector.load %a[%j] : memref<64xf32>, vector<16xf32>
        %y = vector.load %b[%j] : memref<64xf32>, vector<16xf32>
        %z = arith.addf %x, %y : vector<16xf32>
        vector.store %z, %c[%j] : memref<64xf32>, vector<16xf32>
      }
    }
    ```
  }];
  let options = [
    Option<"vectorBits", "vector-bits", "int64_t", "512",
           "width of a vector register: 512, 256 or 128; changes speed only">
  ];
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect",
                           "::mlir::vector::VectorDialect"];
>>>>>>> loops
}

#endif // SPIKEQUANT_CONVERSION_PASSES

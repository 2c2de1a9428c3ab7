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
    ```

    becomes

    ```mlir
    %0 = math.sqrt %x : f32
    %y = arith.divf %cst, %0 : f32
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
}

#endif // SPIKEQUANT_CONVERSION_PASSES

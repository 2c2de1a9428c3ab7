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

#endif // SPIKEQUANT_CONVERSION_PASSES

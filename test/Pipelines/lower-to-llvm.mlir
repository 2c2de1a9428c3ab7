// RUN: sq-opt %s --spikequant-lower-to-llvm | FileCheck %s

// Everything is in the LLVM and OpenMP dialects, and nothing allocates.
// CHECK-LABEL: llvm.func @step
// CHECK: llvm.call @fill_8_16
// CHECK: llvm.call @matmul_8_16
// CHECK: llvm.return
// CHECK: llvm.func @matmul_8_16
// CHECK: omp.wsloop
// CHECK: omp.loop_nest
// CHECK: llvm.intr.fma
// CHECK-NOT: llvm.call @malloc
// CHECK-NOT: spikequant
// CHECK-NOT: unrealized_conversion_cast
func.func @step(%x: tensor<8x4xf32>, %w: tensor<4x16xf32>) -> tensor<8x16xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8x16xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<8x16xf32>) -> tensor<8x16xf32>
  %y = linalg.matmul ins(%x, %w : tensor<8x4xf32>, tensor<4x16xf32>) outs(%f : tensor<8x16xf32>) -> tensor<8x16xf32>
  return %y : tensor<8x16xf32>
}

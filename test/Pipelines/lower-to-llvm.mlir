// RUN: sq-opt %s --spikequant-lower-to-llvm | FileCheck %s

// Everything is in the LLVM and OpenMP dialects, and nothing allocates.
// CHECK-LABEL: llvm.func @step
// CHECK: llvm.call @fill_128_512
// CHECK: llvm.call @matmul_128_512
// CHECK: llvm.return
// CHECK: llvm.func @matmul_128_512
// CHECK: omp.wsloop
// CHECK: omp.loop_nest
// CHECK: llvm.intr.fma
// CHECK-NOT: llvm.call @malloc
// CHECK-NOT: spikequant
// CHECK-NOT: unrealized_conversion_cast
func.func @step(%x: tensor<128x256xf32>, %w: tensor<256x512xf32>) -> tensor<128x512xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<128x512xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<128x512xf32>) -> tensor<128x512xf32>
  %y = linalg.matmul ins(%x, %w : tensor<128x256xf32>, tensor<256x512xf32>) outs(%f : tensor<128x512xf32>) -> tensor<128x512xf32>
  return %y : tensor<128x512xf32>
}

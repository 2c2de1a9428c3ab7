// RUN: sq-opt %s -split-input-file -spikequant-weights-to-symbols \
// RUN:   -spikequant-rotate-values -spikequant-name-sites -o %t.mlir \
// RUN:   --remarks-filter="spikequant-rotate-values" 2> %t.remarks
// RUN: FileCheck %s --input-file=%t.mlir
// RUN: FileCheck %s --input-file=%t.remarks --check-prefix=REMARK

// Two heads of 16: made by v and its bias, kept in a cache, mixed, read by o.

// CHECK: spikequant.rotated_inputs = ["o"]
// CHECK-SAME: spikequant.rotations = {
// CHECK-SAME: bv = [array<i64: 0, 0, 32, 16>]
// CHECK-SAME: o = [array<i64: 0, 0, 32, 16>]
// CHECK-SAME: v = [array<i64: 1, 0, 32, 16>]
// CHECK-LABEL: func.func @values
// CHECK: spikequant.site = "v"
// CHECK: spikequant.site = "o.rotated"
// REMARK: [Passed] values-rotated {{.*}} Function=values | Remark="values rotated in blocks of 16, absorbed by
func.func @values(%x: tensor<4x64xf32>, %p: tensor<2x4x8xf32>,
                  %v: tensor<64x32xf32> {spikequant.weight = "v"},
                  %bv: tensor<32xf32> {spikequant.weight = "bv"},
                  %o: tensor<32x64xf32> {spikequant.weight = "o"},
                  %cache: tensor<2x8x16xf32> {spikequant.state = 1 : i64})
    -> (tensor<4x64xf32>, tensor<2x8x16xf32>) {
  %zero = arith.constant 0.0 : f32
  %e0 = tensor.empty() : tensor<4x32xf32>
  %z0 = linalg.fill ins(%zero : f32) outs(%e0 : tensor<4x32xf32>) -> tensor<4x32xf32>
  %0 = linalg.matmul ins(%x, %v : tensor<4x64xf32>, tensor<64x32xf32>)
      outs(%z0 : tensor<4x32xf32>) -> tensor<4x32xf32>
  %1 = linalg.generic {
      indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>,
                       affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%0, %bv : tensor<4x32xf32>, tensor<32xf32>) outs(%e0 : tensor<4x32xf32>) {
    ^bb0(%a: f32, %b: f32, %c: f32):
      %s = arith.addf %a, %b : f32
      linalg.yield %s : f32
  } -> tensor<4x32xf32>
  %heads = tensor.expand_shape %1 [[0], [1, 2]] output_shape [4, 2, 16]
      : tensor<4x32xf32> into tensor<4x2x16xf32>
  %e1 = tensor.empty() : tensor<2x4x16xf32>
  %t = linalg.transpose ins(%heads : tensor<4x2x16xf32>)
      outs(%e1 : tensor<2x4x16xf32>) permutation = [1, 0, 2]
  %kept = tensor.insert_slice %t into %cache[0, 4, 0] [2, 4, 16] [1, 1, 1]
      : tensor<2x4x16xf32> into tensor<2x8x16xf32>
  %z1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<2x4x16xf32>) -> tensor<2x4x16xf32>
  %mixed = linalg.batch_matmul ins(%p, %kept : tensor<2x4x8xf32>, tensor<2x8x16xf32>)
      outs(%z1 : tensor<2x4x16xf32>) -> tensor<2x4x16xf32>
  %e2 = tensor.empty() : tensor<4x2x16xf32>
  %back = linalg.transpose ins(%mixed : tensor<2x4x16xf32>)
      outs(%e2 : tensor<4x2x16xf32>) permutation = [1, 0, 2]
  %rows = tensor.collapse_shape %back [[0], [1, 2]] : tensor<4x2x16xf32> into tensor<4x32xf32>
  %e3 = tensor.empty() : tensor<4x64xf32>
  %z3 = linalg.fill ins(%zero : f32) outs(%e3 : tensor<4x64xf32>) -> tensor<4x64xf32>
  %y = linalg.matmul ins(%rows, %o : tensor<4x32xf32>, tensor<32x64xf32>)
      outs(%z3 : tensor<4x64xf32>) -> tensor<4x64xf32>
  return %y, %kept : tensor<4x64xf32>, tensor<2x8x16xf32>
}

// -----

// An activation function between the values and their readers.

// CHECK-NOT: spikequant.rotations
// REMARK: [Missed] values-left {{.*}} Function=curved | Remark="values of a product left: an operation that is not linear along its channels"
func.func @curved(%p: tensor<4x8xf32>, %x: tensor<8x64xf32>,
                  %v: tensor<64x16xf32> {spikequant.weight = "v"},
                  %o: tensor<16x64xf32> {spikequant.weight = "o"}) -> tensor<4x64xf32> {
  %zero = arith.constant 0.0 : f32
  %e0 = tensor.empty() : tensor<8x16xf32>
  %z0 = linalg.fill ins(%zero : f32) outs(%e0 : tensor<8x16xf32>) -> tensor<8x16xf32>
  %0 = linalg.matmul ins(%x, %v : tensor<8x64xf32>, tensor<64x16xf32>)
      outs(%z0 : tensor<8x16xf32>) -> tensor<8x16xf32>
  %e1 = tensor.empty() : tensor<4x16xf32>
  %z1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<4x16xf32>) -> tensor<4x16xf32>
  %1 = linalg.matmul ins(%p, %0 : tensor<4x8xf32>, tensor<8x16xf32>)
      outs(%z1 : tensor<4x16xf32>) -> tensor<4x16xf32>
  %2 = linalg.exp ins(%1 : tensor<4x16xf32>) outs(%e1 : tensor<4x16xf32>) -> tensor<4x16xf32>
  %e2 = tensor.empty() : tensor<4x64xf32>
  %z2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<4x64xf32>) -> tensor<4x64xf32>
  %3 = linalg.matmul ins(%2, %o : tensor<4x16xf32>, tensor<16x64xf32>)
      outs(%z2 : tensor<4x64xf32>) -> tensor<4x64xf32>
  return %3 : tensor<4x64xf32>
}

// -----

// Mixed values are also a result.

// REMARK: [Missed] values-left {{.*}} Function=shown | Remark="values of a product left: it reaches a result of the program"
func.func @shown(%p: tensor<4x8xf32>, %x: tensor<8x64xf32>,
                 %v: tensor<64x16xf32> {spikequant.weight = "v"},
                 %o: tensor<16x64xf32> {spikequant.weight = "o"})
    -> (tensor<4x64xf32>, tensor<4x16xf32>) {
  %zero = arith.constant 0.0 : f32
  %e0 = tensor.empty() : tensor<8x16xf32>
  %z0 = linalg.fill ins(%zero : f32) outs(%e0 : tensor<8x16xf32>) -> tensor<8x16xf32>
  %0 = linalg.matmul ins(%x, %v : tensor<8x64xf32>, tensor<64x16xf32>)
      outs(%z0 : tensor<8x16xf32>) -> tensor<8x16xf32>
  %e1 = tensor.empty() : tensor<4x16xf32>
  %z1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<4x16xf32>) -> tensor<4x16xf32>
  %1 = linalg.matmul ins(%p, %0 : tensor<4x8xf32>, tensor<8x16xf32>)
      outs(%z1 : tensor<4x16xf32>) -> tensor<4x16xf32>
  %e2 = tensor.empty() : tensor<4x64xf32>
  %z2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<4x64xf32>) -> tensor<4x64xf32>
  %3 = linalg.matmul ins(%1, %o : tensor<4x16xf32>, tensor<16x64xf32>)
      outs(%z2 : tensor<4x64xf32>) -> tensor<4x64xf32>
  return %3, %1 : tensor<4x64xf32>, tensor<4x16xf32>
}

// RUN: sq-opt %s --spikequant-canonicalize-contractions --split-input-file | FileCheck %s

// The example of the pass's description.
// CHECK-DAG: #[[RHS:.*]] = affine_map<(d0, d1, d2) -> (d2, d1)>
// CHECK-LABEL: func @transposed_rhs
// CHECK-SAME: %[[X:.*]]: tensor<4x5xf32>, %[[W:.*]]: tensor<7x5xf32>, %[[Y:.*]]: tensor<4x7xf32>
// CHECK: %[[E:.*]] = tensor.empty() : tensor<5x7xf32>
// CHECK: %[[T:.*]] = linalg.transpose ins(%[[W]] : tensor<7x5xf32>) outs(%[[E]] : tensor<5x7xf32>) permutation = [1, 0]
// CHECK: linalg.generic {indexing_maps = [#{{.*}}, #[[RHS]], #{{.*}}]
// CHECK-SAME: ins(%[[X]], %[[T]] : tensor<4x5xf32>, tensor<5x7xf32>) outs(%[[Y]]
func.func @transposed_rhs(%x: tensor<4x5xf32>, %w: tensor<7x5xf32>, %y: tensor<4x7xf32>) -> tensor<4x7xf32> {
  %0 = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>,
                                        affine_map<(m, n, k) -> (m, n)>],
                       iterator_types = ["parallel", "parallel", "reduction"]}
    ins(%x, %w : tensor<4x5xf32>, tensor<7x5xf32>) outs(%y : tensor<4x7xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %c, %p : f32
    linalg.yield %s : f32
  } -> tensor<4x7xf32>
  return %0 : tensor<4x7xf32>
}

// -----

// CHECK-LABEL: func @named_transposed
// CHECK: linalg.transpose ins(%{{.*}} : tensor<3x7x5xf32>) {{.*}} permutation = [0, 2, 1]
// CHECK: linalg.generic
#a = affine_map<(b, m, n, k) -> (b, m, k)>
#b = affine_map<(b, m, n, k) -> (b, n, k)>
#c = affine_map<(b, m, n, k) -> (b, m, n)>
func.func @named_transposed(%x: tensor<3x4x5xf32>, %w: tensor<3x7x5xf32>, %y: tensor<3x4x7xf32>) -> tensor<3x4x7xf32> {
  %0 = linalg.batch_matmul indexing_maps = [#a, #b, #c] ins(%x, %w : tensor<3x4x5xf32>, tensor<3x7x5xf32>)
         outs(%y : tensor<3x4x7xf32>) -> tensor<3x4x7xf32>
  return %0 : tensor<3x4x7xf32>
}

// -----

// A matrix times a vector: the rows are the columns of the register tile.
// CHECK-LABEL: func @matvec
// CHECK: linalg.transpose {{.*}} permutation = [1, 0]
func.func @matvec(%w: tensor<7x5xf32>, %x: tensor<5xf32>, %y: tensor<7xf32>) -> tensor<7xf32> {
  %0 = linalg.matvec ins(%w, %x : tensor<7x5xf32>, tensor<5xf32>) outs(%y : tensor<7xf32>) -> tensor<7xf32>
  return %0 : tensor<7xf32>
}

// -----

// Size 1 does not count as innermost: only the rows are left.
// CHECK-LABEL: func @one_column
// CHECK: linalg.transpose ins(%{{.*}} : tensor<7x5xf32>) {{.*}} permutation = [1, 0]
func.func @one_column(%w: tensor<7x5xf32>, %x: tensor<5x1xf32>, %y: tensor<7x1xf32>) -> tensor<7x1xf32> {
  %0 = linalg.matmul ins(%w, %x : tensor<7x5xf32>, tensor<5x1xf32>) outs(%y : tensor<7x1xf32>) -> tensor<7x1xf32>
  return %0 : tensor<7x1xf32>
}

// -----

// Good as they are.
// CHECK-LABEL: func @unchanged
// CHECK-NOT: linalg.transpose
// CHECK: linalg.matmul
// CHECK: linalg.vecmat
// CHECK: linalg.dot
func.func @unchanged(%x: tensor<4x5xf32>, %w: tensor<5x7xf32>, %y: tensor<4x7xf32>, %v: tensor<5xf32>, %u: tensor<7xf32>,
                     %d: tensor<f32>) -> (tensor<4x7xf32>, tensor<7xf32>, tensor<f32>) {
  %0 = linalg.matmul ins(%x, %w : tensor<4x5xf32>, tensor<5x7xf32>) outs(%y : tensor<4x7xf32>) -> tensor<4x7xf32>
  %1 = linalg.vecmat ins(%v, %w : tensor<5xf32>, tensor<5x7xf32>) outs(%u : tensor<7xf32>) -> tensor<7xf32>
  %2 = linalg.dot ins(%v, %v : tensor<5xf32>, tensor<5xf32>) outs(%d : tensor<f32>) -> tensor<f32>
  return %0, %1, %2 : tensor<4x7xf32>, tensor<7xf32>, tensor<f32>
}

// RUN: sq-opt %s -split-input-file -spikequant-weights-to-symbols="max-constant-bytes=16" | FileCheck %s

// Two graphs share a symbol; other arguments keep their attributes.

// CHECK: spikequant.weights @up : tensor<4x8xf32> format(#spikequant.real) source("up"){{$}}
// CHECK-NOT: spikequant.weights
// CHECK-LABEL: func.func @prefill(
// CHECK-SAME: %[[X:.*]]: tensor<2x4xf32>, %[[CACHE:.*]]: tensor<2x8xf32> {spikequant.state = 1 : i64})
func.func @prefill(%x: tensor<2x4xf32>, %w: tensor<4x8xf32> {spikequant.weight = "up"},
                   %cache: tensor<2x8xf32> {spikequant.state = 1 : i64})
    -> (tensor<2x8xf32>, tensor<2x8xf32>) {
  // CHECK: %[[W:.*]] = spikequant.load_weights @up : tensor<4x8xf32>
  // CHECK: linalg.matmul ins(%[[X]], %[[W]] :{{.*}}) outs(%[[CACHE]] :
  %0 = linalg.matmul ins(%x, %w : tensor<2x4xf32>, tensor<4x8xf32>)
      outs(%cache : tensor<2x8xf32>) -> tensor<2x8xf32>
  return %0, %0 : tensor<2x8xf32>, tensor<2x8xf32>
}

// CHECK-LABEL: func.func @decode(
// CHECK-SAME: %{{.*}}: tensor<1x4xf32>, %{{.*}}: tensor<1x8xf32>)
func.func @decode(%w: tensor<4x8xf32> {spikequant.weight = "up"}, %x: tensor<1x4xf32>,
                  %unused: tensor<3xf32> {spikequant.weight = "unused"},
                  %init: tensor<1x8xf32>) -> tensor<1x8xf32> {
  // CHECK: spikequant.load_weights @up : tensor<4x8xf32>
  %0 = linalg.matmul ins(%x, %w : tensor<1x4xf32>, tensor<4x8xf32>)
      outs(%init : tensor<1x8xf32>) -> tensor<1x8xf32>
  return %0 : tensor<1x8xf32>
}

// -----

// A transposition becomes a view of the source; two of them compose.

// CHECK-DAG: spikequant.weights @w : tensor<2x3x4xf32> format(#spikequant.real) source("w"){{$}}
// CHECK-DAG: spikequant.weights @w.t102 : tensor<3x2x4xf32> format(#spikequant.real) source("w", [1, 0, 2])
// CHECK-DAG: spikequant.weights @w.t120 : tensor<3x4x2xf32> format(#spikequant.real) source("w", [1, 2, 0])
// CHECK-NOT: spikequant.weights
// CHECK-LABEL: func.func @transposes()
func.func @transposes(%w: tensor<2x3x4xf32> {spikequant.weight = "w"})
    -> (tensor<3x2x4xf32>, tensor<3x4x2xf32>, tensor<2x3x4xf32>) {
  // CHECK: %[[A:.*]] = spikequant.load_weights @w.t102 : tensor<3x2x4xf32>
  // CHECK: %[[B:.*]] = spikequant.load_weights @w.t120 : tensor<3x4x2xf32>
  // CHECK: %[[C:.*]] = spikequant.load_weights @w : tensor<2x3x4xf32>
  // CHECK-NOT: linalg.transpose
  // CHECK: return %[[A]], %[[B]], %[[C]]
  %e0 = tensor.empty() : tensor<3x2x4xf32>
  %a = linalg.transpose ins(%w : tensor<2x3x4xf32>) outs(%e0 : tensor<3x2x4xf32>)
      permutation = [1, 0, 2]
  %e1 = tensor.empty() : tensor<3x4x2xf32>
  %b = linalg.transpose ins(%a : tensor<3x2x4xf32>) outs(%e1 : tensor<3x4x2xf32>)
      permutation = [0, 2, 1]
  %e2 = tensor.empty() : tensor<2x3x4xf32>
  %c = linalg.transpose ins(%b : tensor<3x4x2xf32>) outs(%e2 : tensor<2x3x4xf32>)
      permutation = [2, 0, 1]
  return %a, %b, %c : tensor<3x2x4xf32>, tensor<3x4x2xf32>, tensor<2x3x4xf32>
}

// -----

// A linalg.generic that only transposes. Input dimensions (d1, d2, d0) mean
// that result dimension 0 is input dimension 2.

// CHECK: spikequant.weights @w.t201 : tensor<4x2x3xf32> format(#spikequant.real) source("w", [2, 0, 1])
// CHECK-LABEL: func.func @generic_transpose()
// CHECK: %[[W:.*]] = spikequant.load_weights @w.t201 : tensor<4x2x3xf32>
// CHECK: return %[[W]]
func.func @generic_transpose(%w: tensor<2x3x4xf32> {spikequant.weight = "w"}) -> tensor<4x2x3xf32> {
  %e = tensor.empty() : tensor<4x2x3xf32>
  %r = linalg.generic {
      indexing_maps = [affine_map<(d0, d1, d2) -> (d1, d2, d0)>,
                       affine_map<(d0, d1, d2) -> (d0, d1, d2)>],
      iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%w : tensor<2x3x4xf32>) outs(%e : tensor<4x2x3xf32>) {
  ^bb0(%in: f32, %out: f32):
    linalg.yield %in : f32
  } -> tensor<4x2x3xf32>
  return %r : tensor<4x2x3xf32>
}

// -----

// Constants: large ones become literal symbols, equal ones share one, splats
// and small ones stay. A literal is transposed, not viewed.

// CHECK-DAG: spikequant.weights @[[C:constant.tensor2x3xf32.[0-9a-f]+]] : tensor<2x3xf32> format(#spikequant.real) value({{.*}}dense<{{\[\[}}1.000000e+00, 2.000000e+00, 3.000000e+00], [4.000000e+00, 5.000000e+00, 6.000000e+00]]>
// CHECK-DAG: spikequant.weights @[[T:constant.tensor2x3xf32.[0-9a-f]+.t10]] : tensor<3x2xf32> format(#spikequant.real) value({{.*}}dense<{{\[\[}}1.000000e+00, 4.000000e+00], [2.000000e+00, 5.000000e+00], [3.000000e+00, 6.000000e+00]]>
// CHECK-NOT: spikequant.weights
// CHECK-LABEL: func.func @constants()
func.func @constants() -> (tensor<2x3xf32>, tensor<2x3xf32>, tensor<3x2xf32>, tensor<4xf32>, tensor<99xf32>) {
  // CHECK-DAG: spikequant.load_weights @[[C]] : tensor<2x3xf32>
  // CHECK-DAG: spikequant.load_weights @[[C]] : tensor<2x3xf32>
  // CHECK-DAG: spikequant.load_weights @[[T]] : tensor<3x2xf32>
  // CHECK-DAG: arith.constant dense<[1.000000e+00, 2.000000e+00, 3.000000e+00, 4.000000e+00]>
  // CHECK-DAG: arith.constant dense<5.000000e-01> : tensor<99xf32>
  %a = arith.constant dense<[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]> : tensor<2x3xf32>
  %b = arith.constant dense<[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]> : tensor<2x3xf32>
  %e = tensor.empty() : tensor<3x2xf32>
  %t = linalg.transpose ins(%b : tensor<2x3xf32>) outs(%e : tensor<3x2xf32>) permutation = [1, 0]
  %c = arith.constant dense<[1.0, 2.0, 3.0, 4.0]> : tensor<4xf32>
  %s = arith.constant dense<0.5> : tensor<99xf32>
  return %a, %b, %t, %c, %s : tensor<2x3xf32>, tensor<2x3xf32>, tensor<3x2xf32>, tensor<4xf32>, tensor<99xf32>
}

// -----

// Exporters keep weights in resources; flags there have a byte each.

// CHECK: spikequant.weights @constant.tensor2x3xf32.{{[0-9a-f]+}} : tensor<2x3xf32> format(#spikequant.real)
// CHECK-SAME: value(dense<{{\[\[}}1.000000e+00, 2.000000e+00, 3.000000e+00], [4.000000e+00, 5.000000e+00, 6.000000e+00]]> : tensor<2x3xf32>)
// CHECK-LABEL: func.func @resource()
// CHECK-DAG: spikequant.load_weights @constant.tensor2x3xf32
// CHECK-DAG: arith.constant dense<[true, false, true, true, false, false, false, false, true]> : tensor<9xi1>
// CHECK-DAG: arith.constant dense<7> : tensor<1xi64>
func.func @resource() -> (tensor<2x3xf32>, tensor<9xi1>, tensor<1xi64>) {
  %a = arith.constant dense_resource<blob> : tensor<2x3xf32>
  %b = arith.constant dense_resource<flags> : tensor<9xi1>
  %c = arith.constant dense_resource<one> : tensor<1xi64>
  return %a, %b, %c : tensor<2x3xf32>, tensor<9xi1>, tensor<1xi64>
}

{-#
  dialect_resources: { builtin: {
      blob: "0x040000000000803f0000004000004040000080400000a0400000c040",
      flags: "0x01000000010001010000000001",
      one: "0x080000000700000000000000" } }
#-}

// -----

// A literal of rank 3, source[a][b][c] = 4 a + 2 b + c + 1: result[i][j][k] is
// source[k][i][j] = 4 k + 2 i + j + 1.

// CHECK: spikequant.weights @constant.tensor2x2x2xi32.{{[0-9a-f]+}}.t120 : tensor<2x2x2xi32>
// CHECK-SAME{LITERAL}: value(dense<[[[1, 5], [2, 6]], [[3, 7], [4, 8]]]> : tensor<2x2x2xi32>)
func.func @transposed_literal() -> tensor<2x2x2xi32> {
  %a = arith.constant dense<[[[1, 2], [3, 4]], [[5, 6], [7, 8]]]> : tensor<2x2x2xi32>
  %e = tensor.empty() : tensor<2x2x2xi32>
  %t = linalg.transpose ins(%a : tensor<2x2x2xi32>) outs(%e : tensor<2x2x2xi32>) permutation = [1, 2, 0]
  return %t : tensor<2x2x2xi32>
}

// -----

// Narrow weights that are extended to f32 are another symbol of the same source, transposed or not; other uses
// keep the narrow one.

// CHECK-DAG: spikequant.weights @w : tensor<2x3xbf16> format(#spikequant.real) source("w"){{$}}
// CHECK-DAG: spikequant.weights @w.f32 : tensor<2x3xf32> format(#spikequant.real) source("w"){{$}}
// CHECK-DAG: spikequant.weights @w.f32.t10 : tensor<3x2xf32> format(#spikequant.real) source("w", [1, 0]){{$}}
// CHECK-LABEL: func.func @extended_weights
// CHECK-DAG: %[[NARROW:.*]] = spikequant.load_weights @w : tensor<2x3xbf16>
// CHECK-DAG: %[[WIDE:.*]] = spikequant.load_weights @w.f32 : tensor<2x3xf32>
// CHECK-DAG: %[[TURNED:.*]] = spikequant.load_weights @w.f32.t10 : tensor<3x2xf32>
// CHECK-NOT: linalg
// CHECK: return %[[NARROW]], %[[WIDE]], %[[TURNED]]
#id = affine_map<(i, j) -> (i, j)>
func.func @extended_weights(%w: tensor<2x3xbf16> {spikequant.weight = "w"})
    -> (tensor<2x3xbf16>, tensor<2x3xf32>, tensor<3x2xf32>) {
  %e = tensor.empty() : tensor<2x3xf32>
  %x = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%w : tensor<2x3xbf16>) outs(%e : tensor<2x3xf32>) {
  ^bb0(%in: bf16, %out: f32):
    %y = arith.extf %in : bf16 to f32
    linalg.yield %y : f32
  } -> tensor<2x3xf32>
  %f = tensor.empty() : tensor<3x2xf32>
  %t = linalg.transpose ins(%x : tensor<2x3xf32>) outs(%f : tensor<3x2xf32>) permutation = [1, 0]
  return %w, %x, %t : tensor<2x3xbf16>, tensor<2x3xf32>, tensor<3x2xf32>
}

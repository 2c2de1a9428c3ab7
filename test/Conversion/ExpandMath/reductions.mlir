// RUN: sq-opt %s --spikequant-expand-math --split-input-file | FileCheck %s

// CHECK-DAG: #[[IN:.*]] = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
// CHECK-DAG: #[[LANES:.*]] = affine_map<(d0, d1, d2) -> (d0, d2)>
// CHECK-DAG: #[[LAST:.*]] = affine_map<(d0) -> (d0, 15)>
// CHECK-LABEL: func.func @sum_4x64
// CHECK-SAME:    %[[X:.*]]: tensor<4x64xf32>, %[[INIT:.*]]: tensor<4xf32>
// CHECK:         %[[ZERO:.*]] = arith.constant -0.000000e+00 : f32
// CHECK:         %[[P:.*]] = linalg.fill ins(%[[ZERO]] : f32) outs(%{{.*}} : tensor<4x16xf32>)
// CHECK:         %[[E:.*]] = tensor.expand_shape %[[X]] {{\[\[}}0], [1, 2]] output_shape [4, 4, 16]
// CHECK:         %[[L:.*]] = linalg.generic
// CHECK-SAME:      indexing_maps = [#[[IN]], #[[LANES]]]
// CHECK-SAME:      iterator_types = ["parallel", "reduction", "parallel"]
// CHECK-SAME:      ins(%[[E]] : tensor<4x4x16xf32>) outs(%[[P]] : tensor<4x16xf32>)
// CHECK:           arith.addf %out, %in : f32
// CHECK:         %[[S:.*]] = linalg.generic
// CHECK-SAME:      iterator_types = ["parallel"]
// CHECK-SAME:      ins(%[[L]], %[[L]],
// CHECK-SAME:      outs(%[[INIT]] : tensor<4xf32>)
// CHECK-NEXT:    ^bb0(%[[A0:[a-z0-9_]+]]: f32, {{((%[^ ]+ f32, ){7})}}%[[A8:[a-z0-9_]+]]: f32
// CHECK-NEXT:      arith.addf %[[A0]], %[[A8]] : f32
// CHECK-COUNT-14:  arith.addf
// CHECK-NEXT:      %[[R:.*]] = arith.addf %out, %{{.*}} : f32
// CHECK-NEXT:      linalg.yield %[[R]]
// CHECK:         return %[[S]]
func.func @sum_4x64(%x: tensor<4x64xf32>, %init: tensor<4xf32>) -> tensor<4xf32> {
  %s = linalg.reduce { arith.addf } ins(%x : tensor<4x64xf32>) outs(%init : tensor<4xf32>)
      dimensions = [1]
  return %s : tensor<4xf32>
}

// -----

// 16 does not divide 36: the last four values go to lanes 0 to 3.
// CHECK-LABEL: func.func @max_rest
// CHECK:         arith.constant 0xFF800000 : f32
// CHECK:         tensor.extract_slice %{{.*}}[0] [32] [1] : tensor<36xf32> to tensor<32xf32>
// CHECK:         %[[L:.*]] = linalg.generic
// CHECK-SAME:      iterator_types = ["reduction", "parallel"]
// CHECK:         %[[F:.*]] = tensor.extract_slice %[[L]][0] [4] [1]
// CHECK:         %[[R:.*]] = tensor.extract_slice %{{.*}}[32] [4] [1]
// CHECK:         %[[T:.*]] = linalg.generic
// CHECK-SAME:      iterator_types = ["parallel"]
// CHECK-SAME:      ins(%[[R]] : tensor<4xf32>) outs(%[[F]] : tensor<4xf32>)
// CHECK:         tensor.insert_slice %[[T]] into %[[L]][0] [4] [1]
func.func @max_rest(%x: tensor<36xf32>, %init: tensor<f32>) -> tensor<f32> {
  %s = linalg.reduce { arith.maximumf } ins(%x : tensor<36xf32>) outs(%init : tensor<f32>)
      dimensions = [0]
  return %s : tensor<f32>
}

// -----

// The body before the sum is kept, inputs without the dimension too.
// CHECK-LABEL: func.func @sum_of_squares_of_differences
// CHECK:         linalg.generic
// CHECK-SAME:      iterator_types = ["parallel", "reduction", "parallel"]
// CHECK:           arith.subf
// CHECK:           arith.mulf
// CHECK:           arith.addf
#x = affine_map<(d0, d1) -> (d0, d1)>
#m = affine_map<(d0, d1) -> (d0)>
func.func @sum_of_squares_of_differences(%x: tensor<?x32xf32>, %mean: tensor<?xf32>,
                                         %init: tensor<?xf32>) -> tensor<?xf32> {
  %s = linalg.generic {indexing_maps = [#x, #m, #m], iterator_types = ["parallel", "reduction"]}
      ins(%x, %mean : tensor<?x32xf32>, tensor<?xf32>) outs(%init : tensor<?xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %d = arith.subf %a, %b : f32
    %q = arith.mulf %d, %d : f32
    %r = arith.addf %q, %out : f32
    linalg.yield %r : f32
  } -> tensor<?xf32>
  return %s : tensor<?xf32>
}

// -----

// Left as chains: a contraction, a sum over rows, a pair (value, index), a
// length that is not known.
// CHECK-LABEL: func.func @chains
// CHECK-NOT:     tensor.expand_shape
// CHECK-NOT:     tensor.extract_slice
#k = affine_map<(d0) -> (d0)>
#s = affine_map<(d0) -> ()>
func.func @chains(%x: tensor<32xf32>, %y: tensor<32x32xf32>, %z: tensor<?xf32>, %i: tensor<f32>,
                  %v: tensor<32xf32>, %n: tensor<i64>)
    -> (tensor<f32>, tensor<32xf32>, tensor<f32>, tensor<f32>, tensor<i64>) {
  %dot = linalg.generic {indexing_maps = [#k, #k, #s], iterator_types = ["reduction"]}
      ins(%x, %x : tensor<32xf32>, tensor<32xf32>) outs(%i : tensor<f32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %p = arith.mulf %a, %b : f32
    %r = arith.addf %out, %p : f32
    linalg.yield %r : f32
  } -> tensor<f32>
  %rows = linalg.reduce { arith.addf } ins(%y : tensor<32x32xf32>) outs(%v : tensor<32xf32>)
      dimensions = [0]
  %dynamic = linalg.reduce { arith.addf } ins(%z : tensor<?xf32>) outs(%i : tensor<f32>)
      dimensions = [0]
  %best:2 = linalg.generic {indexing_maps = [#k, #s, #s], iterator_types = ["reduction"]}
      ins(%x : tensor<32xf32>) outs(%i, %n : tensor<f32>, tensor<i64>) {
  ^bb0(%a: f32, %m: f32, %at: i64):
    %here = linalg.index 0 : index
    %position = arith.index_cast %here : index to i64
    %greater = arith.cmpf ogt, %a, %m : f32
    %value = arith.select %greater, %a, %m : f32
    %index = arith.select %greater, %position, %at : i64
    linalg.yield %value, %index : f32, i64
  } -> (tensor<f32>, tensor<i64>)
  return %dot, %rows, %dynamic, %best#0, %best#1
      : tensor<f32>, tensor<32xf32>, tensor<f32>, tensor<f32>, tensor<i64>
}

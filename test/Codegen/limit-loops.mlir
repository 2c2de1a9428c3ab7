// RUN: sq-opt %s --pass-pipeline='builtin.module(func.func(spikequant-limit-loops))' --split-input-file | FileCheck %s

#id2 = affine_map<(d0, d1) -> (d0, d1)>
#row2 = affine_map<(d0, d1) -> (d0)>
#column2 = affine_map<(d0, d1) -> (d1)>
#id1 = affine_map<(d0) -> (d0)>
#scalar1 = affine_map<(d0) -> ()>

// 4 rows from place `start` of 256: places from start + 4 on are hidden. The sum
// over places need not see them, and so neither need anything before it; the
// 16 partial sums take 16 places at once.
// CHECK-LABEL: func.func @attention
// CHECK: linalg.matmul {spikequant.limit = array<i64: 1, 1, 4, 1, 256>}
// CHECK: spikequant.limit = array<i64: 1, 1, 4, 1, 256>
// CHECK: arith.cmpi sle
// CHECK: "reduction"{{.*}}spikequant.limit = array<i64: 1, 1, 4, 1, 256>
// CHECK: arith.maximumf
// CHECK: spikequant.limit = array<i64: 1, 1, 4, 1, 256>
// CHECK: arith.subf
// CHECK: "reduction", "parallel"{{.*}}spikequant.limit = array<i64: 1, 1, 4, 16, 16>
// CHECK: linalg.matmul {spikequant.limit = array<i64: 2, 1, 4, 1, 256>}
func.func @attention(%q: tensor<4x64xf32>, %start: tensor<i32>, %k: tensor<64x256xf32>,
                     %v: tensor<256x64xf32>) -> (tensor<4x16xf32>, tensor<4x64xf32>) {
  %mask_value = arith.constant -1.0e30 : f32
  %lowest = arith.constant 0xFF800000 : f32
  %zero = arith.constant 0.0 : f32
  %limit = arith.constant -105.0 : f32
  %square = tensor.empty() : tensor<4x256xf32>
  %products = linalg.matmul ins(%q, %k : tensor<4x64xf32>, tensor<64x256xf32>)
                            outs(%square : tensor<4x256xf32>) -> tensor<4x256xf32>
  %rows = tensor.empty() : tensor<4xi32>
  %row = linalg.generic {indexing_maps = [#scalar1, #id1], iterator_types = ["parallel"]}
      ins(%start : tensor<i32>) outs(%rows : tensor<4xi32>) {
    ^bb0(%s: i32, %out: i32):
      %i = linalg.index 0 : index
      %n = arith.index_cast %i : index to i32
      %sum = arith.addi %n, %s : i32
      linalg.yield %sum : i32
  } -> tensor<4xi32>
  %scores = linalg.generic {indexing_maps = [#row2, #id2, #id2], iterator_types = ["parallel", "parallel"]}
      ins(%row, %products : tensor<4xi32>, tensor<4x256xf32>) outs(%square : tensor<4x256xf32>) {
    ^bb0(%r: i32, %p: f32, %out: f32):
      %j = linalg.index 1 : index
      %column = arith.index_cast %j : index to i32
      %seen = arith.cmpi sle, %column, %r : i32
      %score = arith.select %seen, %p, %mask_value : f32
      linalg.yield %score : f32
  } -> tensor<4x256xf32>
  %none = tensor.empty() : tensor<4xf32>
  %start_maximum = linalg.fill ins(%lowest : f32) outs(%none : tensor<4xf32>) -> tensor<4xf32>
  %maximum = linalg.generic {indexing_maps = [#id2, #row2], iterator_types = ["parallel", "reduction"]}
      ins(%scores : tensor<4x256xf32>) outs(%start_maximum : tensor<4xf32>) {
    ^bb0(%x: f32, %out: f32):
      %larger = arith.maximumf %out, %x : f32
      linalg.yield %larger : f32
  } -> tensor<4xf32>
  // A stand-in for exp: 0 below the limit.
  %numerators = linalg.generic {indexing_maps = [#id2, #row2, #id2], iterator_types = ["parallel", "parallel"]}
      ins(%scores, %maximum : tensor<4x256xf32>, tensor<4xf32>) outs(%square : tensor<4x256xf32>) {
    ^bb0(%x: f32, %m: f32, %out: f32):
      %d = arith.subf %x, %m : f32
      %low = arith.cmpf olt, %d, %limit : f32
      %e = arith.select %low, %zero, %d : f32
      linalg.yield %e : f32
  } -> tensor<4x256xf32>
  %lanes = tensor.expand_shape %numerators [[0], [1, 2]] output_shape [4, 16, 16]
      : tensor<4x256xf32> into tensor<4x16x16xf32>
  %partials = tensor.empty() : tensor<4x16xf32>
  %sums = linalg.generic {
      indexing_maps = [affine_map<(d0, d1, d2) -> (d0, d1, d2)>, affine_map<(d0, d1, d2) -> (d0, d2)>],
      iterator_types = ["parallel", "reduction", "parallel"]}
      ins(%lanes : tensor<4x16x16xf32>) outs(%partials : tensor<4x16xf32>) {
    ^bb0(%x: f32, %out: f32):
      %sum = arith.addf %out, %x : f32
      linalg.yield %sum : f32
  } -> tensor<4x16xf32>
  %result = tensor.empty() : tensor<4x64xf32>
  %mixed = linalg.matmul ins(%numerators, %v : tensor<4x256xf32>, tensor<256x64xf32>)
                         outs(%result : tensor<4x64xf32>) -> tensor<4x64xf32>
  return %sums, %mixed : tensor<4x16xf32>, tensor<4x64xf32>
}

// -----

#id2 = affine_map<(d0, d1) -> (d0, d1)>
#row2 = affine_map<(d0, d1) -> (d0)>
#scalar2 = affine_map<(d0, d1) -> ()>

// The host sees the masked array, so all of it is needed, and a value of -1 is
// no mask: the maximum may be lower.
// CHECK-LABEL: func.func @all_needed
// CHECK-NOT: spikequant.limit
func.func @all_needed(%x: tensor<2x256xf32>, %start: tensor<i32>)
    -> (tensor<2x256xf32>, tensor<2xf32>) {
  %minus_one = arith.constant -1.0 : f32
  %square = tensor.empty() : tensor<2x256xf32>
  %masked = linalg.generic {indexing_maps = [#id2, #scalar2, #id2], iterator_types = ["parallel", "parallel"]}
      ins(%x, %start : tensor<2x256xf32>, tensor<i32>) outs(%square : tensor<2x256xf32>) {
    ^bb0(%p: f32, %s: i32, %out: f32):
      %j = linalg.index 1 : index
      %column = arith.index_cast %j : index to i32
      %seen = arith.cmpi sle, %column, %s : i32
      %y = arith.select %seen, %p, %minus_one : f32
      linalg.yield %y : f32
  } -> tensor<2x256xf32>
  %none = tensor.empty() : tensor<2xf32>
  %maximum = linalg.generic {indexing_maps = [#id2, #row2], iterator_types = ["parallel", "reduction"]}
      ins(%masked : tensor<2x256xf32>) outs(%none : tensor<2xf32>) {
    ^bb0(%y: f32, %out: f32):
      %larger = arith.maximumf %out, %y : f32
      linalg.yield %larger : f32
  } -> tensor<2xf32>
  return %masked, %maximum : tensor<2x256xf32>, tensor<2xf32>
}

// -----

#id2 = affine_map<(d0, d1) -> (d0, d1)>
#row2 = affine_map<(d0, d1) -> (d0)>

// Scores in integers: what is hidden is -2^31, which no maximum sees and which is
// too far from any other score to count. No assumption about real numbers is made.
// CHECK-LABEL: func.func @integers
// CHECK: arith.cmpi sle
// CHECK: "reduction"{{.*}}spikequant.limit = array<i64: 1, 1, 4, 1, 256>
// CHECK: arith.maxsi
// CHECK: spikequant.limit = array<i64: 1, 1, 4, 1, 256>
// CHECK: arith.minui
// CHECK: "reduction"{{.*}}spikequant.limit = array<i64: 1, 1, 4, 1, 256>
// CHECK: arith.addi
func.func @integers(%scores: tensor<4x256xi32>, %start: tensor<i32>) -> tensor<4xi32> {
  %hidden = arith.constant -2147483648 : i32
  %limit = arith.constant 6000 : i32
  %zero = arith.constant 0 : i32
  %square = tensor.empty() : tensor<4x256xi32>
  %rows = tensor.empty() : tensor<4xi32>
  %seen_scores = linalg.generic {indexing_maps = [#id2, affine_map<(d0, d1) -> ()>, #id2], iterator_types = ["parallel", "parallel"]}
      ins(%scores, %start : tensor<4x256xi32>, tensor<i32>) outs(%square : tensor<4x256xi32>) {
    ^bb0(%s: i32, %first: i32, %out: i32):
      %i = linalg.index 0 : index
      %n = arith.index_cast %i : index to i32
      %r = arith.addi %n, %first : i32
      %j = linalg.index 1 : index
      %column = arith.index_cast %j : index to i32
      %seen = arith.cmpi sle, %column, %r : i32
      %score = arith.select %seen, %s, %hidden : i32
      linalg.yield %score : i32
  } -> tensor<4x256xi32>
  %none = linalg.fill ins(%hidden : i32) outs(%rows : tensor<4xi32>) -> tensor<4xi32>
  %maximum = linalg.generic {indexing_maps = [#id2, #row2], iterator_types = ["parallel", "reduction"]}
      ins(%seen_scores : tensor<4x256xi32>) outs(%none : tensor<4xi32>) {
    ^bb0(%x: i32, %out: i32):
      %larger = arith.maxsi %out, %x : i32
      linalg.yield %larger : i32
  } -> tensor<4xi32>
  %counts = linalg.generic {indexing_maps = [#id2, #row2, #id2], iterator_types = ["parallel", "parallel"]}
      ins(%seen_scores, %maximum : tensor<4x256xi32>, tensor<4xi32>) outs(%square : tensor<4x256xi32>) {
    ^bb0(%x: i32, %m: i32, %out: i32):
      %d = arith.subi %m, %x : i32
      %near = arith.minui %d, %limit : i32
      %n = arith.subi %limit, %near : i32
      linalg.yield %n : i32
  } -> tensor<4x256xi32>
  %nothing = linalg.fill ins(%zero : i32) outs(%rows : tensor<4xi32>) -> tensor<4xi32>
  %sums = linalg.generic {indexing_maps = [#id2, #row2], iterator_types = ["parallel", "reduction"]}
      ins(%counts : tensor<4x256xi32>) outs(%nothing : tensor<4xi32>) {
    ^bb0(%x: i32, %out: i32):
      %sum = arith.addi %out, %x : i32
      linalg.yield %sum : i32
  } -> tensor<4xi32>
  return %sums : tensor<4xi32>
}

// RUN: sq-opt %s --split-input-file --spikequant-fold-softmax | FileCheck %s

// Scores are 2^-10 of the membranes.
#all = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>
#column = affine_map<(i, j) -> (j)>
#left = affine_map<(i, j, k) -> (i, k)>
#right = affine_map<(i, j, k) -> (k, j)>

// Known at compile time: -j / 2 nats are -512 j units. A row's maximum is compared with -infinity,
// as jax.nn.softmax does.
// CHECK: spikequant.weights @positions.fixed : tensor<8xi32> {{.*}}dense<[0, -512, -1024, -1536, -2048, -2560, -3072, -3584]>
// CHECK-LABEL: func.func @distances
// CHECK: spikequant.load_weights @positions.fixed
// CHECK-NOT: arith.shli
// CHECK: arith.addi
// CHECK: spikequant.exponent {{.*}} multipliers = array<i64: 378194>
// CHECK-NOT: f32>
// CHECK: return
func.func @distances(%q: tensor<4x16xi8>, %k: tensor<16x8xi8>) -> tensor<4x8xi16> {
  %zero = arith.constant 0 : i32
  %step = arith.constant 0.0009765625 : f32
  %lowest = arith.constant 0xFF800000 : f32
  %ei = tensor.empty() : tensor<4x8xi32>
  %none = linalg.fill ins(%zero : i32) outs(%ei : tensor<4x8xi32>) -> tensor<4x8xi32>
  %acc = linalg.generic {indexing_maps = [#left, #right, affine_map<(i, j, k) -> (i, j)>], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%q, %k : tensor<4x16xi8>, tensor<16x8xi8>) outs(%none : tensor<4x8xi32>) attrs = {spikequant.product = "v.qk"} {
  ^bb0(%a: i8, %b: i8, %o: i32):
    %x = arith.extsi %a : i8 to i32
    %y = arith.extsi %b : i8 to i32
    %p = arith.muli %x, %y : i32
    %s = arith.addi %o, %p : i32
    linalg.yield %s : i32
  } -> tensor<4x8xi32>
  %e = tensor.empty() : tensor<4x8xf32>
  %er = tensor.empty() : tensor<4xf32>
  %eb = tensor.empty() : tensor<8xf32>
  %slope = arith.constant -0.5 : f32
  %bias = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>], iterator_types = ["parallel"]} outs(%eb : tensor<8xf32>) {
  ^bb0(%o: f32):
    %i = linalg.index 0 : index
    %j = arith.index_cast %i : index to i32
    %x = arith.sitofp %j : i32 to f32
    %y = arith.mulf %x, %slope : f32
    linalg.yield %y : f32
  } -> tensor<8xf32>
  %scores = linalg.generic {indexing_maps = [#all, #column, #all], iterator_types = ["parallel", "parallel"]}
      ins(%acc, %bias : tensor<4x8xi32>, tensor<8xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%a: i32, %b: f32, %o: f32):
    %x = arith.sitofp %a : i32 to f32
    %y = arith.mulf %x, %step : f32
    %z = arith.addf %y, %b : f32
    linalg.yield %z : f32
  } -> tensor<4x8xf32>
  %start = linalg.fill ins(%lowest : f32) outs(%er : tensor<4xf32>) -> tensor<4xf32>
  %max = linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "reduction"]}
      ins(%scores : tensor<4x8xf32>) outs(%start : tensor<4xf32>) {
  ^bb0(%a: f32, %o: f32):
    %y = arith.maximumf %o, %a : f32
    linalg.yield %y : f32
  } -> tensor<4xf32>
  %most = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%start, %max : tensor<4xf32>, tensor<4xf32>) outs(%er : tensor<4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %y = arith.maximumf %a, %b : f32
    linalg.yield %y : f32
  } -> tensor<4xf32>
  %less = linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel"]}
      ins(%scores, %most : tensor<4x8xf32>, tensor<4xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %y = arith.subf %a, %b : f32
    linalg.yield %y : f32
  } -> tensor<4x8xf32>
  %num = linalg.generic {indexing_maps = [#all, #all], iterator_types = ["parallel", "parallel"]}
      ins(%less : tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%a: f32, %o: f32):
    %y = math.exp %a : f32
    linalg.yield %y : f32
  } -> tensor<4x8xf32>
  %n = spikequant.encode %num {step = 0.00392156886 : f32, site = "v.pv.left"} : tensor<4x8xf32> -> tensor<4x8xi16>
  return %n : tensor<4x8xi16>
}

// -----

#all = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>
#column = affine_map<(i, j) -> (j)>
#left = affine_map<(i, j, k) -> (i, k)>
#right = affine_map<(i, j, k) -> (k, j)>

// An input: eight numbers are rounded, not one for each score.
// CHECK-LABEL: func.func @input
// CHECK-SAME: %[[BIAS:.*]]: tensor<8xf32>
// CHECK: linalg.generic {{.*}} ins(%[[BIAS]] : tensor<8xf32>) outs(%{{.*}} : tensor<8xi32>)
// CHECK: arith.fptosi
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<4x8xi32>, tensor<8xi32>) outs(%{{.*}} : tensor<4x8xi32>)
// CHECK: spikequant.exponent
func.func @input(%bias: tensor<8xf32>, %q: tensor<4x16xi8>, %k: tensor<16x8xi8>) -> tensor<4x8xi16> {
  %zero = arith.constant 0 : i32
  %step = arith.constant 0.0009765625 : f32
  %lowest = arith.constant 0xFF800000 : f32
  %ei = tensor.empty() : tensor<4x8xi32>
  %none = linalg.fill ins(%zero : i32) outs(%ei : tensor<4x8xi32>) -> tensor<4x8xi32>
  %acc = linalg.generic {indexing_maps = [#left, #right, affine_map<(i, j, k) -> (i, j)>], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%q, %k : tensor<4x16xi8>, tensor<16x8xi8>) outs(%none : tensor<4x8xi32>) attrs = {spikequant.product = "v.qk"} {
  ^bb0(%a: i8, %b: i8, %o: i32):
    %x = arith.extsi %a : i8 to i32
    %y = arith.extsi %b : i8 to i32
    %p = arith.muli %x, %y : i32
    %s = arith.addi %o, %p : i32
    linalg.yield %s : i32
  } -> tensor<4x8xi32>
  %e = tensor.empty() : tensor<4x8xf32>
  %er = tensor.empty() : tensor<4xf32>

  %scores = linalg.generic {indexing_maps = [#all, #column, #all], iterator_types = ["parallel", "parallel"]}
      ins(%acc, %bias : tensor<4x8xi32>, tensor<8xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%a: i32, %b: f32, %o: f32):
    %x = arith.sitofp %a : i32 to f32
    %y = arith.mulf %x, %step : f32
    %z = arith.addf %y, %b : f32
    linalg.yield %z : f32
  } -> tensor<4x8xf32>
  %start = linalg.fill ins(%lowest : f32) outs(%er : tensor<4xf32>) -> tensor<4xf32>
  %max = linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "reduction"]}
      ins(%scores : tensor<4x8xf32>) outs(%start : tensor<4xf32>) {
  ^bb0(%a: f32, %o: f32):
    %y = arith.maximumf %o, %a : f32
    linalg.yield %y : f32
  } -> tensor<4xf32>
  %most = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%start, %max : tensor<4xf32>, tensor<4xf32>) outs(%er : tensor<4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %y = arith.maximumf %a, %b : f32
    linalg.yield %y : f32
  } -> tensor<4xf32>
  %less = linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel"]}
      ins(%scores, %most : tensor<4x8xf32>, tensor<4xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %y = arith.subf %a, %b : f32
    linalg.yield %y : f32
  } -> tensor<4x8xf32>
  %num = linalg.generic {indexing_maps = [#all, #all], iterator_types = ["parallel", "parallel"]}
      ins(%less : tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%a: f32, %o: f32):
    %y = math.exp %a : f32
    linalg.yield %y : f32
  } -> tensor<4x8xf32>
  %n = spikequant.encode %num {step = 0.00392156886 : f32, site = "v.pv.left"} : tensor<4x8xf32> -> tensor<4x8xi16>
  return %n : tensor<4x8xi16>
}

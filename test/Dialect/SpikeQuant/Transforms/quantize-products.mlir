// RUN: sq-opt %s -split-input-file -spikequant-quantize="calibration=%S/Inputs/attention.calib.json" \
// RUN:   -o %t.mlir --remarks-filter=spikequant-quantize 2> %t.remarks
// RUN: FileCheck %s --input-file=%t.mlir
// RUN: FileCheck %s --input-file=%t.remarks --check-prefix=REMARK
// RUN: sq-opt %s -split-input-file -spikequant-name-sites -spikequant-insert-observers \
// RUN:   | FileCheck %s --check-prefix=OBSERVE
// RUN: sq-opt %s -split-input-file \
// RUN:   -spikequant-quantize="calibration=%S/Inputs/attention.calib.json attention-bits=0" \
// RUN:   | FileCheck %s --check-prefix=REAL
// RUN: sq-opt %s -split-input-file \
// RUN:   -spikequant-quantize="calibration=%S/Inputs/attention.calib.json cache-bits=4" \
// RUN:   | FileCheck %s --check-prefix=FOUR

// Queries are +-127, keys and values +-63.5: with windows of 127 counts the steps
// that hold them, 1 and 1/2, are best (3 % less saturates). With 7 counts each
// channel has 63.5 / 7 * 0.96, the last of the steps tried that 63.5 is within 7.5 of.

#rows = affine_map<(d0, d1) -> (d0)>
#all = affine_map<(d0, d1) -> (d0, d1)>
#swapped = affine_map<(d0, d1) -> (d1, d0)>

// One step of an attention: the caches hold counts, rows of counts are
// inserted, transposed keys too.

// OBSERVE-LABEL: func.func @step
// OBSERVE-SAME: spikequant.sites = ["step.qk.left", "step.qk.right", "step.pv.right"]
// OBSERVE: spikequant.observe %{{.*}} {site = "step.qk.left"} : tensor<2x8xf32>
// OBSERVE-NOT: site = "step.pv.left"
// OBSERVE: return

// REAL-LABEL: func.func @step
// REAL-SAME: tensor<8x16xf32> {spikequant.state = 1 : i64}
// REAL-NOT: encode

// FOUR-LABEL: func.func @step
// FOUR-SAME: tensor<4x16xi8> {spikequant.state = 1 : i64}
// FOUR-SAME: tensor<16x4xi8> {spikequant.state = 2 : i64}
// FOUR: encode {{.*}} {bits = @bits.4x8, gains = @step.pv.right.step_gains, {{.*}} step = 8.708{{[0-9]*}} : f32
// FOUR: encode {{.*}} {bits = @bits.4x8, gains = @step.qk.right.step_gains, {{.*}} step = 8.708{{[0-9]*}} : f32
// FOUR: encode {{.*}} {bits = @bits.8x8, gains = @step.qk.left.step_gains, {{.*}} step = 1.000000e+00 : f32
// What the channels of the values were multiplied with is taken back behind P v.
// FOUR: %[[SCALES:.*]] = spikequant.load_weights @step.pv.scales : tensor<8xf32>
// FOUR: linalg.generic {{.*}} ins(%{{.*}}, %[[SCALES]] : tensor<2x8xf32>, tensor<8xf32>)
// FOUR-NEXT: bb0
// FOUR-NEXT: arith.mulf

// CHECK: spikequant.weights @bits.8x8 : tensor<8xi8> format(#spikequant.real) value(dense<8> : tensor<8xi8>)
// CHECK-LABEL: func.func @step
// CHECK-SAME: tensor<8x16xi8> {spikequant.state = 1 : i64}
// CHECK-SAME: tensor<16x8xi8> {spikequant.state = 2 : i64}
// CHECK-SAME: -> (tensor<2x8xf32>, tensor<8x16xi8>, tensor<16x8xi8>)
func.func @step(%q: tensor<2x8xf32>, %k: tensor<1x8xf32>, %v: tensor<1x8xf32>, %at: index,
                %keys: tensor<8x16xf32> {spikequant.state = 1 : i64},
                %values: tensor<16x8xf32> {spikequant.state = 2 : i64})
    -> (tensor<2x8xf32>, tensor<8x16xf32>, tensor<16x8xf32>) {
  // CHECK-DAG: %[[Q:.*]] = spikequant.encode %{{.*}} {bits = @bits.8x8, overflow = #spikequant.overflow<saturate>, site = "step.qk.left", step = 1.000000e+00 : f32}
  // CHECK-DAG: %[[K:.*]] = spikequant.encode %{{.*}} {bits = @bits.8x8, overflow = #spikequant.overflow<saturate>, site = "step.qk.right", step = 5.000000e-01 : f32} : tensor<1x8xf32>
  // CHECK-DAG: spikequant.encode %{{.*}} site = "step.pv.right", step = 5.000000e-01 : f32} : tensor<1x8xf32>
  %zero = arith.constant 0.0 : f32
  %lowest = arith.constant 0xFF800000 : f32
  %e81 = tensor.empty() : tensor<8x1xf32>
  // CHECK: ins(%{{.*}} : tensor<1x8xi8>) outs(%{{.*}} : tensor<8x1xi8>)
  %kt = linalg.transpose ins(%k : tensor<1x8xf32>) outs(%e81 : tensor<8x1xf32>) permutation = [1, 0]
  // CHECK: tensor.insert_slice %{{.*}} into %{{.*}}[0, %{{.*}}] [8, 1] [1, 1] : tensor<8x1xi8> into tensor<8x16xi8>
  %new_keys = tensor.insert_slice %kt into %keys[0, %at] [8, 1] [1, 1] : tensor<8x1xf32> into tensor<8x16xf32>
  %new_values = tensor.insert_slice %v into %values[%at, 0] [1, 8] [1, 1] : tensor<1x8xf32> into tensor<16x8xf32>
  %e = tensor.empty() : tensor<2x16xf32>
  %e2 = tensor.empty() : tensor<2xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x16xf32>) -> tensor<2x16xf32>
  // CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<2x8xi8>, tensor<8x16xi8>) outs(%{{.*}} : tensor<2x16xi32>) attrs = {spikequant.product = "step.qk"}
  // CHECK: arith.extsi
  // CHECK: arith.extsi
  // CHECK: arith.sitofp
  // CHECK-NEXT: arith.constant 5.000000e-01 : f32
  // CHECK-NEXT: arith.mulf
  // REMARK: product 'step.qk': step.qk.left in steps of 1.000000 up to 127, step.qk.right in steps of 0.500000 up to 127, held in a state
  %scores = linalg.matmul ins(%q, %new_keys : tensor<2x8xf32>, tensor<8x16xf32>)
      outs(%f : tensor<2x16xf32>) -> tensor<2x16xf32>
  %low = linalg.fill ins(%lowest : f32) outs(%e2 : tensor<2xf32>) -> tensor<2xf32>
  %max = linalg.generic {indexing_maps = [#all, #rows], iterator_types = ["parallel", "reduction"]}
      ins(%scores : tensor<2x16xf32>) outs(%low : tensor<2xf32>) {
  ^bb0(%in: f32, %out: f32):
    %m = arith.maximumf %out, %in : f32
    linalg.yield %m : f32
  } -> tensor<2xf32>
  %maxes = linalg.generic {indexing_maps = [#rows, #all], iterator_types = ["parallel", "parallel"]}
      ins(%max : tensor<2xf32>) outs(%e : tensor<2x16xf32>) {
  ^bb0(%in: f32, %out: f32):
    linalg.yield %in : f32
  } -> tensor<2x16xf32>
  %shifted = linalg.generic {indexing_maps = [#all, #all, #all], iterator_types = ["parallel", "parallel"]}
      ins(%scores, %maxes : tensor<2x16xf32>, tensor<2x16xf32>) outs(%e : tensor<2x16xf32>) {
  ^bb0(%x: f32, %y: f32, %out: f32):
    %d = arith.subf %x, %y : f32
    linalg.yield %d : f32
  } -> tensor<2x16xf32>
  // CHECK: math.exp
  // CHECK: spikequant.encode %{{.*}} {site = "step.pv.left", step = 0.00392156886 : f32}
  // CHECK: arith.constant 255 : i16
  %exp = linalg.generic {indexing_maps = [#all, #all], iterator_types = ["parallel", "parallel"]}
      ins(%shifted : tensor<2x16xf32>) outs(%e : tensor<2x16xf32>) {
  ^bb0(%in: f32, %out: f32):
    %p = math.exp %in : f32
    linalg.yield %p : f32
  } -> tensor<2x16xf32>
  %none = linalg.fill ins(%zero : f32) outs(%e2 : tensor<2xf32>) -> tensor<2xf32>
  %sum = linalg.generic {indexing_maps = [#all, #rows], iterator_types = ["parallel", "reduction"]}
      ins(%exp : tensor<2x16xf32>) outs(%none : tensor<2xf32>) {
  ^bb0(%in: f32, %out: f32):
    %m = arith.addf %out, %in : f32
    linalg.yield %m : f32
  } -> tensor<2xf32>
  // No probability is computed: the sum of the counts divides the result.
  // CHECK-NOT: arith.divf {{.*}}tensor<2x16xf32>
  %prob = linalg.generic {indexing_maps = [#all, #rows, #all], iterator_types = ["parallel", "parallel"]}
      ins(%exp, %sum : tensor<2x16xf32>, tensor<2xf32>) outs(%e : tensor<2x16xf32>) {
  ^bb0(%x: f32, %y: f32, %out: f32):
    %d = arith.divf %x, %y : f32
    linalg.yield %d : f32
  } -> tensor<2x16xf32>
  // CHECK: ins(%{{.*}}, %{{.*}} : tensor<2x16xi8>, tensor<16x8xi8>) outs(%{{.*}} : tensor<2x8xi32>) attrs = {spikequant.product = "step.pv"}
  // CHECK: arith.extui
  // CHECK: arith.extsi
  // CHECK: ins(%{{.*}} : tensor<2x16xi8>) outs(%{{.*}} : tensor<2xi32>)
  // CHECK: arith.divf
  %e28 = tensor.empty() : tensor<2x8xf32>
  %f28 = linalg.fill ins(%zero : f32) outs(%e28 : tensor<2x8xf32>) -> tensor<2x8xf32>
  %y = linalg.matmul ins(%prob, %new_values : tensor<2x16xf32>, tensor<16x8xf32>)
      outs(%f28 : tensor<2x8xf32>) -> tensor<2x8xf32>
  return %y, %new_keys, %new_values : tensor<2x8xf32>, tensor<8x16xf32>, tensor<16x8xf32>
}

// -----

// No statistics: real. A state that something else reads stays real too.

// CHECK-LABEL: func.func @other
// CHECK-NOT: spikequant.encode
// REMARK: product 'other.qk' stays real: the calibration has no 'other.qk.left': calibrate again
func.func @other(%x: tensor<2x8xf32>, %y: tensor<8x4xf32>, %a: tensor<2x4xf32>) -> tensor<2x4xf32> {
  %s = linalg.matmul ins(%x, %y : tensor<2x8xf32>, tensor<8x4xf32>)
      outs(%a : tensor<2x4xf32>) -> tensor<2x4xf32>
  return %s : tensor<2x4xf32>
}

// -----

// Few channels: counts would cost more than they save.

// CHECK-LABEL: func.func @few
// REMARK: product 'few.qk' stays real: it has only 3 channels
func.func @few(%x: tensor<2x3xf32>, %y: tensor<3x4xf32>, %a: tensor<2x4xf32>) -> tensor<2x4xf32> {
  %s = linalg.matmul ins(%x, %y : tensor<2x3xf32>, tensor<3x4xf32>)
      outs(%a : tensor<2x4xf32>) -> tensor<2x4xf32>
  return %s : tensor<2x4xf32>
}

// -----

// The state is also a result of its own: it stays real and its counts are made
// from the whole array.

// CHECK-LABEL: func.func @step
// CHECK-SAME: tensor<8x16xf32> {spikequant.state = 1 : i64}
// CHECK: spikequant.encode %{{.*}} : tensor<8x16xf32> -> tensor<8x16xi16>
func.func @step(%q: tensor<2x8xf32>, %k: tensor<8x1xf32>, %at: index,
                %keys: tensor<8x16xf32> {spikequant.state = 1 : i64})
    -> (tensor<2x16xf32>, tensor<8x16xf32>, tensor<8x16xf32>) {
  %zero = arith.constant 0.0 : f32
  %new_keys = tensor.insert_slice %k into %keys[0, %at] [8, 1] [1, 1] : tensor<8x1xf32> into tensor<8x16xf32>
  %e = tensor.empty() : tensor<2x16xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x16xf32>) -> tensor<2x16xf32>
  %scores = linalg.matmul ins(%q, %new_keys : tensor<2x8xf32>, tensor<8x16xf32>)
      outs(%f : tensor<2x16xf32>) -> tensor<2x16xf32>
  return %scores, %new_keys, %new_keys : tensor<2x16xf32>, tensor<8x16xf32>, tensor<8x16xf32>
}

// -----

#rows = affine_map<(d0, d1) -> (d0)>
#all = affine_map<(d0, d1) -> (d0, d1)>

// A long row of numerators: key j has the centre (1/2 - d_j) / 255, d_j the
// fraction of (40503 j + 1/2) / 2^16, so counts are floor(255 x + d_j): 0x3b008000, 0xb9f2aeb0.

// CHECK: spikequant.weights @spread.128 : tensor<128xf32> format(#spikequant.real) value(dense<"0x0080003BB{{[01]}}AEF2B9
// CHECK-LABEL: func.func @step
// CHECK: math.exp
// CHECK: spikequant.encode %{{.*}} {centres = @spread.128, site = "step.qk.left", step = 0.00392156886 : f32} : tensor<2x128xf32>
func.func @step(%scores: tensor<2x128xf32>, %v: tensor<128x8xf32>) -> tensor<2x8xf32> {
  %zero = arith.constant 0.0 : f32
  %lowest = arith.constant 0xFF800000 : f32
  %e = tensor.empty() : tensor<2x128xf32>
  %e2 = tensor.empty() : tensor<2xf32>
  %low = linalg.fill ins(%lowest : f32) outs(%e2 : tensor<2xf32>) -> tensor<2xf32>
  %max = linalg.generic {indexing_maps = [#all, #rows], iterator_types = ["parallel", "reduction"]}
      ins(%scores : tensor<2x128xf32>) outs(%low : tensor<2xf32>) {
  ^bb0(%in: f32, %out: f32):
    %m = arith.maximumf %out, %in : f32
    linalg.yield %m : f32
  } -> tensor<2xf32>
  %shifted = linalg.generic {indexing_maps = [#all, #rows, #all], iterator_types = ["parallel", "parallel"]}
      ins(%scores, %max : tensor<2x128xf32>, tensor<2xf32>) outs(%e : tensor<2x128xf32>) {
  ^bb0(%x: f32, %y: f32, %out: f32):
    %d = arith.subf %x, %y : f32
    linalg.yield %d : f32
  } -> tensor<2x128xf32>
  %exp = linalg.generic {indexing_maps = [#all, #all], iterator_types = ["parallel", "parallel"]}
      ins(%shifted : tensor<2x128xf32>) outs(%e : tensor<2x128xf32>) {
  ^bb0(%in: f32, %out: f32):
    %p = math.exp %in : f32
    linalg.yield %p : f32
  } -> tensor<2x128xf32>
  %none = linalg.fill ins(%zero : f32) outs(%e2 : tensor<2xf32>) -> tensor<2xf32>
  %sum = linalg.generic {indexing_maps = [#all, #rows], iterator_types = ["parallel", "reduction"]}
      ins(%exp : tensor<2x128xf32>) outs(%none : tensor<2xf32>) {
  ^bb0(%in: f32, %out: f32):
    %m = arith.addf %out, %in : f32
    linalg.yield %m : f32
  } -> tensor<2xf32>
  %prob = linalg.generic {indexing_maps = [#all, #rows, #all], iterator_types = ["parallel", "parallel"]}
      ins(%exp, %sum : tensor<2x128xf32>, tensor<2xf32>) outs(%e : tensor<2x128xf32>) {
  ^bb0(%x: f32, %y: f32, %out: f32):
    %d = arith.divf %x, %y : f32
    linalg.yield %d : f32
  } -> tensor<2x128xf32>
  %e28 = tensor.empty() : tensor<2x8xf32>
  %f28 = linalg.fill ins(%zero : f32) outs(%e28 : tensor<2x8xf32>) -> tensor<2x8xf32>
  %y = linalg.matmul ins(%prob, %v : tensor<2x128xf32>, tensor<128x8xf32>)
      outs(%f28 : tensor<2x8xf32>) -> tensor<2x8xf32>
  return %y : tensor<2x8xf32>
}

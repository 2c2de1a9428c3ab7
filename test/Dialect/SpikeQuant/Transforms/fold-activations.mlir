// RUN: sq-opt %s --split-input-file --spikequant-fold-activations -o %t.mlir --remarks-filter=spikequant-fold-scales 2> %t.remarks
// RUN: FileCheck %s --input-file=%t.mlir
// RUN: FileCheck %s --input-file=%t.remarks --check-prefix=REMARK
// RUN: sq-opt %s --split-input-file --spikequant-fold-activations --convert-spikequant-to-processor --spikequant-fuse-elementwise | FileCheck %s --check-prefix=CPU

// A gated layer: max(g, 0) * u. Every weight is 1/2: about 3 * 0.5 * sqrt(8 / 4) = 2.1
// is the deviation of both arrays, so their units are 2^-6 (of functions at most)
// and 2^-6 (1/128 of it, rounded down to a power of two).

#all = affine_map<(i, j) -> (i, j)>

// The function is straight from its neighbours on: three entries.
// CHECK-DAG: spikequant.weights @gate.grid : tensor<3x16xi32> format(#spikequant.rates<weights = @gate, step = 5.000000e-01 : f32, unit = 1.562500e-02 : f32>)
// CHECK-DAG: spikequant.weights @up.grid : tensor<3x16xi32> format(#spikequant.rates<weights = @up, step = 5.000000e-01 : f32, unit = 1.562500e-02 : f32>)
// CHECK-DAG: spikequant.weights @function.0 : tensor<3xi32> format(#spikequant.real) value(dense<[0, 0, 4]> : tensor<3xi32>)
// CHECK-LABEL: func.func @gated
// CHECK: %[[G:.*]] = spikequant.grid %{{.*}}, @gate.grid : tensor<2x16xi64> -> tensor<2x16xi32>
// CHECK: %[[F:.*]] = spikequant.table %[[G]], @function.0 {high_slope = 67108864 : i32, lo = -1 : i32} : tensor<2x16xi32> -> tensor<2x16xi32>
// CHECK: %[[U:.*]] = spikequant.grid %{{.*}}, @up.grid : tensor<2x16xi64> -> tensor<2x16xi32>
// CHECK: %[[P:.*]] = linalg.generic {{.*}} ins(%[[F]], %[[U]] : tensor<2x16xi32>, tensor<2x16xi32>)
// CHECK: arith.muli {{.*}} : i64
// The unit of the product is 2^-8 2^-6, the step 1/4: 2^-12 = 2^30 / 2^42.
// CHECK: spikequant.fire %[[P]] {biases = array<i64: 2199023255552>, bits = @bits, hi = 32767 : i32, lo = -32767 : i32, multipliers = array<i64: 1073741824>, shift = 42 : i32, site = "down.in", spikequant.step = 2.500000e-01 : f32, tolerance = 1 : i32}
// CHECK-NOT: f32>
// CHECK: return
// REMARK: [Passed] activation-table {{.*}} Function=gated | Remark="site 'down.in': fires from a table of 3 entries of @gate in units of 1.562500e-02 (off by at most 9.765625e-03) times @up in units of 1.562500e-02 (off by at most 7.812500e-03); numbers saturate beyond 2^31 units"

// One loop makes the counts.
// CPU-LABEL: func.func @gated
// CPU-COUNT-2: spikequant.integrate_decode
// CPU: linalg.generic
// CPU: tensor.extract
// CPU-NOT: linalg.generic
// CPU: spikequant.encode_split
spikequant.weights @gate : tensor<16x8xf32> format(#spikequant.codes<bits = 4, group = 8>) value(dense<0.5> : tensor<16x8xf32>)
spikequant.weights @up : tensor<16x8xf32> format(#spikequant.codes<bits = 4, group = 8>) value(dense<0.5> : tensor<16x8xf32>)
spikequant.weights @bits : tensor<16xi8> format(#spikequant.real) value(dense<4> : tensor<16xi8>)
func.func @gated(%n: tensor<2x8xi16>) -> tensor<2x16xi16> {
  %zero = arith.constant 0.0 : f32
  %acc = spikequant.integrate %n, @gate : tensor<2x8xi16> -> tensor<2x16xi64>
  %g = spikequant.decode %acc, @gate {step = 0.5 : f32} : tensor<2x16xi64> -> tensor<2x16xf32>
  %acc2 = spikequant.integrate %n, @up : tensor<2x8xi16> -> tensor<2x16xi64>
  %u = spikequant.decode %acc2, @up {step = 0.5 : f32} : tensor<2x16xi64> -> tensor<2x16xf32>
  %e = tensor.empty() : tensor<2x16xf32>
  %r = linalg.generic {indexing_maps = [#all, #all], iterator_types = ["parallel", "parallel"]}
      ins(%g : tensor<2x16xf32>) outs(%e : tensor<2x16xf32>) {
  ^bb0(%in: f32, %out: f32):
    %m = arith.maximumf %in, %zero : f32
    linalg.yield %m : f32
  } -> tensor<2x16xf32>
  %y = linalg.generic {indexing_maps = [#all, #all, #all], iterator_types = ["parallel", "parallel"]}
      ins(%r, %u : tensor<2x16xf32>, tensor<2x16xf32>) outs(%e : tensor<2x16xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %m = arith.mulf %a, %b : f32
    linalg.yield %m : f32
  } -> tensor<2x16xf32>
  %m = spikequant.encode %y {step = 0.25 : f32, site = "down.in", bits = @bits, tolerance = 1 : i32}
      : tensor<2x16xf32> -> tensor<2x16xi16>
  return %m : tensor<2x16xi16>
}

// -----

// The square of max(x, 0) is not straight, its factors are.

#all = affine_map<(i, j) -> (i, j)>

// CHECK-LABEL: func.func @square
// CHECK: %[[G:.*]] = spikequant.grid %{{.*}}, @a.grid
// CHECK: %[[F:.*]] = spikequant.table %[[G]], @function.0 {high_slope = 67108864 : i32, lo = -1 : i32}
// CHECK: %[[H:.*]] = spikequant.grid %{{.*}}, @a.grid
// CHECK: %[[E:.*]] = spikequant.table %[[H]], @function.0
// CHECK: linalg.generic {{.*}} ins(%[[F]], %[[E]]
// CHECK: spikequant.fire
// CHECK-NOT: f32>
// CHECK: return
spikequant.weights @a : tensor<16x8xf32> format(#spikequant.codes<bits = 4, group = 8>) value(dense<0.5> : tensor<16x8xf32>)
func.func @square(%n: tensor<2x8xi16>) -> tensor<2x16xi16> {
  %zero = arith.constant 0.0 : f32
  %acc = spikequant.integrate %n, @a : tensor<2x8xi16> -> tensor<2x16xi64>
  %g = spikequant.decode %acc, @a {step = 0.5 : f32} : tensor<2x16xi64> -> tensor<2x16xf32>
  %e = tensor.empty() : tensor<2x16xf32>
  %y = linalg.generic {indexing_maps = [#all, #all], iterator_types = ["parallel", "parallel"]}
      ins(%g : tensor<2x16xf32>) outs(%e : tensor<2x16xf32>) {
  ^bb0(%a: f32, %out: f32):
    %m = arith.maximumf %a, %zero : f32
    %s = arith.mulf %m, %m : f32
    linalg.yield %s : f32
  } -> tensor<2x16xf32>
  %m = spikequant.encode %y {step = 0.25 : f32, site = "down.in"} : tensor<2x16xf32> -> tensor<2x16xi16>
  return %m : tensor<2x16xi16>
}

// -----

// Never straight: it stays as it is.

#all = affine_map<(i, j) -> (i, j)>

// CHECK-LABEL: func.func @growing
// CHECK: spikequant.encode
// REMARK: [Missed] activation-refused {{.*}} Function=growing | Remark="site 'down.in' keeps its real function: a function is not straight far from 0, or not finite"
spikequant.weights @a : tensor<16x8xf32> format(#spikequant.codes<bits = 4, group = 8>) value(dense<0.5> : tensor<16x8xf32>)
func.func @growing(%n: tensor<2x8xi16>) -> tensor<2x16xi16> {
  %acc = spikequant.integrate %n, @a : tensor<2x8xi16> -> tensor<2x16xi64>
  %g = spikequant.decode %acc, @a {step = 0.5 : f32} : tensor<2x16xi64> -> tensor<2x16xf32>
  %e = tensor.empty() : tensor<2x16xf32>
  %y = linalg.generic {indexing_maps = [#all, #all], iterator_types = ["parallel", "parallel"]}
      ins(%g : tensor<2x16xf32>) outs(%e : tensor<2x16xf32>) {
  ^bb0(%a: f32, %out: f32):
    %m = math.exp %a : f32
    linalg.yield %m : f32
  } -> tensor<2x16xf32>
  %m = spikequant.encode %y {step = 0.25 : f32, site = "down.in"} : tensor<2x16xf32> -> tensor<2x16xi16>
  return %m : tensor<2x16xi16>
}

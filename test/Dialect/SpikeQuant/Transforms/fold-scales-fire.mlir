// RUN: sq-opt %s --split-input-file --spikequant-fold-scales -o %t.mlir --remarks-filter=spikequant-fold-scales 2> %t.remarks
// RUN: FileCheck %s --input-file=%t.mlir
// RUN: FileCheck %s --input-file=%t.remarks --check-prefix=REMARK
// RUN: sq-opt %s --split-input-file --spikequant-fold-scales --convert-spikequant-to-processor | FileCheck %s --check-prefix=CPU

// A layer of a perceptron: bias, max(., 0), the next layer; rows of rank 3 in
// between.

#all = affine_map<(g, i, j) -> (g, i, j)>
#channel = affine_map<(g, i, j) -> (j)>

// CHECK-DAG: spikequant.weights @b.in.biases : tensor<16xf32> format(#spikequant.real) value(dense<5.000000e-01> : tensor<16xf32>)
// CHECK-DAG: spikequant.weights @b.in.fire : tensor<5x16xi64> format(#spikequant.thresholds<weights = @a, step = 5.000000e-01 : f32, output = 2.500000e-01 : f32, biases = @b.in.biases, lo = 0, hi = 32767>)
// CHECK-LABEL: func.func @perceptron
// CHECK: %[[ACC:.*]] = spikequant.integrate
// CHECK-NEXT: %[[N:.*]] = spikequant.fire %[[ACC]] {bits = @bits, hi = 32767 : i32, lo = 0 : i32, site = "b.in", thresholds = @b.in.fire, tolerance = 1 : i32} : tensor<2x16xi64> -> tensor<2x16xi16>
// CHECK-NEXT: %[[ACC2:.*]] = spikequant.integrate %[[N]], @b
// CHECK-NEXT: spikequant.decode %[[ACC2]], @b
// CHECK-NEXT: return
// REMARK: [Passed] encode-fired {{.*}} Function=perceptron | Remark="site 'b.in': fires from the membranes of @a, biases, max(., 0) as the least count; 7 real operations per value are gone"

// The window is that of an encode with step 1; its salient counts are tallied.
// CPU-LABEL: func.func @perceptron
// CPU: %[[Y:.*]]:2 = spikequant.integrate_decode {{.*}} -> tensor<2x16xf32>, tensor<2x16xi64>
// CPU: %[[TABLE:.*]] = spikequant.load_weights @b.in.fire : tensor<5x16xi64>
// CPU: %[[COUNTS:.*]] = linalg.generic {{.*}} ins(%[[Y]]#1, {{.*}} : tensor<2x16xi64>, tensor<16xi64>, tensor<16xi64>, tensor<16xi64>, tensor<16xi64>, tensor<16xi64>)
// CPU-DAG: arith.shrsi
// CPU: %[[SPLIT:.*]]:3 = spikequant.encode_split {bits = @bits, group = 8 : i64, site = "b.in", step = 1.000000e+00 : f32, tolerance = 1 : i32} ins(%[[COUNTS]]
// CPU: spikequant.tally %[[SPLIT]]#2 {site = "b.in"}
spikequant.weights @a : tensor<16x8xf32> format(#spikequant.codes<bits = 4, group = 8>) source("a")
spikequant.weights @b : tensor<4x16xf32> format(#spikequant.codes<bits = 4, group = 8>) source("b")
spikequant.weights @bias : tensor<16xf32> format(#spikequant.real) value(dense<0.5> : tensor<16xf32>)
spikequant.weights @bits : tensor<16xi8> format(#spikequant.real) value(dense<4> : tensor<16xi8>)
func.func @perceptron(%x: tensor<2x8xf32>) -> tensor<2x4xf32> {
  %zero = arith.constant 0.0 : f32
  %bias = spikequant.load_weights @bias : tensor<16xf32>
  %n = spikequant.encode %x {step = 0.5 : f32, site = "a.in"} : tensor<2x8xf32> -> tensor<2x8xi16>
  %acc = spikequant.integrate %n, @a : tensor<2x8xi16> -> tensor<2x16xi64>
  %d = spikequant.decode %acc, @a {step = 0.5 : f32} : tensor<2x16xi64> -> tensor<2x16xf32>
  %wide = tensor.expand_shape %d [[0, 1], [2]] output_shape [1, 2, 16] : tensor<2x16xf32> into tensor<1x2x16xf32>
  %e = tensor.empty() : tensor<1x2x16xf32>
  %y = linalg.generic {indexing_maps = [#all, #channel, #all], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%wide, %bias : tensor<1x2x16xf32>, tensor<16xf32>) outs(%e : tensor<1x2x16xf32>) {
  ^bb0(%in: f32, %b: f32, %out: f32):
    %s = arith.addf %in, %b : f32
    %t = arith.maximumf %s, %zero : f32
    linalg.yield %t : f32
  } -> tensor<1x2x16xf32>
  %flat = tensor.collapse_shape %y [[0, 1], [2]] : tensor<1x2x16xf32> into tensor<2x16xf32>
  %m = spikequant.encode %flat {step = 0.25 : f32, site = "b.in", bits = @bits, tolerance = 1 : i32}
      : tensor<2x16xf32> -> tensor<2x16xi16>
  %acc2 = spikequant.integrate %m, @b : tensor<2x16xi16> -> tensor<2x4xi64>
  %z = spikequant.decode %acc2, @b {step = 0.25 : f32} : tensor<2x4xi64> -> tensor<2x4xf32>
  return %z : tensor<2x4xf32>
}

// -----

// Two linear layers in a row, and one whose output is scaled by a negative
// number: a threshold has no sign, so that encode keeps its gains.

// CHECK-LABEL: func.func @linear
// CHECK: %[[ACC:.*]] = spikequant.integrate
// CHECK: %[[D:.*]] = spikequant.decode %[[ACC]]
// CHECK-DAG: spikequant.fire %[[ACC]] {hi = 32767 : i32, lo = -32767 : i32, site = "b.in", thresholds = @b.in.fire}
// CHECK-DAG: spikequant.encode %[[D]] {gains = @c.in.gains, site = "c.in"
#all = affine_map<(i, j) -> (i, j)>
spikequant.weights @a : tensor<16x8xf32> format(#spikequant.codes<bits = 4, group = 8>) source("a")
func.func @linear(%n: tensor<2x8xi16>) -> (tensor<2x16xi16>, tensor<2x16xi16>) {
  %two = arith.constant dense<-2.0> : tensor<2x16xf32>
  %acc = spikequant.integrate %n, @a : tensor<2x8xi16> -> tensor<2x16xi64>
  %d = spikequant.decode %acc, @a {step = 0.5 : f32} : tensor<2x16xi64> -> tensor<2x16xf32>
  %m = spikequant.encode %d {step = 0.25 : f32, site = "b.in"} : tensor<2x16xf32> -> tensor<2x16xi16>
  %c = arith.constant -2.0 : f32
  %e = tensor.empty() : tensor<2x16xf32>
  %s = linalg.generic {indexing_maps = [#all, #all], iterator_types = ["parallel", "parallel"]}
      ins(%d : tensor<2x16xf32>) outs(%e : tensor<2x16xf32>) {
  ^bb0(%in: f32, %out: f32):
    %t = arith.mulf %in, %c : f32
    linalg.yield %t : f32
  } -> tensor<2x16xf32>
  %k = spikequant.encode %s {step = 0.25 : f32, site = "c.in"} : tensor<2x16xf32> -> tensor<2x16xi16>
  return %m, %k : tensor<2x16xi16>, tensor<2x16xi16>
}

// -----

// Counts that saturate, as a cache holds them, end with the ladder: no window.

// CHECK-DAG: spikequant.weights @v.pv.right.fire : tensor<5x16xi64> format(#spikequant.thresholds<weights = @v, step = 5.000000e-01 : f32, output = 2.500000e-01 : f32, lo = -7, hi = 7>)
// CHECK-LABEL: func.func @values
// CHECK: %[[N:.*]] = spikequant.fire %{{.*}} {hi = 7 : i32, lo = -7 : i32, site = "v.pv.right", thresholds = @v.pv.right.fire}
// CHECK-NEXT: return %[[N]]
// CPU-LABEL: func.func @values
// CPU: arith.constant 7 : i64
// CPU-NOT: spikequant.tally
spikequant.weights @v : tensor<16x8xf32> format(#spikequant.codes<bits = 4, group = 8>) source("v")
spikequant.weights @four : tensor<16xi8> format(#spikequant.real) value(dense<4> : tensor<16xi8>)
func.func @values(%x: tensor<2x8xf32>) -> tensor<2x16xi16> {
  %n = spikequant.encode %x {step = 0.5 : f32, site = "v.in"} : tensor<2x8xf32> -> tensor<2x8xi16>
  %acc = spikequant.integrate %n, @v : tensor<2x8xi16> -> tensor<2x16xi64>
  %d = spikequant.decode %acc, @v {step = 0.5 : f32} : tensor<2x16xi64> -> tensor<2x16xf32>
  %m = spikequant.encode %d {step = 0.25 : f32, site = "v.pv.right", bits = @four,
                             overflow = #spikequant.overflow<saturate>}
      : tensor<2x16xf32> -> tensor<2x16xi16>
  return %m : tensor<2x16xi16>
}

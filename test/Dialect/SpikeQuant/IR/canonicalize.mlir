// RUN: sq-opt %s -canonicalize -split-input-file | FileCheck %s

// Expected counts from n' = floor((acc M + B) / 2^S), clamped, by hand.
// M = 3, B = 512, S = 10: acc 0 -> 0.5 -> 0; 170 -> 1022/1024 -> 0;
// 171 -> 1025/1024 -> 1; -170 -> 2/1024 -> 0; -171 -> -1/1024 -> -1;
// 10^6 -> 7 (clamped), the smallest i64 -> -7 (clamped).

// CHECK-LABEL: func.func @fire_constant
// CHECK: %[[C:.*]] = arith.constant dense<{{\[\[}}0, 0, 1, 0, -1, 7, -7]]> : tensor<1x7xi16>
// CHECK-NEXT: return %[[C]]
func.func @fire_constant() -> tensor<1x7xi16> {
  %acc = arith.constant dense<[[0, 170, 171, -170, -171, 1000000, -9223372036854775808]]> : tensor<1x7xi64>
  %n = spikequant.fire %acc {multipliers = array<i64: 3>, biases = array<i64: 512>, shift = 10 : i32,
      lo = -7 : i32, hi = 7 : i32} : tensor<1x7xi64> -> tensor<1x7xi16>
  return %n : tensor<1x7xi16>
}

// -----

// Channels with M = 1, 2 and B = 0, 1; S = 1: rows [5, 5], [-3, -3]:
// 5 / 2 -> 2, (10 + 1) / 2 -> 5; -3 / 2 -> -2, (-6 + 1) / 2 -> -3.

// CHECK-LABEL: func.func @fire_per_channel
// CHECK: %[[C:.*]] = arith.constant dense<{{\[\[}}2, 5], [-2, -3]]> : tensor<2x2xi16>
// CHECK-NEXT: return %[[C]]
func.func @fire_per_channel() -> tensor<2x2xi16> {
  %acc = arith.constant dense<[[5, 5], [-3, -3]]> : tensor<2x2xi32>
  %n = spikequant.fire %acc {multipliers = array<i64: 1, 2>, biases = array<i64: 0, 1>, shift = 1 : i32,
      lo = -100 : i32, hi = 100 : i32} : tensor<2x2xi32> -> tensor<2x2xi16>
  return %n : tensor<2x2xi16>
}

// -----

// CHECK-LABEL: func.func @fire_splat
// CHECK: arith.constant dense<3> : tensor<4x4xi16>
func.func @fire_splat() -> tensor<4x4xi16> {
  %acc = arith.constant dense<12> : tensor<4x4xi64>
  %n = spikequant.fire %acc {multipliers = array<i64: 1>, biases = array<i64: 0>, shift = 2 : i32,
      lo = -7 : i32, hi = 7 : i32} : tensor<4x4xi64> -> tensor<4x4xi16>
  return %n : tensor<4x4xi16>
}

// -----

// CHECK-LABEL: func.func @row_scale_of_one
// CHECK: spikequant.encode %{{.*}} {site = "s", step = 1.000000e+00 : f32}
func.func @row_scale_of_one(%x: tensor<2x8xf32>) -> tensor<2x8xi16> {
  %r = arith.constant dense<1.0> : tensor<2xf32>
  %n = spikequant.encode %x row_scale(%r : tensor<2xf32>) {step = 1.0 : f32, site = "s"}
      : tensor<2x8xf32> -> tensor<2x8xi16>
  return %n : tensor<2x8xi16>
}

// -----

// Unused and equal pure operations go; observers and tallies stay.

spikequant.weights @r : tensor<8xf32> format(#spikequant.real) source("r")

// CHECK-LABEL: func.func @effects
// CHECK-NOT: load_weights
// CHECK-NOT: encode
// CHECK: spikequant.observe
// CHECK: spikequant.observe
// CHECK: spikequant.tally
func.func @effects(%x: tensor<2x8xf32>, %o: tensor<2x18xi32>) {
  %w = spikequant.load_weights @r : tensor<8xf32>
  %n = spikequant.encode %x {step = 1.0 : f32, site = "s"} : tensor<2x8xf32> -> tensor<2x8xi16>
  spikequant.observe %x {site = "s"} : tensor<2x8xf32>
  spikequant.observe %x {site = "s"} : tensor<2x8xf32>
  spikequant.tally %o {site = "s"} : tensor<2x18xi32>
  return
}

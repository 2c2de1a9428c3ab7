// Thresholds that follow from the scales of packed weights.
//
// RUN: sq-run %s --function all --print | FileCheck %s --check-prefix=ALL
// RUN: sq-run %s --function windows --print | FileCheck %s --check-prefix=WINDOWS
// RUN: sq-run %s --function rectified --print | FileCheck %s --check-prefix=RECTIFIED
// RUN: rm -rf %t.out
// RUN: sq-compile %s --float --remarks=spikequant-pack-weights -o %t.out 2>&1 | FileCheck %s --check-prefix=REMARK
// REMARK: thresholds-rounded {{.*}} Remark="'fire': largest relative error of a threshold 0.00E+00"

// Symmetric 4-bit codes hold these rows exactly: s_w = 1, 2, 1 (zeros) and 1/4.
spikequant.weights @w : tensor<4x8xf32>
    format(#spikequant.codes<bits = 4, group = 0, symmetric = true>)
    value(dense<[[7.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
                 [14.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
                 [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
                 [-1.75, 1.75, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]]> : tensor<4x8xf32>)
spikequant.weights @bias : tensor<4xf32> format(#spikequant.real)
    value(dense<[0.125, -0.25, 1.0, 0.0]> : tensor<4xf32>)
spikequant.weights @gains : tensor<4xf32> format(#spikequant.real)
    value(dense<[1.0, 1.0, 1.0, 2.0]> : tensor<4xf32>)
spikequant.weights @bits : tensor<4xi8> format(#spikequant.real) value(dense<[4, 4, 2, 3]> : tensor<4xi8>)

// rate = 0.5 s_w a / 0.25 = 2 4 2 1, offset = b / 0.25 + 1/2 = 1 -0.5 4.5 0.5.
spikequant.weights @fire : tensor<5x4xi64> format(#spikequant.thresholds<weights = @w, step = 0.5 : f32,
    output = 0.25 : f32, gains = @gains, biases = @bias, lo = -32767, hi = 32767>)
spikequant.weights @relu : tensor<5x4xi64> format(#spikequant.thresholds<weights = @w, step = 0.5 : f32,
    output = 0.25 : f32, gains = @gains, biases = @bias, lo = 0, hi = 32767>)

// The last row's counts saturate: 2 * 229369 + 1 is beyond.
// 2 acc + 1, floor(4 acc - 1/2), 4, floor(acc + 1/2).
// ALL: out0 int16[4, 4]: 15 27 4 -7 3 3 4 7 -3 -9 4 -14 32767 32767 4 -32767
func.func @all() -> tensor<4x4xi16> {
  %a = arith.constant dense<[[7, 7, 0, -7], [1, 1, 0, 7], [-2, -2, 0, -14], [229369, 229369, 0, -229369]]> : tensor<4x4xi64>
  %n = spikequant.fire %a {thresholds = @fire, lo = -32767 : i32, hi = 32767 : i32} : tensor<4x4xi64> -> tensor<4x4xi16>
  return %n : tensor<4x4xi16>
}

// Windows 7 7 1 3, tolerance 1: none of these is one step outside but 4 of the
// third would be with L = 3; -9 is two outside.
// WINDOWS: out0 int16[4, 4]: 15 27 4 -7 3 3 4 7 -3 -9 4 -14 32767 32767 4 -32767
func.func @windows() -> tensor<4x4xi16> {
  %a = arith.constant dense<[[7, 7, 0, -7], [1, 1, 0, 7], [-2, -2, 0, -14], [229369, 229369, 0, -229369]]> : tensor<4x4xi64>
  %n = spikequant.fire %a {thresholds = @fire, lo = -32767 : i32, hi = 32767 : i32, site = "y", bits = @bits,
                           tolerance = 1 : i32} : tensor<4x4xi64> -> tensor<4x4xi16>
  return %n : tensor<4x4xi16>
}

// lo = 0: negative counts are 0. Windows of the bits 4 4 3 8 instead, by a
// literal: 4 of the third channel is one step outside L = 3.
// RECTIFIED: out0 int16[4, 4]: 15 27 3 0 3 3 3 7 0 0 3 0 32767 32767 3 0
spikequant.weights @bits3 : tensor<4xi8> format(#spikequant.real) value(dense<[4, 4, 3, 8]> : tensor<4xi8>)
func.func @rectified() -> tensor<4x4xi16> {
  %a = arith.constant dense<[[7, 7, 0, -7], [1, 1, 0, 7], [-2, -2, 0, -14], [229369, 229369, 0, -229369]]> : tensor<4x4xi64>
  %n = spikequant.fire %a {thresholds = @relu, lo = 0 : i32, hi = 32767 : i32, site = "y", bits = @bits3,
                           tolerance = 1 : i32} : tensor<4x4xi64> -> tensor<4x4xi16>
  return %n : tensor<4x4xi16>
}

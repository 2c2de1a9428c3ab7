// RUN: sq-run %s --print | FileCheck %s

// The membranes pass through an identity layer, so that nothing is folded.
spikequant.weights @identity : tensor<2x2xf32>
    format(#spikequant.codes<bits = 4, group = 0, symmetric = true>)
    value(dense<[[7.0, 0.0], [0.0, 7.0]]> : tensor<2x2xf32>)

// acc = 7 n. Channel 0: floor((3 acc + 512) / 1024), channel 1: floor((1000 acc - 1) / 1024),
// both limited to [-7, 7].
// acc:        0   35        -35        700         -700       7        -7
// channel 0:  0   617>>10=0 407>>10=0  2612>>10=2  -1588>>10=-2  533>>10=0  491>>10=0
// channel 1: -1   34999>>10=34->7      -35001>>10=-35->-7 .. 6999>>10=6  -7001>>10=-7
// CHECK: out0 int16[7, 2]: 0 -1 0 7 0 -7 2 7 -2 -7 0 6 0 -7
// One rule for all channels: floor((acc + 3) / 4) in [0, 100].
// acc + 3:  3 -> 0, 38 -> 9, -32 -> 0, 703 -> 100, 10 -> 2, -4 -> 0
// CHECK: out1 int16[7, 2]: 0 0 9 9 0 0 100 100 0 0 2 2 0 0
func.func @fire() -> (tensor<7x2xi16>, tensor<7x2xi16>) {
  %x = arith.constant dense<[[0.0, 0.0], [5.0, 5.0], [-5.0, -5.0], [100.0, 100.0], [-100.0, -100.0],
                             [1.0, 1.0], [-1.0, -1.0]]> : tensor<7x2xf32>
  %n = spikequant.encode %x {step = 1.0 : f32, site = "x"} : tensor<7x2xf32> -> tensor<7x2xi16>
  %acc = spikequant.integrate %n, @identity : tensor<7x2xi16> -> tensor<7x2xi64>
  %y = spikequant.fire %acc {multipliers = array<i64: 3, 1000>, biases = array<i64: 512, -1>,
                             shift = 10 : i32, lo = -7 : i32, hi = 7 : i32}
      : tensor<7x2xi64> -> tensor<7x2xi16>
  %z = spikequant.fire %acc {multipliers = array<i64: 1>, biases = array<i64: 3>,
                             shift = 2 : i32, lo = 0 : i32, hi = 100 : i32}
      : tensor<7x2xi64> -> tensor<7x2xi16>
  return %y, %z : tensor<7x2xi16>, tensor<7x2xi16>
}

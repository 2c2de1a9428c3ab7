// RUN: sq-run %s --function ties --print | FileCheck %s --check-prefix=TIES
// RUN: sq-run %s --function window --print | FileCheck %s --check-prefix=WINDOW
// RUN: sq-run %s --function tolerance --print | FileCheck %s --check-prefix=TOLERANCE
// RUN: sq-run %s --function special --print | FileCheck %s --check-prefix=SPECIAL
// RUN: sq-run %s --function gains --print | FileCheck %s --check-prefix=GAINS
// RUN: sq-run %s --function rows --print | FileCheck %s --check-prefix=ROWS

// step 1/4: v = 4 x + 1/2, ties go up.
// 4 x = -1.5 -1.25 -0.5 -0.25 0 0.25 0.5 1.25 1.5 2.5 and one ulp below 0.5.
// TIES: out0 int16[1, 11]: -1 -1 0 0 0 0 1 1 2 3 0
func.func @ties() -> tensor<1x11xi16> {
  %x = arith.constant dense<[[-0.375, -0.3125, -0.125, -0.0625, 0.0, 0.0625, 0.125, 0.3125, 0.375,
                              0.625, 0x3DFFFFFE]]> : tensor<1x11xf32>
  %n = spikequant.encode %x {step = 0.25 : f32, site = "x"} : tensor<1x11xf32> -> tensor<1x11xi16>
  return %n : tensor<1x11xi16>
}

// Bits 8 4 2 1 0: windows 127 7 1 0 0. Tolerance 0 never changes a count.
spikequant.weights @bits : tensor<5xi8> format(#spikequant.real)
    value(dense<[8, 4, 2, 1, 0]> : tensor<5xi8>)
// WINDOW: out0 int16[4, 5]: 127 7 1 0 0 128 8 2 1 1 -129 -9 -3 -2 -2 32767 -32767 300 300 -300
func.func @window() -> tensor<4x5xi16> {
  %x = arith.constant dense<[[127.0, 7.0, 1.0, 0.0, 0.0], [128.0, 8.0, 2.0, 1.0, 1.0],
                             [-129.0, -9.0, -3.0, -2.0, -2.0],
                             [40000.0, -40000.0, 300.0, 300.0, -300.0]]> : tensor<4x5xf32>
  %n = spikequant.encode %x {step = 1.0 : f32, site = "x", bits = @bits}
      : tensor<4x5xf32> -> tensor<4x5xi16>
  return %n : tensor<4x5xi16>
}

// Tolerance 1: one step outside saturates, two are salient and kept.
// TOLERANCE: out0 int16[4, 5]: 127 7 1 0 0 127 7 1 0 0 -129 -9 -3 -2 -2 32767 -32767 300 300 -300
func.func @tolerance() -> tensor<4x5xi16> {
  %x = arith.constant dense<[[127.0, 7.0, 1.0, 0.0, 0.0], [128.0, 8.0, 2.0, 1.0, 1.0],
                             [-129.0, -9.0, -3.0, -2.0, -2.0],
                             [40000.0, -40000.0, 300.0, 300.0, -300.0]]> : tensor<4x5xf32>
  %n = spikequant.encode %x {step = 1.0 : f32, site = "x", bits = @bits, tolerance = 1 : i32}
      : tensor<4x5xf32> -> tensor<4x5xi16>
  return %n : tensor<4x5xi16>
}

// NaN gives 0, infinities and the largest numbers saturate, -0 and subnormals are 0.
// SPECIAL: out0 int16[7]: 0 32767 -32767 32767 -32767 0 0
func.func @special() -> tensor<7xi16> {
  %x = arith.constant dense<[0x7FC00000, 0x7F800000, 0xFF800000, 3.4e38, -3.4e38, -0.0,
                             0x00000001]> : tensor<7xf32>
  %n = spikequant.encode %x {step = 0.5 : f32, site = "x"} : tensor<7xf32> -> tensor<7xi16>
  return %n : tensor<7xi16>
}

// r = a / s = 4 1 2, h = 1/2 - z r = -3.5 1.5 0.5.
// v = 4 x - 3.5, x + 1.5, 2 x + 0.5 at x = 1 and x = -2.25.
spikequant.weights @a : tensor<3xf32> format(#spikequant.real) value(dense<[2.0, 0.5, 1.0]> : tensor<3xf32>)
spikequant.weights @z : tensor<3xf32> format(#spikequant.real) value(dense<[1.0, -1.0, 0.0]> : tensor<3xf32>)
// GAINS: out0 int16[2, 3]: 0 2 2 -13 -1 -4
func.func @gains() -> tensor<2x3xi16> {
  %x = arith.constant dense<[[1.0, 1.0, 1.0], [-2.25, -2.25, -2.25]]> : tensor<2x3xf32>
  %n = spikequant.encode %x {step = 0.5 : f32, site = "x", gains = @a, centres = @z}
      : tensor<2x3xf32> -> tensor<2x3xi16>
  return %n : tensor<2x3xi16>
}

// One factor per row, two leading dimensions.
// ROWS: out0 int16[2, 1, 2]: 2 4 6 12
func.func @rows() -> tensor<2x1x2xi16> {
  %x = arith.constant dense<[[[1.0, 2.0]], [[1.0, 2.0]]]> : tensor<2x1x2xf32>
  %r = arith.constant dense<[[2.0], [6.0]]> : tensor<2x1xf32>
  %n = spikequant.encode %x row_scale(%r : tensor<2x1xf32>) {step = 1.0 : f32, site = "x"}
      : tensor<2x1x2xf32> -> tensor<2x1x2xi16>
  return %n : tensor<2x1x2xi16>
}

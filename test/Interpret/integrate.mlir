// RUN: sq-run %s --function layer --print | FileCheck %s --check-prefix=LAYER
// RUN: sq-run %s --function one --print | FileCheck %s --check-prefix=ONE
// RUN: sq-run %s --function wide --print | FileCheck %s --check-prefix=WIDE
// RUN: sq-run %s --function lookup --print | FileCheck %s --check-prefix=LOOKUP
// Additions over spike planes give the same.
// RUN: sq-run %s --function layer --integrate=planes --print | FileCheck %s --check-prefix=LAYER
// RUN: sq-run %s --function one --integrate=planes --print | FileCheck %s --check-prefix=ONE
// RUN: sq-run %s --function wide --integrate=planes --print | FileCheck %s --check-prefix=WIDE

// Symmetric 4-bit codes hold these rows exactly: s_w = 1, 1, 2, 1/4 and 1 (a row
// of zeros), the integers being the rows divided by that.
spikequant.weights @w : tensor<5x10xf32>
    format(#spikequant.codes<bits = 4, group = 0, symmetric = true>)
    value(dense<[[7.0, -7.0, 1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0, -1.0],
                 [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 7.0],
                 [14.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0],
                 [-1.75, 1.75, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, -0.25],
                 [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]]> : tensor<5x10xf32>)

// Counts 1..10 and a row with counts beyond int8.
// 7 - 14 + 3 + 8 + 15 - 10 = 9; 70; 7 + 54 = 61; -7 + 14 + 4 + 10 + 18 + 28 + 40 + 54 - 10 = 151
// 7 * 1000 - 7 * -30000 - 32767 = 184233; 7 * 32767 = 229369;
// 7000 - 30000 + 32767 = 9767; -7000 - 210000 - 32767 = -249767
// LAYER: out0 int64[2, 5]: 9 70 61 151 0 184233 229369 9767 -249767 0
// decode: times 0.5 s_w.
// LAYER: out1 float32[2, 5]: 4.5 35 61 18.875 0 92116.5 114684.5 9767 -31220.875 0
func.func @layer() -> (tensor<2x5xi64>, tensor<2x5xf32>) {
  %x = arith.constant dense<[[0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0],
                             [500.0, -15000.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 20000.0]]>
      : tensor<2x10xf32>
  %n = spikequant.encode %x {step = 0.5 : f32, site = "x"} : tensor<2x10xf32> -> tensor<2x10xi16>
  %a = spikequant.integrate %n, @w : tensor<2x10xi16> -> tensor<2x5xi64>
  %y = spikequant.decode %a, @w {step = 0.5 : f32} : tensor<2x5xi64> -> tensor<2x5xf32>
  return %a, %y : tensor<2x5xi64>, tensor<2x5xf32>
}

// K = 1, N = 1, no leading dimension; a narrowed membrane.
spikequant.weights @one.w : tensor<1x1xf32>
    format(#spikequant.codes<bits = 4, group = 0, symmetric = true>)
    value(dense<[[7.0]]> : tensor<1x1xf32>)
// ONE: out0 int32[1]: -21
// ONE: out1 float32[1]: -21
func.func @one() -> (tensor<1xi32>, tensor<1xf32>) {
  %x = arith.constant dense<[-3.0]> : tensor<1xf32>
  %n = spikequant.encode %x {step = 1.0 : f32, site = "x"} : tensor<1xf32> -> tensor<1xi16>
  %a = spikequant.integrate %n, @one.w {bound = 889 : i64} : tensor<1xi16> -> tensor<1xi32>
  %y = spikequant.decode %a, @one.w {step = 1.0 : f32} : tensor<1xi32> -> tensor<1xf32>
  return %a, %y : tensor<1xi32>, tensor<1xf32>
}

// 8-bit codes.
spikequant.weights @wide.w : tensor<2x3xf32>
    format(#spikequant.codes<bits = 8, group = 0, symmetric = true>)
    value(dense<[[127.0, -127.0, 100.0], [-5.0, 127.0, 1.0]]> : tensor<2x3xf32>)
// 127 + 254 + 300 = 681; -5 - 254 + 3 = -256
// WIDE: out0 int64[2]: 681 -256
func.func @wide() -> tensor<2xi64> {
  %x = arith.constant dense<[1.0, -2.0, 3.0]> : tensor<3xf32>
  %n = spikequant.encode %x {step = 1.0 : f32, site = "x"} : tensor<3xf32> -> tensor<3xi16>
  %a = spikequant.integrate %n, @wide.w : tensor<3xi16> -> tensor<2xi64>
  return %a : tensor<2xi64>
}

// Rows of the first weights; ids outside are clamped.
// LOOKUP: out0 float32[4, 10]: -1.75 1.75 0 0.25 0.5 0.75 1 1.25 1.5 -0.25 7 -7 1 2 3 0 0 0 0 -1 7 -7 1 2 3 0 0 0 0 -1 0 0 0 0 0 0 0 0 0 0
func.func @lookup() -> tensor<4x10xf32> {
  %ids = arith.constant dense<[3, 0, -1, 99]> : tensor<4xi32>
  %y = spikequant.lookup @w[%ids] : tensor<4xi32> -> tensor<4x10xf32>
  return %y : tensor<4x10xf32>
}

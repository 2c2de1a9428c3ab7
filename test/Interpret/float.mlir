// RUN: sq-run %s --function contraction --print | FileCheck %s --check-prefix=FMA
// RUN: sq-run %s --function lanes --print | FileCheck %s --check-prefix=LANES
// RUN: sq-run %s --function rest --print | FileCheck %s --check-prefix=REST
// RUN: sq-run %s --function maximum --print | FileCheck %s --check-prefix=MAX
// RUN: sq-run %s --function chain --print | FileCheck %s --check-prefix=CHAIN
// RUN: sq-run %s --function exact --print | FileCheck %s --check-prefix=EXACT

// -1 + (1 + 2^-12)^2 = 2^-11 + 2^-24: a rounded product would lose 2^-24.
// FMA: out0 float32[1, 1]: 0.000488340855
func.func @contraction() -> tensor<1x1xf32> {
  %a = arith.constant dense<[[-1.0, 0x3F800800]]> : tensor<1x2xf32>
  %b = arith.constant dense<[[1.0], [0x3F800800]]> : tensor<2x1xf32>
  %zero = arith.constant dense<0.0> : tensor<1x1xf32>
  %c = linalg.matmul ins(%a, %b : tensor<1x2xf32>, tensor<2x1xf32>)
      outs(%zero : tensor<1x1xf32>) -> tensor<1x1xf32>
  return %c : tensor<1x1xf32>
}

// 2^24 and 31 ones. A chain would stay at 2^24. Lane 0: 2^24 + 1 = 2^24 (tie to
// even), the others 2; the tree adds 2, 4, 8, 16: 2^24 + 30. The initial value
// 1024 comes last.
// LANES: out0 float32[]: 16778270
func.func @lanes() -> tensor<f32> {
  %one = arith.constant dense<1.0> : tensor<32xf32>
  %big = arith.constant 16777216.0 : f32
  %c0 = arith.constant 0 : index
  %x = tensor.insert %big into %one[%c0] : tensor<32xf32>
  %init = arith.constant dense<1024.0> : tensor<f32>
  %s = linalg.reduce { arith.addf } ins(%x : tensor<32xf32>) outs(%init : tensor<f32>)
      dimensions = [0]
  return %s : tensor<f32>
}

// 18 values 2^24, 1 .. 1: lane 0 = 2^24 + x16 = 2^24, lane 1 = 2, the others 1.
// Tree: lane 0 + lane 8: 2^24; 4: lane 4 + 12 = 2: 2^24 + 2; 2: lanes 2 + 10 + 6 +
// 14 = 4: 2^24 + 6; 1: odd lanes 2 + 7 = 9: 2^24 + 15 rounds to 2^24 + 16.
// REST: out0 float32[]: 16777232
func.func @rest() -> tensor<f32> {
  %one = arith.constant dense<1.0> : tensor<18xf32>
  %big = arith.constant 16777216.0 : f32
  %c0 = arith.constant 0 : index
  %x = tensor.insert %big into %one[%c0] : tensor<18xf32>
  %init = arith.constant dense<0.0> : tensor<f32>
  %s = linalg.reduce { arith.addf } ins(%x : tensor<18xf32>) outs(%init : tensor<f32>)
      dimensions = [0]
  return %s : tensor<f32>
}

// NaN wins; -0 is less than 0.
// MAX: out0 float32[3]: 3 nan 0
func.func @maximum() -> tensor<3xf32> {
  %x = arith.constant dense<[[-1.0, 3.0, 2.0], [1.0, 0x7FC00000, 5.0], [-0.0, 0.0, -0.0]]>
      : tensor<3x3xf32>
  %init = arith.constant dense<0xFF800000> : tensor<3xf32>
  %m = linalg.reduce { arith.maximumf } ins(%x : tensor<3x3xf32>) outs(%init : tensor<3xf32>)
      dimensions = [1]
  return %m : tensor<3xf32>
}

// A sum over rows stays a chain: 2^24 + 1 + 1 = 2^24; 1 + 1 + 2^24 = 2^24 + 2.
// CHAIN: out0 float32[2]: 16777216 16777218
func.func @chain() -> tensor<2xf32> {
  %x = arith.constant dense<[[16777216.0, 1.0], [1.0, 1.0], [1.0, 16777216.0]]> : tensor<3x2xf32>
  %init = arith.constant dense<0.0> : tensor<2xf32>
  %s = linalg.reduce { arith.addf } ins(%x : tensor<3x2xf32>) outs(%init : tensor<2xf32>)
      dimensions = [0]
  return %s : tensor<2xf32>
}

// Values of functions that are exact: e^0, log 1, 1 / sqrt 4, 8^(1/3), 2^10, tanh inf.
// EXACT: out0 float32[6]: 1 0 0.5 2 1024 1
func.func @exact() -> tensor<6xf32> {
  %x = arith.constant dense<[0.0, 1.0, 4.0, 8.0, 10.0, 0x7F800000]> : tensor<6xf32>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %c4 = arith.constant 4 : index
  %c5 = arith.constant 5 : index
  %e = tensor.empty() : tensor<6xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>],
                       iterator_types = ["parallel"]}
      ins(%x : tensor<6xf32>) outs(%e : tensor<6xf32>) {
  ^bb0(%in: f32, %out: f32):
    %i = linalg.index 0 : index
    %f0 = math.exp %in : f32
    %f1 = math.log %in : f32
    %f2 = math.rsqrt %in : f32
    %f3 = math.cbrt %in : f32
    %f4 = math.exp2 %in : f32
    %f5 = math.tanh %in : f32
    %is0 = arith.cmpi eq, %i, %c0 : index
    %is1 = arith.cmpi eq, %i, %c1 : index
    %is2 = arith.cmpi eq, %i, %c2 : index
    %is3 = arith.cmpi eq, %i, %c3 : index
    %is4 = arith.cmpi eq, %i, %c4 : index
    %r4 = arith.select %is4, %f4, %f5 : f32
    %r3 = arith.select %is3, %f3, %r4 : f32
    %r2 = arith.select %is2, %f2, %r3 : f32
    %r1 = arith.select %is1, %f1, %r2 : f32
    %r0 = arith.select %is0, %f0, %r1 : f32
    linalg.yield %r0 : f32
  } -> tensor<6xf32>
  return %y : tensor<6xf32>
}

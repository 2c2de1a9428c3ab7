// RUN: sq-opt %s --split-input-file --spikequant-fold-positions -o %t.mlir --remarks-filter=spikequant-fold-scales 2> %t.remarks
// RUN: FileCheck %s --input-file=%t.mlir
// RUN: FileCheck %s --input-file=%t.remarks --check-prefix=REMARK

// Neighbouring channels are a pair: [a0 cos - a1 sin, a1 cos + a0 sin], and the table is a weight.
// The unit is 2^-10, at most 1/512 of the step 3/4.

#all = affine_map<(i, j) -> (i, j)>

// CHECK-DAG: spikequant.weights @q.grid : tensor<3x8xi32> format(#spikequant.rates<weights = @q, step = 5.000000e-01 : f32, unit = 9.765625E-4 : f32>)
// CHECK-DAG: spikequant.weights @cos.fixed : tensor<2x4xi32> format(#spikequant.real) value(dense<{{.*}}16384, 8192, 0, -8192{{.*}}> : tensor<2x4xi32>)
// CHECK-LABEL: func.func @pairs
// CHECK: %[[G:.*]] = spikequant.grid %{{.*}}, @q.grid : tensor<2x8xi64> -> tensor<2x8xi32>
// CHECK: tensor.extract_slice %[[G]][0, 1] [2, 4] [1, 2]
// CHECK: spikequant.load_weights @cos.fixed : tensor<2x4xi32>
// CHECK: arith.muli {{.*}} : i64
// CHECK: arith.addi {{.*}} : i64
// CHECK: arith.subi {{.*}} : i64
// CHECK: %[[HALF:.*]] = tensor.insert_slice {{.*}}[0, 0] [2, 4] [1, 2] : tensor<2x4xi64> into tensor<2x8xi64>
// CHECK: %[[Y:.*]] = tensor.insert_slice %{{.*}} into %[[HALF]][0, 1] [2, 4] [1, 2]
// 2^-10 2^-14 / (3/4) = 4/3 2^-24 = 4/3 2^22 / 2^46, rounded.
// CHECK: spikequant.fire %[[Y]] {biases = array<i64: 35184372088832>, hi = 127 : i32, lo = -127 : i32, multipliers = array<i64: 5592405>, shift = 46 : i32, site = "v.qk.left"
// CHECK-NOT: f32>
// CHECK: return
// REMARK: [Passed] positions-folded {{.*}} Function=pairs | Remark="site 'v.qk.left': fires from fixed-point numbers of 9.77E-04; off by at most 0.0013 steps and 2.00 2^-15 of the largest decoded value"
spikequant.weights @q : tensor<8x8xf32> format(#spikequant.codes<bits = 4, group = 8>) value(dense<0.5> : tensor<8x8xf32>)
spikequant.weights @bits : tensor<8xi8> format(#spikequant.real) value(dense<8> : tensor<8xi8>)
spikequant.weights @cos : tensor<2x4xf32> format(#spikequant.real) value(dense<[[1.0, 0.5, 0.0, -0.5], [1.0, 1.0, 1.0, 1.0]]> : tensor<2x4xf32>)
spikequant.weights @sin : tensor<2x4xf32> format(#spikequant.real) value(dense<[[0.0, 0.5, 1.0, 0.5], [0.0, 0.0, 0.0, 0.0]]> : tensor<2x4xf32>)
func.func @pairs(%n: tensor<2x8xi16>) -> tensor<2x8xi16> {
  %cos = spikequant.load_weights @cos : tensor<2x4xf32>
  %sin = spikequant.load_weights @sin : tensor<2x4xf32>
  %acc = spikequant.integrate %n, @q : tensor<2x8xi16> -> tensor<2x8xi64>
  %a = spikequant.decode %acc, @q {step = 0.5 : f32} : tensor<2x8xi64> -> tensor<2x8xf32>
  %a0 = tensor.extract_slice %a[0, 0] [2, 4] [1, 2] : tensor<2x8xf32> to tensor<2x4xf32>
  %a1 = tensor.extract_slice %a[0, 1] [2, 4] [1, 2] : tensor<2x8xf32> to tensor<2x4xf32>
  %e = tensor.empty() : tensor<2x4xf32>
  %y0 = linalg.generic {indexing_maps = [#all, #all, #all, #all, #all], iterator_types = ["parallel", "parallel"]}
      ins(%a0, %a1, %cos, %sin : tensor<2x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>) outs(%e : tensor<2x4xf32>) {
  ^bb0(%x: f32, %y: f32, %c: f32, %s: f32, %o: f32):
    %p = arith.mulf %x, %c : f32
    %r = arith.mulf %s, %y : f32
    %d = arith.subf %p, %r : f32
    linalg.yield %d : f32
  } -> tensor<2x4xf32>
  %y1 = linalg.generic {indexing_maps = [#all, #all, #all, #all, #all], iterator_types = ["parallel", "parallel"]}
      ins(%a0, %a1, %cos, %sin : tensor<2x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>) outs(%e : tensor<2x4xf32>) {
  ^bb0(%x: f32, %y: f32, %c: f32, %s: f32, %o: f32):
    %p = arith.mulf %y, %c : f32
    %r = arith.mulf %x, %s : f32
    %d = arith.addf %p, %r : f32
    linalg.yield %d : f32
  } -> tensor<2x4xf32>
  %whole = tensor.empty() : tensor<2x8xf32>
  %half = tensor.insert_slice %y0 into %whole[0, 0] [2, 4] [1, 2] : tensor<2x4xf32> into tensor<2x8xf32>
  %y = tensor.insert_slice %y1 into %half[0, 1] [2, 4] [1, 2] : tensor<2x4xf32> into tensor<2x8xf32>
  %m = spikequant.encode %y {step = 0.75 : f32, site = "v.qk.left", bits = @bits, overflow = #spikequant.overflow<saturate>}
      : tensor<2x8xf32> -> tensor<2x8xi16>
  return %m : tensor<2x8xi16>
}

// -----

#all = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>
#id = affine_map<(i) -> (i)>

// Membranes over the sum of a row's counts: 2^e mantissas in units of 2^-10 are e - 150 + 10 places.
// CHECK-LABEL: func.func @divided
// CHECK: arith.divf
// CHECK: arith.bitcast %{{.*}} : f32 to i32
// CHECK: arith.constant 8388608 : i64
// CHECK: arith.constant 140 : i64
// CHECK: arith.muli {{.*}} : i64
// CHECK: arith.shrsi {{.*}} : i64
// CHECK-NOT: f32
// CHECK: spikequant.fire
// REMARK: [Passed] positions-folded {{.*}} Function=divided | Remark="site 'o.in': fires from fixed-point numbers of 9.77E-04, rows scaled by mantissa and exponent;
func.func @divided(%acc: tensor<2x8xi32>, %sums: tensor<2xi32>) -> tensor<2x8xi16> {
  %step = arith.constant 0.5 : f32
  %er = tensor.empty() : tensor<2xf32>
  %rows = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
      ins(%sums : tensor<2xi32>) outs(%er : tensor<2xf32>) {
  ^bb0(%s: i32, %o: f32):
    %x = arith.sitofp %s : i32 to f32
    %y = arith.divf %step, %x : f32
    linalg.yield %y : f32
  } -> tensor<2xf32>
  %e = tensor.empty() : tensor<2x8xf32>
  %y = linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel"]}
      ins(%acc, %rows : tensor<2x8xi32>, tensor<2xf32>) outs(%e : tensor<2x8xf32>) {
  ^bb0(%a: i32, %r: f32, %o: f32):
    %x = arith.sitofp %a : i32 to f32
    %p = arith.mulf %x, %r : f32
    linalg.yield %p : f32
  } -> tensor<2x8xf32>
  %n = spikequant.encode %y {step = 0.75 : f32, site = "o.in"} : tensor<2x8xf32> -> tensor<2x8xi16>
  return %n : tensor<2x8xi16>
}

// -----

#all = affine_map<(i, j) -> (i, j)>

// A factor from data is none of positions.
// CHECK-LABEL: func.func @data
// CHECK: arith.mulf
// CHECK: spikequant.encode
spikequant.weights @q : tensor<8x8xf32> format(#spikequant.codes<bits = 4, group = 8>) value(dense<0.5> : tensor<8x8xf32>)
func.func @data(%n: tensor<2x8xi16>, %f: tensor<2x8xf32>) -> tensor<2x8xi16> {
  %acc = spikequant.integrate %n, @q : tensor<2x8xi16> -> tensor<2x8xi64>
  %a = spikequant.decode %acc, @q {step = 0.5 : f32} : tensor<2x8xi64> -> tensor<2x8xf32>
  %e = tensor.empty() : tensor<2x8xf32>
  %y = linalg.generic {indexing_maps = [#all, #all, #all], iterator_types = ["parallel", "parallel"]}
      ins(%a, %f : tensor<2x8xf32>, tensor<2x8xf32>) outs(%e : tensor<2x8xf32>) {
  ^bb0(%x: f32, %g: f32, %o: f32):
    %p = arith.mulf %x, %g : f32
    linalg.yield %p : f32
  } -> tensor<2x8xf32>
  %m = spikequant.encode %y {step = 0.75 : f32, site = "s"} : tensor<2x8xf32> -> tensor<2x8xi16>
  return %m : tensor<2x8xi16>
}

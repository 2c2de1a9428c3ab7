// RUN: sq-opt %s --split-input-file --spikequant-fold-residual -o %t.mlir --remarks-filter=spikequant-fold-scales 2> %t.remarks
// RUN: FileCheck %s --input-file=%t.mlir
// RUN: FileCheck %s --input-file=%t.remarks --check-prefix=REMARK
// RUN: sq-opt %s --split-input-file --spikequant-fold-residual --convert-spikequant-to-processor | FileCheck %s --check-prefix=CPU

// An embedding, a branch, their sum, a root-mean-square norm. Every weight is
// 1/2: rows of the embedding deviate by 1/2, the branch by 3 * 0.5 * sqrt(8 / 4) = 2.1,
// the sum by 2.18. The unit is 2^-12 of 1/2.

#all = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>
#line = affine_map<(i) -> (i)>

// CHECK-DAG: spikequant.weights @e.grid : tensor<3x32xi32> format(#spikequant.rates<weights = @e, step = 1.000000e+00 : f32, unit = 1.22070313E-4 : f32>)
// CHECK-DAG: spikequant.weights @o.grid : tensor<3x8xi32> format(#spikequant.rates<weights = @o, step = 5.000000e-01 : f32, unit = 1.22070313E-4 : f32>)
// CHECK-DAG: spikequant.weights @q.in.rates : tensor<3x8xi32> format(#spikequant.count_rates<unit = 9.53674316E-7 : f32, step = 2.500000e-01 : f32, gains = @norm>)
// CHECK-LABEL: func.func @branch
// CHECK: %[[O:.*]] = spikequant.grid %{{.*}}, @o.grid : tensor<2x8xi64> -> tensor<2x8xi32>
// CHECK: %[[E:.*]] = spikequant.lookup @e[%{{.*}}] {rates = @e.grid} : tensor<2xi32> -> tensor<2x8xi32>
// CHECK: %[[Y:.*]] = linalg.generic {{.*}} ins(%[[E]], %[[O]] : tensor<2x8xi32>, tensor<2x8xi32>)
// CHECK: arith.addi {{.*}} : i64
// CHECK: arith.maxsi
// CHECK: arith.minsi
// CHECK: %[[S:.*]]:2 = linalg.generic {{.*}} ins(%[[Y]] : tensor<2x8xi32>)
// CHECK: arith.muli {{.*}} : i64
// CHECK: linalg.generic {{.*}} ins(%[[S]]#0, %[[S]]#1 : tensor<2xi64>, tensor<2xi64>)
// CHECK: %[[R:.*]] = linalg.generic
// CHECK: math.rsqrt
// CHECK: spikequant.encode %[[Y]] row_scale(%[[R]] : tensor<2xf32>) {bits = @bits, rates = @q.in.rates, site = "q.in", spikequant.folded, step = 2.500000e-01 : f32, tolerance = 1 : i32, unit = 1.22070313E-4 : f32} : tensor<2x8xi32> -> tensor<2x8xi16>
// CHECK-NOT: x8xf32>
// CHECK: return
// REMARK: [Passed] residual-fixed {{.*}} Function=branch | Remark="site 'q.in': counts a stream in units of 2^-13, which saturates at 2^18; thresholds are off by at most 1.14E-05 of a step"

// CPU-LABEL: func.func @branch
// CPU: spikequant.lookup_rows {rates = @e.grid, weights = @e} {{.*}} -> tensor<2x8xi32>
// CPU: spikequant.encode_split {bits = @bits, group = 8 : i64, rates = @q.in.rates, site = "q.in", step = 2.500000e-01 : f32, tolerance = 1 : i32, unit = 1.22070313E-4 : f32} ins(%{{.*}}, %{{.*}} : tensor<2x8xi32>, tensor<2xf32>)
spikequant.weights @e : tensor<32x8xf32> format(#spikequant.codes<bits = 8, group = 8>) value(dense<0.5> : tensor<32x8xf32>)
spikequant.weights @o : tensor<8x8xf32> format(#spikequant.codes<bits = 4, group = 8>) value(dense<0.5> : tensor<8x8xf32>)
spikequant.weights @norm : tensor<8xf32> format(#spikequant.real) value(dense<[1.0, 2.0, -3.0, 0.5, 1.0, 1.0, 1.0, 1.0]> : tensor<8xf32>)
spikequant.weights @bits : tensor<8xi8> format(#spikequant.real) value(dense<4> : tensor<8xi8>)
func.func @branch(%ids: tensor<2xi32>, %n: tensor<2x8xi16>) -> tensor<2x8xi64> {
  %eps = arith.constant 1.0e-5 : f32
  %zero = arith.constant 0.0 : f32
  %acc = spikequant.integrate %n, @o : tensor<2x8xi16> -> tensor<2x8xi64>
  %o = spikequant.decode %acc, @o {step = 0.5 : f32} : tensor<2x8xi64> -> tensor<2x8xf32>
  %x = spikequant.lookup @e[%ids] : tensor<2xi32> -> tensor<2x8xf32>
  %empty = tensor.empty() : tensor<2x8xf32>
  %y = linalg.add ins(%x, %o : tensor<2x8xf32>, tensor<2x8xf32>) outs(%empty : tensor<2x8xf32>) -> tensor<2x8xf32>
  %rows = tensor.empty() : tensor<2xf32>
  %fill = linalg.fill ins(%zero : f32) outs(%rows : tensor<2xf32>) -> tensor<2xf32>
  %sum = linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "reduction"]}
      ins(%y : tensor<2x8xf32>) outs(%fill : tensor<2xf32>) {
  ^bb0(%in: f32, %out: f32):
    %s = arith.mulf %in, %in : f32
    %a = arith.addf %out, %s : f32
    linalg.yield %a : f32
  } -> tensor<2xf32>
  %r = linalg.generic {indexing_maps = [#line, #line], iterator_types = ["parallel"]}
      ins(%sum : tensor<2xf32>) outs(%rows : tensor<2xf32>) {
  ^bb0(%in: f32, %out: f32):
    %a = arith.addf %in, %eps : f32
    %b = math.rsqrt %a : f32
    linalg.yield %b : f32
  } -> tensor<2xf32>
  %m = spikequant.encode %y row_scale(%r : tensor<2xf32>) {step = 0.25 : f32, site = "q.in", gains = @norm, bits = @bits, tolerance = 1 : i32, spikequant.folded}
      : tensor<2x8xf32> -> tensor<2x8xi16>
  %next = spikequant.integrate %m, @o : tensor<2x8xi16> -> tensor<2x8xi64>
  return %next : tensor<2x8xi64>
}

// -----

// A centred row: the mean is one number per row, in units. Whoever reads the
// real numbers too gets them back.

#all = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>

// CHECK-LABEL: func.func @centred
// CHECK: %[[G:.*]] = spikequant.grid
// CHECK: %[[M:.*]] = linalg.generic {{.*}} ins(%arg1 : tensor<2xf32>)
// CHECK: math.roundeven
// CHECK: arith.fptosi
// CHECK: %[[D:.*]] = linalg.generic {{.*}} ins(%[[G]], %[[M]] : tensor<2x8xi32>, tensor<2xi32>)
// CHECK: arith.subi {{.*}} : i64
// CHECK: %[[BACK:.*]] = linalg.generic {{.*}} ins(%[[D]] : tensor<2x8xi32>)
// CHECK: arith.sitofp
// CHECK: spikequant.encode %[[D]] {rates = @q.in.rates
// CHECK: return %{{.*}}, %[[BACK]]
spikequant.weights @o : tensor<8x8xf32> format(#spikequant.codes<bits = 4, group = 8>) value(dense<0.5> : tensor<8x8xf32>)
func.func @centred(%n: tensor<2x8xi16>, %mean: tensor<2xf32>) -> (tensor<2x8xi16>, tensor<2x8xf32>) {
  %acc = spikequant.integrate %n, @o : tensor<2x8xi16> -> tensor<2x8xi64>
  %o = spikequant.decode %acc, @o {step = 0.5 : f32} : tensor<2x8xi64> -> tensor<2x8xf32>
  %empty = tensor.empty() : tensor<2x8xf32>
  %d = linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel"]}
      ins(%o, %mean : tensor<2x8xf32>, tensor<2xf32>) outs(%empty : tensor<2x8xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %s = arith.subf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<2x8xf32>
  %m = spikequant.encode %d {step = 0.25 : f32, site = "q.in"} : tensor<2x8xf32> -> tensor<2x8xi16>
  return %m, %d : tensor<2x8xi16>, tensor<2x8xf32>
}

// -----

// A centre of 2^12 deviations is no integer of 2^-20 that 32 bits hold.

// CHECK-LABEL: func.func @far
// CHECK: spikequant.decode
// CHECK: spikequant.encode {{.*}} : tensor<2x8xf32>
// REMARK: [Missed] residual-left {{.*}} Function=far | Remark="site 'q.in' reads real numbers: the threshold of channel 1 is out of range"
spikequant.weights @o : tensor<8x8xf32> format(#spikequant.codes<bits = 4, group = 8>) value(dense<0.5> : tensor<8x8xf32>)
spikequant.weights @z : tensor<8xf32> format(#spikequant.real) value(dense<[1.0, 4096.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]> : tensor<8xf32>)
func.func @far(%n: tensor<2x8xi16>, %r: tensor<2xf32>) -> tensor<2x8xi16> {
  %acc = spikequant.integrate %n, @o : tensor<2x8xi16> -> tensor<2x8xi64>
  %o = spikequant.decode %acc, @o {step = 0.5 : f32} : tensor<2x8xi64> -> tensor<2x8xf32>
  %m = spikequant.encode %o row_scale(%r : tensor<2xf32>) {step = 0.25 : f32, site = "q.in", centres = @z, spikequant.folded} : tensor<2x8xf32> -> tensor<2x8xi16>
  return %m : tensor<2x8xi16>
}

// -----

// Real numbers from elsewhere stay as they are.

// CHECK-LABEL: func.func @elsewhere
// CHECK: spikequant.encode %arg0 {site = "q.in"
// REMARK: [Missed] residual-left {{.*}} Function=elsewhere | Remark="site 'q.in' reads real numbers: what makes its input, an argument, adds up no decodes, looked-up rows or known tables"
func.func @elsewhere(%x: tensor<2x8xf32>) -> tensor<2x8xi16> {
  %m = spikequant.encode %x {step = 0.25 : f32, site = "q.in"} : tensor<2x8xf32> -> tensor<2x8xi16>
  return %m : tensor<2x8xi16>
}

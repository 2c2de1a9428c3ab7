// RUN: sq-opt %s | sq-opt | FileCheck %s
// RUN: sq-opt %s --mlir-print-op-generic | sq-opt | FileCheck %s

// CHECK: spikequant.weights @up : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("blk.0.up", [1, 0])
spikequant.weights @up : tensor<16x40xf32>
    format(#spikequant.codes<bits = 4, group = 32>) source("blk.0.up", [1, 0])
// CHECK: spikequant.weights @per_row : tensor<2x12xf32> format(#spikequant.codes<bits = 8, group = 0, symmetric = true>) source("per_row")
spikequant.weights @per_row : tensor<2x12xf32>
    format(#spikequant.codes<bits = 8, group = 0, symmetric = true>) source("per_row")
// CHECK: spikequant.weights @literal : tensor<1x2xf32> format(#spikequant.codes<bits = 2, group = 8>) value(dense<{{.*}}> : tensor<1x2xf32>)
spikequant.weights @literal : tensor<1x2xf32>
    format(#spikequant.codes<bits = 2, group = 8>) value(dense<[[1.0, -2.0]]> : tensor<1x2xf32>)
// CHECK: spikequant.weights @norm : tensor<40xf32> format(#spikequant.real) source("norm")
spikequant.weights @norm : tensor<40xf32> format(#spikequant.real) source("norm")
// CHECK: spikequant.weights @bits : tensor<40xi8> format(#spikequant.real) value(dense<4> : tensor<40xi8>)
spikequant.weights @bits : tensor<40xi8> format(#spikequant.real) value(dense<4> : tensor<40xi8>)
spikequant.weights @centres : tensor<40xf32> format(#spikequant.real) value(dense<0.5> : tensor<40xf32>)

// CHECK-LABEL: func.func @weights
func.func @weights(%ids: tensor<2x3xi64>) -> (tensor<40xf32>, memref<40xf32>, tensor<2x3x40xf32>) {
  // CHECK: spikequant.load_weights @norm : tensor<40xf32>
  %0 = spikequant.load_weights @norm : tensor<40xf32>
  // CHECK: spikequant.load_weights @norm : memref<40xf32>
  %1 = spikequant.load_weights @norm : memref<40xf32>
  // CHECK: spikequant.lookup @up[%{{.*}}] : tensor<2x3xi64> -> tensor<2x3x40xf32>
  %2 = spikequant.lookup @up[%ids] : tensor<2x3xi64> -> tensor<2x3x40xf32>
  return %0, %1, %2 : tensor<40xf32>, memref<40xf32>, tensor<2x3x40xf32>
}

// CHECK-LABEL: func.func @neurons
func.func @neurons(%x: tensor<3x40xf32>, %r: tensor<3xf32>, %v: tensor<40xf32>) -> tensor<3x16xf32> {
  // CHECK: spikequant.encode %{{.*}} {site = "a", step = 1.250000e-01 : f32} : tensor<3x40xf32> -> tensor<3x40xi16>
  %0 = spikequant.encode %x {step = 0.125 : f32, site = "a"} : tensor<3x40xf32> -> tensor<3x40xi16>
  // CHECK: spikequant.encode %{{.*}} row_scale(%{{.*}} : tensor<3xf32>) {bits = @bits, centres = @centres, gains = @norm, site = "b", step = 5.000000e-01 : f32, tolerance = 1 : i32} : tensor<3x40xf32> -> tensor<3x40xi16>
  %1 = spikequant.encode %x row_scale(%r : tensor<3xf32>) {step = 0.5 : f32, site = "b", bits = @bits,
      gains = @norm, centres = @centres, tolerance = 1 : i32} : tensor<3x40xf32> -> tensor<3x40xi16>
  // CHECK: spikequant.encode %{{.*}} : tensor<40xf32> -> tensor<40xi16>
  %2 = spikequant.encode %v {step = 0.5 : f32, site = "vector"} : tensor<40xf32> -> tensor<40xi16>
  // CHECK: spikequant.integrate %{{.*}}, @up : tensor<3x40xi16> -> tensor<3x16xi64>
  %3 = spikequant.integrate %0, @up : tensor<3x40xi16> -> tensor<3x16xi64>
  // CHECK: spikequant.integrate %{{.*}}, @up {bound = 2147483647 : i64} : tensor<3x40xi16> -> tensor<3x16xi32>
  %4 = spikequant.integrate %1, @up {bound = 2147483647 : i64} : tensor<3x40xi16> -> tensor<3x16xi32>
  // CHECK: spikequant.fire %{{.*}} {biases = array<i64: 512>, hi = 7 : i32, lo = -7 : i32, multipliers = array<i64: 3>, shift = 10 : i32} : tensor<3x16xi64> -> tensor<3x16xi16>
  %5 = spikequant.fire %3 {multipliers = array<i64: 3>, biases = array<i64: 512>, shift = 10 : i32,
      lo = -7 : i32, hi = 7 : i32} : tensor<3x16xi64> -> tensor<3x16xi16>
  // CHECK: spikequant.encode %{{.*}} {bits = @bits, code = #spikequant.code<gated>, overflow = #spikequant.overflow<saturate>, site = "c", step = 5.000000e-01 : f32}
  %50 = spikequant.encode %x {step = 0.5 : f32, site = "c", bits = @bits, overflow = #spikequant.overflow<saturate>,
      code = #spikequant.code<gated>} : tensor<3x40xf32> -> tensor<3x40xi16>
  // CHECK: spikequant.fire %{{.*}} {biases = array<i64: 512>, code = #spikequant.code<ladder>, hi = 7
  %51 = spikequant.fire %3 {multipliers = array<i64: 3>, biases = array<i64: 512>, shift = 10 : i32,
      lo = -7 : i32, hi = 7 : i32, code = #spikequant.code<ladder>} : tensor<3x16xi64> -> tensor<3x16xi16>
  // CHECK: spikequant.decode %{{.*}}, @up {step = 5.000000e-01 : f32} : tensor<3x16xi32> -> tensor<3x16xf32>
  %6 = spikequant.decode %4, @up {step = 0.5 : f32} : tensor<3x16xi32> -> tensor<3x16xf32>
  // CHECK: spikequant.observe %{{.*}} {site = "a"} : tensor<3x40xf32>
  spikequant.observe %x {site = "a"} : tensor<3x40xf32>
  return %6 : tensor<3x16xf32>
}

// CHECK-LABEL: func.func @processor_tensors
func.func @processor_tensors(%x: tensor<3x40xf32>, %r: tensor<3xf32>, %ids: tensor<3xi32>,
                             %d: tensor<3x40xi8>, %s: tensor<3x2xi32>, %o: tensor<3x82xi32>,
                             %n: tensor<3x40xi16>, %y: tensor<3x16xf32>, %a: tensor<3x16xi64>,
                             %e: tensor<3x40xf32>) {
  // CHECK: spikequant.encode_split {bits = @bits, group = 32 : i64, site = "a", step = 1.250000e-01 : f32, tolerance = 1 : i32}
  // CHECK-SAME: ins(%{{.*}}, %{{.*}} : tensor<3x40xf32>, tensor<3xf32>)
  // CHECK-SAME: outs(%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} : tensor<3x40xi8>, tensor<3x2xi32>, tensor<3x82xi32>, tensor<3x40xi16>)
  // CHECK-SAME: -> tensor<3x40xi8>, tensor<3x2xi32>, tensor<3x82xi32>, tensor<3x40xi16>
  %0:4 = spikequant.encode_split {step = 0.125 : f32, site = "a", group = 32 : i64, bits = @bits, tolerance = 1 : i32}
      ins(%x, %r : tensor<3x40xf32>, tensor<3xf32>)
      outs(%d, %s, %o, %n : tensor<3x40xi8>, tensor<3x2xi32>, tensor<3x82xi32>, tensor<3x40xi16>)
      -> tensor<3x40xi8>, tensor<3x2xi32>, tensor<3x82xi32>, tensor<3x40xi16>
  // CHECK: spikequant.integrate_decode {step = 1.250000e-01 : f32, weights = @up}
  %1:2 = spikequant.integrate_decode {weights = @up, step = 0.125 : f32}
      ins(%0#0, %0#1, %0#2 : tensor<3x40xi8>, tensor<3x2xi32>, tensor<3x82xi32>)
      outs(%y, %a : tensor<3x16xf32>, tensor<3x16xi64>) -> tensor<3x16xf32>, tensor<3x16xi64>
  // CHECK: spikequant.lookup_rows {weights = @up}
  %2 = spikequant.lookup_rows {weights = @up} ins(%ids : tensor<3xi32>) outs(%e : tensor<3x40xf32>)
      -> tensor<3x40xf32>
  // CHECK: spikequant.tally %{{.*}} {site = "a"} : tensor<3x82xi32>
  spikequant.tally %0#2 {site = "a"} : tensor<3x82xi32>
  return
}

// A row of 12 channels: padded to 16, one group.
// CHECK-LABEL: func.func @processor_buffers
func.func @processor_buffers(%x: memref<1x12xf32, strided<[64, 1], offset: ?>>, %d: memref<1x16xi8>,
                             %s: memref<1x1xi32>, %o: memref<1x26xi32>, %y: memref<1x2xf32>) {
  // CHECK: spikequant.encode_split
  // CHECK-NOT: ->
  spikequant.encode_split {step = 0.125 : f32, site = "a", group = 12 : i64}
      ins(%x : memref<1x12xf32, strided<[64, 1], offset: ?>>)
      outs(%d, %s, %o : memref<1x16xi8>, memref<1x1xi32>, memref<1x26xi32>)
  // CHECK: spikequant.integrate_decode
  spikequant.integrate_decode {weights = @per_row, step = 0.125 : f32}
      ins(%d, %s, %o : memref<1x16xi8>, memref<1x1xi32>, memref<1x26xi32>)
      outs(%y : memref<1x2xf32>)
  // CHECK: spikequant.tally %{{.*}} {site = "a"} : memref<1x26xi32>
  spikequant.tally %o {site = "a"} : memref<1x26xi32>
  // CHECK: spikequant.observe %{{.*}} {site = "a"} : memref<1x12xf32, strided<[64, 1], offset: ?>>
  spikequant.observe %x {site = "a"} : memref<1x12xf32, strided<[64, 1], offset: ?>>
  return
}

// CHECK-LABEL: func.func @dot4
func.func @dot4(%acc: vector<16xi32>, %u: vector<64xi8>, %n: vector<64xi8>) -> vector<16xi32> {
  // CHECK: spikequant.dot4 %{{.*}}, %{{.*}}, %{{.*}} : vector<16xi32>, vector<64xi8>
  %0 = spikequant.dot4 %acc, %u, %n : vector<16xi32>, vector<64xi8>
  return %0 : vector<16xi32>
}

// CHECK: spikequant.weights @part : tensor<2x3xf32> format(#spikequant.codes<bits = 4>) source("whole") view(<shape = [4, 6], offset = 3, sizes = [2, 3], strides = [12, 1]>)
spikequant.weights @part : tensor<2x3xf32> format(#spikequant.codes<bits = 4>) source("whole")
    view(<shape = [4, 6], offset = 3, sizes = [2, 3], strides = [12, 1]>)
// CHECK: spikequant.weights @stack : tensor<5x16x40xf32>
spikequant.weights @stack : tensor<5x16x40xf32> format(#spikequant.codes<bits = 4, group = 32>) source("stack")

// CHECK-LABEL: func.func @stacks
func.func @stacks(%n: tensor<3x40xi16>, %m: tensor<3x2x40xi16>, %i: index, %ids: tensor<3xi32>) {
  // CHECK: spikequant.integrate %{{.*}}, @stack[%{{.*}} : index] : tensor<3x40xi16> -> tensor<3x16xi64>
  %0 = spikequant.integrate %n, @stack[%i : index] : tensor<3x40xi16> -> tensor<3x16xi64>
  // CHECK: spikequant.decode %{{.*}}, @stack[%{{.*}} : index] {step = 5.000000e-01 : f32} : tensor<3x16xi64> -> tensor<3x16xf32>
  %1 = spikequant.decode %0, @stack[%i : index] {step = 0.5 : f32} : tensor<3x16xi64> -> tensor<3x16xf32>
  // CHECK: spikequant.integrate %{{.*}}, @stack[%{{.*}} : tensor<3xi32>] : tensor<3x2x40xi16> -> tensor<3x2x16xi64>
  %2 = spikequant.integrate %m, @stack[%ids : tensor<3xi32>] : tensor<3x2x40xi16> -> tensor<3x2x16xi64>
  // CHECK: spikequant.decode %{{.*}}, @stack[%{{.*}} : tensor<3xi32>]
  %3 = spikequant.decode %2, @stack[%ids : tensor<3xi32>] {step = 0.5 : f32} : tensor<3x2x16xi64> -> tensor<3x2x16xf32>
  return
}

// CHECK-LABEL: func.func @stacked_processor
func.func @stacked_processor(%d: memref<6x40xi8>, %s: memref<6x2xi32>, %o: memref<6x82xi32>,
                             %y: memref<6x16xf32>, %i: index, %ids: memref<3xi32>) {
  // CHECK: spikequant.integrate_decode {step = 1.250000e-01 : f32, weights = @stack}
  // CHECK-SAME: ins(%{{.*}}) index(%{{.*}} : index) outs(
  spikequant.integrate_decode {weights = @stack, step = 0.125 : f32}
      ins(%d, %s, %o : memref<6x40xi8>, memref<6x2xi32>, memref<6x82xi32>) index(%i : index)
      outs(%y : memref<6x16xf32>)
  // CHECK: index(%{{.*}} : memref<3xi32>) outs(
  spikequant.integrate_decode {weights = @stack, step = 0.125 : f32}
      ins(%d, %s, %o : memref<6x40xi8>, memref<6x2xi32>, memref<6x82xi32>) index(%ids : memref<3xi32>)
      outs(%y : memref<6x16xf32>)
  return
}

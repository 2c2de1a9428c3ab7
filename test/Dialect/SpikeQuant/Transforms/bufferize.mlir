// RUN: sq-opt %s -split-input-file \
// RUN:   -one-shot-bufferize="bufferize-function-boundaries function-boundary-type-conversion=identity-layout-map" \
// RUN:   | FileCheck %s

spikequant.weights @up : tensor<16x40xf32>
    format(#spikequant.codes<bits = 4, group = 32>) source("up", [1, 0])

// CHECK-LABEL: func @processor_form
// CHECK-SAME: (%[[X:.*]]: memref<3x40xf32>)
func.func @processor_form(%x: tensor<3x40xf32>) -> tensor<3x16xf32> {
  // CHECK-DAG: %[[D:.*]] = memref.alloc() {{.*}} : memref<3x40xi8>
  // CHECK-DAG: %[[S:.*]] = memref.alloc() {{.*}} : memref<3x2xi32>
  // CHECK-DAG: %[[O:.*]] = memref.alloc() {{.*}} : memref<3x82xi32>
  %0 = tensor.empty() : tensor<3x40xi8>
  %1 = tensor.empty() : tensor<3x2xi32>
  %2 = tensor.empty() : tensor<3x82xi32>
  // CHECK: spikequant.encode_split {group = 32 : i64, site = "up.in", step = 1.250000e-01 : f32}
  // CHECK-SAME: ins(%[[X]] : memref<3x40xf32>)
  // CHECK-SAME: outs(%[[D]], %[[S]], %[[O]] : memref<3x40xi8>, memref<3x2xi32>, memref<3x82xi32>)
  // CHECK-NOT: ->
  %d, %s, %o = spikequant.encode_split {step = 0.125 : f32, site = "up.in", group = 32 : i64}
      ins(%x : tensor<3x40xf32>)
      outs(%0, %1, %2 : tensor<3x40xi8>, tensor<3x2xi32>, tensor<3x82xi32>)
      -> tensor<3x40xi8>, tensor<3x2xi32>, tensor<3x82xi32>
  // CHECK: spikequant.tally %[[O]] {site = "up.in"} : memref<3x82xi32>
  spikequant.tally %o {site = "up.in"} : tensor<3x82xi32>
  // CHECK: %[[Y:.*]] = memref.alloc() {{.*}} : memref<3x16xf32>
  %3 = tensor.empty() : tensor<3x16xf32>
  // CHECK: spikequant.integrate_decode {step = 1.250000e-01 : f32, weights = @up}
  // CHECK-SAME: ins(%[[D]], %[[S]], %[[O]] :
  // CHECK-SAME: outs(%[[Y]] : memref<3x16xf32>)
  %y = spikequant.integrate_decode {weights = @up, step = 0.125 : f32}
      ins(%d, %s, %o : tensor<3x40xi8>, tensor<3x2xi32>, tensor<3x82xi32>)
      outs(%3 : tensor<3x16xf32>) -> tensor<3x16xf32>
  // CHECK: return %[[Y]] : memref<3x16xf32>
  return %y : tensor<3x16xf32>
}

// -----

spikequant.weights @table : tensor<64x8xf32> format(#spikequant.codes<bits = 8>) source("table")

// CHECK-LABEL: func @lookup_rows
func.func @lookup_rows(%ids: tensor<3xi32>) -> tensor<3x8xf32> {
  %0 = tensor.empty() : tensor<3x8xf32>
  // CHECK: spikequant.lookup_rows {weights = @table} ins(%{{.*}} : memref<3xi32>) outs(%[[Y:.*]] : memref<3x8xf32>)
  %y = spikequant.lookup_rows {weights = @table} ins(%ids : tensor<3xi32>)
      outs(%0 : tensor<3x8xf32>) -> tensor<3x8xf32>
  // CHECK: return %[[Y]]
  return %y : tensor<3x8xf32>
}

// -----

spikequant.weights @norm : tensor<8xf32> format(#spikequant.real) source("norm")

// Weights are read-only: a writer gets a copy.
// CHECK-LABEL: func @load_weights_is_not_writable
func.func @load_weights_is_not_writable(%v: f32, %i: index) -> tensor<8xf32> {
  // CHECK: %[[W:.*]] = spikequant.load_weights @norm : memref<8xf32>
  // CHECK: %[[COPY:.*]] = memref.alloc() {{.*}} : memref<8xf32>
  // CHECK: memref.copy %[[W]], %[[COPY]]
  // CHECK: memref.store %{{.*}}, %[[COPY]]
  %w = spikequant.load_weights @norm : tensor<8xf32>
  %r = tensor.insert %v into %w[%i] : tensor<8xf32>
  return %r : tensor<8xf32>
}

// -----

// What is observed is the value before the update that follows.
// CHECK-LABEL: func @observe_before_write
func.func @observe_before_write(%x: tensor<8xf32>, %v: f32, %i: index) -> tensor<8xf32> {
  // CHECK: spikequant.observe %[[X:.*]] {site = "a.in"} : memref<8xf32>
  // CHECK: memref.store %{{.*}}, %[[X]]
  spikequant.observe %x {site = "a.in"} : tensor<8xf32>
  %r = tensor.insert %v into %x[%i] : tensor<8xf32>
  return %r : tensor<8xf32>
}

// -----

// The old value is observed after the update: the update may not be in place.
// CHECK-LABEL: func @observe_after_write
// CHECK-SAME: (%[[X:.*]]: memref<8xf32>
func.func @observe_after_write(%x: tensor<8xf32>, %v: f32, %i: index) -> tensor<8xf32> {
  // CHECK: %[[COPY:.*]] = memref.alloc()
  // CHECK: memref.store %{{.*}}, %[[COPY]]
  // CHECK: spikequant.observe %[[X]] {site = "a.in"} : memref<8xf32>
  %r = tensor.insert %v into %x[%i] : tensor<8xf32>
  spikequant.observe %x {site = "a.in"} : tensor<8xf32>
  return %r : tensor<8xf32>
}

// RUN: sq-opt %s --pass-pipeline='builtin.module(func.func(spikequant-carry-in-place))' | FileCheck %s
// RUN: sq-opt %s --pass-pipeline='builtin.module(func.func(spikequant-carry-in-place),spikequant-bufferize-graphs)' | FileCheck %s --check-prefix=BUFFER

// Both copies come before both writes.
// CHECK-LABEL: func.func @change_places
// CHECK: scf.for {{.*}} iter_args(%[[A:.*]] = {{.*}}, %[[B:.*]] = {{.*}})
// CHECK: %[[CB:.*]] = bufferization.alloc_tensor() copy(%[[B]])
// CHECK-NEXT: %[[CA:.*]] = bufferization.alloc_tensor() copy(%[[A]])
// CHECK-NEXT: %[[NA:.*]] = bufferization.materialize_in_destination %[[CB]] in %[[A]]
// CHECK-NEXT: %[[NB:.*]] = bufferization.materialize_in_destination %[[CA]] in %[[B]]
// CHECK-NEXT: scf.yield %[[NA]], %[[NB]]
// BUFFER-LABEL: func.func @change_places
// BUFFER: scf.for
// BUFFER-COUNT-4: memref.copy
// BUFFER: }
func.func @change_places(%a: tensor<4xf32>, %b: tensor<4xf32>, %n: index) -> (tensor<4xf32>, tensor<4xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r:2 = scf.for %i = %c0 to %n step %c1 iter_args(%x = %a, %y = %b) -> (tensor<4xf32>, tensor<4xf32>) {
    scf.yield %y, %x : tensor<4xf32>, tensor<4xf32>
  }
  return %r#0, %r#1 : tensor<4xf32>, tensor<4xf32>
}

// A value in memory of its own is written without another copy.
// CHECK-LABEL: func.func @fresh
// CHECK: %[[N:.*]] = linalg.add
// CHECK-NEXT: %[[M:.*]] = bufferization.materialize_in_destination %[[N]] in
// CHECK-NEXT: scf.yield %[[M]]
// BUFFER-LABEL: func.func @fresh
// BUFFER: scf.while
func.func @fresh(%a: tensor<4xf32>) -> tensor<4xf32> {
  %c0 = arith.constant 0 : index
  %limit = arith.constant 9.0 : f32
  %r = scf.while (%x = %a) : (tensor<4xf32>) -> tensor<4xf32> {
    %v = tensor.extract %x[%c0] : tensor<4xf32>
    %go = arith.cmpf olt, %v, %limit : f32
    scf.condition(%go) %x : tensor<4xf32>
  } do {
  ^bb0(%x: tensor<4xf32>):
    %e = tensor.empty() : tensor<4xf32>
    %n = linalg.add ins(%x, %x : tensor<4xf32>, tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
    scf.yield %n : tensor<4xf32>
  }
  return %r : tensor<4xf32>
}

// An update in place stays as it is.
// CHECK-LABEL: func.func @in_place
// CHECK-NOT: materialize_in_destination
// CHECK: return
// BUFFER-LABEL: func.func @in_place
// BUFFER: scf.for
// BUFFER-NOT: memref.copy
// BUFFER: memref.store
// BUFFER-NEXT: }
func.func @in_place(%a: tensor<4xf32>, %n: index) -> tensor<4xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%x = %a) -> tensor<4xf32> {
    %v = tensor.extract %x[%c0] : tensor<4xf32>
    %u = tensor.insert %v into %x[%i] : tensor<4xf32>
    scf.yield %u : tensor<4xf32>
  }
  return %r : tensor<4xf32>
}

// The old value is read after the update: no update in place.
// CHECK-LABEL: func.func @read_later
// CHECK: tensor.insert
// CHECK: tensor.extract
// CHECK: bufferization.alloc_tensor() copy
// CHECK: materialize_in_destination
// BUFFER-LABEL: func.func @read_later
func.func @read_later(%a: tensor<4xf32>, %s: f32, %n: index) -> tensor<4xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r:2 = scf.for %i = %c0 to %n step %c1 iter_args(%x = %a, %sum = %s) -> (tensor<4xf32>, f32) {
    %u = tensor.insert %sum into %x[%c0] : tensor<4xf32>
    %v = tensor.extract %x[%c0] : tensor<4xf32>
    %t = arith.addf %sum, %v : f32
    scf.yield %u, %t : tensor<4xf32>, f32
  }
  return %r#0 : tensor<4xf32>
}

// RUN: sq-opt %s --allow-unregistered-dialect --pass-pipeline='builtin.module(func.func(spikequant-plan-arena,cse))' --split-input-file --verify-diagnostics | FileCheck %s

// a lives with b, b with c, but a not with c: c takes a's place. The size is
// that of a and b, each rounded up to 64 bytes.
// CHECK-LABEL: func.func @chain
// CHECK-SAME: spikequant.arena_bytes = 192 : i64
// CHECK-NOT: memref.alloc
// CHECK-DAG: %[[ZERO:.*]] = arith.constant 0 : index
// CHECK-DAG: %[[NEXT:.*]] = arith.constant 128 : index
// CHECK-DAG: %[[A:.*]] = memref.view %{{.*}}[%[[ZERO]]][] : memref<?xi8> to memref<20xf32>
// CHECK-DAG: %[[B:.*]] = memref.view %{{.*}}[%[[NEXT]]][] : memref<?xi8> to memref<3xi8>
// CHECK-DAG: %[[C:.*]] = memref.view %{{.*}}[%{{.*}}][] : memref<?xi8> to memref<5xi64>
func.func @chain(%arena: memref<?xi8> {spikequant.arena}) {
  %a = memref.alloc() : memref<20xf32>
  %b = memref.alloc() : memref<3xi8>
  %c = memref.alloc() : memref<5xi64>
  "test.use"(%a) : (memref<20xf32>) -> ()
  "test.use"(%a, %b) : (memref<20xf32>, memref<3xi8>) -> ()
  "test.use"(%b, %c) : (memref<3xi8>, memref<5xi64>) -> ()
  "test.use"(%c) : (memref<5xi64>) -> ()
  return
}

// -----

// A view keeps its buffer alive.
// CHECK-LABEL: func.func @view
// CHECK-SAME: spikequant.arena_bytes = 128 : i64
func.func @view(%arena: memref<?xi8> {spikequant.arena}) {
  %a = memref.alloc() : memref<16xf32>
  %b = memref.alloc() : memref<16xf32>
  "test.use"(%a) : (memref<16xf32>) -> ()
  %v = memref.expand_shape %a [[0, 1]] output_shape [4, 4] : memref<16xf32> into memref<4x4xf32>
  "test.use"(%b) : (memref<16xf32>) -> ()
  "test.use"(%v) : (memref<4x4xf32>) -> ()
  return
}

// -----

// Without the later use of the view they share.
// CHECK-LABEL: func.func @no_view
// CHECK-SAME: spikequant.arena_bytes = 64 : i64
func.func @no_view(%arena: memref<?xi8> {spikequant.arena}) {
  %a = memref.alloc() : memref<16xf32>
  %b = memref.alloc() : memref<16xf32>
  "test.use"(%a) : (memref<16xf32>) -> ()
  "test.use"(%b) : (memref<16xf32>) -> ()
  return
}

// -----

// A buffer used in a loop lives during the whole loop.
// CHECK-LABEL: func.func @loop
// CHECK-SAME: spikequant.arena_bytes = 128 : i64
// CHECK-NOT: memref.alloc
func.func @loop(%arena: memref<?xi8> {spikequant.arena}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c9 = arith.constant 9 : index
  scf.for %i = %c0 to %c9 step %c1 {
    %a = memref.alloc() : memref<16xf32>
    "test.use"(%a) : (memref<16xf32>) -> ()
    %b = memref.alloc() : memref<16xf32>
    "test.use"(%b) : (memref<16xf32>) -> ()
  }
  return
}

// -----

func.func @dynamic(%arena: memref<?xi8> {spikequant.arena}, %n: index) {
  // expected-error@+1 {{cannot plan memory for 'memref<?xf32>': only static shapes are supported}}
  %a = memref.alloc(%n) : memref<?xf32>
  "test.use"(%a) : (memref<?xf32>) -> ()
  return
}

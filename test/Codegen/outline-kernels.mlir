// RUN: sq-opt %s --spikequant-outline-kernels --duplicate-function-elimination | FileCheck %s

// Two slices of one shape share a kernel, whatever sites they belong to; constants move into it; scalars and
// strided arrays are arguments.
// CHECK-LABEL: func.func @f
// CHECK: call @[[FILL:fill_4]](%{{.*}}) : (memref<4xf32, strided<[1], offset: ?>>)
// CHECK: call @[[FILL]](%{{.*}}) : (memref<4xf32, strided<[1], offset: ?>>)
// CHECK: call @[[ADD:.*]](%{{.*}}, %{{.*}}) : (memref<8xindex>, index)
// CHECK: call @copy_4(
// CHECK: call @store
// CHECK-NOT: linalg.
// CHECK: return
func.func @f(%x: memref<8xf32>, %n: index, %y: memref<8xindex>, %z: memref<4xf32>, %s: memref<f32>) {
  %zero = arith.constant 0.0 : f32
  %a = memref.subview %x[0] [4] [1] : memref<8xf32> to memref<4xf32, strided<[1]>>
  %b = memref.subview %x[4] [4] [1] : memref<8xf32> to memref<4xf32, strided<[1], offset: 4>>
  linalg.fill {spikequant.site = "a"} ins(%zero : f32) outs(%a : memref<4xf32, strided<[1]>>)
  linalg.fill {spikequant.site = "b"} ins(%zero : f32) outs(%b : memref<4xf32, strided<[1], offset: 4>>)
  linalg.generic {indexing_maps = [affine_map<(i) -> (i)>], iterator_types = ["parallel"]} outs(%y : memref<8xindex>) {
  ^bb0(%out: index):
    %i = linalg.index 0 : index
    %0 = arith.addi %i, %n : index
    linalg.yield %0 : index
  }
  memref.copy %a, %z : memref<4xf32, strided<[1]>> to memref<4xf32>
  memref.store %zero, %s[] : memref<f32>
  return
}

// A loop that does nothing but scalar work on memory is one kernel; one with a kernel in it is not.
// CHECK-LABEL: func.func @loops
// CHECK-NEXT: arith.constant
// CHECK: call @for(
// CHECK: scf.for
// CHECK-NEXT: func.call @fill_4_{{[0-9]}}(
// CHECK: return
func.func @loops(%x: memref<8xf32>, %y: memref<4xf32>, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f32
  scf.for %i = %c0 to %n step %c1 {
    %v = memref.load %x[%i] : memref<8xf32>
    %p = arith.cmpf olt, %v, %zero : f32
    scf.if %p {
      memref.store %zero, %x[%i] : memref<8xf32>
    }
  }
  scf.for %i = %c0 to %n step %c1 {
    linalg.fill ins(%zero : f32) outs(%y : memref<4xf32>)
  }
  return
}

// CHECK: func.func private @[[FILL]](%[[M:.*]]: memref<4xf32, strided<[1], offset: ?>>) attributes {spikequant.kernel}
// CHECK: %[[ZERO:.*]] = arith.constant 0.0
// CHECK: linalg.fill ins(%[[ZERO]] : f32) outs(%[[M]]
// CHECK: func.func private @[[ADD]](%{{.*}}: memref<8xindex>, %[[N:.*]]: index)
// CHECK: linalg.index 0
// CHECK: arith.addi %{{.*}}, %[[N]]
// A copy is a loop, not a call of a run-time library.
// CHECK: func.func private @copy_4
// CHECK: linalg.generic
// CHECK-NOT: memref.copy
// CHECK: func.func private @store
// CHECK: func.func private @for(
// CHECK: scf.for
// CHECK: scf.if
// CHECK: memref.store

// RUN: sq-opt %s --spikequant-workshare="profile=true" | FileCheck %s

// CHECK-LABEL: func.func @graph
// CHECK: %[[NONE:.*]] = llvm.mlir.zero : !llvm.ptr
// CHECK-NEXT: call @sq_rt_profile(%[[NONE]])
// CHECK: call @serial
// The barrier belongs to the kernel.
// CHECK-NEXT: omp.barrier
// CHECK: %[[NAME:.*]] = llvm.getelementptr
// CHECK-NEXT: call @sq_rt_profile(%[[NAME]])
func.func private @serial(%x: memref<f32>) attributes {spikequant.kernel} {
  %v = arith.constant 1.0 : f32
  memref.store %v, %x[] : memref<f32>
  return
}
func.func private @shared(%x: memref<8xf32>) attributes {spikequant.kernel} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %v = arith.constant 1.0 : f32
  scf.parallel (%i) = (%c0) to (%c8) step (%c1) {
    memref.store %v, %x[%i] : memref<8xf32>
    scf.reduce
  }
  return
}
func.func @graph(%x: memref<f32>, %y: memref<8xf32>, %arena: memref<?xi8> {spikequant.arena}) {
  call @serial(%x) : (memref<f32>) -> ()
  call @shared(%y) : (memref<8xf32>) -> ()
  return
}

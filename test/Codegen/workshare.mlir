// RUN: sq-opt %s --spikequant-workshare --split-input-file --verify-diagnostics | FileCheck %s

// CHECK-LABEL: func.func private @parallel
// CHECK: omp.wsloop {
// CHECK-NEXT: omp.loop_nest (%[[I:.*]], %{{.*}}) : index = {{.*}} collapse(2)
// CHECK-NOT: scf.parallel
// The inner loop belongs to the thread that has the iteration.
// CHECK: scf.for
// CHECK: omp.yield
func.func private @parallel(%x: memref<8x4xf32>) attributes {spikequant.kernel} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %c4 = arith.constant 4 : index
  %v = arith.constant 1.0 : f32
  scf.parallel (%i, %j) = (%c0, %c0) to (%c8, %c4) step (%c1, %c1) {
    scf.for %k = %c0 to %c4 step %c1 {
      memref.store %v, %x[%i, %k] : memref<8x4xf32>
    }
    scf.reduce
  }
  return
}

// -----

// CHECK-LABEL: func.func private @sequential
// CHECK-NEXT: omp.single {
// CHECK: memref.store
// CHECK: omp.terminator
// CHECK-NEXT: }
// CHECK-NEXT: return
func.func private @sequential(%x: memref<f32>) attributes {spikequant.kernel} {
  %v = arith.constant 1.0 : f32
  memref.store %v, %x[] : memref<f32>
  return
}

// -----

func.func private @reducing(%x: memref<8xf32>, %y: memref<8xf32>) attributes {spikequant.kernel} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %z = arith.constant 0.0 : f32
  // expected-error@+1 {{a parallel loop of a kernel cannot reduce}}
  %r = scf.parallel (%i) = (%c0) to (%c8) step (%c1) init (%z) -> f32 {
    %v = memref.load %x[%i] : memref<8xf32>
    scf.reduce(%v : f32) {
    ^bb0(%a: f32, %b: f32):
      %0 = arith.addf %a, %b : f32
      scf.reduce.return %0 : f32
    }
  }
  return
}

// -----

// The host is called by one thread, with the site's index in the table.
// CHECK-LABEL: func.func @observing
// CHECK-SAME: %[[X:.*]]: memref<2x3x4xf32>
// CHECK-SAME: %[[CALL:[a-z0-9]+]]: !llvm.ptr {spikequant.call}
// CHECK: omp.single {
// CHECK-DAG: %[[SITE:.*]] = arith.constant 1 : i32
// CHECK-DAG: %[[ROWS:.*]] = arith.constant 6 : i64
// CHECK-DAG: %[[COLUMNS:.*]] = arith.constant 4 : i64
// CHECK-DAG: %[[P:.*]] = llvm.inttoptr
// CHECK: func.call @sq_rt_observe(%[[CALL]], %[[SITE]], %[[P]], %{{.*}}, %[[ROWS]], %[[COLUMNS]])
// CHECK: omp.terminator
func.func @observing(%x: memref<2x3x4xf32>, %w: memref<?xi8> {spikequant.weights_file}, %a: memref<?xi8> {spikequant.arena},
                     %s: memref<?xi64> {spikequant.salient}, %c: !llvm.ptr {spikequant.call})
    attributes {spikequant.sites = ["first", "second"]} {
  spikequant.observe %x {site = "second"} : memref<2x3x4xf32>
  return
}

// -----

// A scalar that a later kernel may overwrite: every thread reads it first. An
// input is never written and needs no barrier.
// CHECK-LABEL: func.func @scalar_reads
// CHECK: memref.load %{{.*}}[] : memref<i32>
// CHECK-NOT: omp.barrier
// CHECK: %{{.*}} = memref.load %{{.*}}[] : memref<i64>
// CHECK-NEXT: omp.barrier
func.func @scalar_reads(%x: memref<i32>, %y: memref<i64> {spikequant.state = 0 : i64}, %a: memref<?xi8> {spikequant.arena}) {
  %0 = memref.load %x[] : memref<i32>
  %1 = memref.load %y[] : memref<i64>
  return
}

// RUN: sq-opt %s --convert-linalg-to-vector-loops --cse --split-input-file | FileCheck %s

// The example of the pass's description.
// CHECK-LABEL: func @add
// CHECK-SAME: %[[A:.*]]: memref<64xf32>, %[[B:.*]]: memref<64xf32>, %[[C:.*]]: memref<64xf32>
// CHECK: scf.parallel (%{{.*}}) = (%c0) to (%c1) step (%c1) {
// CHECK: scf.for %[[J:.*]] = %c0 to %c64 step %c16 {
// CHECK: %[[X:.*]] = vector.load %[[A]][%[[J]]] : memref<64xf32>, vector<16xf32>
// CHECK: %[[Y:.*]] = vector.load %[[B]][%[[J]]] : memref<64xf32>, vector<16xf32>
// CHECK: %[[Z:.*]] = arith.addf %[[X]], %[[Y]] : vector<16xf32>
// CHECK: vector.store %[[Z]], %[[C]][%[[J]]] : memref<64xf32>, vector<16xf32>
func.func @add(%a: memref<64xf32>, %b: memref<64xf32>, %c: memref<64xf32>) {
  linalg.add ins(%a, %b : memref<64xf32>, memref<64xf32>) outs(%c : memref<64xf32>)
  return
}

// -----

// A scalar per row is loaded once per row; 33 = 2 x 16 + 1.
// CHECK-LABEL: func @scale_rows
// CHECK: scf.parallel
// CHECK: %[[S:.*]] = memref.load %{{.*}} : memref<128xf32>
// CHECK: scf.for {{.*}} to %c32 step %c16
// CHECK: vector.broadcast %[[S]] : f32 to vector<16xf32>
// CHECK: arith.mulf {{.*}} : vector<16xf32>
// CHECK: arith.mulf {{.*}}, %[[S]] : f32
func.func @scale_rows(%a: memref<128x33xf32>, %s: memref<128xf32>, %c: memref<128x33xf32>) {
  linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>],
                  iterator_types = ["parallel", "parallel"]}
    ins(%a, %s : memref<128x33xf32>, memref<128xf32>) outs(%c : memref<128x33xf32>) {
  ^bb0(%x: f32, %y: f32, %z: f32):
    %r = arith.mulf %x, %y : f32
    linalg.yield %r : f32
  }
  return
}

// -----

// Loops that every operand steps through as one are one: [128, 1, 64] is 8192 elements.
// CHECK-LABEL: func @merged
// CHECK: scf.parallel
// CHECK-NOT: arith.remui
// CHECK: scf.for {{.*}} step %c16
func.func @merged(%a: memref<128x1x64xf32>, %c: memref<128x1x64xf32>) {
  linalg.negf ins(%a : memref<128x1x64xf32>) outs(%c : memref<128x1x64xf32>)
  return
}

// -----

// Partial sums: the accumulator of sixteen lanes is carried.
// CHECK-LABEL: func @sum_lanes
// CHECK: %[[INIT:.*]] = vector.load {{.*}} : memref<320xf32>, vector<16xf32>
// CHECK: %[[SUM:.*]] = scf.for {{.*}} to %c36 step %c1 iter_args(%[[ACC:.*]] = %[[INIT]]) -> (vector<16xf32>)
// CHECK: %[[X:.*]] = vector.load
// CHECK: arith.addf %[[X]], %[[ACC]] : vector<16xf32>
// CHECK: vector.store %[[SUM]]
func.func @sum_lanes(%a: memref<20x36x16xf32>, %c: memref<20x16xf32>) {
  linalg.generic {indexing_maps = [affine_map<(i, k, j) -> (i, k, j)>, affine_map<(i, k, j) -> (i, j)>],
                  iterator_types = ["parallel", "reduction", "parallel"]}
    ins(%a : memref<20x36x16xf32>) outs(%c : memref<20x16xf32>) {
  ^bb0(%x: f32, %z: f32):
    %r = arith.addf %x, %z : f32
    linalg.yield %r : f32
  }
  return
}

// -----

// A sum over everything keeps its order: scalars.
// CHECK-LABEL: func @sum_all
// CHECK: scf.for {{.*}} to %c600 step %c1 iter_args(%{{.*}}) -> (f32)
// CHECK: arith.addf {{.*}} : f32
func.func @sum_all(%a: memref<20x30xf32>, %c: memref<f32>) {
  linalg.reduce { arith.addf } ins(%a : memref<20x30xf32>) outs(%c : memref<f32>) dimensions = [0, 1]
  return
}

// -----

// Positions: a step along the lanes, a broadcast across them.
// CHECK-LABEL: func @positions
// CHECK: vector.step : vector<16xindex>
// CHECK: arith.index_cast {{.*}} : vector<16xindex> to vector<16xi32>
func.func @positions(%c: memref<4x32xi32>) {
  linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
    outs(%c : memref<4x32xi32>) {
  ^bb0(%z: i32):
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %s = arith.addi %i, %j : index
    %r = arith.index_cast %s : index to i32
    linalg.yield %r : i32
  }
  return
}

// -----

// One bit per byte in memory, a vector of bits in registers.
// CHECK-LABEL: func @select
// CHECK: %[[BYTES:.*]] = llvm.load {{.*}} -> vector<16xi8>
// CHECK: %[[BITS:.*]] = arith.trunci %[[BYTES]] : vector<16xi8> to vector<16xi1>
// CHECK: arith.select %[[BITS]], {{.*}} : vector<16xi1>, vector<16xf32>
func.func @select(%p: memref<64xi1>, %a: memref<64xf32>, %c: memref<64xf32>) {
  linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>, affine_map<(i) -> (i)>],
                  iterator_types = ["parallel"]}
    ins(%p, %a : memref<64xi1>, memref<64xf32>) outs(%c : memref<64xf32>) {
  ^bb0(%x: i1, %y: f32, %z: f32):
    %r = arith.select %x, %y, %z : f32
    linalg.yield %r : f32
  }
  return
}

// -----

// A load in the payload gathers, from places of 32 bits where they were so.
// CHECK-LABEL: func @lookup
// CHECK: %[[IDS:.*]] = vector.load %{{.*}} : memref<64xi32>, vector<16xi32>
// CHECK: vector.gather %{{.*}}[%{{.*}}] [%[[IDS]]], {{.*}} : memref<100xf32>, vector<16xi32>, vector<16xi1>, vector<16xf32> into vector<16xf32>
func.func @lookup(%ids: memref<64xi32>, %table: memref<100xf32>, %c: memref<64xf32>) {
  linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
    ins(%ids : memref<64xi32>) outs(%c : memref<64xf32>) {
  ^bb0(%x: i32, %z: f32):
    %i = arith.index_cast %x : i32 to index
    %r = memref.load %table[%i] : memref<100xf32>
    linalg.yield %r : f32
  }
  return
}

// -----

// Bytes have no gather.
// CHECK-LABEL: func @lookup_bytes
// CHECK-NOT: vector<
// CHECK: memref.load
func.func @lookup_bytes(%ids: memref<64xi32>, %table: memref<100xi8>, %c: memref<64xi8>) {
  linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
    ins(%ids : memref<64xi32>) outs(%c : memref<64xi8>) {
  ^bb0(%x: i32, %z: i8):
    %i = arith.index_cast %x : i32 to index
    %r = memref.load %table[%i] : memref<100xi8>
    linalg.yield %r : i8
  }
  return
}

// -----

// Every write is inside an outermost loop, even of one element.
// CHECK-LABEL: func @rank_0
// CHECK: scf.parallel (%{{.*}}) = (%c0) to (%c1) step (%c1) {
// CHECK: arith.negf {{.*}} : f32
// CHECK: memref.store
// CHECK: scf.reduce
func.func @rank_0(%a: memref<f32>, %c: memref<f32>) {
  linalg.negf ins(%a : memref<f32>) outs(%c : memref<f32>)
  return
}

// -----

// CHECK-LABEL: func @empty
// CHECK-NEXT: return
func.func @empty(%a: memref<0x4xf32>, %c: memref<0x4xf32>) {
  linalg.negf ins(%a : memref<0x4xf32>) outs(%c : memref<0x4xf32>)
  return
}

// -----

// CHECK-LABEL: func @fill
// CHECK: vector.broadcast %{{.*}} : f32 to vector<16xf32>
// CHECK: vector.store
func.func @fill(%v: f32, %c: memref<4x32xf32>) {
  linalg.fill ins(%v : f32) outs(%c : memref<4x32xf32>)
  return
}

// -----

// CHECK-LABEL: func @copy
// CHECK-NOT: memref.copy
// CHECK: vector.load {{.*}} vector<64xi8>
// CHECK: vector.store {{.*}} vector<64xi8>
func.func @copy(%a: memref<256xi8>, %c: memref<256xi8>) {
  memref.copy %a, %c : memref<256xi8> to memref<256xi8>
  return
}

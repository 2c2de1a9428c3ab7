// RUN: sq-opt %s --convert-linalg-to-vector-loops --cse --split-input-file | FileCheck %s
// RUN: sq-opt %s --pass-pipeline='builtin.module(func.func(convert-linalg-to-vector-loops{vector-bits=256},cse))' \
// RUN:   --split-input-file | FileCheck %s --check-prefix=NARROW

// One register tile: 8 rows x 2 vectors, k innermost, accumulators carried.
// CHECK-LABEL: func @matmul_tile
// CHECK-SAME: %[[A:.*]]: memref<8x4xf32>, %[[B:.*]]: memref<4x32xf32>, %[[C:.*]]: memref<8x32xf32>
// CHECK: %[[FA:.*]] = memref.reinterpret_cast %[[A]] {{.*}} to memref<32xf32>
// CHECK: %[[FB:.*]] = memref.reinterpret_cast %[[B]] {{.*}} to memref<128xf32>
// CHECK: %[[FC:.*]] = memref.reinterpret_cast %[[C]] {{.*}} to memref<256xf32>
// CHECK: scf.parallel (%{{.*}}) = (%c0) to (%c1) step (%c1)
// CHECK-COUNT-16: vector.load %[[FC]]
// CHECK: %[[SUM:.*]]:16 = scf.for %[[K:.*]] = %c0 to %c4 step %c1 iter_args
// CHECK: %[[ROW:.*]] = arith.muli %[[K]], %c32
// CHECK: %[[B0:.*]] = vector.load %[[FB]][%[[ROW]]] : memref<128xf32>, vector<16xf32>
// CHECK: %[[B1:.*]] = vector.load %[[FB]]
// CHECK: %[[S:.*]] = memref.load %[[FA]][%[[K]]]
// CHECK: %[[A0:.*]] = vector.broadcast %[[S]] : f32 to vector<16xf32>
// CHECK: math.fma %[[A0]], %[[B0]], %{{.*}} : vector<16xf32>
// CHECK: math.fma %[[A0]], %[[B1]], %{{.*}} : vector<16xf32>
// CHECK-COUNT-14: math.fma
// CHECK-NOT: math.fma
// CHECK: scf.yield
// CHECK-COUNT-16: vector.store %[[SUM]]#{{[0-9]+}}, %[[FC]]
// CHECK-NOT: arith.addf
// NARROW-LABEL: func @matmul_tile
// NARROW: scf.for {{.*}} -> (vector<8xf32>, {{.*}}) {
// NARROW-COUNT-8: math.fma {{.*}} : vector<8xf32>
// NARROW-NEXT: scf.yield
func.func @matmul_tile(%a: memref<8x4xf32>, %b: memref<4x32xf32>, %c: memref<8x32xf32>) {
  linalg.matmul ins(%a, %b : memref<8x4xf32>, memref<4x32xf32>) outs(%c : memref<8x32xf32>)
  return
}

// -----

// Columns outside; the last panel is one whole vector and a masked one; 5 + 4 rows.
// CHECK-LABEL: func @matmul_tails
// CHECK: scf.parallel (%[[P:.*]]) = (%c0) to (%c2) step (%c1)
// CHECK: %[[WHOLE:.*]] = arith.cmpi slt, %[[P]], %c1
// CHECK: scf.if %[[WHOLE]]
// CHECK-NOT: vector.maskedload
// CHECK: } else {
// CHECK: vector.load {{.*}} vector<16xf32>
// CHECK: %[[MASK:.*]] = vector.constant_mask [2] : vector<16xi1>
// CHECK: vector.maskedload %{{.*}}[%{{.*}}], %[[MASK]]
// CHECK: scf.for
// CHECK-COUNT-10: math.fma
// CHECK: vector.maskedstore
// CHECK: scf.for
// CHECK-COUNT-8: math.fma
// CHECK-NOT: math.fma
// CHECK: vector.maskedstore
func.func @matmul_tails(%a: memref<9x4xf32>, %b: memref<4x50xf32>, %c: memref<9x50xf32>) {
  linalg.matmul ins(%a, %b : memref<9x4xf32>, memref<4x50xf32>) outs(%c : memref<9x50xf32>)
  return
}

// -----

// CHECK-LABEL: func @matmul_one_row
// CHECK: scf.parallel (%{{.*}}) = (%c0) to (%c3) step
// CHECK: scf.for {{.*}} to %c80 step %c1
// CHECK-COUNT-4: math.fma {{.*}} : vector<16xf32>
// CHECK-NOT: math.fma
func.func @matmul_one_row(%a: memref<1x80xf32>, %b: memref<80x192xf32>, %c: memref<1x192xf32>) {
  linalg.matmul ins(%a, %b : memref<1x80xf32>, memref<80x192xf32>) outs(%c : memref<1x192xf32>)
  return
}

// -----

// A large panel is read in address order, sixteen rows at a time.
// CHECK-LABEL: func @matmul_stream
// CHECK: scf.parallel (%{{.*}}) = (%c0) to (%c4) step
// CHECK: scf.for {{.*}} to %c576 step %c16
// CHECK-COUNT-16: vector.broadcast
// CHECK: scf.for {{.*}} step %c16
// CHECK: vector.load
// CHECK-COUNT-16: math.fma {{.*}} : vector<16xf32>
// CHECK-NOT: math.fma
// CHECK: vector.store
func.func @matmul_stream(%a: memref<1x576xf32>, %b: memref<576x1536xf32>, %c: memref<1x1536xf32>) {
  linalg.matmul ins(%a, %b : memref<1x576xf32>, memref<576x1536xf32>) outs(%c : memref<1x1536xf32>)
  return
}

// -----

// Batches and panels share one loop; rows are divided too where both are few.
// CHECK-LABEL: func @batch_matmul
// CHECK: scf.parallel (%{{.*}}) = (%c0) to (%c18) step
// CHECK-NOT: scf.parallel
func.func @batch_matmul(%a: memref<3x96x64xf32>, %b: memref<3x64x64xf32>, %c: memref<3x96x64xf32>) {
  linalg.batch_matmul ins(%a, %b : memref<3x96x64xf32>, memref<3x64x64xf32>) outs(%c : memref<3x96x64xf32>)
  return
}

// -----

// Columns that are not contiguous in any input: lanes are gathered, still fused.
// CHECK-LABEL: func @matmul_transposed_rhs
// CHECK: scf.parallel
// CHECK: vector.from_elements
// CHECK: math.fma {{.*}} : vector<16xf32>
#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (n, k)>
#c = affine_map<(m, n, k) -> (m, n)>
func.func @matmul_transposed_rhs(%a: memref<4x8xf32>, %b: memref<16x8xf32>, %c: memref<4x16xf32>) {
  linalg.matmul indexing_maps = [#a, #b, #c] ins(%a, %b : memref<4x8xf32>, memref<16x8xf32>) outs(%c : memref<4x16xf32>)
  return
}

// -----

// No parallel loop: one sequential chain.
// CHECK-LABEL: func @dot
// CHECK: scf.parallel
// CHECK: scf.for
// CHECK: math.fma {{.*}} : f32
func.func @dot(%a: memref<40xf32>, %b: memref<40xf32>, %c: memref<f32>) {
  linalg.dot ins(%a, %b : memref<40xf32>, memref<40xf32>) outs(%c : memref<f32>)
  return
}

// -----

// CHECK-LABEL: func @matmul_integers
// CHECK: arith.muli {{.*}} : vector<16xi32>
// CHECK: arith.addi {{.*}} : vector<16xi32>
func.func @matmul_integers(%a: memref<8x4xi32>, %b: memref<4x32xi32>, %c: memref<8x32xi32>) {
  linalg.matmul ins(%a, %b : memref<8x4xi32>, memref<4x32xi32>) outs(%c : memref<8x32xi32>)
  return
}

// -----

// Half precision keeps its two roundings.
// CHECK-LABEL: func @matmul_half
// CHECK-NOT: math.fma
// CHECK: arith.mulf {{.*}} : vector<{{.*}}xf16>
// CHECK: arith.addf {{.*}} : vector<{{.*}}xf16>
func.func @matmul_half(%a: memref<8x4xf16>, %b: memref<4x32xf16>, %c: memref<8x32xf16>) {
  linalg.matmul ins(%a, %b : memref<8x4xf16>, memref<4x32xf16>) outs(%c : memref<8x32xf16>)
  return
}

// -----

// Views keep their strides and offset.
// CHECK-LABEL: func @matmul_views
// CHECK: memref.extract_strided_metadata
// CHECK: memref.reinterpret_cast {{.*}} to memref<{{[0-9]+}}xf32, strided<[1], offset: ?>>
// CHECK: math.fma {{.*}} : vector<16xf32>
func.func @matmul_views(%a: memref<8x4xf32, strided<[9, 1], offset: ?>>, %b: memref<4x32xf32>,
                        %c: memref<8x32xf32, strided<[64, 1], offset: 32>>) {
  linalg.matmul ins(%a, %b : memref<8x4xf32, strided<[9, 1], offset: ?>>, memref<4x32xf32>)
    outs(%c : memref<8x32xf32, strided<[64, 1], offset: 32>>)
  return
}

// -----

// CHECK-LABEL: func @matmul_dynamic
// CHECK: scf.parallel (%{{.*}}) = (%c0) to (%c1) step (%c1)
// CHECK: math.fma {{.*}} : f32
func.func @matmul_dynamic(%a: memref<?x4xf32>, %b: memref<4x32xf32>, %c: memref<?x32xf32>) {
  linalg.matmul ins(%a, %b : memref<?x4xf32>, memref<4x32xf32>) outs(%c : memref<?x32xf32>)
  return
}

// -----

// Nothing to add: the output stays as it is.
// CHECK-LABEL: func @matmul_empty
// CHECK-NEXT: return
func.func @matmul_empty(%a: memref<8x0xf32>, %b: memref<0x32xf32>, %c: memref<8x32xf32>) {
  linalg.matmul ins(%a, %b : memref<8x0xf32>, memref<0x32xf32>) outs(%c : memref<8x32xf32>)
  return
}

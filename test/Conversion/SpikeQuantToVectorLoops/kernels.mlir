// RUN: sq-opt %s --convert-spikequant-to-vector-loops --canonicalize --cse --split-input-file | FileCheck %s

spikequant.weights @up : tensor<80x64xf32> format(#spikequant.codes<bits = 4, group = 32>) source("up")
  {spikequant.layout = {codes = 128, offset_bits = 16, scales = 3200, column_max = 3520, max_row_sum = 1000}}
spikequant.weights @gate : tensor<80x64xf32> format(#spikequant.codes<bits = 4, group = 32>) source("gate")
  {spikequant.layout = {codes = 4096, offset_bits = 16, scales = 7168, column_max = 7488, max_row_sum = 2000}}

// Two layers of one shape share a kernel; what differs are the arguments. The
// slack is 2^31 - 1 - 127 R: 2147356647 and 2147229647.
// CHECK-LABEL: func @two_layers_one_kernel
// CHECK-SAME: %[[D:.*]]: memref<4x64xi8>, %[[S:.*]]: memref<4x2xi32>, %[[O:.*]]: memref<4x130xi32>, %[[Y:.*]]: memref<4x80xf32>, %[[Z:.*]]: memref<4x80xf32>, %[[FILE:.*]]: memref<?xi8>
// CHECK-DAG: %[[R1:.*]] = arith.constant 2147356647 : i64
// CHECK-DAG: %[[R2:.*]] = arith.constant 2147229647 : i64
// CHECK-DAG: %[[STEP1:.*]] = arith.constant 1.250000e-01 : f32
// CHECK-DAG: %[[STEP2:.*]] = arith.constant 2.500000e-01 : f32
// CHECK-DAG: %[[A1:.*]] = arith.constant 128 : index
// CHECK-DAG: %[[A2:.*]] = arith.constant 4096 : index
// CHECK: %[[U1:.*]] = memref.view %[[FILE]][%[[A1]]][] : memref<?xi8> to memref<3072xi8>
// CHECK: %[[W1:.*]] = memref.view %[[FILE]][{{.*}}][] : memref<?xi8> to memref<80xf32>
// CHECK: %[[X1:.*]] = memref.view %[[FILE]][{{.*}}][] : memref<?xi8> to memref<64xi32>
// CHECK: call @sq_integrate_m4_n80_k64_g32_c4(%[[D]], %[[S]], %[[O]], %[[Y]], %[[U1]], %[[W1]], %[[X1]], %[[R1]], %[[STEP1]])
// CHECK: %[[U2:.*]] = memref.view %[[FILE]][%[[A2]]][]
// CHECK: call @sq_integrate_m4_n80_k64_g32_c4(%[[D]], %[[S]], %[[O]], %[[Z]], %[[U2]], {{.*}}, %[[R2]], %[[STEP2]])

// CHECK-LABEL: func private @sq_integrate_m4_n80_k64_g32_c4
// CHECK-SAME: attributes {spikequant.kernel}
// Two panels, of 4 tiles and of 1.
// CHECK: scf.parallel (%{{.*}}) = (%c0) to (%c2) step (%c1)
// CHECK: scf.if
// CHECK: spikequant.dot4
// CHECK-NOT: func private @sq_integrate
func.func @two_layers_one_kernel(%d: memref<4x64xi8>, %s: memref<4x2xi32>, %o: memref<4x130xi32>,
    %y: memref<4x80xf32>, %z: memref<4x80xf32>, %file: memref<?xi8> {spikequant.weights_file}) {
  spikequant.integrate_decode {weights = @up, step = 0.125 : f32}
    ins(%d, %s, %o : memref<4x64xi8>, memref<4x2xi32>, memref<4x130xi32>) outs(%y : memref<4x80xf32>)
  spikequant.integrate_decode {weights = @gate, step = 0.25 : f32}
    ins(%d, %s, %o : memref<4x64xi8>, memref<4x2xi32>, memref<4x130xi32>) outs(%z : memref<4x80xf32>)
  return
}

// -----

// 127 * 17000000 does not fit i32: accumulators of 64 bits, another kernel.
spikequant.weights @wide : tensor<16x8xf32> format(#spikequant.codes<bits = 8, group = 0>) source("wide")
  {spikequant.layout = {codes = 64, offset_bits = 16, scales = 320, column_max = 384, max_row_sum = 17000000}}

// CHECK-LABEL: func @wide_accumulators
// CHECK: call @sq_integrate_m1_n16_k8_g8_c8_wide_tapped
// CHECK: func private @sq_integrate_m1_n16_k8_g8_c8_wide_tapped
// CHECK: spikequant.dot4
// CHECK: arith.extsi %{{.*}} : vector<16xi32> to vector<16xi64>
// CHECK: vector.store %{{.*}} : memref<1x16xi64>, vector<16xi64>
func.func @wide_accumulators(%d: memref<1x8xi8>, %s: memref<1x1xi32>, %o: memref<1x18xi32>,
    %y: memref<1x16xf32>, %acc: memref<1x16xi64>, %file: memref<?xi8> {spikequant.weights_file}) {
  spikequant.integrate_decode {weights = @wide, step = 1.0 : f32}
    ins(%d, %s, %o : memref<1x8xi8>, memref<1x1xi32>, memref<1x18xi32>)
    outs(%y, %acc : memref<1x16xf32>, memref<1x16xi64>)
  return
}

// -----

spikequant.weights @bits : tensor<32xi8> format(#spikequant.real) source("bits") {spikequant.layout = {data = 64}}

// CHECK-LABEL: func @encode_and_tally
// CHECK-SAME: %[[X:.*]]: memref<2x32xf32, strided<[64, 1], offset: ?>>, %[[D:.*]]: memref<2x32xi8>, %[[S:.*]]: memref<2x2xi32>, %[[O:.*]]: memref<2x66xi32>, %[[FILE:.*]]: memref<?xi8> {{.*}}, %[[COUNTERS:.*]]: memref<?xi64>
// CHECK-DAG: %[[STEP:.*]] = arith.constant 5.000000e-01 : f32
// CHECK-DAG: %[[SITE:.*]] = arith.constant 1 : index
// CHECK: %[[B:.*]] = memref.view %[[FILE]]{{.*}} to memref<32xi8>
// CHECK: call @sq_encode_m2_k32_g16_t1_bits(%[[X]], %[[D]], %[[S]], %[[O]], %[[B]], %[[STEP]])
// CHECK: call @sq_tally_m2(%[[O]], %[[COUNTERS]], %[[SITE]])

// CHECK-LABEL: func private @sq_encode_m2_k32_g16_t1_bits
// CHECK: scf.parallel (%[[ROW:.*]]) = (%c0) to (%c2) step (%c1)
// CHECK: %[[P:.*]] = arith.mulf %{{.*}}, %{{.*}} : vector<16xf32>
// CHECK: %[[V:.*]] = arith.addf %[[P]], %{{.*}} : vector<16xf32>
// CHECK: %[[NAN:.*]] = arith.cmpf uno, %[[V]], %[[V]]
// CHECK: math.floor %[[V]]
// The clamp comes before the conversion.
// CHECK: arith.cmpf ogt
// CHECK: arith.cmpf olt
// CHECK: %[[N:.*]] = arith.fptosi
// CHECK: arith.select %[[NAN]], %{{.*}}, %[[N]]
func.func @encode_and_tally(%x: memref<2x32xf32, strided<[64, 1], offset: ?>>, %d: memref<2x32xi8>,
    %s: memref<2x2xi32>, %o: memref<2x66xi32>, %file: memref<?xi8> {spikequant.weights_file},
    %salient: memref<?xi64> {spikequant.salient}) attributes {spikequant.sites = ["a", "b"]} {
  spikequant.encode_split {step = 0.5 : f32, site = "b", group = 16, bits = @bits, tolerance = 1 : i32}
    ins(%x : memref<2x32xf32, strided<[64, 1], offset: ?>>)
    outs(%d, %s, %o : memref<2x32xi8>, memref<2x2xi32>, memref<2x66xi32>)
  spikequant.tally %o {site = "b"} : memref<2x66xi32>
  return
}

// -----

spikequant.weights @e : tensor<100x12xf32> format(#spikequant.codes<bits = 4, group = 0>) source("e")
  {spikequant.layout = {codes = 64, offset_bits = 16, scales = 1408, column_max = 1920, max_row_sum = 1}}

// CHECK-LABEL: func private @sq_lookup_m3_n100_k12_g12_c4
// CHECK: scf.parallel (%{{.*}}) = (%c0) to (%c3)
// The id is clamped to the table; the tail of the row is masked.
// CHECK: arith.maxsi
// CHECK: arith.minsi
// CHECK: vector.store %{{.*}} : memref<3x12xf32>, vector<8xf32>
// CHECK: vector.maskedstore
func.func @lookup(%ids: memref<3xi64>, %y: memref<3x12xf32>, %file: memref<?xi8> {spikequant.weights_file}) {
  spikequant.lookup_rows {weights = @e} ins(%ids : memref<3xi64>) outs(%y : memref<3x12xf32>)
  return
}

// -----

// A stack of 5 matrices of 2 tiles, chosen by a number per slice of 2 rows: the
// blobs are five times as long; the number is clamped and shifts codes (2 tiles
// of 8 lines of 64 bytes and 2 groups of 48 bytes, rounded up to 64) and tiles.
spikequant.weights @stack : tensor<5x32x64xf32> format(#spikequant.codes<bits = 4, group = 32>) source("stack")
  {spikequant.layout = {codes = 128, offset_bits = 16, scales = 32768, column_max = 65536, max_row_sum = 1000}}

// CHECK-LABEL: func @chosen
// CHECK-SAME: %[[IDS:[a-z0-9]+]]: memref<3xi32>, %[[I:[a-z0-9]+]]: index
// CHECK: memref.view {{.*}} to memref<6080xi8>
// CHECK: memref.view {{.*}} to memref<160xf32>
// CHECK: memref.view {{.*}} to memref<64xi32>
// CHECK: call @sq_integrate_m2_n32_k64_g32_c4_l5_p3({{.*}}, %[[IDS]])
// CHECK: call @sq_integrate_m6_n32_k64_g32_c4_l5_p1({{.*}}, %[[I]])
// CHECK-LABEL: func private @sq_integrate_m2_n32_k64_g32_c4_l5_p3
// CHECK: scf.parallel (%[[SLICE:.*]]) = (%c0) to (%c3) step (%c1)
// CHECK: %[[ID:.*]] = memref.load %{{.*}}[%[[SLICE]]] : memref<3xi32>
// CHECK: %[[NUMBER:.*]] = arith.index_cast %[[ID]] : i32 to index
// CHECK: %[[LOW:.*]] = arith.maxsi %[[NUMBER]], %c0
// CHECK: %[[MATRIX:.*]] = arith.minsi %[[LOW]], %c4
// CHECK-DAG: arith.muli %[[MATRIX]], %c1216
// CHECK-DAG: arith.muli %[[MATRIX]], %c2
func.func @chosen(%d: memref<6x64xi8>, %s: memref<6x2xi32>, %o: memref<6x130xi32>, %y: memref<6x32xf32>,
    %ids: memref<3xi32>, %i: index, %file: memref<?xi8> {spikequant.weights_file}) {
  spikequant.integrate_decode {weights = @stack, step = 0.125 : f32}
    ins(%d, %s, %o : memref<6x64xi8>, memref<6x2xi32>, memref<6x130xi32>) index(%ids : memref<3xi32>)
    outs(%y : memref<6x32xf32>)
  spikequant.integrate_decode {weights = @stack, step = 0.125 : f32}
    ins(%d, %s, %o : memref<6x64xi8>, memref<6x2xi32>, memref<6x130xi32>) index(%i : index)
    outs(%y : memref<6x32xf32>)
  return
}

// RUN: sq-opt %s -split-input-file \
// RUN:   -spikequant-quantize="calibration=%S/Inputs/eight.calib.json rule=mad lookup-min-bytes=4096" \
// RUN:   -o %t.mlir --remarks-filter=spikequant-quantize 2> %t.remarks
// RUN: FileCheck %s --input-file=%t.mlir
// RUN: FileCheck %s --input-file=%t.remarks --check-prefix=REMARK

// The statistics of every site: 8 channels, one 0, six +-1, one 8. Expected by
// hand: the median of |x| is the middle of the bin [1, 1.125), so the step is
// 3.5 * 1.0625 / 7 = 0.53125. A channel of 1 needs 2 bits (L = 1, 2.5 steps =
// 1.33 > 1.125); the one of 8, in the bin [8, 9), needs L >= 16 and so 6 bits.

// The mean is (6 * 2 + 6) / 8 = 2.25 bits.

// CHECK: module attributes {spikequant.predicted = {activation_bits = 2.250000e+00 : f64, activation_bits_by_macs = 2.250000e+00 : f64, salient = 0.000000e+00 : f64, stored_bits = 2.250000e+00 : f64}, spikequant.sites_named}
// CHECK-DAG: spikequant.weights @q.in.bits : tensor<8xi8> format(#spikequant.real) value(dense<[0, 2, 2, 2, 2, 2, 2, 6]> : tensor<8xi8>)
// CHECK-DAG: spikequant.weights @q.codes : tensor<16x8xf32> format(#spikequant.codes<bits = 4>) source("q", [1, 0])
// CHECK-DAG: spikequant.weights @k.codes : tensor<4x8xf32> format(#spikequant.codes<bits = 4>) source("k"){{$}}
// CHECK-DAG: spikequant.weights @o.codes : tensor<8x8xf32> format(#spikequant.codes<bits = 8>) source("o", [1, 0])
// CHECK-NOT: spikequant.weights

// Two projections share an encode; one starts from a bias; "o" is returned.

// CHECK-LABEL: func.func @shared_input
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<2x8xf32>, %[[BIAS:[a-z0-9]+]]: tensor<2x4xf32>
// CHECK-SAME: attributes {spikequant.sites = ["q.in", "a.in"]}
func.func @shared_input(%x: tensor<2x8xf32>, %bias: tensor<2x4xf32>, %a: tensor<2x8xf32>,
                        %wq: tensor<8x16xf32> {spikequant.weight = "q"},
                        %wk: tensor<4x8xf32> {spikequant.weight = "k"},
                        %wa: tensor<8x8xf32> {spikequant.weight = "a"},
                        %wo: tensor<8x8xf32> {spikequant.weight = "o"})
    -> (tensor<2x16xf32>, tensor<2x4xf32>, tensor<2x8xf32>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x16xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x16xf32>) -> tensor<2x16xf32>
  // CHECK: %[[N:.*]] = spikequant.encode %[[X]] {bits = @q.in.bits, site = "q.in", step = 5.312500e-01 : f32, tolerance = 1 : i32} : tensor<2x8xf32> -> tensor<2x8xi16>
  // REMARK: [Passed] encode-site {{.*}} Function=shared_input | Remark="site 'q.in': step 0.53{{.*}}; channels per bits 0:1 2:6 6:1;
  // CHECK: %[[ACCQ:.*]] = spikequant.integrate %[[N]], @q.codes : tensor<2x8xi16> -> tensor<2x16xi64>
  // CHECK: %[[Q:.*]] = spikequant.decode %[[ACCQ]], @q.codes {step = 5.312500e-01 : f32} : tensor<2x16xi64> -> tensor<2x16xf32>
  %q = linalg.matmul ins(%x, %wq : tensor<2x8xf32>, tensor<8x16xf32>)
      outs(%f : tensor<2x16xf32>) -> tensor<2x16xf32>
  // CHECK: %[[QE:.*]] = math.exp %[[Q]]
  %qe = math.exp %q : tensor<2x16xf32>
  // CHECK: %[[ACCK:.*]] = spikequant.integrate %[[N]], @k.codes : tensor<2x8xi16> -> tensor<2x4xi64>
  // CHECK: %[[KD:.*]] = spikequant.decode %[[ACCK]], @k.codes {step = 5.312500e-01 : f32} : tensor<2x4xi64> -> tensor<2x4xf32>
  // CHECK: %[[K:.*]] = linalg.generic {{.*}} ins(%[[KD]], %[[BIAS]] : tensor<2x4xf32>, tensor<2x4xf32>)
  // CHECK: arith.addf
  %k = linalg.matmul
      indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>,
                       affine_map<(m, n, k) -> (m, n)>]
      ins(%x, %wk : tensor<2x8xf32>, tensor<4x8xf32>) outs(%bias : tensor<2x4xf32>) -> tensor<2x4xf32>
  %ke = math.exp %k : tensor<2x4xf32>
  // The weight "o" computes a result: 8 bits. The encode site is "a.in", named
  // after its first consumer, whose result nobody uses.
  // CHECK: spikequant.encode %{{.*}} {bits = @a.in.bits, site = "a.in",
  // REMARK: Function=shared_input | Remark="site 'a.in':
  // CHECK: spikequant.decode %{{.*}}, @o.codes
  %ea = tensor.empty() : tensor<2x8xf32>
  %fa = linalg.fill ins(%zero : f32) outs(%ea : tensor<2x8xf32>) -> tensor<2x8xf32>
  %ua = linalg.matmul ins(%a, %wa : tensor<2x8xf32>, tensor<8x8xf32>)
      outs(%fa : tensor<2x8xf32>) -> tensor<2x8xf32>
  %o = linalg.matmul ins(%a, %wo : tensor<2x8xf32>, tensor<8x8xf32>)
      outs(%fa : tensor<2x8xf32>) -> tensor<2x8xf32>
  // CHECK-NOT: linalg.matmul
  // CHECK: return %[[QE]], %{{.*}}, %{{.*}}
  return %qe, %ke, %o : tensor<2x16xf32>, tensor<2x4xf32>, tensor<2x8xf32>
}

// -----

// Activations of rank 3 and 1 become rows.

// CHECK-LABEL: func.func @ranks
// CHECK-SAME: %[[X3:[a-z0-9]+]]: tensor<2x3x8xf32>, %[[V:[a-z0-9]+]]: tensor<8xf32>
func.func @ranks(%x: tensor<2x3x8xf32>, %v: tensor<8xf32>,
                 %y3: tensor<2x3x4xf32>, %y1: tensor<16xf32>,
                 %w3: tensor<4x8xf32> {spikequant.weight = "rank3"},
                 %w1: tensor<16x8xf32> {spikequant.weight = "vector"})
    -> (tensor<2x3x4xf32>, tensor<16xf32>) {
  // CHECK: %[[ROWS:.*]] = tensor.collapse_shape %[[X3]] {{\[\[}}0, 1], [2]] : tensor<2x3x8xf32> into tensor<6x8xf32>
  // CHECK: spikequant.encode %[[ROWS]] {{.*}} : tensor<6x8xf32> -> tensor<6x8xi16>
  // CHECK: %[[D3:.*]] = spikequant.decode {{.*}} -> tensor<6x4xf32>
  // CHECK: tensor.expand_shape %[[D3]] {{\[\[}}0, 1], [2]] output_shape [2, 3, 4] : tensor<6x4xf32> into tensor<2x3x4xf32>
  %0 = linalg.generic {
      indexing_maps = [affine_map<(a, b, n, k) -> (a, b, k)>, affine_map<(a, b, n, k) -> (n, k)>,
                       affine_map<(a, b, n, k) -> (a, b, n)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%x, %w3 : tensor<2x3x8xf32>, tensor<4x8xf32>) outs(%y3 : tensor<2x3x4xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %c, %p : f32
    linalg.yield %s : f32
  } -> tensor<2x3x4xf32>
  // CHECK: %[[ROW:.*]] = tensor.expand_shape %[[V]] {{\[\[}}0, 1]] output_shape [1, 8] : tensor<8xf32> into tensor<1x8xf32>
  // CHECK: spikequant.encode %[[ROW]] {{.*}} : tensor<1x8xf32> -> tensor<1x8xi16>
  // CHECK: %[[D1:.*]] = spikequant.decode {{.*}} -> tensor<1x16xf32>
  // CHECK: tensor.collapse_shape %[[D1]] {{\[\[}}0, 1]] : tensor<1x16xf32> into tensor<16xf32>
  %1 = linalg.matvec ins(%w1, %v : tensor<16x8xf32>, tensor<8xf32>)
      outs(%y1 : tensor<16xf32>) -> tensor<16xf32>
  return %0, %1 : tensor<2x3x4xf32>, tensor<16xf32>
}

// -----

// The tied embedding: its gather and its product share 8-bit codes; a table
// that no site uses becomes codes only if it is large; a clamp to other bounds
// is no lookup.

// CHECK-DAG: spikequant.weights @embedding.codes : tensor<64x8xf32> format(#spikequant.codes<bits = 8>) source("embedding"){{$}}
// CHECK-DAG: spikequant.weights @large.codes : tensor<128x8xf32> format(#spikequant.codes<bits = 8>) source("large"){{$}}
// CHECK-DAG: spikequant.weights @small : tensor<64x8xf32> format(#spikequant.real)
// CHECK-DAG: spikequant.weights @other : tensor<128x8xf32> format(#spikequant.real)
// CHECK-LABEL: func.func @tied_embedding
// CHECK-SAME: %[[IDS:[a-z0-9]+]]: tensor<3xi32>, %[[ID:[a-z0-9]+]]: tensor<i64>, %[[IDS2:[a-z0-9]+]]: tensor<2x3xi32>
func.func @tied_embedding(%ids: tensor<3xi32>, %id: tensor<i64>, %ids2: tensor<2x3xi32>, %logits: tensor<3x64xf32>,
                     %e: tensor<64x8xf32> {spikequant.weight = "embedding"},
                     %large: tensor<128x8xf32> {spikequant.weight = "large"},
                     %small: tensor<64x8xf32> {spikequant.weight = "small"},
                     %other: tensor<128x8xf32> {spikequant.weight = "other"})
    -> (tensor<3x64xf32>, tensor<1x8xf32>, tensor<2x3x8xf32>, tensor<3x8xf32>, tensor<3x8xf32>) {
  %c0 = arith.constant 0 : index
  %c63 = arith.constant 63 : index
  %c126 = arith.constant 126 : index
  // CHECK: %[[COLUMN:.*]] = tensor.expand_shape %[[IDS]]
  // CHECK: %[[FLAT:.*]] = tensor.collapse_shape %[[COLUMN]] {{\[\[}}0, 1]] : tensor<3x1xi32> into tensor<3xi32>
  // CHECK: spikequant.lookup @embedding.codes[%[[FLAT]]] : tensor<3xi32> -> tensor<3x8xf32>
  // REMARK: Function=tied_embedding | Remark="gather from 'embedding' becomes a lookup of its codes"
  %column = tensor.expand_shape %ids [[0, 1]] output_shape [3, 1] : tensor<3xi32> into tensor<3x1xi32>
  %init = tensor.empty() : tensor<3x8xf32>
  %rows = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>],
                          iterator_types = ["parallel", "parallel"]} outs(%init : tensor<3x8xf32>) {
  ^bb0(%out: f32):
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %r = tensor.extract %column[%i, %c0] : tensor<3x1xi32>
    %r1 = arith.index_cast %r : i32 to index
    %r2 = arith.maxsi %r1, %c0 : index
    %r3 = arith.minsi %r2, %c63 : index
    %v = tensor.extract %e[%r3, %j] : tensor<64x8xf32>
    linalg.yield %v : f32
  } -> tensor<3x8xf32>
  // CHECK: spikequant.decode %{{.*}}, @embedding.codes
  %y = linalg.matmul
      indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>,
                       affine_map<(m, n, k) -> (m, n)>]
      ins(%rows, %e : tensor<3x8xf32>, tensor<64x8xf32>) outs(%logits : tensor<3x64xf32>) -> tensor<3x64xf32>
  // CHECK: %[[FLAT1:.*]] = tensor.expand_shape %[[ID]] [] output_shape [1] : tensor<i64> into tensor<1xi64>
  // CHECK: spikequant.lookup @large.codes[%[[FLAT1]]] : tensor<1xi64> -> tensor<1x8xf32>
  // REMARK: Function=tied_embedding | Remark="gather from 'large' becomes a lookup of its codes"
  %init1 = tensor.empty() : tensor<1x8xf32>
  %scalar = tensor.extract %id[] : tensor<i64>
  %single = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>],
                            iterator_types = ["parallel", "parallel"]} outs(%init1 : tensor<1x8xf32>) {
  ^bb0(%out: f32):
    %j = linalg.index 1 : index
    %r1 = arith.index_cast %scalar : i64 to index
    %v = tensor.extract %large[%r1, %j] : tensor<128x8xf32>
    linalg.yield %v : f32
  } -> tensor<1x8xf32>
  // Ids as an input of the gather, two row dimensions.
  // CHECK: %[[FLAT2:.*]] = tensor.collapse_shape %[[IDS2]] {{\[\[}}0, 1]] : tensor<2x3xi32> into tensor<6xi32>
  // CHECK: %[[ROWS2:.*]] = spikequant.lookup @large.codes[%[[FLAT2]]] : tensor<6xi32> -> tensor<6x8xf32>
  // CHECK: tensor.expand_shape %[[ROWS2]] {{\[\[}}0, 1], [2]] output_shape [2, 3, 8]
  %init2 = tensor.empty() : tensor<2x3x8xf32>
  %two = linalg.generic {indexing_maps = [affine_map<(a, b, j) -> (a, b)>, affine_map<(a, b, j) -> (a, b, j)>],
                         iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%ids2 : tensor<2x3xi32>) outs(%init2 : tensor<2x3x8xf32>) {
  ^bb0(%in: i32, %out: f32):
    %j = linalg.index 2 : index
    %r1 = arith.index_cast %in : i32 to index
    %v = tensor.extract %large[%r1, %j] : tensor<128x8xf32>
    linalg.yield %v : f32
  } -> tensor<2x3x8xf32>
  // REMARK: [Missed] gather {{.*}} Remark="gather from 'small' stays real: the table has only 2048 bytes"
  // CHECK: tensor.extract
  %keep = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>],
                          iterator_types = ["parallel", "parallel"]}
      ins(%ids : tensor<3xi32>) outs(%init : tensor<3x8xf32>) {
  ^bb0(%in: i32, %out: f32):
    %j = linalg.index 1 : index
    %r1 = arith.index_cast %in : i32 to index
    %v = tensor.extract %small[%r1, %j] : tensor<64x8xf32>
    linalg.yield %v : f32
  } -> tensor<3x8xf32>
  // CHECK: tensor.extract
  %clamped = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>],
                             iterator_types = ["parallel", "parallel"]}
      ins(%ids : tensor<3xi32>) outs(%init : tensor<3x8xf32>) {
  ^bb0(%in: i32, %out: f32):
    %j = linalg.index 1 : index
    %r1 = arith.index_cast %in : i32 to index
    %r2 = arith.minsi %r1, %c126 : index
    %v = tensor.extract %other[%r2, %j] : tensor<128x8xf32>
    linalg.yield %v : f32
  } -> tensor<3x8xf32>
  return %y, %single, %two, %keep, %clamped
      : tensor<3x64xf32>, tensor<1x8xf32>, tensor<2x3x8xf32>, tensor<3x8xf32>, tensor<3x8xf32>
}

// -----

// Consumers in two regions share an encode before both; sites that were left by
// name stay left.

spikequant.weights @q : tensor<8x16xf32> format(#spikequant.real) source("q")
spikequant.weights @k : tensor<8x16xf32> format(#spikequant.real) source("k")

// CHECK-LABEL: func.func @regions
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<2x8xf32>
func.func @regions(%x: tensor<2x8xf32>, %c: i1, %y: tensor<2x16xf32>) -> tensor<2x16xf32> {
  %wq = spikequant.load_weights @q : tensor<8x16xf32>
  %wk = spikequant.load_weights @k : tensor<8x16xf32>
  // CHECK: %[[N:.*]] = spikequant.encode %[[X]] {{.*}}site = "q.in"
  // CHECK: scf.if
  // CHECK: spikequant.integrate %[[N]], @q.codes
  // CHECK: else
  // CHECK: spikequant.integrate %[[N]], @k.codes
  %r = scf.if %c -> tensor<2x16xf32> {
    %0 = linalg.matmul ins(%x, %wq : tensor<2x8xf32>, tensor<8x16xf32>)
        outs(%y : tensor<2x16xf32>) -> tensor<2x16xf32>
    scf.yield %0 : tensor<2x16xf32>
  } else {
    %1 = linalg.matmul ins(%x, %wk : tensor<2x8xf32>, tensor<8x16xf32>)
        outs(%y : tensor<2x16xf32>) -> tensor<2x16xf32>
    scf.yield %1 : tensor<2x16xf32>
  }
  return %r : tensor<2x16xf32>
}

// -----

module attributes {spikequant.sites_named} {
  spikequant.weights @q : tensor<8x16xf32> format(#spikequant.real) source("q")
  // CHECK-LABEL: func.func @nothing_named
  // CHECK: linalg.matmul
  func.func @nothing_named(%x: tensor<2x8xf32>, %y: tensor<2x16xf32>) -> tensor<2x16xf32> {
    %w = spikequant.load_weights @q : tensor<8x16xf32>
    %0 = linalg.matmul ins(%x, %w : tensor<2x8xf32>, tensor<8x16xf32>)
        outs(%y : tensor<2x16xf32>) -> tensor<2x16xf32>
    return %0 : tensor<2x16xf32>
  }
}

// RUN: sq-opt %s -split-input-file -spikequant-weights-to-symbols \
// RUN:   -spikequant-name-sites="leave=^skip,\.gate$" -o %t.mlir \
// RUN:   --remarks-filter="spikequant-name-sites" 2> %t.remarks
// RUN: FileCheck %s --input-file=%t.mlir
// RUN: FileCheck %s --input-file=%t.remarks --check-prefix=REMARK

// Every way to say x W, and the second use of a weight.

// CHECK-LABEL: func.func @forms
func.func @forms(%x: tensor<2x64xf32>, %x3: tensor<2x3x64xf32>, %v: tensor<64xf32>,
                 %y: tensor<2x16xf32>, %y3: tensor<2x3x16xf32>, %z: tensor<16xf32>,
                 %w: tensor<64x16xf32> {spikequant.weight = "w"},
                 %wt: tensor<16x64xf32> {spikequant.weight = "wt"}) {
  // CHECK: linalg.matmul {spikequant.site = "w"} ins
  // REMARK: remark: [Passed] site-taken {{.*}} Function=forms | Remark="site 'w': weight of 16 outputs and 64 channels, stored [K, N]"
  %0 = linalg.matmul ins(%x, %w : tensor<2x64xf32>, tensor<64x16xf32>)
      outs(%y : tensor<2x16xf32>) -> tensor<2x16xf32>
  // CHECK: linalg.matmul
  // CHECK-SAME: spikequant.site = "wt"
  // REMARK: [Passed] site-taken {{.*}} Remark="site 'wt': weight of 16 outputs and 64 channels, stored [N, K]"
  %1 = linalg.matmul
      indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>,
                       affine_map<(m, n, k) -> (m, n)>]
      ins(%x, %wt : tensor<2x64xf32>, tensor<16x64xf32>)
      outs(%y : tensor<2x16xf32>) -> tensor<2x16xf32>
  // CHECK: linalg.matvec {spikequant.site = "wt.2"} ins
  // REMARK: [Passed] site-taken {{.*}} Remark="site 'wt.2':
  %2 = linalg.matvec ins(%wt, %v : tensor<16x64xf32>, tensor<64xf32>)
      outs(%z : tensor<16xf32>) -> tensor<16xf32>
  // CHECK: linalg.vecmat {spikequant.site = "w.2"} ins
  // REMARK: [Passed] site-taken {{.*}} Remark="site 'w.2':
  %3 = linalg.vecmat ins(%v, %w : tensor<64xf32>, tensor<64x16xf32>)
      outs(%z : tensor<16xf32>) -> tensor<16xf32>
  // Two row dimensions, weight first.
  // CHECK: linalg.generic
  // CHECK-SAME: attrs = {spikequant.site = "wt.3"}
  // REMARK: [Passed] site-taken {{.*}} Remark="site 'wt.3':
  %4 = linalg.generic {
      indexing_maps = [affine_map<(a, b, n, k) -> (n, k)>, affine_map<(a, b, n, k) -> (a, b, k)>,
                       affine_map<(a, b, n, k) -> (a, b, n)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%wt, %x3 : tensor<16x64xf32>, tensor<2x3x64xf32>) outs(%y3 : tensor<2x3x16xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %c, %p : f32
    linalg.yield %s : f32
  } -> tensor<2x3x16xf32>
  // A transposition in the graph makes a view; the key stays the source's.
  // CHECK: spikequant.load_weights @wt.t10 : tensor<64x16xf32>
  // CHECK: linalg.matmul {spikequant.site = "wt.4"} ins
  // REMARK: [Passed] site-taken {{.*}} Remark="site 'wt.4': weight of 16 outputs and 64 channels, stored [N, K]"
  %e = tensor.empty() : tensor<64x16xf32>
  %t = linalg.transpose ins(%wt : tensor<16x64xf32>) outs(%e : tensor<64x16xf32>) permutation = [1, 0]
  %5 = linalg.matmul ins(%x, %t : tensor<2x64xf32>, tensor<64x16xf32>)
      outs(%y : tensor<2x16xf32>) -> tensor<2x16xf32>
  return
}

// -----

// Products of activations are named after the site before them.

// CHECK-LABEL: func.func @attention
func.func @attention(%x: tensor<2x64xf32>, %y: tensor<2x64xf32>, %s: tensor<2x2xf32>,
                     %q: tensor<64x64xf32> {spikequant.weight = "q"},
                     %o: tensor<64x64xf32> {spikequant.weight = "o"}) {
  // CHECK: linalg.matmul {spikequant.site = "q"}
  // REMARK: Function=attention | Remark="site 'q':
  %0 = linalg.matmul ins(%x, %q : tensor<2x64xf32>, tensor<64x64xf32>)
      outs(%y : tensor<2x64xf32>) -> tensor<2x64xf32>
  // CHECK: spikequant.product = "q.qk"
  %1 = linalg.matmul
      indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>,
                       affine_map<(m, n, k) -> (m, n)>]
      ins(%0, %0 : tensor<2x64xf32>, tensor<2x64xf32>) outs(%s : tensor<2x2xf32>) -> tensor<2x2xf32>
  // CHECK: linalg.matmul {spikequant.product = "q.pv"}
  %2 = linalg.matmul ins(%1, %0 : tensor<2x2xf32>, tensor<2x64xf32>)
      outs(%y : tensor<2x64xf32>) -> tensor<2x64xf32>
  // CHECK: linalg.matmul {spikequant.site = "o"}
  // REMARK: Function=attention | Remark="site 'o':
  %3 = linalg.matmul ins(%2, %o : tensor<2x64xf32>, tensor<64x64xf32>)
      outs(%y : tensor<2x64xf32>) -> tensor<2x64xf32>
  // CHECK: linalg.matmul {spikequant.product = "o.qk"}
  %4 = linalg.matmul ins(%1, %3 : tensor<2x2xf32>, tensor<2x64xf32>)
      outs(%y : tensor<2x64xf32>) -> tensor<2x64xf32>
  // REMARK: [Missed] site-left {{.*}} Remark="'q.qk' left: a product of two activations"
  // REMARK: [Missed] site-left {{.*}} Remark="'q.pv' left: a product of two activations"
  // REMARK: [Missed] site-left {{.*}} Remark="'o.qk' left: a product of two activations"
  return
}

// -----

// Everything that stays real, and why.

// CHECK-LABEL: func.func @left
func.func @left(%x: tensor<2x64xf32>, %u: tensor<16x16xf32>, %y: tensor<2x16xf32>,
                %xh: tensor<2x64xf16>, %yh: tensor<2x16xf16>,
                %few: tensor<2x4xf32>, %i: index, %y2: tensor<2xf32>,
                %none: tensor<0x64xf32>, %empty: tensor<0x16xf32>,
                %skip: tensor<64x16xf32> {spikequant.weight = "skip.me"},
                %gate: tensor<64x16xf32> {spikequant.weight = "l0.gate"},
                %k4: tensor<4x16xf32> {spikequant.weight = "k4"},
                %w: tensor<64x16xf32> {spikequant.weight = "w"},
                %wh: tensor<64x16xf16> {spikequant.weight = "half"},
                %w2: tensor<2x64xf32> {spikequant.weight = "w2"},
                %wd: tensor<64x16xf64> {spikequant.weight = "double"},
                %w4: tensor<3x4x64x16xf32> {spikequant.weight = "w4"}) {
  // CHECK-NOT: spikequant.site =
  // REMARK: Function=left | Remark="contraction of 'skip.me' left: option 'leave' has '^skip'"
  %0 = linalg.matmul ins(%x, %skip : tensor<2x64xf32>, tensor<64x16xf32>)
      outs(%y : tensor<2x16xf32>) -> tensor<2x16xf32>
  // REMARK: Remark="contraction of 'l0.gate' left: option 'leave' has '\.gate$'"
  %1 = linalg.matmul ins(%x, %gate : tensor<2x64xf32>, tensor<64x16xf32>)
      outs(%y : tensor<2x16xf32>) -> tensor<2x16xf32>
  // REMARK: Remark="contraction of 'k4' left: it has only 4 channels"
  %2 = linalg.matmul ins(%few, %k4 : tensor<2x4xf32>, tensor<4x16xf32>)
      outs(%y : tensor<2x16xf32>) -> tensor<2x16xf32>
  // REMARK: Remark="contraction left: its element type is not f32"
  %3 = linalg.matmul ins(%xh, %wh : tensor<2x64xf16>, tensor<64x16xf16>)
      outs(%yh : tensor<2x16xf16>) -> tensor<2x16xf16>
  // REMARK: Remark="contraction left: both operands are weights"
  %4 = linalg.matmul
      indexing_maps = [affine_map<(m, n, k) -> (k, m)>, affine_map<(m, n, k) -> (k, n)>,
                       affine_map<(m, n, k) -> (m, n)>]
      ins(%w, %skip : tensor<64x16xf32>, tensor<64x16xf32>)
      outs(%u : tensor<16x16xf32>) -> tensor<16x16xf32>
  // REMARK: Remark="contraction left: its weight is computed at run time, by 'math.exp'"
  %e = math.exp %w : tensor<64x16xf32>
  %5 = linalg.matmul ins(%x, %e : tensor<2x64xf32>, tensor<64x16xf32>)
      outs(%y : tensor<2x16xf32>) -> tensor<2x16xf32>
  // REMARK: Remark="contraction left: its weight has no dimension of outputs"
  %6 = linalg.generic {
      indexing_maps = [affine_map<(m, k) -> (m, k)>, affine_map<(m, k) -> (m, k)>,
                       affine_map<(m, k) -> (m)>],
      iterator_types = ["parallel", "reduction"]}
      ins(%x, %w2 : tensor<2x64xf32>, tensor<2x64xf32>) outs(%y2 : tensor<2xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %p = arith.mulf %a, %b : f32
    %q = arith.addf %c, %p : f32
    linalg.yield %q : f32
  } -> tensor<2xf32>
  // REMARK: Remark="contraction left: its weight is computed at run time, by 'arith.mulf'"
  %narrow = tensor.empty() : tensor<64x16xf32>
  %h = linalg.generic {
      indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]} ins(%w : tensor<64x16xf32>) outs(%narrow : tensor<64x16xf32>) {
  ^bb0(%a: f32, %b: f32):
    %t = arith.mulf %a, %a : f32
    linalg.yield %t : f32
  } -> tensor<64x16xf32>
  %7 = linalg.matmul ins(%x, %h : tensor<2x64xf32>, tensor<64x16xf32>)
      outs(%y : tensor<2x16xf32>) -> tensor<2x16xf32>
  // REMARK: Remark="contraction left: its weight is stored as f64"
  %single = linalg.generic {
      indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]} ins(%wd : tensor<64x16xf64>) outs(%narrow : tensor<64x16xf32>) {
  ^bb0(%a: f64, %b: f32):
    %t = arith.truncf %a : f64 to f32
    linalg.yield %t : f32
  } -> tensor<64x16xf32>
  %13 = linalg.matmul ins(%x, %single : tensor<2x64xf32>, tensor<64x16xf32>)
      outs(%y : tensor<2x16xf32>) -> tensor<2x16xf32>
  // REMARK: Remark="contraction left: its weight is a slice of 64 that starts at a place known at run time"
  %wide = tensor.collapse_shape %w4 [[0, 1, 2], [3]] : tensor<3x4x64x16xf32> into tensor<768x16xf32>
  %part = tensor.extract_slice %wide[%i, 0] [64, 16] [1, 1] : tensor<768x16xf32> to tensor<64x16xf32>
  %8 = linalg.matmul ins(%x, %part : tensor<2x64xf32>, tensor<64x16xf32>)
      outs(%y : tensor<2x16xf32>) -> tensor<2x16xf32>
  // REMARK: Remark="contraction left: its weight is a constant of only 4 elements"
  %tiny = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %9 = linalg.matmul ins(%tiny, %x : tensor<2x2xf32>, tensor<2x64xf32>)
      outs(%x : tensor<2x64xf32>) -> tensor<2x64xf32>
  // REMARK: Remark="contraction left: its weight is a constant of equal elements"
  %splat = arith.constant dense<0.5> : tensor<64x16xf32>
  %10 = linalg.matmul ins(%x, %splat : tensor<2x64xf32>, tensor<64x16xf32>)
      outs(%y : tensor<2x16xf32>) -> tensor<2x16xf32>
  // REMARK: Remark="contraction left: it is empty"
  %11 = linalg.matmul ins(%none, %gate : tensor<0x64xf32>, tensor<64x16xf32>)
      outs(%empty : tensor<0x16xf32>) -> tensor<0x16xf32>
  return
}

// -----

// A depthwise convolution has no outputs beside its channels.

// CHECK-LABEL: func.func @depthwise
// REMARK: Function=depthwise | Remark="contraction left: it is a convolution; its weight has no dimension of outputs"
func.func @depthwise(%x: tensor<1x9x8xf32>, %y: tensor<1x7x8xf32>,
                     %w: tensor<3x8xf32> {spikequant.weight = "kernel"}) -> tensor<1x7x8xf32> {
  // CHECK-NOT: spikequant.site =
  %0 = linalg.depthwise_conv_1d_nwc_wc ins(%x, %w : tensor<1x9x8xf32>, tensor<3x8xf32>)
      outs(%y : tensor<1x7x8xf32>) -> tensor<1x7x8xf32>
  return %0 : tensor<1x7x8xf32>
}

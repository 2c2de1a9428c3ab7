// RUN: sq-opt %s -split-input-file -spikequant-quantize="method=rtn" -o %t.mlir \
// RUN:   --remarks-filter=spikequant-name-sites 2> %t.remarks
// RUN: FileCheck %s --input-file=%t.mlir
// RUN: FileCheck %s --input-file=%t.remarks --check-prefix=REMARK

// Attention projections: the outputs of one weight and the channels of the
// other are two dimensions. No activation is copied: dimensions are in order.

// CHECK-DAG: spikequant.weights @query.codes : tensor<24x40xf32> {{.*}} source("query") view(<shape = [40, 3, 8], offset = 0, sizes = [24, 40], strides = [1, 24]>)
// CHECK-DAG: spikequant.weights @out.codes : tensor<40x24xf32> {{.*}} source("out") view(<shape = [3, 8, 40], offset = 0, sizes = [40, 24], strides = [1, 40]>)
// CHECK-LABEL: func.func @projections
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<2x7x40xf32>, %[[Y:[a-z0-9]+]]: tensor<2x7x3x8xf32>
// REMARK: Function=projections | Remark="site 'query': weight of 24 outputs and 40 channels, stored [K, N]"
// REMARK: Function=projections | Remark="site 'out': weight of 40 outputs and 24 channels, stored [K, N]"
func.func @projections(%x: tensor<2x7x40xf32>, %y: tensor<2x7x3x8xf32>,
                       %wq: tensor<40x3x8xf32> {spikequant.weight = "query"},
                       %wo: tensor<3x8x40xf32> {spikequant.weight = "out"})
    -> (tensor<2x7x3x8xf32>, tensor<2x7x40xf32>) {
  // CHECK: %[[XR:.*]] = tensor.collapse_shape %[[X]] {{\[\[}}0, 1], [2]] : tensor<2x7x40xf32> into tensor<14x40xf32>
  // CHECK: spikequant.encode %[[XR]]
  // CHECK: spikequant.decode %{{.*}}, @query.codes {{.*}} -> tensor<14x24xf32>
  // CHECK: tensor.expand_shape %{{.*}} {{\[\[}}0, 1], [2, 3]] output_shape [2, 7, 3, 8]
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x7x3x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x7x3x8xf32>) -> tensor<2x7x3x8xf32>
  %q = linalg.generic {
      indexing_maps = [affine_map<(b, t, h, k, d) -> (b, t, d)>, affine_map<(b, t, h, k, d) -> (d, h, k)>,
                       affine_map<(b, t, h, k, d) -> (b, t, h, k)>],
      iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction"]}
      ins(%x, %wq : tensor<2x7x40xf32>, tensor<40x3x8xf32>) outs(%f : tensor<2x7x3x8xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %c, %p : f32
    linalg.yield %s : f32
  } -> tensor<2x7x3x8xf32>
  // CHECK: %[[YC:.*]] = tensor.collapse_shape %[[Y]] {{\[\[}}0], [1], [2, 3]] : tensor<2x7x3x8xf32> into tensor<2x7x24xf32>
  // CHECK: %[[YR:.*]] = tensor.collapse_shape %[[YC]] {{\[\[}}0, 1], [2]] : tensor<2x7x24xf32> into tensor<14x24xf32>
  // CHECK: spikequant.encode %[[YR]]
  // CHECK: spikequant.integrate %{{.*}}, @out.codes
  %g = tensor.empty() : tensor<2x7x40xf32>
  %h = linalg.fill ins(%zero : f32) outs(%g : tensor<2x7x40xf32>) -> tensor<2x7x40xf32>
  %o = linalg.generic {
      indexing_maps = [affine_map<(b, t, d, h, k) -> (b, t, h, k)>, affine_map<(b, t, d, h, k) -> (h, k, d)>,
                       affine_map<(b, t, d, h, k) -> (b, t, d)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction"]}
      ins(%y, %wo : tensor<2x7x3x8xf32>, tensor<3x8x40xf32>) outs(%h : tensor<2x7x40xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %c, %p : f32
    linalg.yield %s : f32
  } -> tensor<2x7x40xf32>
  return %q, %o : tensor<2x7x3x8xf32>, tensor<2x7x40xf32>
}

// -----

// The contracted dimension comes first and the outputs too: the activation and
// the result are transposed. Two sites share the transposed activation.

// CHECK-LABEL: func.func @turned
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<64x3xf32>
// CHECK: %[[T:.*]] = linalg.generic {{.*}} ins(%[[X]] : tensor<64x3xf32>) outs(%{{.*}} : tensor<3x64xf32>)
// CHECK: spikequant.encode %[[T]]
// CHECK: %[[D:.*]] = spikequant.decode %{{.*}}, @a.codes {{.*}} -> tensor<3x16xf32>
// CHECK: %[[F:.*]] = linalg.generic {{.*}} ins(%[[D]], %{{.*}} : tensor<3x16xf32>, tensor<3xf32>)
// CHECK: linalg.generic {{.*}} ins(%[[F]] : tensor<3x16xf32>) outs(%{{.*}} : tensor<16x3xf32>)
// CHECK-NOT: spikequant.encode
// CHECK: spikequant.integrate %{{.*}}, @b.codes
func.func @turned(%x: tensor<64x3xf32>, %y: tensor<16x3xf32>,
                  %a: tensor<64x16xf32> {spikequant.weight = "a"},
                  %b: tensor<64x16xf32> {spikequant.weight = "b"}) -> (tensor<16x3xf32>, tensor<16x3xf32>) {
  %0 = linalg.matmul
      indexing_maps = [affine_map<(m, n, k) -> (k, m)>, affine_map<(m, n, k) -> (k, n)>,
                       affine_map<(m, n, k) -> (m, n)>]
      ins(%a, %x : tensor<64x16xf32>, tensor<64x3xf32>)
      outs(%y : tensor<16x3xf32>) -> tensor<16x3xf32>
  %1 = linalg.matmul
      indexing_maps = [affine_map<(m, n, k) -> (k, m)>, affine_map<(m, n, k) -> (k, n)>,
                       affine_map<(m, n, k) -> (m, n)>]
      ins(%b, %x : tensor<64x16xf32>, tensor<64x3xf32>)
      outs(%y : tensor<16x3xf32>) -> tensor<16x3xf32>
  return %0, %1 : tensor<16x3xf32>, tensor<16x3xf32>
}

// -----

// Slices of one weight are named after their place; a slice of a row is a
// reshape of the whole; the real weight disappears.

// CHECK-DAG: spikequant.weights @"qkv@0:64,0:16.codes" : tensor<16x64xf32> {{.*}} view(<shape = [64, 48], offset = 0, sizes = [16, 64], strides = [1, 48]>)
// CHECK-DAG: spikequant.weights @"qkv@0:64,32:48.codes" : tensor<16x64xf32> {{.*}} view(<shape = [64, 48], offset = 32, sizes = [16, 64], strides = [1, 48]>)
// CHECK-DAG: spikequant.weights @"layers@1:2,0:1024.codes" : tensor<16x64xf32> {{.*}} view(<shape = [3, 1024], offset = 1024, sizes = [16, 64], strides = [1, 16]>)
// CHECK-NOT: spikequant.weights
// CHECK-LABEL: func.func @slices
// REMARK: Function=slices | Remark="site 'qkv@0:64,0:16': weight of 16 outputs and 64 channels, stored [K, N]"
// REMARK: Function=slices | Remark="site 'qkv@0:64,32:48': weight
// REMARK: Function=slices | Remark="site 'layers@1:2,0:1024': weight
func.func @slices(%x: tensor<2x64xf32>, %y: tensor<2x16xf32>,
                  %qkv: tensor<64x48xf32> {spikequant.weight = "qkv"},
                  %layers: tensor<3x1024xf32> {spikequant.weight = "layers"})
    -> (tensor<2x16xf32>, tensor<2x16xf32>, tensor<2x16xf32>) {
  %q = tensor.extract_slice %qkv[0, 0] [64, 16] [1, 1] : tensor<64x48xf32> to tensor<64x16xf32>
  %v = tensor.extract_slice %qkv[0, 32] [64, 16] [1, 1] : tensor<64x48xf32> to tensor<64x16xf32>
  %row = tensor.extract_slice %layers[1, 0] [1, 1024] [1, 1] : tensor<3x1024xf32> to tensor<1024xf32>
  %l = tensor.expand_shape %row [[0, 1]] output_shape [64, 16] : tensor<1024xf32> into tensor<64x16xf32>
  %0 = linalg.matmul ins(%x, %q : tensor<2x64xf32>, tensor<64x16xf32>) outs(%y : tensor<2x16xf32>) -> tensor<2x16xf32>
  %1 = linalg.matmul ins(%x, %v : tensor<2x64xf32>, tensor<64x16xf32>) outs(%y : tensor<2x16xf32>) -> tensor<2x16xf32>
  %2 = linalg.matmul ins(%x, %l : tensor<2x64xf32>, tensor<64x16xf32>) outs(%y : tensor<2x16xf32>) -> tensor<2x16xf32>
  return %0, %1, %2 : tensor<2x16xf32>, tensor<2x16xf32>, tensor<2x16xf32>
}

// -----

// A batch of weights is a stack; each slice of the activation has its matrix. A
// weight that is the same for the whole batch is one matrix.

// CHECK-DAG: spikequant.weights @experts.codes : tensor<3x16x64xf32> {{.*}} source("experts", [0, 2, 1])
// CHECK-DAG: spikequant.weights @shared.codes : tensor<16x64xf32> {{.*}} source("shared", [1, 0])
// CHECK-LABEL: func.func @batch
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<3x2x64xf32>
// CHECK: %[[PLACES:.*]] = arith.constant dense<[0, 1, 2]> : tensor<3xi32>
// CHECK: %[[ACC:.*]] = spikequant.integrate %{{.*}}, @experts.codes[%[[PLACES]] : tensor<3xi32>] : tensor<3x2x64xi16> -> tensor<3x2x16xi64>
// CHECK: spikequant.decode %[[ACC]], @experts.codes[%[[PLACES]] : tensor<3xi32>] {step = 1.000000e+00 : f32} : tensor<3x2x16xi64> -> tensor<3x2x16xf32>
// CHECK: spikequant.integrate %{{.*}}, @shared.codes : tensor<6x64xi16> -> tensor<6x16xi64>
// REMARK: Function=batch | Remark="site 'experts': 3 weights of 16 outputs and 64 channels, one for each slice"
func.func @batch(%x: tensor<3x2x64xf32>, %y: tensor<3x2x16xf32>,
                 %w: tensor<3x64x16xf32> {spikequant.weight = "experts"},
                 %s: tensor<64x16xf32> {spikequant.weight = "shared"})
    -> (tensor<3x2x16xf32>, tensor<3x2x16xf32>) {
  %0 = linalg.batch_matmul ins(%x, %w : tensor<3x2x64xf32>, tensor<3x64x16xf32>)
      outs(%y : tensor<3x2x16xf32>) -> tensor<3x2x16xf32>
  %e = tensor.empty() : tensor<3x64x16xf32>
  %b = linalg.broadcast ins(%s : tensor<64x16xf32>) outs(%e : tensor<3x64x16xf32>) dimensions = [0]
  %1 = linalg.batch_matmul ins(%x, %b : tensor<3x2x64xf32>, tensor<3x64x16xf32>)
      outs(%y : tensor<3x2x16xf32>) -> tensor<3x2x16xf32>
  return %0, %1 : tensor<3x2x16xf32>, tensor<3x2x16xf32>
}

// -----

// A loop over stacked layers.

// CHECK: spikequant.weights @layers.codes : tensor<4x64x64xf32> {{.*}} source("layers", [0, 2, 1])
// CHECK-NOT: spikequant.weights
// CHECK-LABEL: func.func @scan
// CHECK: scf.for %[[I:[a-z0-9]+]] =
// CHECK: %[[ACC:.*]] = spikequant.integrate %{{.*}}, @layers.codes[%[[I]] : index] : tensor<2x64xi16> -> tensor<2x64xi64>
// CHECK: spikequant.decode %[[ACC]], @layers.codes[%[[I]] : index]
// CHECK-NOT: extract_slice
// REMARK: Function=scan | Remark="site 'layers': 4 weights of 64 outputs and 64 channels, chosen at run time"
func.func @scan(%x: tensor<2x64xf32>, %y: tensor<2x64xf32>,
                %w: tensor<4x64x64xf32> {spikequant.weight = "layers"}) -> tensor<2x64xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  %r = scf.for %i = %c0 to %c4 step %c1 iter_args(%a = %x) -> tensor<2x64xf32> {
    %s = tensor.extract_slice %w[%i, 0, 0] [1, 64, 64] [1, 1, 1] : tensor<4x64x64xf32> to tensor<1x64x64xf32>
    %l = tensor.collapse_shape %s [[0, 1], [2]] : tensor<1x64x64xf32> into tensor<64x64xf32>
    %n = linalg.matmul ins(%a, %l : tensor<2x64xf32>, tensor<64x64xf32>) outs(%y : tensor<2x64xf32>) -> tensor<2x64xf32>
    scf.yield %n : tensor<2x64xf32>
  }
  return %r : tensor<2x64xf32>
}

// -----

// A loop over layers of experts: the number of a matrix is layer * 3 + expert.

// CHECK: spikequant.weights @grid.codes : tensor<12x16x64xf32> {{.*}} view(<shape = [4, 3, 64, 16], offset = 0, sizes = [12, 16, 64], strides = [1024, 1, 16]>)
// CHECK-LABEL: func.func @layers_of_experts
// CHECK: %[[NUMBERS:.*]] = linalg.generic {{.*}} outs(%{{.*}} : tensor<3xi32>) {
// CHECK: %[[LAYER:.*]] = arith.minsi
// CHECK: arith.muli %[[LAYER]], %c3
// CHECK: arith.addi
// CHECK: spikequant.integrate %{{.*}}, @grid.codes[%[[NUMBERS]] : tensor<3xi32>] : tensor<3x2x64xi16> -> tensor<3x2x16xi64>
func.func @layers_of_experts(%x: tensor<3x2x64xf32>, %y: tensor<3x2x16xf32>, %i: index,
                             %w: tensor<4x3x64x16xf32> {spikequant.weight = "grid"}) -> tensor<3x2x16xf32> {
  %s = tensor.extract_slice %w[%i, 0, 0, 0] [1, 3, 64, 16] [1, 1, 1, 1] : tensor<4x3x64x16xf32> to tensor<3x64x16xf32>
  %0 = linalg.batch_matmul ins(%x, %s : tensor<3x2x64xf32>, tensor<3x64x16xf32>)
      outs(%y : tensor<3x2x16xf32>) -> tensor<3x2x16xf32>
  return %0 : tensor<3x2x16xf32>
}

// -----

// Experts gathered per token: `tk` numbers, and the sum over k of what they
// yield, which stays real since each expert has scales of its own.

// CHECK-LABEL: func.func @gathered
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<5x2x64xf32>, %[[IDS:[a-z0-9]+]]: tensor<5x2xi32>
// CHECK: %[[ROWS:.*]] = tensor.collapse_shape %[[X]] {{\[\[}}0, 1], [2]] : tensor<5x2x64xf32> into tensor<10x64xf32>
// CHECK: %[[NUMBERS:.*]] = tensor.collapse_shape %[[IDS]] {{\[\[}}0, 1]] : tensor<5x2xi32> into tensor<10xi32>
// CHECK: spikequant.integrate %{{.*}}, @down.codes[%[[NUMBERS]] : tensor<10xi32>] : tensor<10x64xi16> -> tensor<10x16xi64>
// CHECK: %[[EACH:.*]] = tensor.expand_shape %{{.*}} {{\[\[}}0, 1], [2]] output_shape [5, 2, 16]
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel", "reduction", "parallel"]} ins(%[[EACH]] : tensor<5x2x16xf32>)
// CHECK-NEXT: ^bb0
// CHECK-NEXT: arith.addf
// CHECK-NOT: tensor.extract
func.func @gathered(%x: tensor<5x2x64xf32>, %ids: tensor<5x2xi32>, %y: tensor<5x16xf32>,
                    %w: tensor<7x64x16xf32> {spikequant.weight = "down"}) -> tensor<5x16xf32> {
  %c0 = arith.constant 0 : index
  %c6 = arith.constant 6 : index
  %e = tensor.empty() : tensor<5x2x64x16xf32>
  %g = linalg.generic {indexing_maps = [affine_map<(t, k, f, d) -> (t, k, f, d)>],
                       iterator_types = ["parallel", "parallel", "parallel", "parallel"]} outs(%e : tensor<5x2x64x16xf32>) {
  ^bb0(%out: f32):
    %t = linalg.index 0 : index
    %k = linalg.index 1 : index
    %f = linalg.index 2 : index
    %d = linalg.index 3 : index
    %id = tensor.extract %ids[%t, %k] : tensor<5x2xi32>
    %n = arith.index_cast %id : i32 to index
    %low = arith.maxsi %n, %c0 : index
    %high = arith.minsi %low, %c6 : index
    %v = tensor.extract %w[%high, %f, %d] : tensor<7x64x16xf32>
    linalg.yield %v : f32
  } -> tensor<5x2x64x16xf32>
  %0 = linalg.generic {
      indexing_maps = [affine_map<(t, d, k, f) -> (t, k, f)>, affine_map<(t, d, k, f) -> (t, k, f, d)>,
                       affine_map<(t, d, k, f) -> (t, d)>],
      iterator_types = ["parallel", "parallel", "reduction", "reduction"]}
      ins(%x, %g : tensor<5x2x64xf32>, tensor<5x2x64x16xf32>) outs(%y : tensor<5x16xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %c, %p : f32
    linalg.yield %s : f32
  } -> tensor<5x16xf32>
  return %0 : tensor<5x16xf32>
}

// -----

// A weight that is rounded to bf16 on the way: its codes are those of the weight.

// CHECK: spikequant.weights @param.codes : tensor<16x64xf32> {{.*}} source("param", [1, 0])
// CHECK-NOT: spikequant.weights
// CHECK-LABEL: func.func @rounded
// CHECK-NOT: arith.truncf
func.func @rounded(%x: tensor<2x64xf32>, %y: tensor<2x16xf32>,
                   %w: tensor<64x16xf32> {spikequant.weight = "param"}) -> tensor<2x16xf32> {
  %e = tensor.empty() : tensor<64x16xbf16>
  %n = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
                       iterator_types = ["parallel", "parallel"]} ins(%w : tensor<64x16xf32>) outs(%e : tensor<64x16xbf16>) {
  ^bb0(%a: f32, %b: bf16):
    %t = arith.truncf %a : f32 to bf16
    linalg.yield %t : bf16
  } -> tensor<64x16xbf16>
  %f = tensor.empty() : tensor<64x16xf32>
  %v = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
                       iterator_types = ["parallel", "parallel"]} ins(%n : tensor<64x16xbf16>) outs(%f : tensor<64x16xf32>) {
  ^bb0(%a: bf16, %b: f32):
    %t = arith.extf %a : bf16 to f32
    linalg.yield %t : f32
  } -> tensor<64x16xf32>
  %0 = linalg.matmul ins(%x, %v : tensor<2x64xf32>, tensor<64x16xf32>) outs(%y : tensor<2x16xf32>) -> tensor<2x16xf32>
  return %0 : tensor<2x16xf32>
}

// -----

// Two loops over layers: the number is block * 4 + layer, a scalar.

// CHECK: spikequant.weights @nest.codes : tensor<12x16x64xf32> {{.*}} view(<shape = [3, 4, 64, 16], offset = 0, sizes = [12, 16, 64], strides = [1024, 1, 16]>)
// CHECK-LABEL: func.func @two_numbers
// CHECK: arith.muli %{{.*}}, %c4
// CHECK: %[[NUMBER:.*]] = arith.addi
// CHECK: spikequant.integrate %{{.*}}, @nest.codes[%[[NUMBER]] : index]
// REMARK: Function=two_numbers | Remark="site 'nest': 12 weights of 16 outputs and 64 channels, chosen at run time"
func.func @two_numbers(%x: tensor<2x64xf32>, %y: tensor<2x16xf32>, %i: index, %j: index,
                       %w: tensor<3x4x64x16xf32> {spikequant.weight = "nest"}) -> tensor<2x16xf32> {
  %c = tensor.extract_slice %w[%i, %j, 0, 0] [1, 1, 64, 16] [1, 1, 1, 1]
      : tensor<3x4x64x16xf32> to tensor<64x16xf32>
  %0 = linalg.matmul ins(%x, %c : tensor<2x64xf32>, tensor<64x16xf32>)
      outs(%y : tensor<2x16xf32>) -> tensor<2x16xf32>
  return %0 : tensor<2x16xf32>
}

// -----

// A convolution with stride 2: its windows of 3 x 8 values are rows of 24
// channels.

// CHECK: #[[WINDOWS:.*]] = affine_map<(d0, d1, d2, d3) -> (d0, d1 * 2 + d2, d3)>
// CHECK: spikequant.weights @kernel.codes : tensor<16x24xf32> {{.*}} source("kernel") view(<shape = [3, 8, 16], offset = 0, sizes = [16, 24], strides = [1, 16]>)
// CHECK-LABEL: func.func @convolution
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<1x9x8xf32>
// CHECK: %[[COPY:.*]] = linalg.generic {indexing_maps = [#[[WINDOWS]], {{.*}} ins(%[[X]] : tensor<1x9x8xf32>) outs(%{{.*}} : tensor<1x4x3x8xf32>)
// CHECK: tensor.collapse_shape %[[COPY]] {{\[\[}}0], [1], [2, 3]] : tensor<1x4x3x8xf32> into tensor<1x4x24xf32>
// CHECK: spikequant.integrate %{{.*}}, @kernel.codes : tensor<4x24xi16> -> tensor<4x16xi64>
// REMARK: Function=convolution | Remark="site 'kernel': weight of 16 outputs and 24 channels, stored [K, N]"
func.func @convolution(%x: tensor<1x9x8xf32>, %y: tensor<1x4x16xf32>,
                       %w: tensor<3x8x16xf32> {spikequant.weight = "kernel"}) -> tensor<1x4x16xf32> {
  %0 = linalg.conv_1d_nwc_wcf {strides = dense<2> : tensor<1xi64>, dilations = dense<1> : tensor<1xi64>}
      ins(%x, %w : tensor<1x9x8xf32>, tensor<3x8x16xf32>) outs(%y : tensor<1x4x16xf32>) -> tensor<1x4x16xf32>
  return %0 : tensor<1x4x16xf32>
}

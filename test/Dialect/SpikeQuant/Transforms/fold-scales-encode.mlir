// RUN: sq-opt %s --split-input-file --spikequant-fold-scales -o %t.mlir --remarks-filter=spikequant-fold-scales 2> %t.remarks
// RUN: FileCheck %s --input-file=%t.mlir
// RUN: FileCheck %s --input-file=%t.remarks --check-prefix=REMARK
// RUN: not sq-opt %s --split-input-file --spikequant-fold-scales=weights=%t.absent 2>&1 | FileCheck %s --check-prefix=ABSENT
// ABSENT: error: option 'weights': {{.*}}.absent

#all = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>
#channel = affine_map<(i, j) -> (j)>

// Broadcasts first, as the front end writes them: a row factor with a dimension
// of size 1, then a weight.

// CHECK-LABEL: func.func @unfused
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<2x4xf32>, %[[R:[a-z0-9]+]]: tensor<2xf32>
// CHECK-NEXT: %[[N:.*]] = spikequant.encode %[[X]] row_scale(%[[R]] : tensor<2xf32>) {gains = @w, site = "q.in", spikequant.folded, step = 5.000000e-01 : f32} : tensor<2x4xf32> -> tensor<2x4xi16>
// CHECK-NEXT: return %[[N]]
// REMARK: [Passed] encode-folded {{.*}} Function=unfused | Remark="site 'q.in': row factor, channel gains moved into the threshold; a count may differ by one where v is nearer to an integer than 10 ulp of its largest term"
spikequant.weights @w : tensor<4xf32> format(#spikequant.real) value(dense<[2.0, -0.5, 1.0, 3.0]> : tensor<4xf32>)
func.func @unfused(%x: tensor<2x4xf32>, %r: tensor<2xf32>) -> tensor<2x4xi16> {
  %w = spikequant.load_weights @w : tensor<4xf32>
  %e = tensor.empty() : tensor<2x4xf32>
  %r1 = tensor.expand_shape %r [[0, 1]] output_shape [2, 1] : tensor<2xf32> into tensor<2x1xf32>
  %rb = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, 0)>, affine_map<(i, j) -> (i, j)>],
                        iterator_types = ["parallel", "parallel"]}
      ins(%r1 : tensor<2x1xf32>) outs(%e : tensor<2x4xf32>) {
  ^bb0(%in: f32, %out: f32):
    linalg.yield %in : f32
  } -> tensor<2x4xf32>
  %s = linalg.mul ins(%x, %rb : tensor<2x4xf32>, tensor<2x4xf32>) outs(%e : tensor<2x4xf32>) -> tensor<2x4xf32>
  %wb = linalg.broadcast ins(%w : tensor<4xf32>) outs(%e : tensor<2x4xf32>) dimensions = [0]
  %y = linalg.mul ins(%wb, %s : tensor<2x4xf32>, tensor<2x4xf32>) outs(%e : tensor<2x4xf32>) -> tensor<2x4xf32>
  %n = spikequant.encode %y {step = 0.5 : f32, site = "q.in"} : tensor<2x4xf32> -> tensor<2x4xi16>
  return %n : tensor<2x4xi16>
}

// -----

// LayerNorm's end: a quotient by a row value, a weight and a bias. The centre is
// z = -b / a: v = (x / r) a / s + 1/2 + b / s.

// CHECK-DAG: spikequant.weights @q.in.centres : tensor<4xf32> format(#spikequant.real) value(dense<[-1.000000e+00, 4.000000e+00, -0.000000e+00, 5.000000e-01]> : tensor<4xf32>)
// CHECK-LABEL: func.func @layer_norm
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<1x2x4xf32>, %[[R:[a-z0-9]+]]: tensor<1x2xf32>
// CHECK: %[[ROWS:.*]] = linalg.generic {{.*}} ins(%[[R]] : tensor<1x2xf32>)
// CHECK: %[[Q:.*]] = arith.divf %{{.*}}, %{{.*}} : f32
// CHECK: %[[FLAT:.*]] = tensor.collapse_shape %[[ROWS]] {{\[}}[0, 1]] : tensor<1x2xf32> into tensor<2xf32>
// CHECK: %[[XF:.*]] = tensor.collapse_shape %[[X]] {{\[}}[0, 1], [2]] : tensor<1x2x4xf32> into tensor<2x4xf32>
// CHECK: spikequant.encode %[[XF]] row_scale(%[[FLAT]] : tensor<2xf32>) {centres = @q.in.centres, gains = @a, site = "q.in", spikequant.folded, step = 2.500000e-01 : f32}
// REMARK: Function=layer_norm | Remark="site 'q.in': row factor, channel gains, channel centres moved into the threshold
spikequant.weights @a : tensor<4xf32> format(#spikequant.real) value(dense<[2.0, -0.5, 1.0, 4.0]> : tensor<4xf32>)
spikequant.weights @b : tensor<4xf32> format(#spikequant.real) value(dense<[2.0, 2.0, 0.0, -2.0]> : tensor<4xf32>)
func.func @layer_norm(%x: tensor<1x2x4xf32>, %r: tensor<1x2xf32>) -> tensor<2x4xi16> {
  %a = spikequant.load_weights @a : tensor<4xf32>
  %b = spikequant.load_weights @b : tensor<4xf32>
  %e = tensor.empty() : tensor<1x2x4xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(g, i, j) -> (g, i, j)>, affine_map<(g, i, j) -> (g, i)>,
                                        affine_map<(g, i, j) -> (j)>, affine_map<(g, i, j) -> (j)>,
                                        affine_map<(g, i, j) -> (g, i, j)>],
                       iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%x, %r, %a, %b : tensor<1x2x4xf32>, tensor<1x2xf32>, tensor<4xf32>, tensor<4xf32>)
      outs(%e : tensor<1x2x4xf32>) {
  ^bb0(%in: f32, %rr: f32, %aa: f32, %bb: f32, %out: f32):
    %s = arith.divf %in, %rr : f32
    %t = arith.mulf %aa, %s : f32
    %u = arith.addf %t, %bb : f32
    linalg.yield %u : f32
  } -> tensor<1x2x4xf32>
  %flat = tensor.collapse_shape %y [[0, 1], [2]] : tensor<1x2x4xf32> into tensor<2x4xf32>
  %n = spikequant.encode %flat {step = 0.25 : f32, site = "q.in"} : tensor<2x4xf32> -> tensor<2x4xi16>
  return %n : tensor<2x4xi16>
}

// -----

#all = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>
#channel = affine_map<(i, j) -> (j)>

// (1 + w), as Gemma scales, and 8 - x: values are worked out at compile time.
// 8 - 2 (1 + w) x has gains -2 (1 + w) and centres 8 / (2 (1 + w)) = 2, 1, 4, 8.

// CHECK-DAG: spikequant.weights @q.in.gains : tensor<4xf32> format(#spikequant.real) value(dense<[-4.000000e+00, -8.000000e+00, -2.000000e+00, -1.000000e+00]> : tensor<4xf32>)
// CHECK-DAG: spikequant.weights @q.in.centres : tensor<4xf32> format(#spikequant.real) value(dense<[2.000000e+00, 1.000000e+00, 4.000000e+00, 8.000000e+00]> : tensor<4xf32>)
// CHECK-LABEL: func.func @evaluated
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<2x4xf32>
// CHECK-NOT: linalg
// CHECK: spikequant.encode %[[X]] {centres = @q.in.centres, gains = @q.in.gains, site = "q.in"
spikequant.weights @w : tensor<4xf32> format(#spikequant.real) value(dense<[1.0, 3.0, 0.0, -0.5]> : tensor<4xf32>)
func.func @evaluated(%x: tensor<2x4xf32>) -> tensor<2x4xi16> {
  %w = spikequant.load_weights @w : tensor<4xf32>
  %one = arith.constant dense<1.0> : tensor<4xf32>
  %two = arith.constant 2.0 : f32
  %eight = arith.constant dense<8.0> : tensor<2x4xf32>
  %ew = tensor.empty() : tensor<4xf32>
  %w1 = linalg.add ins(%w, %one : tensor<4xf32>, tensor<4xf32>) outs(%ew : tensor<4xf32>) -> tensor<4xf32>
  %e = tensor.empty() : tensor<2x4xf32>
  %y = linalg.generic {indexing_maps = [#all, #channel, #all], iterator_types = ["parallel", "parallel"]}
      ins(%x, %w1 : tensor<2x4xf32>, tensor<4xf32>) outs(%e : tensor<2x4xf32>) {
  ^bb0(%in: f32, %ww: f32, %out: f32):
    %s = arith.mulf %in, %ww : f32
    %t = arith.mulf %s, %two : f32
    linalg.yield %t : f32
  } -> tensor<2x4xf32>
  %eb = tensor.empty() : tensor<4xf32>
  %e1 = arith.constant dense<8.0> : tensor<4xf32>
  %z = linalg.generic {indexing_maps = [#channel, #all, #all], iterator_types = ["parallel", "parallel"]}
      ins(%e1, %y : tensor<4xf32>, tensor<2x4xf32>) outs(%e : tensor<2x4xf32>) {
  ^bb0(%c: f32, %in: f32, %out: f32):
    %d = arith.subf %c, %in : f32
    linalg.yield %d : f32
  } -> tensor<2x4xf32>
  %n = spikequant.encode %z {step = 1.0 : f32, site = "q.in"} : tensor<2x4xf32> -> tensor<2x4xi16>
  return %n : tensor<2x4xi16>
}

// -----

#all = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>
#channel = affine_map<(i, j) -> (j)>

// Rows are sliced after the norm: the last token of a chunk. Array and row
// factors are sliced instead.

// CHECK-LABEL: func.func @last_row
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<1x2x4xf32>, %[[R:[a-z0-9]+]]: tensor<1x2xf32>, %[[I:[a-z0-9]+]]: index
// CHECK: %[[ROW:.*]] = tensor.extract_slice %[[R]][0, %[[I]]] [1, 1] [1, 1] : tensor<1x2xf32> to tensor<1xf32>
// CHECK: %[[LAST:.*]] = tensor.extract_slice %[[X]][0, %[[I]], 0] [1, 1, 4] [1, 1, 1] : tensor<1x2x4xf32> to tensor<1x4xf32>
// CHECK: spikequant.encode %[[LAST]] row_scale(%[[ROW]] : tensor<1xf32>) {gains = @w
spikequant.weights @w : tensor<4xf32> format(#spikequant.real) value(dense<[2.0, -0.5, 1.0, 3.0]> : tensor<4xf32>)
func.func @last_row(%x: tensor<1x2x4xf32>, %r: tensor<1x2xf32>, %i: index) -> tensor<1x4xi16> {
  %w = spikequant.load_weights @w : tensor<4xf32>
  %e = tensor.empty() : tensor<1x2x4xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(g, i, j) -> (g, i, j)>, affine_map<(g, i, j) -> (g, i)>,
                                        affine_map<(g, i, j) -> (j)>, affine_map<(g, i, j) -> (g, i, j)>],
                       iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%x, %r, %w : tensor<1x2x4xf32>, tensor<1x2xf32>, tensor<4xf32>) outs(%e : tensor<1x2x4xf32>) {
  ^bb0(%in: f32, %rr: f32, %ww: f32, %out: f32):
    %s = arith.mulf %in, %rr : f32
    %t = arith.mulf %s, %ww : f32
    linalg.yield %t : f32
  } -> tensor<1x2x4xf32>
  %last = tensor.extract_slice %y[0, %i, 0] [1, 1, 4] [1, 1, 1] : tensor<1x2x4xf32> to tensor<1x4xf32>
  %n = spikequant.encode %last {step = 0.25 : f32, site = "q.in"} : tensor<1x4xf32> -> tensor<1x4xi16>
  return %n : tensor<1x4xi16>
}

// -----

#all = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>
#channel = affine_map<(i, j) -> (j)>

// Not folded: a slice of channels.

// CHECK-LABEL: func.func @some_channels
// CHECK: linalg.generic
// CHECK: tensor.extract_slice
// CHECK: spikequant.encode %{{.*}} {site = "q.in"
func.func @some_channels(%x: tensor<2x8xf32>, %r: tensor<2xf32>) -> tensor<2x4xi16> {
  %e = tensor.empty() : tensor<2x8xf32>
  %y = linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel"]}
      ins(%x, %r : tensor<2x8xf32>, tensor<2xf32>) outs(%e : tensor<2x8xf32>) {
  ^bb0(%in: f32, %rr: f32, %out: f32):
    %s = arith.mulf %in, %rr : f32
    linalg.yield %s : f32
  } -> tensor<2x8xf32>
  %half = tensor.extract_slice %y[0, 4] [2, 4] [1, 1] : tensor<2x8xf32> to tensor<2x4xf32>
  %n = spikequant.encode %half {step = 0.25 : f32, site = "q.in"} : tensor<2x4xf32> -> tensor<2x4xi16>
  return %n : tensor<2x4xi16>
}

// -----

#all = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>
#channel = affine_map<(i, j) -> (j)>

// Not folded: a channel whose weight is 0 has no rate.

// CHECK-LABEL: func.func @zero_gain
// CHECK: linalg.generic
// CHECK: spikequant.encode %{{.*}} {site = "q.in"
// REMARK: [Missed] encode-left {{.*}} Function=zero_gain | Remark="site 'q.in': the gain of channel 2 gives no finite normal rate"
spikequant.weights @w : tensor<4xf32> format(#spikequant.real) value(dense<[2.0, -0.5, 0.0, 3.0]> : tensor<4xf32>)
func.func @zero_gain(%x: tensor<2x4xf32>) -> tensor<2x4xi16> {
  %w = spikequant.load_weights @w : tensor<4xf32>
  %e = tensor.empty() : tensor<2x4xf32>
  %y = linalg.generic {indexing_maps = [#all, #channel, #all], iterator_types = ["parallel", "parallel"]}
      ins(%x, %w : tensor<2x4xf32>, tensor<4xf32>) outs(%e : tensor<2x4xf32>) {
  ^bb0(%in: f32, %ww: f32, %out: f32):
    %s = arith.mulf %in, %ww : f32
    linalg.yield %s : f32
  } -> tensor<2x4xf32>
  %n = spikequant.encode %y {step = 0.5 : f32, site = "q.in"} : tensor<2x4xf32> -> tensor<2x4xi16>
  return %n : tensor<2x4xi16>
}

// Nor is a sum inside a product with a row (x r + b r is no threshold), a weight
// whose values nobody knows, or a product of two arrays.

// CHECK-LABEL: func.func @left
// CHECK: linalg.generic
// CHECK: spikequant.encode %{{[0-9]+}} {site = "a.in"
// CHECK: linalg.generic
// CHECK: spikequant.encode %{{[0-9]+}} {site = "b.in"
// CHECK: linalg.mul
// CHECK: spikequant.encode %{{[0-9]+}} {site = "c.in"
spikequant.weights @elsewhere : tensor<4xf32> format(#spikequant.real) source("elsewhere")
func.func @left(%x: tensor<2x4xf32>, %r: tensor<2xf32>) -> (tensor<2x4xi16>, tensor<2x4xi16>, tensor<2x4xi16>) {
  %w = spikequant.load_weights @elsewhere : tensor<4xf32>
  %one = arith.constant 1.0 : f32
  %e = tensor.empty() : tensor<2x4xf32>
  %y = linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel"]}
      ins(%x, %r : tensor<2x4xf32>, tensor<2xf32>) outs(%e : tensor<2x4xf32>) {
  ^bb0(%in: f32, %rr: f32, %out: f32):
    %a = arith.addf %in, %one : f32
    %s = arith.mulf %a, %rr : f32
    linalg.yield %s : f32
  } -> tensor<2x4xf32>
  %a = spikequant.encode %y {step = 0.5 : f32, site = "a.in"} : tensor<2x4xf32> -> tensor<2x4xi16>
  %z = linalg.generic {indexing_maps = [#all, #channel, #all], iterator_types = ["parallel", "parallel"]}
      ins(%x, %w : tensor<2x4xf32>, tensor<4xf32>) outs(%e : tensor<2x4xf32>) {
  ^bb0(%in: f32, %ww: f32, %out: f32):
    %s = arith.mulf %in, %ww : f32
    linalg.yield %s : f32
  } -> tensor<2x4xf32>
  %b = spikequant.encode %z {step = 0.5 : f32, site = "b.in"} : tensor<2x4xf32> -> tensor<2x4xi16>
  %xx = linalg.mul ins(%x, %x : tensor<2x4xf32>, tensor<2x4xf32>) outs(%e : tensor<2x4xf32>) -> tensor<2x4xf32>
  %c = spikequant.encode %xx {step = 0.5 : f32, site = "c.in"} : tensor<2x4xf32> -> tensor<2x4xi16>
  return %a, %b, %c : tensor<2x4xi16>, tensor<2x4xi16>, tensor<2x4xi16>
}

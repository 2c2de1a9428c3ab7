// Expected names, counts and costs are worked out by hand from the graphs.
//
// RUN: sq-opt %s --split-input-file --spikequant-report-islands -o /dev/null | FileCheck %s
// RUN: sq-opt %s --split-input-file --spikequant-report-islands=json=%t.json -o /dev/null
// RUN: FileCheck %s --check-prefix=JSON --input-file=%t.json
// RUN: not sq-opt %s --split-input-file --spikequant-report-islands=json=%t.none/x.json -o /dev/null 2>&1 | FileCheck %s --check-prefix=ERROR
// ERROR: error: option 'json': '{{.*}}.none/x.json' cannot be written

// A root-mean-square norm, a site, a residual. Per call, 2 tokens of 4 channels:
// integrate 2 * 4 * 4 = 32 products, 16 per token. The norm's rows: a square and
// a sum per element, a product with 1/4 and a root per row: 2 * 8 + 2 * 2 = 20;
// normalised: 2 products per element, 16; encode: 3 per element, 24; residual:
// decode 2 and the sum 1 per element, 24. Of these the sum 84 is 42 per token.
// Bytes of the norm row: x twice (one operand of two uses) and sums and roots.

// CHECK-LABEL: @rms_norm: per token 16 integer accumulations, 42 real operations; 1 decodes outside named islands
// CHECK-DAG: {{^}} norm row 1 2 0 10.0 62.500% {{.*}} a norm needs one reciprocal square root per row, first at loc(
// CHECK-DAG: {{^}}* normalised values 1 1 0 8.0 50.000%
// CHECK-DAG: {{^}}* encode 1 1 0 12.0 75.000%
// CHECK-DAG: {{^}}* residual 1 2 1 12.0 75.000%
// CHECK-NOT: movement

spikequant.weights @norm : tensor<4xf32> format(#spikequant.real) source("norm")
spikequant.weights @w : tensor<4x4xf32> format(#spikequant.codes<bits = 4, group = 0>) source("w")
func.func @rms_norm(%x: tensor<2x4xf32> {spikequant.state = 0 : i64}) -> tensor<2x4xf32> {
  %zero = arith.constant 0.0 : f32
  %quarter = arith.constant 0.25 : f32
  %w = spikequant.load_weights @norm : tensor<4xf32>
  %row = tensor.empty() : tensor<2xf32>
  %init = linalg.fill ins(%zero : f32) outs(%row : tensor<2xf32>) -> tensor<2xf32>
  %sum = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>],
                         iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<2x4xf32>) outs(%init : tensor<2xf32>) {
  ^bb0(%in: f32, %out: f32):
    %s = arith.mulf %in, %in : f32
    %a = arith.addf %out, %s : f32
    linalg.yield %a : f32
  } -> tensor<2xf32>
  %rs = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>],
                        iterator_types = ["parallel"]}
      ins(%sum : tensor<2xf32>) outs(%row : tensor<2xf32>) {
  ^bb0(%in: f32, %out: f32):
    %m = arith.mulf %in, %quarter : f32
    %r = math.rsqrt %m : f32
    linalg.yield %r : f32
  } -> tensor<2xf32>
  %e = tensor.empty() : tensor<2x4xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>,
                                        affine_map<(i, j) -> (j)>, affine_map<(i, j) -> (i, j)>],
                       iterator_types = ["parallel", "parallel"]}
      ins(%x, %rs, %w : tensor<2x4xf32>, tensor<2xf32>, tensor<4xf32>) outs(%e : tensor<2x4xf32>) {
  ^bb0(%in: f32, %r: f32, %g: f32, %out: f32):
    %s = arith.mulf %in, %r : f32
    %t = arith.mulf %s, %g : f32
    linalg.yield %t : f32
  } -> tensor<2x4xf32>
  %n = spikequant.encode %y {step = 0.5 : f32, site = "w.in"} : tensor<2x4xf32> -> tensor<2x4xi16>
  %acc = spikequant.integrate %n, @w : tensor<2x4xi16> -> tensor<2x4xi64>
  %d = spikequant.decode %acc, @w {step = 0.5 : f32} : tensor<2x4xi64> -> tensor<2x4xf32>
  %z = linalg.add ins(%x, %d : tensor<2x4xf32>, tensor<2x4xf32>) outs(%e : tensor<2x4xf32>) -> tensor<2x4xf32>
  return %z : tensor<2x4xf32>
}

// -----

// A softmax: maximum and sum per row, numerators, quotients; between two
// products of activations.

// CHECK-LABEL: @attention: per token 0 integer accumulations
// CHECK-DAG: {{^}}* product of activations 2 2 0 96.0
// CHECK-DAG: {{^}} softmax row 2 2 0 24.0
// CHECK-DAG: {{^}} exponent 1 1 0 24.0
// CHECK-DAG: {{^}}* probabilities 1 1 0 12.0
func.func @attention(%q: tensor<3x2xf32>, %k: tensor<2x4xf32>, %v: tensor<4x2xf32>) -> tensor<3x2xf32> {
  %zero = arith.constant 0.0 : f32
  %low = arith.constant 0xFF800000 : f32
  %e = tensor.empty() : tensor<3x4xf32>
  %row = tensor.empty() : tensor<3xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x4xf32>) -> tensor<3x4xf32>
  // 3 * 4 * 2 products and sums: 48 operations.
  %s = linalg.matmul ins(%q, %k : tensor<3x2xf32>, tensor<2x4xf32>) outs(%f : tensor<3x4xf32>) -> tensor<3x4xf32>
  %m0 = linalg.fill ins(%low : f32) outs(%row : tensor<3xf32>) -> tensor<3xf32>
  %m = linalg.reduce { arith.maximumf } ins(%s : tensor<3x4xf32>) outs(%m0 : tensor<3xf32>) dimensions = [1]
  %p = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>,
                                        affine_map<(i, j) -> (i, j)>],
                       iterator_types = ["parallel", "parallel"]}
      ins(%s, %m : tensor<3x4xf32>, tensor<3xf32>) outs(%e : tensor<3x4xf32>) {
  ^bb0(%in: f32, %top: f32, %out: f32):
    %d = arith.subf %in, %top : f32
    %x = math.exp %d : f32
    linalg.yield %x : f32
  } -> tensor<3x4xf32>
  %z0 = linalg.fill ins(%zero : f32) outs(%row : tensor<3xf32>) -> tensor<3xf32>
  %z = linalg.reduce { arith.addf } ins(%p : tensor<3x4xf32>) outs(%z0 : tensor<3xf32>) dimensions = [1]
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>,
                                        affine_map<(i, j) -> (i, j)>],
                       iterator_types = ["parallel", "parallel"]}
      ins(%p, %z : tensor<3x4xf32>, tensor<3xf32>) outs(%e : tensor<3x4xf32>) {
  ^bb0(%in: f32, %sum: f32, %out: f32):
    %x = arith.divf %in, %sum : f32
    linalg.yield %x : f32
  } -> tensor<3x4xf32>
  %e2 = tensor.empty() : tensor<3x2xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<3x2xf32>) -> tensor<3x2xf32>
  %o = linalg.matmul ins(%r, %v : tensor<3x4xf32>, tensor<4x2xf32>) outs(%f2 : tensor<3x2xf32>) -> tensor<3x2xf32>
  return %o : tensor<3x2xf32>
}

// -----

// Two arrays of counts: 2 * 4 * 8 products are integer accumulations. The only
// rows that weights see are the 2 of "v": factors of products are no tokens.

// CHECK-LABEL: @product: per token 64 integer accumulations
// CHECK-NOT: product of activations
spikequant.weights @v : tensor<4x8xf32> format(#spikequant.codes<bits = 4, group = 0>) source("v")
func.func @product(%x: tensor<2x8xf32>, %k: tensor<4x8xf32>) -> (tensor<2x4xf32>, tensor<2x4xf32>) {
  %n = spikequant.encode %x {step = 0.5 : f32, site = "v.in"} : tensor<2x8xf32> -> tensor<2x8xi16>
  %acc = spikequant.integrate %n, @v : tensor<2x8xi16> -> tensor<2x4xi64>
  %d = spikequant.decode %acc, @v {step = 0.5 : f32} : tensor<2x4xi64> -> tensor<2x4xf32>
  %q = spikequant.encode %k {step = 0.5 : f32, site = "v.qk.right"} : tensor<4x8xf32> -> tensor<4x8xi16>
  %zero = arith.constant 0 : i32
  %e = tensor.empty() : tensor<2x4xi32>
  %f = linalg.fill ins(%zero : i32) outs(%e : tensor<2x4xi32>) -> tensor<2x4xi32>
  %s = linalg.generic {indexing_maps = [affine_map<(i, j, k) -> (i, k)>, affine_map<(i, j, k) -> (j, k)>,
                                        affine_map<(i, j, k) -> (i, j)>],
                       iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%n, %q : tensor<2x8xi16>, tensor<4x8xi16>) outs(%f : tensor<2x4xi32>) {
  ^bb0(%a: i16, %b: i16, %out: i32):
    %l = arith.extsi %a : i16 to i32
    %r = arith.extsi %b : i16 to i32
    %p = arith.muli %l, %r : i32
    %t = arith.addi %out, %p : i32
    linalg.yield %t : i32
  } -> tensor<2x4xi32>
  %g = tensor.empty() : tensor<2x4xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
                       iterator_types = ["parallel", "parallel"]}
      ins(%s : tensor<2x4xi32>) outs(%g : tensor<2x4xf32>) {
  ^bb0(%a: i32, %out: f32):
    %r = arith.sitofp %a : i32 to f32
    linalg.yield %r : f32
  } -> tensor<2x4xf32>
  return %d, %y : tensor<2x4xf32>, tensor<2x4xf32>
}

// -----

// LayerNorm's mean belongs to the norm; a table of positions; a rotary product;
// an activation; the last decode and its bias are the logits, while a decode
// that is stored in a state is none. The JSON file describes the last module.

// JSON: "decodes": 1,
// JSON-NEXT: "integer_accumulations": 64,
// JSON: "count": 2,
// JSON-NEXT: "decodes": 0,
// JSON-NEXT: "elements": 8,
// JSON-NEXT: "name": "norm row",
// JSON-NEXT: "named": true,
// JSON-NEXT: "operations": 4,
// JSON-NEXT: "per_accumulation": 0.4375,
// JSON-NEXT: "places": [
// JSON: "location": "loc(\"{{.*}}islands.mlir\":
// JSON-NEXT: "operation": "linalg.reduce"
// JSON: "real_operations": 28,
// JSON: "name": "parts",
// JSON-NEXT: "real_operations": 124,
// JSON-NEXT: "tokens": 2

// CHECK-LABEL: @parts:
// CHECK-DAG: {{^}} norm row 2 4 0
// CHECK-DAG: {{^}}* normalised values 1 2 0
// CHECK-DAG: {{^}}* position tables 1 1 0
// CHECK-DAG: {{^}}* rotary embedding 1 1 0
// CHECK-DAG: {{^}}* activation function 1 1 0
// CHECK-DAG: {{^}} final logits 1 2 1
// CHECK-DAG: {{^}}* decode 1 1 1
#all = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>
#channel = affine_map<(i, j) -> (j)>
spikequant.weights @w : tensor<4x4xf32> format(#spikequant.codes<bits = 4, group = 0>) source("w")
spikequant.weights @bias : tensor<4xf32> format(#spikequant.real) source("bias")
spikequant.weights @cos : tensor<16x4xf32> format(#spikequant.real) source("cos")
func.func @parts(%x: tensor<2x4xf32>, %position: tensor<i32>, %s: tensor<2x4xf32> {spikequant.state = 1 : i64})
    -> (tensor<2x4xf32>, tensor<2x4xf32>) {
  %zero = arith.constant 0.0 : f32
  %quarter = arith.constant 0.25 : f32
  %b = spikequant.load_weights @bias : tensor<4xf32>
  %cos = spikequant.load_weights @cos : tensor<16x4xf32>
  %e = tensor.empty() : tensor<2x4xf32>
  %er = tensor.empty() : tensor<2xf32>
  %init = linalg.fill ins(%zero : f32) outs(%er : tensor<2xf32>) -> tensor<2xf32>
  %sum = linalg.reduce { arith.addf } ins(%x : tensor<2x4xf32>) outs(%init : tensor<2xf32>) dimensions = [1]
  %mean = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%sum : tensor<2xf32>) outs(%er : tensor<2xf32>) {
  ^bb0(%in: f32, %out: f32):
    %m = arith.mulf %in, %quarter : f32
    linalg.yield %m : f32
  } -> tensor<2xf32>
  %c = linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel"]}
      ins(%x, %mean : tensor<2x4xf32>, tensor<2xf32>) outs(%e : tensor<2x4xf32>) {
  ^bb0(%in: f32, %m: f32, %out: f32):
    %d = arith.subf %in, %m : f32
    linalg.yield %d : f32
  } -> tensor<2x4xf32>
  %var = linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "reduction"]}
      ins(%c : tensor<2x4xf32>) outs(%init : tensor<2xf32>) {
  ^bb0(%in: f32, %out: f32):
    %q = arith.mulf %in, %in : f32
    %a = arith.addf %out, %q : f32
    linalg.yield %a : f32
  } -> tensor<2xf32>
  %rs = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%var : tensor<2xf32>) outs(%er : tensor<2xf32>) {
  ^bb0(%in: f32, %out: f32):
    %r = math.rsqrt %in : f32
    linalg.yield %r : f32
  } -> tensor<2xf32>
  %y = linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel"]}
      ins(%c, %rs : tensor<2x4xf32>, tensor<2xf32>) outs(%e : tensor<2x4xf32>) {
  ^bb0(%in: f32, %r: f32, %out: f32):
    %d = arith.mulf %in, %r : f32
    linalg.yield %d : f32
  } -> tensor<2x4xf32>
  %p = tensor.extract %position[] : tensor<i32>
  %i = arith.index_cast %p : i32 to index
  %angles = tensor.extract_slice %cos[%i, 0] [2, 4] [1, 1] : tensor<16x4xf32> to tensor<2x4xf32>
  %rotated = linalg.mul ins(%y, %angles : tensor<2x4xf32>, tensor<2x4xf32>) outs(%e : tensor<2x4xf32>) -> tensor<2x4xf32>
  %t = linalg.tanh ins(%rotated : tensor<2x4xf32>) outs(%e : tensor<2x4xf32>) -> tensor<2x4xf32>
  %n = spikequant.encode %t {step = 0.5 : f32, site = "w.in"} : tensor<2x4xf32> -> tensor<2x4xi16>
  %acc = spikequant.integrate %n, @w : tensor<2x4xi16> -> tensor<2x4xi64>
  %d = spikequant.decode %acc, @w {step = 0.5 : f32} : tensor<2x4xi64> -> tensor<2x4xf32>
  %acc2 = spikequant.integrate %n, @w : tensor<2x4xi16> -> tensor<2x4xi64>
  %state = spikequant.decode %acc2, @w {step = 0.5 : f32} : tensor<2x4xi64> -> tensor<2x4xf32>
  %logits = linalg.generic {indexing_maps = [#all, #channel, #all], iterator_types = ["parallel", "parallel"]}
      ins(%d, %b : tensor<2x4xf32>, tensor<4xf32>) outs(%e : tensor<2x4xf32>) {
  ^bb0(%in: f32, %bb: f32, %out: f32):
    %a = arith.addf %in, %bb : f32
    linalg.yield %a : f32
  } -> tensor<2x4xf32>
  return %logits, %state : tensor<2x4xf32>, tensor<2x4xf32>
}

// RUN: sq-opt %s -o %t.mlir --spikequant-report-counts="calibration=%S/Inputs/w.calib.json json=%t.json" 2>&1 | FileCheck %s --check-prefix=TABLE
// RUN: FileCheck %s --check-prefix=JSON < %t.json
// The program is not changed.
// RUN: sq-opt %s | diff - %t.mlir

// Calibration saw 4 rows: |x| from 1 to 1.125 and from 8 to 9. The middles are the counts 2, inside its
// window, and 17 = 10001b, a salient one. W = 7 -7, 7 0 has f = 2, 1 weights that are not zero. For the 2 rows of
// the graph: rate 2 (2) + 2 (1 message) = 6 spikes, which reach 2 (2 2) + 2 (2 planes) = 12 neurons.

// TABLE: operations of 'f'
// TABLE: w 2 2 x 2 2 12 8 8 8 estimated
// TABLE: weights from DRAM
// TABLE: real numbers
// TABLE: 1 loops of unknown length are counted as if they ran once

// JSON: "source": "estimated"
// JSON: "rows": 2
// JSON: "assumed": true
// JSON: "weight_bits": 4
// JSON: "salient_events": 2
// JSON: "rate": {
// JSON-NEXT: "spikes": 6
// JSON-NEXT: "synaptic_events": 12
// JSON-NEXT: "additions": 12
// JSON-NEXT: "multiplications": 0
// 2 rows, 2 outputs, 2 rails, 7 steps.
// JSON-NEXT: "comparisons": 56
// JSON-NEXT: "bytes": {
// 12 4 / 8, 6 32 / 8, (2 12 + 56) 64 / 8
// JSON-NEXT: "weights": 6
// JSON-NEXT: "counts": 0
// JSON-NEXT: "events": 24
// JSON-NEXT: "membranes": 640
// JSON: "totals"
// JSON: "other": {
// A product of two activations: 2 2 2 products; two inputs and the initial value read, the result written.
// JSON-NEXT: "contraction": {
// JSON-NEXT: "operations": 1
// JSON-NEXT: "additions": 8
// JSON-NEXT: "multiplications": 8
// JSON: "bytes": 64
// JSON: "decode": {
// JSON: "multiplications": 4
// JSON: "conversions": 4
// A body of exp and add over 4 values, what it does not read not being counted; 3 times 4 products in a loop; 4 in
// a loop of unknown length.
// JSON: "elementwise": {
// JSON-NEXT: "operations": 3
// JSON-NEXT: "additions": 4
// JSON-NEXT: "multiplications": 16
// JSON-NEXT: "divisions": 0
// JSON-NEXT: "comparisons": 0
// JSON-NEXT: "functions": 4
// JSON-NEXT: "conversions": 0
// 2 4 4 + 3 (3 4 4) + 3 4 4
// JSON-NEXT: "bytes": 224
// JSON: "encode": {
// JSON: "loops_of_unknown_length": 1

spikequant.weights @bits : tensor<2xi8> format(#spikequant.real) value(dense<[4, 3]> : tensor<2xi8>)
spikequant.weights @w : tensor<2x2xf32> format(#spikequant.codes<bits = 4, group = 0, symmetric = true>)
    value(dense<[[7.0, -7.0], [7.0, 0.0]]> : tensor<2x2xf32>)

#id = affine_map<(i, j) -> (i, j)>
func.func @f(%x: tensor<2x2xf32>) -> tensor<2x2xf32> {
  %n = spikequant.encode %x {step = 0.5 : f32, site = "w.in", bits = @bits} : tensor<2x2xf32> -> tensor<2x2xi16>
  %a = spikequant.integrate %n, @w : tensor<2x2xi16> -> tensor<2x2xi64>
  %y = spikequant.decode %a, @w {step = 0.5 : f32} : tensor<2x2xi64> -> tensor<2x2xf32>
  %e = tensor.empty() : tensor<2x2xf32>
  %z = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%y : tensor<2x2xf32>) outs(%e : tensor<2x2xf32>) {
  ^bb0(%in: f32, %out: f32):
    %p = math.exp %in : f32
    %q = arith.addf %p, %in : f32
    linalg.yield %q : f32
  } -> tensor<2x2xf32>
  %m = linalg.matmul ins(%z, %z : tensor<2x2xf32>, tensor<2x2xf32>) outs(%y : tensor<2x2xf32>) -> tensor<2x2xf32>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %r = scf.for %i = %c0 to %c3 step %c1 iter_args(%v = %m) -> (tensor<2x2xf32>) {
    %s = arith.mulf %v, %x : tensor<2x2xf32>
    scf.yield %s : tensor<2x2xf32>
  }
  %t = scf.while (%v = %r) : (tensor<2x2xf32>) -> tensor<2x2xf32> {
    %first = tensor.extract %v[%c0, %c0] : tensor<2x2xf32>
    %more = arith.cmpf olt, %first, %first : f32
    scf.condition(%more) %v : tensor<2x2xf32>
  } do {
  ^bb0(%v: tensor<2x2xf32>):
    %s = arith.mulf %v, %x : tensor<2x2xf32>
    scf.yield %s : tensor<2x2xf32>
  }
  return %t : tensor<2x2xf32>
}

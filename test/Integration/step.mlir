// A compiled graph against loops in C: a matmul, an addition, a state that is
// updated in place and read again. One and two threads give the same bits; bad
// calls are refused.
//
// RUN: rm -rf %t.out
// RUN: sq-compile %s --float -o %t.out --json %t.json
// RUN: %cc -std=c11 -Wall -ffp-contract=off -I %src/include %S/Inputs/check_step.c -o %t.check -ldl -lm
// RUN: %t.check %t.out 1 | FileCheck %s
// RUN: %t.check %t.out 2 | FileCheck %s
// CHECK: arguments x position s
// CHECK: state 1
// CHECK: equal
// CHECK: refused: 1 1 1 4 3

// RUN: FileCheck %s --check-prefix=JSON --input-file=%t.json
// JSON-DAG: "name": "step"
// JSON-DAG: "method": "float"
// JSON-DAG: "peak_bytes"

// Any vector width, any processor: the same bits.
// RUN: rm -rf %t.portable
// RUN: sq-compile %s --float --mcpu x86-64-v3 --isa portable -o %t.portable
// RUN: %t.check %t.portable 2 | FileCheck %s

func.func @step(%x: tensor<5x37xf32> {spikequant.name = "x"}, %p: tensor<i32> {spikequant.name = "position"},
                %s: tensor<11x19xf32> {spikequant.name = "s", spikequant.state = 1 : i64})
    -> (tensor<5x19xf32>, tensor<11x19xf32>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<5x19xf32>
  %e2 = tensor.empty() : tensor<37x19xf32>
  // w[k][n] = k - 2 n, made in the graph
  %w = linalg.generic {indexing_maps = [affine_map<(k, n) -> (k, n)>], iterator_types = ["parallel", "parallel"]} outs(%e2 : tensor<37x19xf32>) {
  ^bb0(%out: f32):
    %k = linalg.index 0 : index
    %n = linalg.index 1 : index
    %k1 = arith.index_cast %k : index to i32
    %n1 = arith.index_cast %n : index to i32
    %n2 = arith.addi %n1, %n1 : i32
    %d = arith.subi %k1, %n2 : i32
    %f = arith.sitofp %d : i32 to f32
    linalg.yield %f : f32
  } -> tensor<37x19xf32>
  %init = linalg.fill ins(%zero : f32) outs(%e : tensor<5x19xf32>) -> tensor<5x19xf32>
  %m = linalg.matmul ins(%x, %w : tensor<5x37xf32>, tensor<37x19xf32>) outs(%init : tensor<5x19xf32>) -> tensor<5x19xf32>
  %pi = tensor.extract %p[] : tensor<i32>
  %i = arith.index_cast %pi : i32 to index
  %n = tensor.insert_slice %m into %s[%i, 0] [5, 19] [1, 1] : tensor<5x19xf32> into tensor<11x19xf32>
  %r = tensor.extract_slice %n[0, 0] [5, 19] [1, 1] : tensor<11x19xf32> to tensor<5x19xf32>
  %y = linalg.add ins(%m, %r : tensor<5x19xf32>, tensor<5x19xf32>) outs(%e : tensor<5x19xf32>) -> tensor<5x19xf32>
  return %y, %n : tensor<5x19xf32>, tensor<11x19xf32>
}

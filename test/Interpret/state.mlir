// RUN: sq-run %s --function step --print | FileCheck %s
// RUN: not sq-run %s --function add --print 2>&1 | FileCheck %s --check-prefix=MISSING
// RUN: not sq-run %s 2>&1 | FileCheck %s --check-prefix=CHOOSE
// RUN: not sq-run %s --function other 2>&1 | FileCheck %s --check-prefix=NAME
// RUN: not sq-run %s --function step --inputs %t.none.npz 2>&1 | FileCheck %s --check-prefix=FILE
// RUN: not sq-run %s --function step --inputs %s 2>&1 | FileCheck %s --check-prefix=FILE

// The state starts as zeros, is updated in place and returned.
// CHECK: out0 float32[2, 2]: 1 2 0 0
// CHECK: out1 float32[2]: 1 2
// MISSING: sq-run: error: the inputs have no array 'arg0' (x); 'add' wants float32[2]
// NAME: sq-run: error: '{{.*}}state.mlir' has no graph 'other', only: step, add
// CHOOSE: sq-run: error: '{{.*}}state.mlir' has these graphs: step, add; choose one with --function
// FILE: sq-run: error: cannot open '{{.*}}' as .npz
func.func @step(%cache: tensor<2x2xf32> {spikequant.state = 0 : i64, spikequant.name = "cache"})
    -> (tensor<2x2xf32>, tensor<2xf32>) {
  %row = arith.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %new = tensor.insert_slice %row into %cache[0, 0] [1, 2] [1, 1]
      : tensor<2xf32> into tensor<2x2xf32>
  %back = tensor.extract_slice %new[0, 0] [1, 2] [1, 1] : tensor<2x2xf32> to tensor<2xf32>
  return %new, %back : tensor<2x2xf32>, tensor<2xf32>
}

func.func @add(%x: tensor<2xf32> {spikequant.name = "x"}) -> tensor<2xf32> {
  %e = tensor.empty() : tensor<2xf32>
  %y = linalg.add ins(%x, %x : tensor<2xf32>, tensor<2xf32>) outs(%e : tensor<2xf32>) -> tensor<2xf32>
  return %y : tensor<2xf32>
}

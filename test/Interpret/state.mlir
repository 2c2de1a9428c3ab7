// RUN: sq-run %s --zero-state --print | FileCheck %s
// RUN: not sq-run %s --print 2>&1 | FileCheck %s --check-prefix=MISSING
// RUN: not sq-run %s --function other 2>&1 | FileCheck %s --check-prefix=NAME
// RUN: not sq-run %s --inputs %t.none.npz 2>&1 | FileCheck %s --check-prefix=FILE
// RUN: not sq-run %s --zero-state --inputs %s 2>&1 | FileCheck %s --check-prefix=FILE

// The state is updated in place and returned.
// CHECK: out0 float32[2, 2]: 1 2 0 0
// CHECK: out1 float32[2]: 1 2
// MISSING: sq-run: error: the inputs have no array 'arg0' (cache); 'step' wants float32[2, 2]
// NAME: sq-run: error: '{{.*}}state.mlir' has no graph 'other', only: step
// FILE: sq-run: error: cannot open '{{.*}}' as .npz
func.func @step(%cache: tensor<2x2xf32> {spikequant.state = 0 : i64, spikequant.name = "cache"})
    -> (tensor<2x2xf32>, tensor<2xf32>) {
  %row = arith.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %new = tensor.insert_slice %row into %cache[0, 0] [1, 2] [1, 1]
      : tensor<2xf32> into tensor<2x2xf32>
  %back = tensor.extract_slice %new[0, 0] [1, 2] [1, 1] : tensor<2x2xf32> to tensor<2xf32>
  return %new, %back : tensor<2x2xf32>, tensor<2xf32>
}

// RUN: sq-opt %s --split-input-file --spikequant-verify-dequant-free=allow=residual,encode -o /dev/null
// RUN: not sq-opt %s --split-input-file --spikequant-verify-dequant-free -o /dev/null 2>&1 | FileCheck %s
// RUN: sq-opt %s --split-input-file --spikequant-verify-dequant-free=list -o /dev/null 2>&1 | FileCheck %s --check-prefix=LIST
// RUN: not sq-opt %s --split-input-file --spikequant-verify-dequant-free=allow=nothing 2>&1 | FileCheck %s --check-prefix=OPTION
// OPTION: error: option 'allow': no island is called 'nothing'

// Integers between the ids and the logits: nothing to complain about.

// CHECK-NOT: free.mlir:13:
spikequant.weights @w : tensor<4x4xf32> format(#spikequant.codes<bits = 4, group = 0>) source("w")
func.func @free(%n: tensor<2x4xi16>) -> tensor<2x4xf32> {
  %acc = spikequant.integrate %n, @w : tensor<2x4xi16> -> tensor<2x4xi64>
  %d = spikequant.decode %acc, @w {step = 0.5 : f32} : tensor<2x4xi64> -> tensor<2x4xf32>
  return %d : tensor<2x4xf32>
}

// -----

// CHECK: free.mlir:[[#@LINE+10]]:8: error: 'spikequant.decode' starts a real-valued island 'residual' of 2 operations: the stream is not on a fixed-point grid
// CHECK: free.mlir:[[#@LINE+10]]:8: note: 'linalg.add'
// CHECK: error: 'spikequant.encode' starts a real-valued island 'encode' of 1 operations: its input is real
// LIST: warning: 'spikequant.decode' starts a real-valued island 'residual'
// LIST: warning: 'spikequant.encode' starts a real-valued island 'encode'
spikequant.weights @w : tensor<4x4xf32> format(#spikequant.codes<bits = 4, group = 0>) source("w")
func.func @residual(%x: tensor<2x4xf32>, %n: tensor<2x4xi16>) -> tensor<2x4xf32> {
  %acc = spikequant.integrate %n, @w : tensor<2x4xi16> -> tensor<2x4xi64>
  %e = tensor.empty() : tensor<2x4xf32>

  %d = spikequant.decode %acc, @w {step = 0.5 : f32} : tensor<2x4xi64> -> tensor<2x4xf32>
  %z = linalg.add ins(%x, %d : tensor<2x4xf32>, tensor<2x4xf32>) outs(%e : tensor<2x4xf32>) -> tensor<2x4xf32>
  %m = spikequant.encode %z {step = 0.5 : f32, site = "w.in"} : tensor<2x4xf32> -> tensor<2x4xi16>
  %acc2 = spikequant.integrate %m, @w : tensor<2x4xi16> -> tensor<2x4xi64>
  %y = spikequant.decode %acc2, @w {step = 0.5 : f32} : tensor<2x4xi64> -> tensor<2x4xf32>
  return %y : tensor<2x4xf32>
}

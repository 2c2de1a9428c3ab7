// RUN: sq-opt %s --convert-linalg-to-vector-loops --split-input-file --verify-diagnostics

func.func @tensors(%a: tensor<4xf32>, %c: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{works on tensors; bufferise before the conversion to loops}}
  %0 = linalg.negf ins(%a : tensor<4xf32>) outs(%c : tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

func.func @softmax(%a: memref<4x8xf32>, %c: memref<4x8xf32>) {
  // expected-error @+1 {{has no structured form; decompose it before the conversion to loops}}
  linalg.softmax dimension(1) ins(%a : memref<4x8xf32>) outs(%c : memref<4x8xf32>)
  return
}

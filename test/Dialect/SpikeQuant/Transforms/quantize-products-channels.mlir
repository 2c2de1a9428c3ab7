// RUN: sq-opt %s -split-input-file \
// RUN:   -spikequant-quantize="calibration=%S/Inputs/heads.calib.json cache-bits=4" \
// RUN:   -o %t.mlir --remarks-filter=spikequant-quantize 2> %t.remarks
// RUN: FileCheck %s --input-file=%t.mlir
// RUN: FileCheck %s --input-file=%t.remarks --check-prefix=REMARK
// RUN: sq-opt %s -split-input-file \
// RUN:   -spikequant-quantize="calibration=%S/Inputs/heads.calib.json" \
// RUN:   | FileCheck %s --check-prefix=EIGHT
// RUN: sq-opt %s -split-input-file -spikequant-name-sites -spikequant-insert-observers \
// RUN:   | FileCheck %s --check-prefix=OBSERVE

// Counts of 4 bits in a state have a step for each head and channel. Two heads of
// keys, channels +-8, 4, 2, 1 and +-1, 2, 4, 16. A step 4 % smaller than
// one that holds the largest value is best: it is still within half a step. That
// of 16 is 0.96 16 / 7 = 2.1942857; gains are 16 over the values.

// Both queries of a head have the inverse gains: 8 / 16, 4 / 16, ..; with them
// they are 127 at most.

// CHECK-DAG: @step.qk.right.step_gains : tensor<8xf32> {{.*}} value(dense<[2.000000e+00, 4.000000e+00, 8.000000e+00, 1.600000e+01, 1.600000e+01, 8.000000e+00, 4.000000e+00, 1.000000e+00]>
// CHECK-DAG: @step.qk.left.step_gains : tensor<16xf32> {{.*}} value(dense<[5.000000e-01, 2.500000e-01, 1.250000e-01, 6.250000e-02, 5.000000e-01, 2.500000e-01, 1.250000e-01, 6.250000e-02, 6.250000e-02, 1.250000e-01, 2.500000e-01, 1.000000e+00, 6.250000e-02, 1.250000e-01, 2.500000e-01, 1.000000e+00]>

// CHECK-LABEL: func.func @step
// CHECK-SAME: tensor<2x2x16xi8> {spikequant.state = 1 : i64}
// CHECK: %[[KEYS:.*]] = tensor.collapse_shape %{{.*}} {{\[\[0\], \[1, 2\]\]}} : tensor<1x2x4xf32> into tensor<1x8xf32>
// CHECK: encode %[[KEYS]] {bits = @bits.4x8, gains = @step.qk.right.step_gains, overflow = #spikequant.overflow<saturate>, site = "step.qk.right", step = 2.19428563 : f32}
// CHECK: encode %{{.*}} {bits = @bits.8x16, gains = @step.qk.left.step_gains, {{.*}} step = {{1.000000e\+00|0.9}}
// Channels 0 and 1 are the low bits, 2 and 3 the high ones.
// CHECK: tensor.extract_slice %{{.*}}[0, 0, 0] [2, 2, 1] [1, 1, 1] : tensor<2x4x1xi8>
// CHECK: tensor.extract_slice %{{.*}}[0, 2, 0] [2, 2, 1] [1, 1, 1] : tensor<2x4x1xi8>
// CHECK: arith.andi %{{.*}}, %c15_i8
// CHECK: arith.shli %{{.*}}, %c4_i8
// CHECK: arith.ori
// CHECK: %[[STATE:.*]] = tensor.insert_slice %{{.*}} into %{{.*}}[0, 0, %{{.*}}] [2, 2, 1] [1, 1, 1] : tensor<2x2x1xi8> into tensor<2x2x16xi8>
// CHECK: arith.shrsi
// CHECK: tensor.insert_slice %{{.*}}[0, 0, 0] [2, 2, 16] [1, 1, 1] : tensor<2x2x16xi8> into tensor<2x4x16xi8>
// CHECK: tensor.insert_slice %{{.*}}[0, 2, 0] [2, 2, 16] [1, 1, 1] : tensor<2x2x16xi8> into tensor<2x4x16xi8>
// CHECK: return %{{.*}}, %[[STATE]]

// REMARK: product 'step.qk': {{.*}} times a gain for each of 16 channels, {{.*}} times a gain for each of 8 channels, held in a state, two a byte

// One step of 8 bits for all, a byte each.

// EIGHT-LABEL: func.func @step
// EIGHT-SAME: tensor<2x4x16xi8> {spikequant.state = 1 : i64}
// EIGHT: encode {{.*}} : tensor<1x2x4xf32>
// EIGHT-NOT: gains
// EIGHT: return

// Calibration sees the heads of what is held apart.

// OBSERVE-LABEL: func.func @step
// OBSERVE-DAG: spikequant.observe %{{.*}} {site = "step.qk.right"} : tensor<1x8xf32>
// OBSERVE-DAG: spikequant.observe %{{.*}} {site = "step.qk.left"} : tensor<1x4x4xf32>
func.func @step(%q: tensor<1x4x4xf32>, %k: tensor<1x2x4xf32>, %at: index,
                  %keys: tensor<2x4x16xf32> {spikequant.state = 1 : i64})
    -> (tensor<2x2x16xf32>, tensor<2x4x16xf32>) {
  %zero = arith.constant 0.0 : f32
  %e241 = tensor.empty() : tensor<2x4x1xf32>
  %kt = linalg.transpose ins(%k : tensor<1x2x4xf32>) outs(%e241 : tensor<2x4x1xf32>) permutation = [1, 2, 0]
  %new_keys = tensor.insert_slice %kt into %keys[0, 0, %at] [2, 4, 1] [1, 1, 1] : tensor<2x4x1xf32> into tensor<2x4x16xf32>
  %grouped = tensor.expand_shape %q [[0], [1, 2], [3]] output_shape [1, 2, 2, 4] : tensor<1x4x4xf32> into tensor<1x2x2x4xf32>
  %queries = tensor.collapse_shape %grouped [[0, 1], [2], [3]] : tensor<1x2x2x4xf32> into tensor<2x2x4xf32>
  %e = tensor.empty() : tensor<2x2x16xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x2x16xf32>) -> tensor<2x2x16xf32>
  %scores = linalg.batch_matmul ins(%queries, %new_keys : tensor<2x2x4xf32>, tensor<2x4x16xf32>)
      outs(%f : tensor<2x2x16xf32>) -> tensor<2x2x16xf32>
  return %scores, %new_keys : tensor<2x2x16xf32>, tensor<2x4x16xf32>
}

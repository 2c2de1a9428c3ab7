// RUN: sq-opt %s -spikequant-quantize="calibration=%S/Inputs/skewed.calib.json bits=2" | FileCheck %s
// RUN: sq-opt %s -spikequant-quantize="calibration=%S/Inputs/skewed.calib.json bits=2 centres=false" | FileCheck %s --check-prefix=PLAIN
// RUN: sed -e 's/value(dense.*> : tensor<4x2xf32>)/source("w")/' %s | sq-opt -spikequant-quantize="calibration=%S/Inputs/skewed.calib.json bits=2" | FileCheck %s --check-prefix=PLAIN

// Four channels: always in [5, 5.5); six of eight values in (-0.140625, -0.125] and
// two in [1, 1.125); half 1, half -1; 0. The first is silent around its mean, 5.25,
// which is all that the matrix gets of it; the third needs no centre and the fourth has
// none, for 0 must stay silent. The bias is 5.25 (1, 2) and a share of the second
// channel's (10, 0).

module attributes {spikequant.sites_named} {
  spikequant.weights @w : tensor<4x2xf32> format(#spikequant.real) value(dense<[[1.0, 2.0], [0.0, 0.0], [0.0, 1.0], [3.0, 0.0]]> : tensor<4x2xf32>)

  // CHECK-DAG: spikequant.weights @w.in.bits : tensor<4xi8> format(#spikequant.real) value(dense<[0, {{[0-9]}}, {{[0-9]}}, 0]> : tensor<4xi8>)
  // CHECK-DAG: spikequant.weights @w.in.centres : tensor<4xf32> format(#spikequant.real) value(dense<[5.250000e+00, {{.*}}, 0.000000e+00, 0.000000e+00]> : tensor<4xf32>)
  // CHECK-DAG: spikequant.weights @w.bias : tensor<2xf32> format(#spikequant.real) value(dense<[5.250000e+00, 1.050000e+01]> : tensor<2xf32>)
  // CHECK-LABEL: func.func @f
  // CHECK: spikequant.encode {{.*}}centres = @w.in.centres
  // CHECK: %[[Y:.*]] = spikequant.decode
  // CHECK: %[[BIAS:.*]] = spikequant.load_weights @w.bias : tensor<2xf32>
  // CHECK: %[[SUM:.*]] = linalg.generic {{.*}} ins(%[[Y]], %[[BIAS]] :
  // CHECK: arith.addf
  // CHECK: return %[[SUM]]

  // PLAIN-NOT: centres
  // PLAIN-NOT: bias
  func.func @f(%x: tensor<2x4xf32>) -> tensor<2x2xf32> {
    %w = spikequant.load_weights @w : tensor<4x2xf32>
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<2x2xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x2xf32>) -> tensor<2x2xf32>
    %y = linalg.matmul {spikequant.site = "w"} ins(%x, %w : tensor<2x4xf32>, tensor<4x2xf32>)
        outs(%f : tensor<2x2xf32>) -> tensor<2x2xf32>
    return %y : tensor<2x2xf32>
  }
}

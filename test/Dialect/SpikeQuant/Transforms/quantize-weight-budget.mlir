// RUN: sq-opt %s -spikequant-quantize="method=rtn weight-budget=11" \
// RUN:   --remarks-filter=spikequant-quantize 2> %t.remarks | FileCheck %s
// RUN: FileCheck %s --input-file=%t.remarks --check-prefix=REMARK
// RUN: not sq-opt %s -spikequant-quantize="method=rtn weight-budget=7" 2>&1 | FileCheck %s --check-prefix=SMALL
// RUN: not sq-opt %s -spikequant-quantize="method=rtn weight-budget=1" 2>&1 | FileCheck %s --check-prefix=RANGE

// Rows of 8 channels have one group: 2 bits of m and c and 4 of s per weight.
// @fine lies on 8 levels with one distance: 3 bits are exact, so more bits go
// to @coarse as far as they help. @head is returned and keeps head-bits.

// SMALL: error: choosing weight formats: a mean of 7 bits per weight cannot be met: the smallest formats take 8
// RANGE: error: option 'weight-budget' must be 2 to 16 bits, or 0 for none

// CHECK-DAG: @fine.codes : tensor<1x8xf32> format(#spikequant.codes<bits = 3, group = 0>)
// CHECK-DAG: @coarse.codes : tensor<1x8xf32> format(#spikequant.codes<bits = 6, group = 0>)
// CHECK-DAG: @head.codes : tensor<2x8xf32> format(#spikequant.codes<bits = 8>)
// REMARK-DAG: weight-format {{.*}}"weights 'coarse': 6 bits, one group per row: 12.00 stored bits per weight
// REMARK-DAG: weight-format {{.*}}"weights 'fine': 3 bits, one group per row: 9.00 stored bits per weight, predicted loss {{[0-9.]+}}e-1
spikequant.weights @fine : tensor<8x1xf32> format(#spikequant.real) value(dense<[[0.0], [0.25], [0.5], [0.75], [1.0], [1.25], [1.5], [1.75]]> : tensor<8x1xf32>)
spikequant.weights @coarse : tensor<8x1xf32> format(#spikequant.real) value(dense<[[0.013], [-0.271], [0.533], [0.797], [-1.01], [1.237], [-1.51], [1.749]]> : tensor<8x1xf32>)
func.func @two(%x: tensor<2x8xf32>, %h: tensor<8x2xf32> {spikequant.weight = "head"}) -> (tensor<2x1xf32>, tensor<2x1xf32>, tensor<2x2xf32>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x1xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x1xf32>) -> tensor<2x1xf32>
  %e2 = tensor.empty() : tensor<2x2xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<2x2xf32>) -> tensor<2x2xf32>
  %a = spikequant.load_weights @fine : tensor<8x1xf32>
  %b = spikequant.load_weights @coarse : tensor<8x1xf32>
  %y = linalg.matmul ins(%x, %a : tensor<2x8xf32>, tensor<8x1xf32>) outs(%f : tensor<2x1xf32>) -> tensor<2x1xf32>
  %z = linalg.matmul ins(%x, %b : tensor<2x8xf32>, tensor<8x1xf32>) outs(%f : tensor<2x1xf32>) -> tensor<2x1xf32>
  %w = linalg.matmul ins(%x, %h : tensor<2x8xf32>, tensor<8x2xf32>) outs(%f2 : tensor<2x2xf32>) -> tensor<2x2xf32>
  %ey = math.exp %y : tensor<2x1xf32>
  %ez = math.exp %z : tensor<2x1xf32>
  return %ey, %ez, %w : tensor<2x1xf32>, tensor<2x1xf32>, tensor<2x2xf32>
}

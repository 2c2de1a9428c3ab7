// RUN: sq-opt %s -split-input-file -verify-diagnostics \
// RUN:   -spikequant-quantize="calibration=%S/Inputs/eight.calib.json"
// RUN: not sq-opt %s -spikequant-quantize="method=best" 2>&1 | FileCheck %s --check-prefix=METHOD
// RUN: not sq-opt %s -spikequant-quantize="tolerance=2" 2>&1 | FileCheck %s --check-prefix=TOLERANCE
// RUN: not sq-opt %s -spikequant-quantize="weight-bits=9" 2>&1 | FileCheck %s --check-prefix=BITS
// RUN: not sq-opt %s -spikequant-quantize="group=12" 2>&1 | FileCheck %s --check-prefix=GROUP
// RUN: not sq-opt %s -spikequant-quantize="rule=magic" 2>&1 | FileCheck %s --check-prefix=RULE
// RUN: echo "module {}" | not sq-opt -spikequant-quantize="calibration=" 2>&1 \
// RUN:   | FileCheck %s --check-prefix=NOFILE
// RUN: echo "module {}" | not sq-opt -spikequant-quantize="calibration=%t.absent" 2>&1 \
// RUN:   | FileCheck %s --check-prefix=ABSENT
// RUN: not sq-opt %s -spikequant-name-sites="leave=a(" 2>&1 | FileCheck %s --check-prefix=REGEX

// METHOD: error: option 'method' must be 'spike' or 'rtn', not 'best'
// TOLERANCE: error: option 'tolerance' must be 0 or 1
// BITS: error: options 'weight-bits' and 'head-bits' must be 1 to 8
// GROUP: error: option 'group' must be 0 or a multiple of 8
// RULE: error: option 'rule':
// NOFILE: error: option 'calibration' must name the file that `spikequant calibrate` wrote
// ABSENT: error: {{.*}}absent
// REGEX: error: option 'leave': 'a(' is no regular expression: parentheses not balanced

func.func @site_not_calibrated(%x: tensor<2x8xf32>, %y: tensor<2x16xf32>,
                               %w: tensor<8x16xf32> {spikequant.weight = "new"}) -> tensor<2x16xf32> {
  // expected-error@+1 {{has no site 'new.in'; calibrate this model again}}
  %0 = linalg.matmul ins(%x, %w : tensor<2x8xf32>, tensor<8x16xf32>)
      outs(%y : tensor<2x16xf32>) -> tensor<2x16xf32>
  return %0 : tensor<2x16xf32>
}

// -----

func.func @other_channels(%x: tensor<2x9xf32>, %y: tensor<2x16xf32>,
                          %w: tensor<9x16xf32> {spikequant.weight = "q"}) -> tensor<2x16xf32> {
  // expected-error@+1 {{has 8 channels for site 'q.in', this model 9; calibrate this model again}}
  %0 = linalg.matmul ins(%x, %w : tensor<2x9xf32>, tensor<9x16xf32>)
      outs(%y : tensor<2x16xf32>) -> tensor<2x16xf32>
  return %0 : tensor<2x16xf32>
}

// -----

// In one graph two sites share the input, in the other only one reads it.

func.func @graph_a(%x: tensor<2x8xf32>, %y: tensor<2x16xf32>,
                   %w: tensor<8x16xf32> {spikequant.weight = "q"},
                   %k: tensor<8x16xf32> {spikequant.weight = "k"}) -> tensor<2x16xf32> {
  // expected-note@+1 {{another graph has 8 channels that drive 32}}
  %0 = linalg.matmul ins(%x, %w : tensor<2x8xf32>, tensor<8x16xf32>)
      outs(%y : tensor<2x16xf32>) -> tensor<2x16xf32>
  %1 = linalg.matmul ins(%x, %k : tensor<2x8xf32>, tensor<8x16xf32>)
      outs(%0 : tensor<2x16xf32>) -> tensor<2x16xf32>
  return %1 : tensor<2x16xf32>
}
func.func @graph_b(%x: tensor<2x8xf32>, %y: tensor<2x16xf32>,
                   %w: tensor<8x16xf32> {spikequant.weight = "q"}) -> tensor<2x16xf32> {
  // expected-error@+1 {{encode site 'q.in' has 8 channels that drive 16 outputs; every graph must use a site alike}}
  %0 = linalg.matmul ins(%x, %w : tensor<2x8xf32>, tensor<8x16xf32>)
      outs(%y : tensor<2x16xf32>) -> tensor<2x16xf32>
  return %0 : tensor<2x16xf32>
}

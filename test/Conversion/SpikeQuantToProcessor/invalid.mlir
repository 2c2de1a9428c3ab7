// RUN: sq-opt %s --convert-spikequant-to-processor --split-input-file --verify-diagnostics

spikequant.weights @w : tensor<16x32xf32> format(#spikequant.codes<bits = 4, group = 32>) source("w")
func.func @decode_of_an_argument(%acc: tensor<4x16xi64>) -> tensor<4x16xf32> {
  // expected-error @below {{decodes a membrane that no integrate made}}
  %y = spikequant.decode %acc, @w {step = 0.5 : f32} : tensor<4x16xi64> -> tensor<4x16xf32>
  return %y : tensor<4x16xf32>
}

// -----

spikequant.weights @w : tensor<16x32xf32> format(#spikequant.codes<bits = 4, group = 32>) source("w")
func.func @dynamic_rows(%x: tensor<?x32xf32>) -> tensor<?x16xi64> {
  // expected-error @below {{has the dynamic shape 'tensor<?x32xf32>'; the processor's kernels need static shapes}}
  %n = spikequant.encode %x {step = 0.5 : f32, site = "w.in"} : tensor<?x32xf32> -> tensor<?x32xi16>
  %acc = spikequant.integrate %n, @w : tensor<?x32xi16> -> tensor<?x16xi64>
  return %acc : tensor<?x16xi64>
}

// -----

spikequant.weights @w : tensor<16x32xf32> format(#spikequant.codes<bits = 4, group = 32>) source("w")
spikequant.weights @other : tensor<16x32xf32> format(#spikequant.codes<bits = 4, group = 32>) source("other")
func.func @scales_of_other_weights(%x: tensor<4x32xf32>) -> tensor<4x16xf32> {
  %n = spikequant.encode %x {step = 0.5 : f32, site = "w.in"} : tensor<4x32xf32> -> tensor<4x32xi16>
  %acc = spikequant.integrate %n, @w : tensor<4x32xi16> -> tensor<4x16xi64>
  // expected-error @below {{decodes with the scales of @other what was integrated over @w; both must name the same weights}}
  %y = spikequant.decode %acc, @other {step = 0.5 : f32} : tensor<4x16xi64> -> tensor<4x16xf32>
  return %y : tensor<4x16xf32>
}

// -----

spikequant.weights @stack : tensor<5x16x32xf32> format(#spikequant.codes<bits = 4>) source("stack")
func.func @two_indices(%n: tensor<2x32xi16>, %i: index, %j: index) -> tensor<2x16xf32> {
  %a = spikequant.integrate %n, @stack[%i : index] : tensor<2x32xi16> -> tensor<2x16xi64>
  // expected-error@+1 {{decodes with the scales of other matrices of @stack than were integrated over; both must have one index}}
  %y = spikequant.decode %a, @stack[%j : index] {step = 0.5 : f32} : tensor<2x16xi64> -> tensor<2x16xf32>
  return %y : tensor<2x16xf32>
}

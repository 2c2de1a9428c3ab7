// RUN: sq-opt %s --convert-spikequant-to-vector-loops --split-input-file --verify-diagnostics

spikequant.weights @e : tensor<16x8xf32> format(#spikequant.codes<bits = 4, group = 0>) source("e")
func.func @tensors(%ids: tensor<3xi32>, %y: tensor<3x8xf32>) -> tensor<3x8xf32> {
  // expected-error @below {{has operands that are no buffers; run one-shot-bufferize before this pass}}
  %r = spikequant.lookup_rows {weights = @e} ins(%ids : tensor<3xi32>) outs(%y : tensor<3x8xf32>) -> tensor<3x8xf32>
  return %r : tensor<3x8xf32>
}

// -----

// expected-note @below {{these have no 'offset_bits' in spikequant.layout; pack the weights before this pass}}
spikequant.weights @e : tensor<16x8xf32> format(#spikequant.codes<bits = 4, group = 0>) source("e")
func.func @not_packed(%ids: memref<3xi32>, %y: memref<3x8xf32>, %file: memref<?xi8> {spikequant.weights_file}) {
  // expected-error @below {{needs weights whose place in the packed file is known}}
  spikequant.lookup_rows {weights = @e} ins(%ids : memref<3xi32>) outs(%y : memref<3x8xf32>)
  return
}

// -----

func.func @no_context(%o: memref<2x66xi32>) {
  // expected-error @below {{is in a function without an argument marked 'spikequant.salient'}}
  spikequant.tally %o {site = "b"} : memref<2x66xi32>
  return
}

// -----

func.func @unknown_site(%o: memref<2x66xi32>, %salient: memref<?xi64> {spikequant.salient})
    attributes {spikequant.sites = ["a"]} {
  // expected-error @below {{site "b" is not in the function's spikequant.sites}}
  spikequant.tally %o {site = "b"} : memref<2x66xi32>
  return
}

// -----

func.func @columns_apart(%x: memref<2x32xf32, strided<[64, 2]>>, %d: memref<2x32xi8>,
    %s: memref<2x1xi32>, %o: memref<2x66xi32>) {
  // expected-error @below {{needs a static shape and contiguous rows}}
  spikequant.encode_split {step = 0.5 : f32, site = "b", group = 32}
    ins(%x : memref<2x32xf32, strided<[64, 2]>>)
    outs(%d, %s, %o : memref<2x32xi8>, memref<2x1xi32>, memref<2x66xi32>)
  return
}

// -----

spikequant.weights @long : tensor<16x70000xf32> format(#spikequant.codes<bits = 4, group = 0>) source("long")
  {spikequant.layout = {codes = 0, offset_bits = 16, scales = 0, column_max = 0, max_row_sum = 1}}
func.func @too_many_input_channels(%ids: memref<3xi32>, %y: memref<3x70000xf32>) {
  // expected-error @below {{has 70000 input channels; the kernels sum at most 65536 in 32 bits}}
  spikequant.lookup_rows {weights = @long} ins(%ids : memref<3xi32>) outs(%y : memref<3x70000xf32>)
  return
}

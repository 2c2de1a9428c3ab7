// RUN: sq-opt %s --convert-spikequant-to-reference --split-input-file --verify-diagnostics

// expected-note @+1 {{attribute 'spikequant.layout' with 'codes' is missing here}}
spikequant.weights @w : tensor<4x8xf32> format(#spikequant.codes<bits = 4, group = 8>) source("w")
func.func @unpacked(%n: tensor<2x8xi16>) -> tensor<2x4xi64> {
  // expected-error @+1 {{uses weights 'w', which have no place in a packed file}}
  %a = spikequant.integrate %n, @w : tensor<2x8xi16> -> tensor<2x4xi64>
  return %a : tensor<2x4xi64>
}

// -----

func.func @dynamic(%x: tensor<?x8xf32>) -> tensor<?x8xi16> {
  // expected-error @+1 {{has a shape that is not known; the reference needs static shapes}}
  %n = spikequant.encode %x {step = 0.5 : f32, site = "x"} : tensor<?x8xf32> -> tensor<?x8xi16>
  return %n : tensor<?x8xi16>
}

// -----

func.func @processor(%o: tensor<2x18xi32>) {
  // expected-error @+1 {{is not part of the reference program}}
  spikequant.tally %o {site = "x"} : tensor<2x18xi32>
  return
}

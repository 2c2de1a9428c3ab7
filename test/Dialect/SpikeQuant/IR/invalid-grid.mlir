// RUN: sq-opt %s --split-input-file --verify-diagnostics

// ENC-C10: fixed-point numbers need a unit and rates.
func.func @unit(%x: tensor<2x4xi32>) -> tensor<2x4xi16> {
  // expected-error@+1 {{ENC-C10: fixed-point numbers, and nothing else, have a unit and rates, which hold their gains and centres}}
  %n = spikequant.encode %x {step = 1.0 : f32, site = "x"} : tensor<2x4xi32> -> tensor<2x4xi16>
  return %n : tensor<2x4xi16>
}

// -----

// ENC-C10: real numbers have neither.
func.func @real(%x: tensor<2x4xf32>) -> tensor<2x4xi16> {
  // expected-error@+1 {{ENC-C10: fixed-point numbers, and nothing else, have a unit and rates}}
  %n = spikequant.encode %x {step = 1.0 : f32, unit = 0.5 : f32, site = "x"} : tensor<2x4xf32> -> tensor<2x4xi16>
  return %n : tensor<2x4xi16>
}

// -----

// ENC-C10: the unit is a power of two.
spikequant.weights @r : tensor<3x4xi32> format(#spikequant.count_rates<unit = 1.0 : f32, step = 1.0 : f32>)
func.func @power(%x: tensor<2x4xi32>) -> tensor<2x4xi16> {
  // expected-error@+1 {{ENC-C10: unit must be a power of two, not 7.500000e-01}}
  %n = spikequant.encode %x {step = 1.0 : f32, unit = 0.75 : f32, rates = @r, site = "x"} : tensor<2x4xi32> -> tensor<2x4xi16>
  return %n : tensor<2x4xi16>
}

// -----

// ENC-C11: count rates of all channels.
spikequant.weights @r : tensor<3x5xi32> format(#spikequant.count_rates<unit = 1.0 : f32, step = 1.0 : f32>)
func.func @channels(%x: tensor<2x4xi32>) -> tensor<2x4xi16> {
  // expected-error@+1 {{ENC-C11: @r must be #spikequant.count_rates of 4 channels}}
  %n = spikequant.encode %x {step = 1.0 : f32, unit = 0.5 : f32, rates = @r, site = "x"} : tensor<2x4xi32> -> tensor<2x4xi16>
  return %n : tensor<2x4xi16>
}

// -----

// LKP-C4: rates make numbers.
spikequant.weights @e : tensor<8x4xf32> format(#spikequant.codes<bits = 8>) source("e")
func.func @lookup(%ids: tensor<2xi32>) -> tensor<2x4xi32> {
  // expected-error@+1 {{LKP-C4: rates, and nothing else, make fixed-point numbers of i32}}
  %y = spikequant.lookup @e[%ids] : tensor<2xi32> -> tensor<2x4xi32>
  return %y : tensor<2x4xi32>
}

// -----

// LKP-C4: one rate per row.
spikequant.weights @e : tensor<8x4xf32> format(#spikequant.codes<bits = 8>) source("e")
spikequant.weights @r : tensor<3x4xi32> format(#spikequant.rates<weights = @e, step = 1.0 : f32, unit = 0.5 : f32>)
func.func @rows(%ids: tensor<2xi32>) -> tensor<2x4xi32> {
  // expected-error@+1 {{LKP-C4: @r must be #spikequant.rates of 8 channels, the rows of @e}}
  %y = spikequant.lookup @e[%ids] {rates = @r} : tensor<2xi32> -> tensor<2x4xi32>
  return %y : tensor<2x4xi32>
}

// -----

// LKR-C4: as above, in destination style.
spikequant.weights @e : tensor<8x4xf32> format(#spikequant.codes<bits = 8>) source("e")
spikequant.weights @r : tensor<3x4xi32> format(#spikequant.rates<weights = @e, step = 1.0 : f32, unit = 0.5 : f32>)
func.func @rows(%ids: tensor<2xi32>, %to: tensor<2x4xi32>) -> tensor<2x4xi32> {
  // expected-error@+1 {{LKR-C4: @r must be #spikequant.rates of 8 channels, the rows of @e}}
  %y = spikequant.lookup_rows {weights = @e, rates = @r} ins(%ids : tensor<2xi32>) outs(%to : tensor<2x4xi32>) -> tensor<2x4xi32>
  return %y : tensor<2x4xi32>
}

// -----

// SCR-C1: one factor per row.
func.func @factors(%x: tensor<2x4xi32>, %q: tensor<4xf32>) -> tensor<2x4xi32> {
  // expected-error@+1 {{SCR-C1: there must be one factor per row of 'tensor<2x4xi32>', not 'tensor<4xf32>'}}
  %y = spikequant.scale_rows %x, %q {unit = 0.5 : f32} : tensor<2x4xi32>, tensor<4xf32>
  return %y : tensor<2x4xi32>
}

// -----

// SCR-C2: the unit is a power of two.
func.func @scale(%x: tensor<2x4xi32>, %q: tensor<2xf32>) -> tensor<2x4xi32> {
  // expected-error@+1 {{SCR-C2: unit must be a power of two, not 3.000000e+00}}
  %y = spikequant.scale_rows %x, %q {unit = 3.0 : f32} : tensor<2x4xi32>, tensor<2xf32>
  return %y : tensor<2x4xi32>
}

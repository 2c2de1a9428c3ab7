// Rules of docs/Neuromorphic.md that hold for every target.
// RUN: sq-translate --spikequant-to-json --split-input-file --verify-diagnostics %s

spikequant.weights @bits : tensor<2xi8> format(#spikequant.real) value(dense<4> : tensor<2xi8>)
func.func @no_layer(%x: tensor<1x2xf32>) -> tensor<1x2xi16> {
  // expected-error@+1 {{NEU-C1: there is no layer}}
  %n = spikequant.encode %x {step = 1.0 : f32, site = "s", bits = @bits, overflow = #spikequant.overflow<saturate>}
      : tensor<1x2xf32> -> tensor<1x2xi16>
  return %n : tensor<1x2xi16>
}

// -----

spikequant.weights @w : tensor<1x2xf32> format(#spikequant.codes<bits = 4, group = 0, symmetric = true>)
    value(dense<7.0> : tensor<1x2xf32>)
func.func @no_encode(%n: tensor<1x2xi16>) -> tensor<1x1xi16> {
  // expected-error@+1 {{NEU-C1: a network is a chain encode, integrate, fire, integrate, fire, ..; this operand is no count of the chain}}
  %a = spikequant.integrate %n, @w : tensor<1x2xi16> -> tensor<1x1xi64>
  %r = spikequant.fire %a {multipliers = array<i64: 1>, biases = array<i64: 4>, shift = 3 : i32, lo = 0 : i32, hi = 7 : i32}
      : tensor<1x1xi64> -> tensor<1x1xi16>
  return %r : tensor<1x1xi16>
}

// -----

func.func @no_integrate(%a: tensor<1x1xi64>) -> tensor<1x1xi16> {
  // expected-error@+1 {{NEU-C1: its membrane must come from spikequant.integrate}}
  %r = spikequant.fire %a {multipliers = array<i64: 1>, biases = array<i64: 4>, shift = 3 : i32, lo = 0 : i32, hi = 7 : i32}
      : tensor<1x1xi64> -> tensor<1x1xi16>
  return %r : tensor<1x1xi16>
}

// -----

func.func @two_results(%a: tensor<1x1xi16>) -> (tensor<1x1xi16>, tensor<1x1xi16>) {
  // expected-error@+1 {{NEU-C1: the network must have one result, not 2}}
  return %a, %a : tensor<1x1xi16>, tensor<1x1xi16>
}

// -----

spikequant.weights @bits : tensor<2xi8> format(#spikequant.real) value(dense<4> : tensor<2xi8>)
spikequant.weights @w : tensor<1x2xf32> format(#spikequant.codes<bits = 4, group = 0, symmetric = true>)
    value(dense<7.0> : tensor<1x2xf32>)
func.func @always_fires(%x: tensor<1x2xf32>) -> tensor<1x1xi16> {
  %n = spikequant.encode %x {step = 1.0 : f32, site = "s", bits = @bits, overflow = #spikequant.overflow<saturate>}
      : tensor<1x2xf32> -> tensor<1x2xi16>
  %a = spikequant.integrate %n, @w : tensor<1x2xi16> -> tensor<1x1xi64>
  // expected-error@+1 {{NEU-C3: a count of no spikes must be possible: needs lo <= 0 < hi, not lo = 2 and hi = 7}}
  %r = spikequant.fire %a {multipliers = array<i64: 1>, biases = array<i64: 4>, shift = 3 : i32, lo = 2 : i32, hi = 7 : i32}
      : tensor<1x1xi64> -> tensor<1x1xi16>
  return %r : tensor<1x1xi16>
}

// -----

spikequant.weights @bits : tensor<2xi8> format(#spikequant.real) value(dense<[0, 1]> : tensor<2xi8>)
spikequant.weights @w : tensor<1x2xf32> format(#spikequant.codes<bits = 4, group = 0, symmetric = true>)
    value(dense<7.0> : tensor<1x2xf32>)
func.func @silent(%x: tensor<1x2xf32>) -> tensor<1x1xi16> {
  // expected-error@+1 {{NEU-C4: every channel of 's' is silent; give at least one 2 bits}}
  %n = spikequant.encode %x {step = 1.0 : f32, site = "s", bits = @bits, overflow = #spikequant.overflow<saturate>}
      : tensor<1x2xf32> -> tensor<1x2xi16>
  %a = spikequant.integrate %n, @w : tensor<1x2xi16> -> tensor<1x1xi64>
  %r = spikequant.fire %a {multipliers = array<i64: 1>, biases = array<i64: 4>, shift = 3 : i32, lo = 0 : i32, hi = 7 : i32}
      : tensor<1x1xi64> -> tensor<1x1xi16>
  return %r : tensor<1x1xi16>
}

// -----

spikequant.weights @bits : tensor<2xi8> format(#spikequant.real) value(dense<4> : tensor<2xi8>)
spikequant.weights @w : tensor<1x2xf32> format(#spikequant.codes<bits = 4, group = 0, symmetric = true>)
    value(dense<7.0> : tensor<1x2xf32>)
func.func @unequal_rails(%x: tensor<1x2xf32>) -> tensor<1x1xi16> {
  %n = spikequant.encode %x {step = 1.0 : f32, site = "s", bits = @bits, overflow = #spikequant.overflow<saturate>,
                             code = #spikequant.code<gated>}
      : tensor<1x2xf32> -> tensor<1x2xi16>
  %a = spikequant.integrate %n, @w : tensor<1x2xi16> -> tensor<1x1xi64>
  // expected-error@+1 {{NEU-C5: both rails of a gated layer share a window of at most 255 steps: needs lo = 0 or lo = -hi, not lo = -3 and hi = 7}}
  %r = spikequant.fire %a {multipliers = array<i64: 1>, biases = array<i64: 4>, shift = 3 : i32, lo = -3 : i32, hi = 7 : i32}
      : tensor<1x1xi64> -> tensor<1x1xi16>
  return %r : tensor<1x1xi16>
}

// -----

spikequant.weights @bits : tensor<2xi8> format(#spikequant.real) value(dense<4> : tensor<2xi8>)
spikequant.weights @w : tensor<1x2xf32> format(#spikequant.codes<bits = 4, group = 0, symmetric = true>)
    value(dense<7.0> : tensor<1x2xf32>)
func.func @two_codes(%x: tensor<1x2xf32>) -> tensor<1x1xi16> {
  // expected-error@+1 {{NEU-C9: code is 'ladder', elsewhere in the chain 'gated'; a chain has one code}}
  %n = spikequant.encode %x {step = 1.0 : f32, site = "s", bits = @bits, overflow = #spikequant.overflow<saturate>,
                             code = #spikequant.code<ladder>}
      : tensor<1x2xf32> -> tensor<1x2xi16>
  %a = spikequant.integrate %n, @w : tensor<1x2xi16> -> tensor<1x1xi64>
  %r = spikequant.fire %a {multipliers = array<i64: 1>, biases = array<i64: 4>, shift = 3 : i32, lo = 0 : i32, hi = 7 : i32,
                           code = #spikequant.code<gated>}
      : tensor<1x1xi64> -> tensor<1x1xi16>
  return %r : tensor<1x1xi16>
}

// -----

spikequant.weights @bits : tensor<2xi8> format(#spikequant.real) value(dense<4> : tensor<2xi8>)
spikequant.weights @w : tensor<1x2xf32> format(#spikequant.codes<bits = 4, group = 0, symmetric = true>) source("w")
func.func @no_literal(%x: tensor<1x2xf32>) -> tensor<1x1xi16> {
  %n = spikequant.encode %x {step = 1.0 : f32, site = "s", bits = @bits, overflow = #spikequant.overflow<saturate>}
      : tensor<1x2xf32> -> tensor<1x2xi16>
  // expected-error@+1 {{NEU-C10: the weights 'w' must be a literal value}}
  %a = spikequant.integrate %n, @w : tensor<1x2xi16> -> tensor<1x1xi64>
  %r = spikequant.fire %a {multipliers = array<i64: 1>, biases = array<i64: 4>, shift = 3 : i32, lo = 0 : i32, hi = 7 : i32}
      : tensor<1x1xi64> -> tensor<1x1xi16>
  return %r : tensor<1x1xi16>
}

// -----

spikequant.weights @bits : tensor<2xi8> format(#spikequant.real) source("bits")
spikequant.weights @w : tensor<1x2xf32> format(#spikequant.codes<bits = 4, group = 0, symmetric = true>)
    value(dense<7.0> : tensor<1x2xf32>)
func.func @no_literal_bits(%x: tensor<1x2xf32>) -> tensor<1x1xi16> {
  // expected-error@+1 {{NEU-C10: @bits must be a literal value}}
  %n = spikequant.encode %x {step = 1.0 : f32, site = "s", bits = @bits, overflow = #spikequant.overflow<saturate>}
      : tensor<1x2xf32> -> tensor<1x2xi16>
  %a = spikequant.integrate %n, @w : tensor<1x2xi16> -> tensor<1x1xi64>
  %r = spikequant.fire %a {multipliers = array<i64: 1>, biases = array<i64: 4>, shift = 3 : i32, lo = 0 : i32, hi = 7 : i32}
      : tensor<1x1xi64> -> tensor<1x1xi16>
  return %r : tensor<1x1xi16>
}

// -----

spikequant.weights @bits : tensor<2xi8> format(#spikequant.real) value(dense<4> : tensor<2xi8>)
spikequant.weights @w : tensor<1x2xf32> format(#spikequant.codes<bits = 4, group = 0, symmetric = true>)
    value(dense<7.0> : tensor<1x2xf32>)
func.func @salient(%x: tensor<1x2xf32>) -> tensor<1x1xi16> {
  // expected-error@+1 {{NEU-C11: a neuromorphic target carries no salient counts; state overflow = #spikequant.overflow<saturate>}}
  %n = spikequant.encode %x {step = 1.0 : f32, site = "s", bits = @bits} : tensor<1x2xf32> -> tensor<1x2xi16>
  %a = spikequant.integrate %n, @w : tensor<1x2xi16> -> tensor<1x1xi64>
  %r = spikequant.fire %a {multipliers = array<i64: 1>, biases = array<i64: 4>, shift = 3 : i32, lo = 0 : i32, hi = 7 : i32}
      : tensor<1x1xi64> -> tensor<1x1xi16>
  return %r : tensor<1x1xi16>
}

// -----

spikequant.weights @bits : tensor<2xi8> format(#spikequant.real) value(dense<4> : tensor<2xi8>)
spikequant.weights @w : tensor<1x2xf32> format(#spikequant.codes<bits = 4, group = 0, symmetric = true>)
    value(dense<7.0> : tensor<1x2xf32>)
func.func @dynamic_step(%x: tensor<1x2xf32>, %r: tensor<1xf32>) -> tensor<1x1xi16> {
  // expected-error@+1 {{NEU-C12: row_scale is computed while the program runs; a neuromorphic target needs a static step}}
  %n = spikequant.encode %x row_scale(%r : tensor<1xf32>) {step = 1.0 : f32, site = "s", bits = @bits,
      overflow = #spikequant.overflow<saturate>} : tensor<1x2xf32> -> tensor<1x2xi16>
  %a = spikequant.integrate %n, @w : tensor<1x2xi16> -> tensor<1x1xi64>
  %f = spikequant.fire %a {multipliers = array<i64: 1>, biases = array<i64: 4>, shift = 3 : i32, lo = 0 : i32, hi = 7 : i32}
      : tensor<1x1xi64> -> tensor<1x1xi16>
  return %f : tensor<1x1xi16>
}

// -----

// expected-error@+1 {{needs one function, not 2; choose one with --function}}
module {
  func.func @one() { return }
  func.func @other() { return }
}

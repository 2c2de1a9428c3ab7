// RUN: sq-opt %s -split-input-file -verify-diagnostics

// One case or more per constraint of docs/spec.md.

// ENC-C1: shapes differ.

func.func @f(%x: tensor<2x40xf32>) {
  // expected-error@+1 {{ENC-C1: input and counts must have one shape with a static last dimension, the channels}}
  %0 = spikequant.encode %x {step = 1.0 : f32, site = "s"} : tensor<2x40xf32> -> tensor<2x41xi16>
  return
}

// -----

// ENC-C1: rank 0.

func.func @f(%x: tensor<f32>) {
  // expected-error@+1 {{ENC-C1: input and counts must have one shape}}
  %0 = spikequant.encode %x {step = 1.0 : f32, site = "s"} : tensor<f32> -> tensor<i16>
  return
}

// -----

// ENC-C1: dynamic channels.

func.func @f(%x: tensor<2x?xf32>) {
  // expected-error@+1 {{ENC-C1: input and counts must have one shape}}
  %0 = spikequant.encode %x {step = 1.0 : f32, site = "s"} : tensor<2x?xf32> -> tensor<2x?xi16>
  return
}

// -----

// ENC-C2: row_scale.

func.func @f(%x: tensor<2x40xf32>, %r: tensor<40xf32>) {
  // expected-error@+1 {{ENC-C2: row_scale must have one value per row of 'tensor<2x40xf32>', not 'tensor<40xf32>'}}
  %0 = spikequant.encode %x row_scale(%r : tensor<40xf32>) {step = 1.0 : f32, site = "s"} : tensor<2x40xf32> -> tensor<2x40xi16>
  return
}

// -----

// ENC-C3: step is zero.

func.func @f(%x: tensor<2x40xf32>) {
  // expected-error@+1 {{ENC-C3: step must be finite and above 0, its reciprocal finite and normal}}
  %0 = spikequant.encode %x {step = 0.0 : f32, site = "s"} : tensor<2x40xf32> -> tensor<2x40xi16>
  return
}

// -----

// ENC-C3: step is negative.

func.func @f(%x: tensor<2x40xf32>) {
  // expected-error@+1 {{ENC-C3: step must be finite and above 0, its reciprocal finite and normal}}
  %0 = spikequant.encode %x {step = -1.0 : f32, site = "s"} : tensor<2x40xf32> -> tensor<2x40xi16>
  return
}

// -----

// ENC-C3: step is infinite.

func.func @f(%x: tensor<2x40xf32>) {
  // expected-error@+1 {{ENC-C3: step must be finite and above 0, its reciprocal finite and normal}}
  %0 = spikequant.encode %x {step = 0x7F800000 : f32, site = "s"} : tensor<2x40xf32> -> tensor<2x40xi16>
  return
}

// -----

// ENC-C3: step is not a number.

func.func @f(%x: tensor<2x40xf32>) {
  // expected-error@+1 {{ENC-C3: step must be finite and above 0, its reciprocal finite and normal}}
  %0 = spikequant.encode %x {step = 0x7FC00000 : f32, site = "s"} : tensor<2x40xf32> -> tensor<2x40xi16>
  return
}

// -----

// ENC-C3: step is so small that its reciprocal overflows.

func.func @f(%x: tensor<2x40xf32>) {
  // expected-error@+1 {{ENC-C3: step must be finite and above 0, its reciprocal finite and normal}}
  %0 = spikequant.encode %x {step = 1.0e-39 : f32, site = "s"} : tensor<2x40xf32> -> tensor<2x40xi16>
  return
}

// -----

// ENC-C3: step is so large that its reciprocal is not normal.

func.func @f(%x: tensor<2x40xf32>) {
  // expected-error@+1 {{ENC-C3: step must be finite and above 0, its reciprocal finite and normal}}
  %0 = spikequant.encode %x {step = 3.0e38 : f32, site = "s"} : tensor<2x40xf32> -> tensor<2x40xi16>
  return
}

// -----

// ENC-C4: tolerance.

func.func @f(%x: tensor<2x40xf32>) {
  // expected-error@+1 {{ENC-C4: tolerance must be 0 or 1, not 2}}
  %0 = spikequant.encode %x {step = 1.0 : f32, site = "s", tolerance = 2 : i32} : tensor<2x40xf32> -> tensor<2x40xi16>
  return
}

// -----

// ENC-C4: negative tolerance.

func.func @f(%x: tensor<2x40xf32>) {
  // expected-error@+1 {{ENC-C4: tolerance must be 0 or 1, not -1}}
  %0 = spikequant.encode %x {step = 1.0 : f32, site = "s", tolerance = -1 : i32} : tensor<2x40xf32> -> tensor<2x40xi16>
  return
}

// -----

// ENC-C8: site.

func.func @f(%x: tensor<2x40xf32>) {
  // expected-error@+1 {{ENC-C8: site must have a name}}
  %0 = spikequant.encode %x {step = 1.0 : f32, site = ""} : tensor<2x40xf32> -> tensor<2x40xi16>
  return
}

// -----

// ENC-C9: nothing to saturate to.

func.func @f(%x: tensor<2x40xf32>) {
  // expected-error@+1 {{ENC-C9: overflow = saturate needs bits, the windows that counts saturate to}}
  %0 = spikequant.encode %x {step = 1.0 : f32, site = "s", overflow = #spikequant.overflow<saturate>} : tensor<2x40xf32> -> tensor<2x40xi16>
  return
}

// -----

// ENC-C5: no such symbol.

func.func @f(%x: tensor<2x40xf32>) {
  // expected-error@+1 {{ENC-C5: @b does not name a 'spikequant.weights'}}
  %0 = spikequant.encode %x {step = 1.0 : f32, site = "s", bits = @b} : tensor<2x40xf32> -> tensor<2x40xi16>
  return
}

// -----

// ENC-C5: bits of other type.

// expected-note@+1 {{it is declared here}}
spikequant.weights @r : tensor<40xf32> format(#spikequant.real) source("r")
func.func @f(%x: tensor<2x40xf32>) {
  // expected-error@+1 {{ENC-C5: @r must be a #spikequant.real array of type 'tensor<40xi8>'}}
  %0 = spikequant.encode %x {step = 1.0 : f32, site = "s", bits = @r} : tensor<2x40xf32> -> tensor<2x40xi16>
  return
}

// -----

// ENC-C5: bits out of range.

spikequant.weights @b : tensor<2xi8> format(#spikequant.real) value(dense<[8, 9]> : tensor<2xi8>)
func.func @f(%x: tensor<3x2xf32>) {
  // expected-error@+1 {{ENC-C5: channel 1 of @b has 9 bits, not 0 to 8}}
  %0 = spikequant.encode %x {step = 1.0 : f32, site = "s", bits = @b} : tensor<3x2xf32> -> tensor<3x2xi16>
  return
}

// -----

// ENC-C5: negative bits.

spikequant.weights @b : tensor<2xi8> format(#spikequant.real) value(dense<[-1, 0]> : tensor<2xi8>)
func.func @f(%x: tensor<3x2xf32>) {
  // expected-error@+1 {{ENC-C5: channel 0 of @b has -1 bits, not 0 to 8}}
  %0 = spikequant.encode %x {step = 1.0 : f32, site = "s", bits = @b} : tensor<3x2xf32> -> tensor<3x2xi16>
  return
}

// -----

// ENC-C6: gains.

// expected-note@+1 {{it is declared here}}
spikequant.weights @g : tensor<2xf32> format(#spikequant.real) source("g")
func.func @f(%x: tensor<2x40xf32>) {
  // expected-error@+1 {{ENC-C6: @g must be a #spikequant.real array of type 'tensor<40xf32>'}}
  %0 = spikequant.encode %x {step = 1.0 : f32, site = "s", gains = @g} : tensor<2x40xf32> -> tensor<2x40xi16>
  return
}

// -----

// ENC-C6: centres that are codes.

// expected-note@+1 {{it is declared here}}
spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%x: tensor<2x40xf32>) {
  // expected-error@+1 {{ENC-C6: @w must be a #spikequant.real array of type 'tensor<40xf32>'}}
  %0 = spikequant.encode %x {step = 1.0 : f32, site = "s", centres = @w} : tensor<2x40xf32> -> tensor<2x40xi16>
  return
}

// -----

// ENC-C7: a gain of zero.

spikequant.weights @g : tensor<2xf32> format(#spikequant.real) value(dense<[1.0, 0.0]> : tensor<2xf32>)
func.func @f(%x: tensor<3x2xf32>) {
  // expected-error@+1 {{ENC-C7: gain 0.000000e+00 and centre 0.000000e+00 of channel 1 over step 1.000000e+00 are not finite and normal}}
  %0 = spikequant.encode %x {step = 1.0 : f32, site = "s", gains = @g} : tensor<3x2xf32> -> tensor<3x2xi16>
  return
}

// -----

// ENC-C7: a centre whose membrane overflows.

spikequant.weights @z : tensor<2xf32> format(#spikequant.real) value(dense<1.0e30> : tensor<2xf32>)
func.func @f(%x: tensor<3x2xf32>) {
  // expected-error@+1 {{ENC-C7: gain 1.000000e+00 and centre 1.000000e+30 of channel 0}}
  %0 = spikequant.encode %x {step = 1.0e-20 : f32, site = "s", centres = @z} : tensor<3x2xf32> -> tensor<3x2xi16>
  return
}

// -----

// INT-C1: rows.

spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%n: tensor<2x40xi16>) {
  // expected-error@+1 {{INT-C1: counts 'tensor<2x40xi16>' and membrane 'tensor<3x16xi64>' must have the same rows}}
  %0 = spikequant.integrate %n, @w : tensor<2x40xi16> -> tensor<3x16xi64>
  return
}

// -----

// INT-C2: no such symbol.

spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%n: tensor<2x40xi16>) {
  // expected-error@+1 {{INT-C2: @v does not name a 'spikequant.weights'}}
  %0 = spikequant.integrate %n, @v : tensor<2x40xi16> -> tensor<2x16xi64>
  return
}

// -----

// INT-C2: real array.

// expected-note@+1 {{its format is #spikequant.real}}
spikequant.weights @r : tensor<40xf32> format(#spikequant.real) source("r")
func.func @f(%n: tensor<2x40xi16>) {
  // expected-error@+1 {{INT-C2: @r must have the format #spikequant.codes}}
  %0 = spikequant.integrate %n, @r : tensor<2x40xi16> -> tensor<2x16xi64>
  return
}

// -----

// INT-C2: channels.

spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%n: tensor<2x39xi16>) {
  // expected-error@+1 {{INT-C2: @w has 16 outputs and 40 channels; counts are 'tensor<2x39xi16>', the membrane is 'tensor<2x16xi64>'}}
  %0 = spikequant.integrate %n, @w : tensor<2x39xi16> -> tensor<2x16xi64>
  return
}

// -----

// INT-C2: outputs.

spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%n: tensor<2x40xi16>) {
  // expected-error@+1 {{INT-C2: @w has 16 outputs and 40 channels; counts are 'tensor<2x40xi16>', the membrane is 'tensor<2x40xi64>'}}
  %0 = spikequant.integrate %n, @w : tensor<2x40xi16> -> tensor<2x40xi64>
  return
}

// -----

// INT-C3: negative bound.

spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%n: tensor<2x40xi16>) {
  // expected-error@+1 {{INT-C3: bound must not be negative}}
  %0 = spikequant.integrate %n, @w {bound = -1 : i64} : tensor<2x40xi16> -> tensor<2x16xi64>
  return
}

// -----

// INT-C4: i32 without a bound.

spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%n: tensor<2x40xi16>) {
  // expected-error@+1 {{INT-C4: an i32 membrane needs a bound of at most 2147483647 that proves it}}
  %0 = spikequant.integrate %n, @w : tensor<2x40xi16> -> tensor<2x16xi32>
  return
}

// -----

// INT-C4: i32 with too large a bound.

spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%n: tensor<2x40xi16>) {
  // expected-error@+1 {{INT-C4: an i32 membrane needs a bound of at most 2147483647 that proves it}}
  %0 = spikequant.integrate %n, @w {bound = 2147483648 : i64} : tensor<2x40xi16> -> tensor<2x16xi32>
  return
}

// -----

// DEC-C1: shapes.

spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%a: tensor<2x16xi64>) {
  // expected-error@+1 {{DEC-C1: membrane and result must have one shape}}
  %0 = spikequant.decode %a, @w {step = 1.0 : f32} : tensor<2x16xi64> -> tensor<2x17xf32>
  return
}

// -----

// DEC-C2: outputs.

spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%a: tensor<2x40xi64>) {
  // expected-error@+1 {{DEC-C2: @w has 16 outputs, the membrane is 'tensor<2x40xi64>'}}
  %0 = spikequant.decode %a, @w {step = 1.0 : f32} : tensor<2x40xi64> -> tensor<2x40xf32>
  return
}

// -----

// DEC-C2: real array.

// expected-note@+1 {{its format is #spikequant.real}}
spikequant.weights @r : tensor<40xf32> format(#spikequant.real) source("r")
func.func @f(%a: tensor<2x16xi64>) {
  // expected-error@+1 {{DEC-C2: @r must have the format #spikequant.codes}}
  %0 = spikequant.decode %a, @r {step = 1.0 : f32} : tensor<2x16xi64> -> tensor<2x16xf32>
  return
}

// -----

// DEC-C3: step.

spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%a: tensor<2x16xi64>) {
  // expected-error@+1 {{DEC-C3: step must be finite and above 0}}
  %0 = spikequant.decode %a, @w {step = 0.0 : f32} : tensor<2x16xi64> -> tensor<2x16xf32>
  return
}

// -----

// FIR-C1: shapes.

func.func @f(%a: tensor<2x3xi64>) {
  // expected-error@+1 {{FIR-C1: membrane and counts must have one shape}}
  %0 = spikequant.fire %a {multipliers = array<i64: 3>, biases = array<i64: 512>, shift = 10 : i32, lo = -7 : i32, hi = 7 : i32} : tensor<2x3xi64> -> tensor<2x4xi16>
  return
}

// -----

// FIR-C2: two multipliers for three channels.

func.func @f(%a: tensor<2x3xi64>) {
  // expected-error@+1 {{FIR-C2: multipliers and biases need 1 or 3 values, not 2}}
  %0 = spikequant.fire %a {multipliers = array<i64: 3, 4>, biases = array<i64: 512>, shift = 10 : i32, lo = -7 : i32, hi = 7 : i32} : tensor<2x3xi64> -> tensor<2x3xi16>
  return
}

// -----

// FIR-C2: no bias.

func.func @f(%a: tensor<2x3xi64>) {
  // expected-error@+1 {{FIR-C2: multipliers and biases need 1 or 3 values, not 0}}
  %0 = spikequant.fire %a {multipliers = array<i64: 3>, biases = array<i64>, shift = 10 : i32, lo = -7 : i32, hi = 7 : i32} : tensor<2x3xi64> -> tensor<2x3xi16>
  return
}

// -----

// FIR-C3: multiplier 0.

func.func @f(%a: tensor<2x3xi64>) {
  // expected-error@+1 {{FIR-C3: multiplier must be 1 to 2147483647, not 0}}
  %0 = spikequant.fire %a {multipliers = array<i64: 1, 0, 1>, biases = array<i64: 512>, shift = 10 : i32, lo = -7 : i32, hi = 7 : i32} : tensor<2x3xi64> -> tensor<2x3xi16>
  return
}

// -----

// FIR-C3: multiplier of 32 bits.

func.func @f(%a: tensor<2x3xi64>) {
  // expected-error@+1 {{FIR-C3: multiplier must be 1 to 2147483647, not 2147483648}}
  %0 = spikequant.fire %a {multipliers = array<i64: 2147483648>, biases = array<i64: 512>, shift = 10 : i32, lo = -7 : i32, hi = 7 : i32} : tensor<2x3xi64> -> tensor<2x3xi16>
  return
}

// -----

// FIR-C4: shift.

func.func @f(%a: tensor<2x3xi64>) {
  // expected-error@+1 {{FIR-C4: shift must be 0 to 46, not 47}}
  %0 = spikequant.fire %a {multipliers = array<i64: 3>, biases = array<i64: 512>, shift = 47 : i32, lo = -7 : i32, hi = 7 : i32} : tensor<2x3xi64> -> tensor<2x3xi16>
  return
}

// -----

// FIR-C4: negative shift.

func.func @f(%a: tensor<2x3xi64>) {
  // expected-error@+1 {{FIR-C4: shift must be 0 to 46, not -1}}
  %0 = spikequant.fire %a {multipliers = array<i64: 3>, biases = array<i64: 512>, shift = -1 : i32, lo = -7 : i32, hi = 7 : i32} : tensor<2x3xi64> -> tensor<2x3xi16>
  return
}

// -----

// FIR-C5: empty range.

func.func @f(%a: tensor<2x3xi64>) {
  // expected-error@+1 {{FIR-C5: needs -32767 <= lo < hi <= 32767, not lo = 7 and hi = 7}}
  %0 = spikequant.fire %a {multipliers = array<i64: 3>, biases = array<i64: 512>, shift = 10 : i32, lo = 7 : i32, hi = 7 : i32} : tensor<2x3xi64> -> tensor<2x3xi16>
  return
}

// -----

// FIR-C5: lo.

func.func @f(%a: tensor<2x3xi64>) {
  // expected-error@+1 {{FIR-C5: needs -32767 <= lo < hi <= 32767, not lo = -32768 and hi = 7}}
  %0 = spikequant.fire %a {multipliers = array<i64: 3>, biases = array<i64: 512>, shift = 10 : i32, lo = -32768 : i32, hi = 7 : i32} : tensor<2x3xi64> -> tensor<2x3xi16>
  return
}

// -----

// FIR-C5: hi.

func.func @f(%a: tensor<2x3xi64>) {
  // expected-error@+1 {{FIR-C5: needs -32767 <= lo < hi <= 32767, not lo = -7 and hi = 32768}}
  %0 = spikequant.fire %a {multipliers = array<i64: 3>, biases = array<i64: 512>, shift = 10 : i32, lo = -7 : i32, hi = 32768 : i32} : tensor<2x3xi64> -> tensor<2x3xi16>
  return
}

// -----

// OBS-C1: site.

func.func @f(%x: tensor<2xf32>) {
  // expected-error@+1 {{OBS-C1: site must have a name}}
  spikequant.observe %x {site = ""} : tensor<2xf32>
  return
}

// -----

// OBS-C2: rank 0.

func.func @f(%x: tensor<f32>) {
  // expected-error@+1 {{OBS-C2: input must have a last dimension, the channels}}
  spikequant.observe %x {site = "s"} : tensor<f32>
  return
}

// -----

// INT-C5: a stack without an index.

// expected-note@+1 {{the weights are declared here}}
spikequant.weights @w : tensor<5x16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%n: tensor<2x40xi16>) {
  // expected-error@+1 {{INT-C5: a stack of weights needs an index}}
  %0 = spikequant.integrate %n, @w : tensor<2x40xi16> -> tensor<2x16xi64>
  return
}

// -----

// INT-C5: an index without a stack.

// expected-note@+1 {{the weights are declared here}}
spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%n: tensor<2x40xi16>, %i: index) {
  // expected-error@+1 {{INT-C5: only a stack of weights [L, N, K] has an index}}
  %0 = spikequant.integrate %n, @w[%i : index] : tensor<2x40xi16> -> tensor<2x16xi64>
  return
}

// -----

// INT-C5: too few numbers.

spikequant.weights @w : tensor<5x16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%n: tensor<3x2x40xi16>, %i: tensor<2xi32>) {
  // expected-error@+1 {{INT-C5: index must have one number for each of 3 leading slices, not be 'tensor<2xi32>'}}
  %0 = spikequant.integrate %n, @w[%i : tensor<2xi32>] : tensor<3x2x40xi16> -> tensor<3x2x16xi64>
  return
}

// -----

// INT-C5: a vector of channels has no slices.

spikequant.weights @w : tensor<5x16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%n: tensor<40xi16>, %i: tensor<1xi32>) {
  // expected-error@+1 {{INT-C5: index must have one number for each of 0 leading slices, not be 'tensor<1xi32>'}}
  %0 = spikequant.integrate %n, @w[%i : tensor<1xi32>] : tensor<40xi16> -> tensor<16xi64>
  return
}

// -----

// DEC-C4: a stack without an index.

// expected-note@+1 {{the weights are declared here}}
spikequant.weights @w : tensor<5x16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%a: tensor<2x16xi64>) {
  // expected-error@+1 {{DEC-C4: a stack of weights needs an index}}
  %0 = spikequant.decode %a, @w {step = 1.0 : f32} : tensor<2x16xi64> -> tensor<2x16xf32>
  return
}

// -----

// LKP-C1: a stack.

spikequant.weights @w : tensor<5x16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%ids: tensor<2xi32>) {
  // expected-error@+1 {{LKP-C1: @w is a stack of weights; rows are read from one matrix}}
  %0 = spikequant.lookup @w[%ids] : tensor<2xi32> -> tensor<2x40xf32>
  return
}

// -----

// FIR-C6: thresholds given twice.

spikequant.weights @w : tensor<3x8xf32> format(#spikequant.codes<bits = 4, group = 8>) source("w")
spikequant.weights @t : tensor<5x3xi64> format(#spikequant.thresholds<weights = @w, step = 1.0 : f32, output = 1.0 : f32, lo = 0, hi = 7>)
func.func @f(%a: tensor<2x3xi64>) {
  // expected-error@+1 {{FIR-C6: thresholds stand for multipliers, biases and shift}}
  %0 = spikequant.fire %a {thresholds = @t, multipliers = array<i64: 3>, lo = 0 : i32, hi = 7 : i32} : tensor<2x3xi64> -> tensor<2x3xi16>
  return
}

// -----

// FIR-C6: thresholds of another range.

spikequant.weights @w : tensor<3x8xf32> format(#spikequant.codes<bits = 4, group = 8>) source("w")
spikequant.weights @t : tensor<5x3xi64> format(#spikequant.thresholds<weights = @w, step = 1.0 : f32, output = 1.0 : f32, lo = 0, hi = 7>)
func.func @f(%a: tensor<2x3xi64>) {
  // expected-error@+1 {{FIR-C6: @t must be #spikequant.thresholds of 3 channels with the same lo and hi}}
  %0 = spikequant.fire %a {thresholds = @t, lo = -7 : i32, hi = 7 : i32} : tensor<2x3xi64> -> tensor<2x3xi16>
  return
}

// -----

// FIR-C7: a window without a site.

spikequant.weights @bits : tensor<3xi8> format(#spikequant.real) value(dense<4> : tensor<3xi8>)
func.func @f(%a: tensor<2x3xi64>) {
  // expected-error@+1 {{FIR-C7: bits need a site}}
  %0 = spikequant.fire %a {multipliers = array<i64: 3>, biases = array<i64: 512>, bits = @bits, lo = -7 : i32, hi = 7 : i32} : tensor<2x3xi64> -> tensor<2x3xi16>
  return
}

// -----

// FIR-C7: tolerance.

func.func @f(%a: tensor<2x3xi64>) {
  // expected-error@+1 {{FIR-C7: site must have a name, tolerance must be 0 or 1}}
  %0 = spikequant.fire %a {multipliers = array<i64: 3>, biases = array<i64: 512>, tolerance = 2 : i32, lo = -7 : i32, hi = 7 : i32} : tensor<2x3xi64> -> tensor<2x3xi16>
  return
}

// -----

// GRD-C1: rates of other channels.

spikequant.weights @w : tensor<3x8xf32> format(#spikequant.codes<bits = 4, group = 8>) source("w")
spikequant.weights @t : tensor<3x3xi32> format(#spikequant.rates<weights = @w, step = 1.0 : f32, unit = 1.0 : f32>)
func.func @f(%a: tensor<2x4xi64>) {
  // expected-error@+1 {{GRD-C1: @t must be #spikequant.rates of as many channels as 'tensor<2x4xi32>'}}
  %0 = spikequant.grid %a, @t : tensor<2x4xi64> -> tensor<2x4xi32>
  return
}

// -----

// TAB-C1: entries are integers.

spikequant.weights @t : tensor<2xf32> format(#spikequant.real) value(dense<1.0> : tensor<2xf32>)
func.func @f(%a: tensor<2x4xi32>) {
  // expected-error@+1 {{TAB-C1: @t must be a #spikequant.real array [E] of i32}}
  %0 = spikequant.table %a, @t {lo = 0 : i32} : tensor<2x4xi32> -> tensor<2x4xi32>
  return
}

// -----

// TAB-C2: entries beyond what numbers reach.

spikequant.weights @t : tensor<2xi32> format(#spikequant.real) value(dense<1> : tensor<2xi32>)
func.func @f(%a: tensor<2x4xi32>) {
  // expected-error@+1 {{TAB-C2: entries 2147483647 to 2147483648 must be between -(2^31-1) and 2^31-1}}
  %0 = spikequant.table %a, @t {lo = 2147483647 : i32} : tensor<2x4xi32> -> tensor<2x4xi32>
  return
}

// -----

// EXP-C1: a maximum for other rows.

func.func @f(%a: tensor<2x4xi32>, %m: tensor<3xi32>) {
  // expected-error@+1 {{EXP-C1: scores and counts must have one shape, the maximum that of their rows}}
  %0 = spikequant.exponent %a, %m {multipliers = array<i64: 1000>, preshift = 0 : i32, shift = 15 : i32, largest = 255 : i32, site = "s"} : tensor<2x4xi32>, tensor<3xi32> -> tensor<2x4xi16>
  return
}

// -----

// EXP-C2: heads that do not divide the rows.

func.func @f(%a: tensor<2x4xi32>, %m: tensor<2xi32>) {
  // expected-error@+1 {{EXP-C2: needs one multiplier, or as many as divide the number of rows, not 3}}
  %0 = spikequant.exponent %a, %m {multipliers = array<i64: 1000, 1000, 1000>, preshift = 0 : i32, shift = 15 : i32, largest = 255 : i32, site = "s"} : tensor<2x4xi32>, tensor<2xi32> -> tensor<2x4xi16>
  return
}

// -----

// EXP-C3: 9 octaves of 2^12 by 2^17 are more than 32 bits.

func.func @f(%a: tensor<2x4xi32>, %m: tensor<2xi32>) {
  // expected-error@+1 {{EXP-C3: largest = 255, preshift = 0, shift = 17 and multiplier 1000 leave the ranges of docs/spec.md}}
  %0 = spikequant.exponent %a, %m {multipliers = array<i64: 1000>, preshift = 0 : i32, shift = 17 : i32, largest = 255 : i32, site = "s"} : tensor<2x4xi32>, tensor<2xi32> -> tensor<2x4xi16>
  return
}

// -----

// EXP-C4: no name.

func.func @f(%a: tensor<2x4xi32>, %m: tensor<2xi32>) {
  // expected-error@+1 {{EXP-C4: site must not be empty}}
  %0 = spikequant.exponent %a, %m {multipliers = array<i64: 1000>, preshift = 0 : i32, shift = 15 : i32, largest = 255 : i32, site = ""} : tensor<2x4xi32>, tensor<2xi32> -> tensor<2x4xi16>
  return
}

// -----

// EXP-C5: offsets of other keys.

spikequant.weights @t : tensor<3xi32> format(#spikequant.real) value(dense<1> : tensor<3xi32>)
func.func @f(%a: tensor<2x4xi32>, %m: tensor<2xi32>) {
  // expected-error@+1 {{EXP-C5: @t must be a #spikequant.real i32 array with one value for each key}}
  %0 = spikequant.exponent %a, %m {multipliers = array<i64: 1000>, preshift = 0 : i32, shift = 15 : i32, largest = 255 : i32, site = "s", offsets = @t} : tensor<2x4xi32>, tensor<2xi32> -> tensor<2x4xi16>
  return
}

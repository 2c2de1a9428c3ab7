// RUN: sq-opt %s -split-input-file -verify-diagnostics

// One case or more per constraint of docs/spec.md.

// WGT-C1: bits of a code.

// expected-error@+1 {{WGT-C1: codes have 1 to 8 bits, not 9}}
#codes = #spikequant.codes<bits = 9>

// -----

// WGT-C1: no bits.

// expected-error@+1 {{WGT-C1: codes have 1 to 8 bits, not 0}}
#codes = #spikequant.codes<bits = 0>

// -----

// WGT-C2: group.

// expected-error@+1 {{WGT-C2: group must be 0 (the whole row) or a multiple of 8, not 12}}
#codes = #spikequant.codes<bits = 4, group = 12>

// -----

// WGT-C5: static shape.

// expected-error@+1 {{WGT-C5: type must have a static shape without empty dimensions, not 'tensor<?xf32>'}}
spikequant.weights @w : tensor<?xf32> format(#spikequant.real) source("w")

// -----

// WGT-C5: empty dimension.

// expected-error@+1 {{WGT-C5: type must have a static shape without empty dimensions, not 'tensor<0x4xf32>'}}
spikequant.weights @w : tensor<0x4xf32> format(#spikequant.real) source("w")

// -----

// WGT-C6: format.

// expected-error@+1 {{WGT-C6: format must be #spikequant.codes, #spikequant.real, #spikequant.thresholds, #spikequant.rates or #spikequant.count_rates, not "dense"}}
spikequant.weights @w : tensor<4xf32> format("dense") source("w")

// -----

// WGT-C7: neither source nor value.

// expected-error@+1 {{WGT-C7: needs either a source or a literal value}}
spikequant.weights @w : tensor<4xf32> format(#spikequant.real)

// -----

// WGT-C7: source and value.

// expected-error@+1 {{WGT-C7: needs either a source or a literal value}}
spikequant.weights @w : tensor<4xf32> format(#spikequant.real) source("w") value(dense<0.0> : tensor<4xf32>)

// -----

// WGT-C8: permutation too short.

// expected-error@+1 {{WGT-C8: permutation must order the 2 dimensions of the source}}
spikequant.weights @w : tensor<4x2xf32> format(#spikequant.real) source("w", [0])

// -----

// WGT-C8: permutation repeats a dimension.

// expected-error@+1 {{WGT-C8: permutation must order the 2 dimensions of the source}}
spikequant.weights @w : tensor<4x2xf32> format(#spikequant.real) source("w", [1, 1])

// -----

// WGT-C8: permutation of a literal.

// expected-error@+1 {{WGT-C8: a permutation needs a source}}
"spikequant.weights"() {sym_name = "w", type = tensor<2x4xf32>, format = #spikequant.real,
    permutation = array<i64: 1, 0>, value = dense<0.0> : tensor<2x4xf32>} : () -> ()

// -----

// WGT-C9: type of the value.

// expected-error@+1 {{WGT-C9: value has type 'tensor<3xf32>', not 'tensor<4xf32>'}}
spikequant.weights @w : tensor<4xf32> format(#spikequant.real) value(dense<0.0> : tensor<3xf32>)

// -----

// WGT-C10: codes of rank 4.

// expected-error@+1 {{WGT-C10: codes stand for a [N, K] array of f32 or a stack [L, N, K], not 'tensor<1x2x4x8xf32>'}}
spikequant.weights @w : tensor<1x2x4x8xf32> format(#spikequant.codes<bits = 4>) source("w")

// -----

// WGT-C10: codes of f16.

// expected-error@+1 {{WGT-C10: codes stand for a [N, K] array of f32 or a stack [L, N, K], not 'tensor<4x8xf16>'}}
spikequant.weights @w : tensor<4x8xf16> format(#spikequant.codes<bits = 4>) source("w")

// -----

// WGT-C11: a view of elements that do not exist.

// expected-error@+2 {{WGT-C11: elements 3 to 8 are not all in an array of 8}}
spikequant.weights @w : tensor<6xf32> format(#spikequant.real) source("w")
    view(<shape = [2, 4], offset = 3, sizes = [6], strides = [1]>)

// -----

// WGT-C11: a size without a stride.

// expected-error@+2 {{WGT-C11: needs one stride per size}}
spikequant.weights @w : tensor<6xf32> format(#spikequant.real) source("w")
    view(<shape = [2, 4], offset = 0, sizes = [2, 3], strides = [1]>)

// -----

// WGT-C11: an empty dimension.

// expected-error@+2 {{WGT-C11: sizes must be at least 1 and fit the array, not 0}}
spikequant.weights @w : tensor<6xf32> format(#spikequant.real) source("w")
    view(<shape = [2, 4], offset = 0, sizes = [0], strides = [1]>)

// -----

// WGT-C12: more elements than the type.

// expected-error@+1 {{WGT-C12: the view has 8 elements, the type 6}}
spikequant.weights @w : tensor<6xf32> format(#spikequant.real) source("w")
    view(<shape = [2, 4], offset = 0, sizes = [8], strides = [1]>)

// -----

// WGT-C12: a view and a permutation.

// expected-error@+1 {{WGT-C12: a view needs a source and takes the place of a permutation}}
spikequant.weights @w : tensor<4x2xf32> format(#spikequant.real) source("w", [1, 0])
    view(<shape = [2, 4], offset = 0, sizes = [8], strides = [1]>)

// -----

// LDW-C1: no such symbol.

func.func @f() {
  // expected-error@+1 {{LDW-C1: @w does not name a 'spikequant.weights'}}
  %0 = spikequant.load_weights @w : tensor<4xf32>
  return
}

// -----

// LDW-C1: a symbol of another kind.

func.func @f() {
  // expected-error@+1 {{LDW-C1: @f does not name a 'spikequant.weights'}}
  %0 = spikequant.load_weights @f : tensor<4xf32>
  return
}

// -----

// LDW-C2: codes.

spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f() {
  // expected-error@+1 {{LDW-C2: @w must have the format #spikequant.real}}
  %0 = spikequant.load_weights @w : tensor<16x40xf32>
  return
}

// -----

// LDW-C3: shape.

spikequant.weights @r : tensor<40xf32> format(#spikequant.real) source("r")
func.func @f() {
  // expected-error@+1 {{LDW-C3: @r has type 'tensor<40xf32>', not 'tensor<41xf32>'}}
  %0 = spikequant.load_weights @r : tensor<41xf32>
  return
}

// -----

// LDW-C3: element type of a buffer.

spikequant.weights @r : tensor<40xf32> format(#spikequant.real) source("r")
func.func @f() {
  // expected-error@+1 {{LDW-C3: @r has type 'tensor<40xf32>', not 'memref<40xi32>'}}
  %0 = spikequant.load_weights @r : memref<40xi32>
  return
}

// -----

// LKP-C1: real array.

// expected-note@+1 {{its format is #spikequant.real}}
spikequant.weights @r : tensor<40xf32> format(#spikequant.real) source("r")
func.func @f(%i: tensor<2xi32>) {
  // expected-error@+1 {{LKP-C1: @r must have the format #spikequant.codes}}
  %0 = spikequant.lookup @r[%i] : tensor<2xi32> -> tensor<2x40xf32>
  return
}

// -----

// LKP-C2: rows.

spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%i: tensor<2xi32>) {
  // expected-error@+1 {{LKP-C2: result must have one row of channels per id of 'tensor<2xi32>', not 'tensor<3x40xf32>'}}
  %0 = spikequant.lookup @w[%i] : tensor<2xi32> -> tensor<3x40xf32>
  return
}

// -----

// LKP-C3: channels.

spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%i: tensor<2xi32>) {
  // expected-error@+1 {{LKP-C3: rows of @w have 40 channels, those of the result 16}}
  %0 = spikequant.lookup @w[%i] : tensor<2xi32> -> tensor<2x16xf32>
  return
}

// -----

// WGT-C13: thresholds are computed.

// expected-error@+1 {{WGT-C13: thresholds are a computed [5, N] array of i64, without source and value}}
spikequant.weights @t : tensor<4x8xi64> format(#spikequant.thresholds<weights = @w, step = 1.0 : f32, output = 1.0 : f32, lo = 0, hi = 7>)

// -----

// WGT-C14: rates are computed.

// expected-error@+1 {{WGT-C14: rates are a computed [3, N] array of i32, without source and value}}
spikequant.weights @t : tensor<4x8xi32> format(#spikequant.rates<weights = @w, step = 1.0 : f32, unit = 1.0 : f32>)

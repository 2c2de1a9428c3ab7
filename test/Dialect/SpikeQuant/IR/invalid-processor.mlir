// RUN: sq-opt %s -split-input-file -verify-diagnostics

// One case or more per constraint of docs/spec.md.

// ESP-C1: outputs.

func.func @f(%x: memref<3x40xf32>, %o0: memref<3x40xi8>, %o1: memref<3x2xi32>) {
  // expected-error@+1 {{ESP-C1: needs 3 or 4 outputs, not 2}}
  spikequant.encode_split {step = 1.0 : f32, site = "s", group = 32 : i64}
      ins(%x : memref<3x40xf32>)
      outs(%o0, %o1 : memref<3x40xi8>, memref<3x2xi32>)
  return
}

// -----

// ESP-C2: input.

func.func @f(%x: memref<40xf32>, %o0: memref<3x40xi8>, %o1: memref<3x2xi32>, %o2: memref<3x82xi32>) {
  // expected-error@+1 {{ESP-C2: input must be a matrix of static shape and 'f32', not 'memref<40xf32>'}}
  spikequant.encode_split {step = 1.0 : f32, site = "s", group = 32 : i64}
      ins(%x : memref<40xf32>)
      outs(%o0, %o1, %o2 : memref<3x40xi8>, memref<3x2xi32>, memref<3x82xi32>)
  return
}

// -----

// ESP-C2: row_scale.

func.func @f(%x: memref<3x40xf32>, %r: memref<40xf32>, %o0: memref<3x40xi8>, %o1: memref<3x2xi32>, %o2: memref<3x82xi32>) {
  // expected-error@+1 {{ESP-C2: row_scale must be 'tensor<3xf32>' or a buffer like it, not 'memref<40xf32>'}}
  spikequant.encode_split {step = 1.0 : f32, site = "s", group = 32 : i64}
      ins(%x, %r : memref<3x40xf32>, memref<40xf32>)
      outs(%o0, %o1, %o2 : memref<3x40xi8>, memref<3x2xi32>, memref<3x82xi32>)
  return
}

// -----

// ESP-C3: group.

func.func @f(%x: memref<3x40xf32>, %o0: memref<3x40xi8>, %o1: memref<3x2xi32>, %o2: memref<3x82xi32>) {
  // expected-error@+1 {{ESP-C3: group must be a multiple of 8 or all 40 channels, not 12}}
  spikequant.encode_split {step = 1.0 : f32, site = "s", group = 12 : i64}
      ins(%x : memref<3x40xf32>)
      outs(%o0, %o1, %o2 : memref<3x40xi8>, memref<3x2xi32>, memref<3x82xi32>)
  return
}

// -----

// ESP-C3: group of nothing.

func.func @f(%x: memref<3x40xf32>, %o0: memref<3x40xi8>, %o1: memref<3x2xi32>, %o2: memref<3x82xi32>) {
  // expected-error@+1 {{ESP-C3: group must be a multiple of 8 or all 40 channels, not 0}}
  spikequant.encode_split {step = 1.0 : f32, site = "s", group = 0 : i64}
      ins(%x : memref<3x40xf32>)
      outs(%o0, %o1, %o2 : memref<3x40xi8>, memref<3x2xi32>, memref<3x82xi32>)
  return
}

// -----

// ESP-C4: padding of dense.

func.func @f(%x: memref<3x12xf32>, %o0: memref<3x12xi8>, %o1: memref<3x1xi32>, %o2: memref<3x26xi32>) {
  // expected-error@+1 {{ESP-C4: dense must be 'tensor<3x16xi8>' or a buffer like it, not 'memref<3x12xi8>'}}
  spikequant.encode_split {step = 1.0 : f32, site = "s", group = 32 : i64}
      ins(%x : memref<3x12xf32>)
      outs(%o0, %o1, %o2 : memref<3x12xi8>, memref<3x1xi32>, memref<3x26xi32>)
  return
}

// -----

// ESP-C5: number of groups.

func.func @f(%x: memref<3x40xf32>, %o0: memref<3x40xi8>, %o1: memref<3x1xi32>, %o2: memref<3x82xi32>) {
  // expected-error@+1 {{ESP-C5: sums must be 'tensor<3x2xi32>' or a buffer like it, not 'memref<3x1xi32>'}}
  spikequant.encode_split {step = 1.0 : f32, site = "s", group = 32 : i64}
      ins(%x : memref<3x40xf32>)
      outs(%o0, %o1, %o2 : memref<3x40xi8>, memref<3x1xi32>, memref<3x82xi32>)
  return
}

// -----

// ESP-C6: room for overflow.

func.func @f(%x: memref<3x40xf32>, %o0: memref<3x40xi8>, %o1: memref<3x2xi32>, %o2: memref<3x80xi32>) {
  // expected-error@+1 {{ESP-C6: overflow must be 'tensor<3x82xi32>' or a buffer like it, not 'memref<3x80xi32>'}}
  spikequant.encode_split {step = 1.0 : f32, site = "s", group = 32 : i64}
      ins(%x : memref<3x40xf32>)
      outs(%o0, %o1, %o2 : memref<3x40xi8>, memref<3x2xi32>, memref<3x80xi32>)
  return
}

// -----

// ESP-C7: counts.

func.func @f(%x: memref<3x40xf32>, %o0: memref<3x40xi8>, %o1: memref<3x2xi32>, %o2: memref<3x82xi32>, %o3: memref<3x40xi32>) {
  // expected-error@+1 {{ESP-C7: counts must be 'tensor<3x40xi16>' or a buffer like it, not 'memref<3x40xi32>'}}
  spikequant.encode_split {step = 1.0 : f32, site = "s", group = 32 : i64}
      ins(%x : memref<3x40xf32>)
      outs(%o0, %o1, %o2, %o3 : memref<3x40xi8>, memref<3x2xi32>, memref<3x82xi32>, memref<3x40xi32>)
  return
}

// -----

// ENC-C4 holds for encode_split.

func.func @f(%x: memref<3x40xf32>, %o0: memref<3x40xi8>, %o1: memref<3x2xi32>, %o2: memref<3x82xi32>) {
  // expected-error@+1 {{ENC-C4: tolerance must be 0 or 1, not 3}}
  spikequant.encode_split {step = 1.0 : f32, site = "s", group = 32 : i64, tolerance = 3 : i32}
      ins(%x : memref<3x40xf32>)
      outs(%o0, %o1, %o2 : memref<3x40xi8>, memref<3x2xi32>, memref<3x82xi32>)
  return
}

// -----

// ENC-C5 holds for encode_split.

// expected-note@+1 {{it is declared here}}
spikequant.weights @r : tensor<40xf32> format(#spikequant.real) source("r")
func.func @f(%x: memref<3x40xf32>, %o0: memref<3x40xi8>, %o1: memref<3x2xi32>, %o2: memref<3x82xi32>) {
  // expected-error@+1 {{ENC-C5: @r must be a #spikequant.real array of type 'tensor<40xi8>'}}
  spikequant.encode_split {step = 1.0 : f32, site = "s", group = 32 : i64, bits = @r}
      ins(%x : memref<3x40xf32>)
      outs(%o0, %o1, %o2 : memref<3x40xi8>, memref<3x2xi32>, memref<3x82xi32>)
  return
}

// -----

// IDC-C1: inputs.

spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%i0: memref<3x40xi8>, %i1: memref<3x2xi32>, %o0: memref<3x16xf32>) {
  // expected-error@+1 {{IDC-C1: needs 3 inputs, not 2}}
  spikequant.integrate_decode {weights = @w, step = 1.0 : f32}
      ins(%i0, %i1 : memref<3x40xi8>, memref<3x2xi32>)
      outs(%o0 : memref<3x16xf32>)
  return
}

// -----

// IDC-C2: dense.

spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%i0: memref<3x40xi16>, %i1: memref<3x2xi32>, %i2: memref<3x82xi32>, %o0: memref<3x16xf32>) {
  // expected-error@+1 {{IDC-C2: dense must be a matrix of static shape and 'i8', not 'memref<3x40xi16>'}}
  spikequant.integrate_decode {weights = @w, step = 1.0 : f32}
      ins(%i0, %i1, %i2 : memref<3x40xi16>, memref<3x2xi32>, memref<3x82xi32>)
      outs(%o0 : memref<3x16xf32>)
  return
}

// -----

// IDC-C2: dense for other weights.

spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%i0: memref<3x48xi8>, %i1: memref<3x2xi32>, %i2: memref<3x82xi32>, %o0: memref<3x16xf32>) {
  // expected-error@+1 {{IDC-C2: dense must be 'tensor<3x40xi8>' or a buffer like it, not 'memref<3x48xi8>'}}
  spikequant.integrate_decode {weights = @w, step = 1.0 : f32}
      ins(%i0, %i1, %i2 : memref<3x48xi8>, memref<3x2xi32>, memref<3x82xi32>)
      outs(%o0 : memref<3x16xf32>)
  return
}

// -----

// IDC-C2: sums of other groups.

spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%i0: memref<3x40xi8>, %i1: memref<3x3xi32>, %i2: memref<3x82xi32>, %o0: memref<3x16xf32>) {
  // expected-error@+1 {{IDC-C2: sums must be 'tensor<3x2xi32>' or a buffer like it, not 'memref<3x3xi32>'}}
  spikequant.integrate_decode {weights = @w, step = 1.0 : f32}
      ins(%i0, %i1, %i2 : memref<3x40xi8>, memref<3x3xi32>, memref<3x82xi32>)
      outs(%o0 : memref<3x16xf32>)
  return
}

// -----

// IDC-C2: overflow.

spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%i0: memref<3x40xi8>, %i1: memref<3x2xi32>, %i2: memref<3x2xi32>, %o0: memref<3x16xf32>) {
  // expected-error@+1 {{IDC-C2: overflow must be 'tensor<3x82xi32>' or a buffer like it, not 'memref<3x2xi32>'}}
  spikequant.integrate_decode {weights = @w, step = 1.0 : f32}
      ins(%i0, %i1, %i2 : memref<3x40xi8>, memref<3x2xi32>, memref<3x2xi32>)
      outs(%o0 : memref<3x16xf32>)
  return
}

// -----

// IDC-C3: result.

spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%i0: memref<3x40xi8>, %i1: memref<3x2xi32>, %i2: memref<3x82xi32>, %o0: memref<3x16xf64>) {
  // expected-error@+1 {{IDC-C3: result must be a matrix of static shape and 'f32', not 'memref<3x16xf64>'}}
  spikequant.integrate_decode {weights = @w, step = 1.0 : f32}
      ins(%i0, %i1, %i2 : memref<3x40xi8>, memref<3x2xi32>, memref<3x82xi32>)
      outs(%o0 : memref<3x16xf64>)
  return
}

// -----

// IDC-C3: membrane.

spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%i0: memref<3x40xi8>, %i1: memref<3x2xi32>, %i2: memref<3x82xi32>, %o0: memref<3x16xf32>, %o1: memref<3x16xi32>) {
  // expected-error@+1 {{IDC-C3: membrane must be 'tensor<3x16xi64>' or a buffer like it, not 'memref<3x16xi32>'}}
  spikequant.integrate_decode {weights = @w, step = 1.0 : f32}
      ins(%i0, %i1, %i2 : memref<3x40xi8>, memref<3x2xi32>, memref<3x82xi32>)
      outs(%o0, %o1 : memref<3x16xf32>, memref<3x16xi32>)
  return
}

// -----

// IDC-C4: outputs.

spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%i0: memref<3x40xi8>, %i1: memref<3x2xi32>, %i2: memref<3x82xi32>, %o0: memref<3x17xf32>) {
  // expected-error@+1 {{IDC-C4: @w has 16 outputs, the result is 'memref<3x17xf32>'}}
  spikequant.integrate_decode {weights = @w, step = 1.0 : f32}
      ins(%i0, %i1, %i2 : memref<3x40xi8>, memref<3x2xi32>, memref<3x82xi32>)
      outs(%o0 : memref<3x17xf32>)
  return
}

// -----

// IDC-C4: no such symbol.

spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%i0: memref<3x40xi8>, %i1: memref<3x2xi32>, %i2: memref<3x82xi32>, %o0: memref<3x16xf32>) {
  // expected-error@+1 {{IDC-C4: @v does not name a 'spikequant.weights'}}
  spikequant.integrate_decode {weights = @v, step = 1.0 : f32}
      ins(%i0, %i1, %i2 : memref<3x40xi8>, memref<3x2xi32>, memref<3x82xi32>)
      outs(%o0 : memref<3x16xf32>)
  return
}

// -----

// IDC-C5: step.

spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%i0: memref<3x40xi8>, %i1: memref<3x2xi32>, %i2: memref<3x82xi32>, %o0: memref<3x16xf32>) {
  // expected-error@+1 {{IDC-C5: step must be finite and above 0}}
  spikequant.integrate_decode {weights = @w, step = -1.0 : f32}
      ins(%i0, %i1, %i2 : memref<3x40xi8>, memref<3x2xi32>, memref<3x82xi32>)
      outs(%o0 : memref<3x16xf32>)
  return
}

// -----

// LKR-C1: outputs.

spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%i: memref<3xi32>, %y: memref<3x40xf32>) {
  // expected-error@+1 {{LKR-C1: needs 1 outputs, not 2}}
  spikequant.lookup_rows {weights = @w} ins(%i : memref<3xi32>) outs(%y, %y : memref<3x40xf32>, memref<3x40xf32>)
  return
}

// -----

// LKR-C2: ids.

spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%i: memref<3x1xi32>, %y: memref<3x40xf32>) {
  // expected-error@+1 {{LKR-C2: ids must be a vector of static shape and i32 or i64, not 'memref<3x1xi32>'}}
  spikequant.lookup_rows {weights = @w} ins(%i : memref<3x1xi32>) outs(%y : memref<3x40xf32>)
  return
}

// -----

// LKR-C2: type of the ids.

spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%i: memref<3xi8>, %y: memref<3x40xf32>) {
  // expected-error@+1 {{LKR-C2: ids must be a vector of static shape and i32 or i64, not 'memref<3xi8>'}}
  spikequant.lookup_rows {weights = @w} ins(%i : memref<3xi8>) outs(%y : memref<3x40xf32>)
  return
}

// -----

// LKR-C3: result.

spikequant.weights @w : tensor<16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%i: memref<3xi32>, %y: memref<2x40xf32>) {
  // expected-error@+1 {{LKR-C3: result must be 'tensor<3x40xf32>' or a buffer like it, not 'memref<2x40xf32>'}}
  spikequant.lookup_rows {weights = @w} ins(%i : memref<3xi32>) outs(%y : memref<2x40xf32>)
  return
}

// -----

// LKR-C3: real array.

// expected-note@+1 {{its format is #spikequant.real}}
spikequant.weights @r : tensor<40xf32> format(#spikequant.real) source("r")
func.func @f(%i: memref<3xi32>, %y: memref<3x40xf32>) {
  // expected-error@+1 {{LKR-C3: @r must have the format #spikequant.codes}}
  spikequant.lookup_rows {weights = @r} ins(%i : memref<3xi32>) outs(%y : memref<3x40xf32>)
  return
}

// -----

// TAL-C1: site.

func.func @f(%o: tensor<3x82xi32>) {
  // expected-error@+1 {{TAL-C1: site must have a name}}
  spikequant.tally %o {site = ""} : tensor<3x82xi32>
  return
}

// -----

// TAL-C2: overflow.

func.func @f(%o: tensor<3x1xi32>) {
  // expected-error@+1 {{TAL-C2: overflow must be [rows, 2 + 2 channels] of i32, not 'tensor<3x1xi32>'}}
  spikequant.tally %o {site = "s"} : tensor<3x1xi32>
  return
}

// -----

// IDC-C6: numbers that do not share the rows.

spikequant.weights @w : tensor<5x16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%i0: memref<3x40xi8>, %i1: memref<3x2xi32>, %i2: memref<3x82xi32>, %ids: memref<2xi32>, %o0: memref<3x16xf32>) {
  // expected-error@+1 {{IDC-C6: 3 rows cannot be shared by 2 numbers of the index}}
  spikequant.integrate_decode {weights = @w, step = 1.0 : f32}
      ins(%i0, %i1, %i2 : memref<3x40xi8>, memref<3x2xi32>, memref<3x82xi32>) index(%ids : memref<2xi32>)
      outs(%o0 : memref<3x16xf32>)
  return
}

// -----

// IDC-C6: a stack without an index.

// expected-note@+1 {{the weights are declared here}}
spikequant.weights @w : tensor<5x16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%i0: memref<3x40xi8>, %i1: memref<3x2xi32>, %i2: memref<3x82xi32>, %o0: memref<3x16xf32>) {
  // expected-error@+1 {{IDC-C6: a stack of weights needs an index}}
  spikequant.integrate_decode {weights = @w, step = 1.0 : f32}
      ins(%i0, %i1, %i2 : memref<3x40xi8>, memref<3x2xi32>, memref<3x82xi32>)
      outs(%o0 : memref<3x16xf32>)
  return
}

// -----

// LKR-C3: a stack.

spikequant.weights @w : tensor<5x16x40xf32> format(#spikequant.codes<bits = 4>) source("w")
func.func @f(%ids: memref<2xi32>, %y: memref<2x40xf32>) {
  // expected-error@+1 {{LKR-C3: @w is a stack of weights; rows are read from one matrix}}
  spikequant.lookup_rows {weights = @w} ins(%ids : memref<2xi32>) outs(%y : memref<2x40xf32>)
  return
}

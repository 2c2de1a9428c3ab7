// RUN: sq-opt %s --convert-spikequant-to-processor --split-input-file | FileCheck %s

spikequant.weights @up : tensor<1536x576xf32> format(#spikequant.codes<bits = 4, group = 32>) source("up")
spikequant.weights @bits : tensor<576xi8> format(#spikequant.real) source("bits")

// CHECK-LABEL: func @one_site
// CHECK-SAME: (%[[X:.*]]: tensor<128x576xf32>)
// CHECK-DAG: %[[D:.*]] = tensor.empty() : tensor<128x576xi8>
// CHECK-DAG: %[[S:.*]] = tensor.empty() : tensor<128x18xi32>
// CHECK-DAG: %[[O:.*]] = tensor.empty() : tensor<128x1154xi32>
// CHECK: %[[N:.*]]:3 = spikequant.encode_split
// CHECK-SAME: bits = @bits, group = 32 : i64, site = "up.in", step = 1.250000e-01 : f32, tolerance = 1 : i32
// CHECK-SAME: ins(%[[X]] : tensor<128x576xf32>) outs(%[[D]], %[[S]], %[[O]] :
// CHECK: spikequant.tally %[[N]]#2 {site = "up.in"}
// CHECK: %[[E:.*]] = tensor.empty() : tensor<128x1536xf32>
// CHECK: %[[Y:.*]] = spikequant.integrate_decode {step = 1.250000e-01 : f32, weights = @up}
// CHECK-SAME: ins(%[[N]]#0, %[[N]]#1, %[[N]]#2 : {{.*}}) outs(%[[E]] : tensor<128x1536xf32>)
// CHECK: return %[[Y]]
func.func @one_site(%x: tensor<128x576xf32>) -> tensor<128x1536xf32> {
  %n = spikequant.encode %x {step = 0.125 : f32, site = "up.in", bits = @bits, tolerance = 1 : i32}
      : tensor<128x576xf32> -> tensor<128x576xi16>
  %acc = spikequant.integrate %n, @up : tensor<128x576xi16> -> tensor<128x1536xi64>
  %y = spikequant.decode %acc, @up {step = 0.125 : f32}
      : tensor<128x1536xi64> -> tensor<128x1536xf32>
  return %y : tensor<128x1536xf32>
}

// -----

spikequant.weights @q : tensor<64x32xf32> format(#spikequant.codes<bits = 4, group = 32>) source("q")
spikequant.weights @k : tensor<16x32xf32> format(#spikequant.codes<bits = 4, group = 64>) source("k")
spikequant.weights @v : tensor<16x32xf32> format(#spikequant.codes<bits = 8, group = 8>) source("v")

// Groups of 32 and 64 are both the whole row of 32; v has sums of its own.
// CHECK-LABEL: func @one_split_per_group_size
// CHECK: %[[ROW:.*]]:3 = spikequant.encode_split {{.*}}group = 32 : i64
// CHECK: %[[EIGHTS:.*]]:3 = spikequant.encode_split {{.*}}group = 8 : i64
// CHECK-NOT: spikequant.encode_split
// CHECK: spikequant.integrate_decode {{.*}}weights = @q} ins(%[[ROW]]#0
// CHECK: spikequant.integrate_decode {{.*}}weights = @k} ins(%[[ROW]]#0
// CHECK: spikequant.integrate_decode {{.*}}weights = @v} ins(%[[EIGHTS]]#0
func.func @one_split_per_group_size(%x: tensor<4x32xf32>)
    -> (tensor<4x64xf32>, tensor<4x16xf32>, tensor<4x16xf32>) {
  %n = spikequant.encode %x {step = 0.5 : f32, site = "q.in"} : tensor<4x32xf32> -> tensor<4x32xi16>
  %aq = spikequant.integrate %n, @q : tensor<4x32xi16> -> tensor<4x64xi64>
  %ak = spikequant.integrate %n, @k : tensor<4x32xi16> -> tensor<4x16xi64>
  %av = spikequant.integrate %n, @v : tensor<4x32xi16> -> tensor<4x16xi64>
  %q = spikequant.decode %aq, @q {step = 0.5 : f32} : tensor<4x64xi64> -> tensor<4x64xf32>
  %k = spikequant.decode %ak, @k {step = 0.5 : f32} : tensor<4x16xi64> -> tensor<4x16xf32>
  %v = spikequant.decode %av, @v {step = 0.5 : f32} : tensor<4x16xi64> -> tensor<4x16xf32>
  return %q, %k, %v : tensor<4x64xf32>, tensor<4x16xf32>, tensor<4x16xf32>
}

// -----

spikequant.weights @w : tensor<16x36xf32> format(#spikequant.codes<bits = 4, group = 0>) source("w")

// Taps see all counts and the whole membrane, in the shapes that they had.
// CHECK-LABEL: func @taps_and_leading_dimensions
// CHECK-SAME: (%[[X:.*]]: tensor<2x3x36xf32>, %[[R:.*]]: tensor<2x3xf32>)
// CHECK: %[[ROWS:.*]] = tensor.collapse_shape %[[X]] {{\[}}[0, 1], [2]] : tensor<2x3x36xf32> into tensor<6x36xf32>
// CHECK: %[[SCALE:.*]] = tensor.collapse_shape %[[R]] {{\[}}[0, 1]] : tensor<2x3xf32> into tensor<6xf32>
// CHECK: %[[N:.*]]:4 = spikequant.encode_split {{.*}}group = 36 : i64
// CHECK-SAME: ins(%[[ROWS]], %[[SCALE]] :
// CHECK-SAME: tensor<6x40xi8>, tensor<6x1xi32>, tensor<6x74xi32>, tensor<6x36xi16>
// Without bits no count is salient: nothing to tally.
// CHECK-NOT: spikequant.tally
// CHECK: %[[COUNTS:.*]] = tensor.expand_shape %[[N]]#3 {{.*}} into tensor<2x3x36xi16>
// CHECK: spikequant.observe %[[COUNTS]] {site = "w.in"}
// CHECK: %[[Y:.*]]:2 = spikequant.integrate_decode {{.*}} outs(%{{.*}}, %{{.*}} : tensor<6x16xf32>, tensor<6x16xi64>)
// CHECK: %[[ACC:.*]] = tensor.expand_shape %[[Y]]#1 {{.*}} into tensor<2x3x16xi64>
// CHECK: %[[REAL:.*]] = tensor.expand_shape %[[Y]]#0 {{.*}} into tensor<2x3x16xf32>
// CHECK: spikequant.observe %[[ACC]] {site = "w"}
// CHECK: return %[[REAL]]
func.func @taps_and_leading_dimensions(%x: tensor<2x3x36xf32>, %r: tensor<2x3xf32>)
    -> tensor<2x3x16xf32> {
  %n = spikequant.encode %x row_scale(%r : tensor<2x3xf32>) {step = 0.5 : f32, site = "w.in"}
      : tensor<2x3x36xf32> -> tensor<2x3x36xi16>
  spikequant.observe %n {site = "w.in"} : tensor<2x3x36xi16>
  %acc = spikequant.integrate %n, @w : tensor<2x3x36xi16> -> tensor<2x3x16xi64>
  spikequant.observe %acc {site = "w"} : tensor<2x3x16xi64>
  %y = spikequant.decode %acc, @w {step = 0.5 : f32} : tensor<2x3x16xi64> -> tensor<2x3x16xf32>
  return %y : tensor<2x3x16xf32>
}

// -----

spikequant.weights @a : tensor<16x32xf32> format(#spikequant.codes<bits = 4, group = 32>) source("a")
spikequant.weights @b : tensor<8x16xf32> format(#spikequant.codes<bits = 4, group = 0>) source("b")

// Counts that a neuron fired are split as reals with step 1, exactly.
// CHECK-LABEL: func @fire_between_two_layers
// CHECK: %[[A:.*]]:2 = spikequant.integrate_decode {{.*}}weights = @a}
// CHECK: %[[FIRED:.*]] = linalg.generic {{.*}} ins(%[[A]]#1
// CHECK: arith.maxsi
// CHECK: arith.minsi
// CHECK: arith.muli
// CHECK: arith.addi
// CHECK: arith.shrsi
// CHECK: %[[REAL:.*]] = linalg.generic {{.*}} ins(%[[FIRED]] : tensor<4x16xi16>)
// CHECK: arith.sitofp
// CHECK: %[[N:.*]]:3 = spikequant.encode_split {group = 16 : i64, site = "b.in", step = 1.000000e+00 : f32} ins(%[[REAL]]
// CHECK: spikequant.integrate_decode {{.*}}weights = @b} ins(%[[N]]#0
func.func @fire_between_two_layers(%x: tensor<4x32xf32>) -> tensor<4x8xf32> {
  %n = spikequant.encode %x {step = 0.5 : f32, site = "a.in"} : tensor<4x32xf32> -> tensor<4x32xi16>
  %acc = spikequant.integrate %n, @a : tensor<4x32xi16> -> tensor<4x16xi64>
  %f = spikequant.fire %acc {multipliers = array<i64: 3>, biases = array<i64: 512>,
                             shift = 10 : i32, lo = -7 : i32, hi = 7 : i32}
      : tensor<4x16xi64> -> tensor<4x16xi16>
  %acc2 = spikequant.integrate %f, @b : tensor<4x16xi16> -> tensor<4x8xi64>
  %y = spikequant.decode %acc2, @b {step = 0.5 : f32} : tensor<4x8xi64> -> tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}

// -----

// T(-6) - 1 = ceil((-6 * 1024 - 512) / 3) - 1 = -2219, T(7) = ceil((7168 - 512) / 3) = 2219.
// CHECK-LABEL: func @fire_ladder_ends
// CHECK-DAG: arith.constant dense<-2219> : tensor<2xi64>
// CHECK-DAG: arith.constant dense<2219> : tensor<2xi64>
func.func @fire_ladder_ends(%acc: tensor<4x2xi64>) -> tensor<4x2xi16> {
  %f = spikequant.fire %acc {multipliers = array<i64: 3>, biases = array<i64: 512>,
                             shift = 10 : i32, lo = -7 : i32, hi = 7 : i32}
      : tensor<4x2xi64> -> tensor<4x2xi16>
  return %f : tensor<4x2xi16>
}

// -----

spikequant.weights @e : tensor<100x32xf32> format(#spikequant.codes<bits = 8, group = 32>) source("e")

// CHECK-LABEL: func @lookup
// CHECK-SAME: (%[[IDS:.*]]: tensor<1x5xi32>)
// CHECK: %[[ROWS:.*]] = tensor.collapse_shape %[[IDS]] {{.*}} into tensor<5xi32>
// CHECK: %[[Y:.*]] = spikequant.lookup_rows {weights = @e} ins(%[[ROWS]] : tensor<5xi32>) outs(%{{.*}} : tensor<5x32xf32>)
// CHECK: tensor.expand_shape %[[Y]] {{.*}} into tensor<1x5x32xf32>
func.func @lookup(%ids: tensor<1x5xi32>) -> tensor<1x5x32xf32> {
  %y = spikequant.lookup @e[%ids] : tensor<1x5xi32> -> tensor<1x5x32xf32>
  return %y : tensor<1x5x32xf32>
}

// -----

spikequant.weights @w : tensor<16x32xf32> format(#spikequant.codes<bits = 4, group = 32>) source("w")

// CHECK-LABEL: func @lone_row
// CHECK: tensor.expand_shape %{{.*}} {{\[}}[0, 1]] {{.*}} : tensor<32xf32> into tensor<1x32xf32>
// CHECK: tensor.collapse_shape %{{.*}} {{\[}}[0, 1]] : tensor<1x16xf32> into tensor<16xf32>
func.func @lone_row(%x: tensor<32xf32>) -> tensor<16xf32> {
  %n = spikequant.encode %x {step = 0.5 : f32, site = "w.in"} : tensor<32xf32> -> tensor<32xi16>
  %acc = spikequant.integrate %n, @w : tensor<32xi16> -> tensor<16xi64>
  %y = spikequant.decode %acc, @w {step = 0.5 : f32} : tensor<16xi64> -> tensor<16xf32>
  return %y : tensor<16xf32>
}

// -----

spikequant.weights @w : tensor<16x32xf32> format(#spikequant.codes<bits = 4, group = 32>) source("w")
spikequant.weights @bits : tensor<32xi8> format(#spikequant.real) source("bits")

// However far out, a count saturates: the tolerance reaches every i16.
// CHECK-LABEL: func @overflow_saturates
// CHECK: spikequant.encode_split {bits = @bits, {{.*}}tolerance = 32767 : i32}
func.func @overflow_saturates(%x: tensor<4x32xf32>) -> tensor<4x16xf32> {
  %n = spikequant.encode %x {step = 0.125 : f32, site = "w.in", bits = @bits, overflow = #spikequant.overflow<saturate>}
      : tensor<4x32xf32> -> tensor<4x32xi16>
  %acc = spikequant.integrate %n, @w : tensor<4x32xi16> -> tensor<4x16xi64>
  %y = spikequant.decode %acc, @w {step = 0.125 : f32} : tensor<4x16xi64> -> tensor<4x16xf32>
  return %y : tensor<4x16xf32>
}

// -----

spikequant.weights @stack : tensor<5x16x32xf32> format(#spikequant.codes<bits = 4, group = 32>) source("stack")

// A stack: slices and rows become rows; the index goes along.
// CHECK-LABEL: func @chosen
// CHECK-SAME: (%[[X:.*]]: tensor<3x2x32xf32>, %[[IDS:.*]]: tensor<3xi32>, %[[I:.*]]: index)
// CHECK: %[[ROWS:.*]] = tensor.collapse_shape %[[X]] {{\[\[}}0, 1], [2]]
// CHECK: spikequant.encode_split {{.*}} ins(%[[ROWS]] : tensor<6x32xf32>)
// CHECK: %[[Y:.*]] = spikequant.integrate_decode {{.*}} index(%[[IDS]] : tensor<3xi32>) outs(%{{.*}} : tensor<6x16xf32>)
// CHECK: tensor.expand_shape %[[Y]] {{\[\[}}0, 1], [2]] output_shape [3, 2, 16]
// CHECK: spikequant.integrate_decode {{.*}} index(%[[I]] : index)
func.func @chosen(%x: tensor<3x2x32xf32>, %ids: tensor<3xi32>, %i: index) -> (tensor<3x2x16xf32>, tensor<3x2x16xf32>) {
  %n = spikequant.encode %x {step = 0.5 : f32, site = "stack.in"} : tensor<3x2x32xf32> -> tensor<3x2x32xi16>
  %a = spikequant.integrate %n, @stack[%ids : tensor<3xi32>] : tensor<3x2x32xi16> -> tensor<3x2x16xi64>
  %y = spikequant.decode %a, @stack[%ids : tensor<3xi32>] {step = 0.5 : f32} : tensor<3x2x16xi64> -> tensor<3x2x16xf32>
  %b = spikequant.integrate %n, @stack[%i : index] : tensor<3x2x32xi16> -> tensor<3x2x16xi64>
  %z = spikequant.decode %b, @stack[%i : index] {step = 0.5 : f32} : tensor<3x2x16xi64> -> tensor<3x2x16xf32>
  return %y, %z : tensor<3x2x16xf32>, tensor<3x2x16xf32>
}

// -----

spikequant.weights @eight : tensor<8xi8> format(#spikequant.real) value(dense<8> : tensor<8xi8>)
spikequant.weights @mixed : tensor<8xi8> format(#spikequant.real) value(dense<[8, 8, 8, 8, 4, 4, 4, 4]> : tensor<8xi8>)

// Counts that are read as an array and saturate alike need no containers: rate
// 1 / 0.5 and window 127; the clamp precedes the conversion.
// CHECK-LABEL: func @array
// CHECK-NOT: encode_split
// CHECK: %[[V:.*]] = arith.mulf %{{.*}}, %{{.*}} : f32
// CHECK: arith.addf %[[V]]
// CHECK: math.floor
// CHECK: arith.cmpf ord
// CHECK: arith.maximumf
// CHECK: arith.minimumf
// CHECK: arith.fptosi
// CHECK: arith.trunci %{{.*}} : i32 to i16
// CHECK: spikequant.encode_split {bits = @mixed
func.func @array(%x: tensor<2x8xf32>) -> (tensor<2x8xi16>, tensor<2x8xi16>) {
  %n = spikequant.encode %x {step = 0.5 : f32, site = "qk.left", bits = @eight,
                             overflow = #spikequant.overflow<saturate>}
      : tensor<2x8xf32> -> tensor<2x8xi16>
  %m = spikequant.encode %x {step = 0.5 : f32, site = "other", bits = @mixed,
                             overflow = #spikequant.overflow<saturate>}
      : tensor<2x8xf32> -> tensor<2x8xi16>
  return %n, %m : tensor<2x8xi16>, tensor<2x8xi16>
}

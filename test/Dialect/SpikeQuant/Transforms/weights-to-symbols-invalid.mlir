// RUN: sq-opt %s -split-input-file -verify-diagnostics -spikequant-weights-to-symbols

// expected-note@+1 {{there it has type 'tensor<4x8xf32>'}}
func.func @shape_of_first(%w: tensor<4x8xf32> {spikequant.weight = "up"}) -> tensor<4x8xf32> {
  return %w : tensor<4x8xf32>
}
// expected-error@+1 {{weight 'up' of type 'tensor<8x4xf32>' conflicts with another use of the name}}
func.func @shape_mismatch(%w: tensor<8x4xf32> {spikequant.weight = "up"}) -> tensor<8x4xf32> {
  return %w : tensor<8x4xf32>
}

// -----

// expected-note@+2 {{it names this operation}}
// expected-error@+1 {{weight 'f' of type 'tensor<4xf32>' conflicts with another use of the name}}
func.func @f(%w: tensor<4xf32> {spikequant.weight = "f"}) -> tensor<4xf32> {
  return %w : tensor<4xf32>
}

// -----

// expected-error@+1 {{WGT-C3: 'spikequant.weight' of argument 1 must be the weight's name}}
func.func @key_is_no_string(%x: f32, %w: tensor<4xf32> {spikequant.weight = 3 : i64}) {
  return
}

// -----

// expected-error@+1 {{WGT-C3: 'spikequant.weight' of argument 0 must be the weight's name}}
func.func @empty_key(%w: tensor<4xf32> {spikequant.weight = ""}) {
  return
}

// -----

// expected-error@+1 {{WGT-C4: weight 'w' must be a tensor of static shape, not 'tensor<?xf32>'}}
func.func @dynamic_shape(%w: tensor<?xf32> {spikequant.weight = "w"}) {
  return
}

// -----

// expected-error@+1 {{has weight arguments and is called; inline it into its callers first}}
func.func @callee(%w: tensor<4xf32> {spikequant.weight = "w"}) -> tensor<4xf32> {
  return %w : tensor<4xf32>
}
func.func @caller(%w: tensor<4xf32>) -> tensor<4xf32> {
  %0 = call @callee(%w) : (tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

func.func @lost_resource() -> tensor<2xf32> {
  // expected-error@+1 {{the file does not hold the data of resource 'lost', 2 elements of 'f32'}}
  %a = arith.constant dense_resource<lost> : tensor<2xf32>
  return %a : tensor<2xf32>
}

// -----

func.func @short_resource() -> tensor<2xf32> {
  // expected-error@+1 {{the file does not hold the data of resource 'short', 2 elements of 'f32'}}
  %a = arith.constant dense_resource<short> : tensor<2xf32>
  return %a : tensor<2xf32>
}

{-#
  dialect_resources: { builtin: { short: "0x040000000000803f" } }
#-}

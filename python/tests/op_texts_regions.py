"""StableHLO functions of operations with regions, gather and scatter."""

from __future__ import annotations

REGIONS = {
    "reduce_nothing": """
func.func @main(%a: tensor<3xf32>, %b: tensor<i32>) -> (tensor<3xf32>, tensor<i32>) {
  %i = stablehlo.constant dense<0.0> : tensor<f32>
  %j = stablehlo.constant dense<1> : tensor<i32>
  %0 = stablehlo.reduce(%a init: %i) applies stablehlo.add across dimensions = []
    : (tensor<3xf32>, tensor<f32>) -> tensor<3xf32>
  %1 = stablehlo.reduce(%b init: %j) applies stablehlo.multiply across dimensions = []
    : (tensor<i32>, tensor<i32>) -> tensor<i32>
  return %0, %1 : tensor<3xf32>, tensor<i32>
}""",
    "map": """
func.func @main(%a: tensor<2x3xf32>, %b: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %r = "stablehlo.map"(%a, %b) <{dimensions = array<i64: 0, 1>}> ({
    ^bb0(%x: tensor<f32>, %y: tensor<f32>):
      %0 = stablehlo.multiply %x, %y : tensor<f32>
      %1 = stablehlo.tanh %0 : tensor<f32>
      stablehlo.return %1 : tensor<f32>
  }) : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  return %r : tensor<2x3xf32>
}""",
    "map_to_another_type": """
func.func @main(%a: tensor<3xui8>) -> tensor<3xi1> {
  %r = "stablehlo.map"(%a) <{dimensions = array<i64: 0>}> ({
    ^bb0(%x: tensor<ui8>):
      %0 = stablehlo.constant dense<3> : tensor<ui8>
      %1 = stablehlo.compare GT, %x, %0 : (tensor<ui8>, tensor<ui8>) -> tensor<i1>
      stablehlo.return %1 : tensor<i1>
  }) : (tensor<3xui8>) -> tensor<3xi1>
  return %r : tensor<3xi1>
}""",
    "reduce_two_axes_of_two": """
func.func @main(%a: tensor<3x5x4xf32>, %b: tensor<3x5x4xi32>) -> (tensor<5xf32>, tensor<5xi32>) {
  %i = stablehlo.constant dense<0xFF800000> : tensor<f32>
  %j = stablehlo.constant dense<-1> : tensor<i32>
  %r:2 = stablehlo.reduce(%a init: %i), (%b init: %j) across dimensions = [0, 2]
    : (tensor<3x5x4xf32>, tensor<3x5x4xi32>, tensor<f32>, tensor<i32>)
      -> (tensor<5xf32>, tensor<5xi32>)
    reducer(%x: tensor<f32>, %u: tensor<f32>) (%y: tensor<i32>, %v: tensor<i32>) {
      %0 = stablehlo.compare GE, %x, %u : (tensor<f32>, tensor<f32>) -> tensor<i1>
      %1 = stablehlo.select %0, %x, %u : tensor<i1>, tensor<f32>
      %2 = stablehlo.select %0, %y, %v : tensor<i1>, tensor<i32>
      stablehlo.return %1, %2 : tensor<f32>, tensor<i32>
    }
  return %r#0, %r#1 : tensor<5xf32>, tensor<5xi32>
}""",
    "reduce_window_of_two": """
func.func @main(%a: tensor<4x6xf32>, %b: tensor<4x6xi32>) -> (tensor<3x3xf32>, tensor<3x3xi32>) {
  %i = stablehlo.constant dense<-1.0> : tensor<f32>
  %j = stablehlo.constant dense<-1> : tensor<i32>
  %r:2 = "stablehlo.reduce_window"(%a, %b, %i, %j) <{window_dimensions = array<i64: 2, 2>,
      window_strides = array<i64: 1, 2>}> ({
    ^bb0(%x: tensor<f32>, %y: tensor<i32>, %u: tensor<f32>, %v: tensor<i32>):
      %0 = stablehlo.maximum %x, %u : tensor<f32>
      %1 = stablehlo.add %y, %v : tensor<i32>
      stablehlo.return %0, %1 : tensor<f32>, tensor<i32>
  }) : (tensor<4x6xf32>, tensor<4x6xi32>, tensor<f32>, tensor<i32>)
    -> (tensor<3x3xf32>, tensor<3x3xi32>)
  return %r#0, %r#1 : tensor<3x3xf32>, tensor<3x3xi32>
}""",
    "reduce_window_dilated": """
func.func @main(%a: tensor<3x2xi32>) -> tensor<2x3xi32> {
  %i = stablehlo.constant dense<1> : tensor<i32>
  %r = "stablehlo.reduce_window"(%a, %i) <{window_dimensions = array<i64: 2, 1>,
      window_strides = array<i64: 4, 1>, base_dilations = array<i64: 2, 1>,
      window_dilations = array<i64: 3, 1>, padding = dense<[[2, 1], [0, 1]]> : tensor<2x2xi64>}> ({
    ^bb0(%x: tensor<i32>, %y: tensor<i32>):
      %0 = stablehlo.add %x, %y : tensor<i32>
      stablehlo.return %0 : tensor<i32>
  }) : (tensor<3x2xi32>, tensor<i32>) -> tensor<2x3xi32>
  return %r : tensor<2x3xi32>
}""",
    "select_and_scatter": """
func.func @main(%a: tensor<4x5xf32>, %s: tensor<2x2xf32>) -> tensor<4x5xf32> {
  %i = stablehlo.constant dense<0.5> : tensor<f32>
  %r = "stablehlo.select_and_scatter"(%a, %s, %i) <{window_dimensions = array<i64: 3, 2>,
      window_strides = array<i64: 2, 3>,
      padding = dense<[[0, 1], [0, 0]]> : tensor<2x2xi64>}> ({
    ^bb0(%x: tensor<f32>, %y: tensor<f32>):
      %0 = stablehlo.compare GE, %x, %y : (tensor<f32>, tensor<f32>) -> tensor<i1>
      stablehlo.return %0 : tensor<i1>
  }, {
    ^bb0(%x: tensor<f32>, %y: tensor<f32>):
      %0 = stablehlo.add %x, %y : tensor<f32>
      stablehlo.return %0 : tensor<f32>
  }) : (tensor<4x5xf32>, tensor<2x2xf32>, tensor<f32>) -> tensor<4x5xf32>
  return %r : tensor<4x5xf32>
}""",
    "sort_captures": """
func.func @main(%a: tensor<2x7xi32>, %b: tensor<2x7xf32>) -> (tensor<2x7xi32>, tensor<2x7xf32>) {
  %two = stablehlo.constant dense<2> : tensor<i32>
  %r:2 = "stablehlo.sort"(%a, %b) <{dimension = 1 : i64, is_stable = true}> ({
    ^bb0(%x: tensor<i32>, %y: tensor<i32>, %u: tensor<f32>, %v: tensor<f32>):
      %0 = stablehlo.remainder %x, %two : tensor<i32>
      %1 = stablehlo.remainder %y, %two : tensor<i32>
      %2 = stablehlo.compare GT, %0, %1 : (tensor<i32>, tensor<i32>) -> tensor<i1>
      stablehlo.return %2 : tensor<i1>
  }) : (tensor<2x7xi32>, tensor<2x7xf32>) -> (tensor<2x7xi32>, tensor<2x7xf32>)
  return %r#0, %r#1 : tensor<2x7xi32>, tensor<2x7xf32>
}""",
    "scatter_of_two": """
func.func @main(%a: tensor<5xf32>, %b: tensor<5xi32>, %u: tensor<3xf32>, %v: tensor<3xi32>)
    -> (tensor<5xf32>, tensor<5xi32>) {
  %i = stablehlo.constant dense<[[3], [3], [7]]> : tensor<3x1xi32>
  %r:2 = "stablehlo.scatter"(%a, %b, %i, %u, %v) <{
      scatter_dimension_numbers = #stablehlo.scatter<inserted_window_dims = [0],
        scatter_dims_to_operand_dims = [0], index_vector_dim = 1>}> ({
    ^bb0(%x: tensor<f32>, %y: tensor<i32>, %p: tensor<f32>, %q: tensor<i32>):
      %0 = stablehlo.subtract %p, %x : tensor<f32>
      %1 = stablehlo.add %y, %q : tensor<i32>
      stablehlo.return %0, %1 : tensor<f32>, tensor<i32>
  }) : (tensor<5xf32>, tensor<5xi32>, tensor<3x1xi32>, tensor<3xf32>, tensor<3xi32>)
    -> (tensor<5xf32>, tensor<5xi32>)
  return %r#0, %r#1 : tensor<5xf32>, tensor<5xi32>
}""",
    "scatter_one_number": """
func.func @main(%a: tensor<5xf32>, %i: tensor<1xi32>, %u: tensor<f32>) -> tensor<5xf32> {
  %r = "stablehlo.scatter"(%a, %i, %u) <{
      scatter_dimension_numbers = #stablehlo.scatter<inserted_window_dims = [0],
        scatter_dims_to_operand_dims = [0], index_vector_dim = 0>}> ({
    ^bb0(%x: tensor<f32>, %y: tensor<f32>):
      %0 = stablehlo.multiply %x, %y : tensor<f32>
      stablehlo.return %0 : tensor<f32>
  }) : (tensor<5xf32>, tensor<1xi32>, tensor<f32>) -> tensor<5xf32>
  return %r : tensor<5xf32>
}""",
    "scatter_batched": """
func.func @main(%a: tensor<2x3x4x2xi64>, %u: tensor<2x2x3x2x2xi64>) -> tensor<2x3x4x2xi64> {
  %i = stablehlo.constant dense<[[[[0, 0], [1, 0], [2, 1]], [[0, 1], [1, 1], [0, 9]]],
                                 [[[0, 0], [2, 1], [2, 2]], [[1, 2], [0, 1], [1, 0]]]]>
    : tensor<2x2x3x2xi64>
  %r = "stablehlo.scatter"(%a, %i, %u) <{scatter_dimension_numbers = #stablehlo.scatter<
        update_window_dims = [3, 4], inserted_window_dims = [1], input_batching_dims = [0],
        scatter_indices_batching_dims = [1], scatter_dims_to_operand_dims = [2, 1],
        index_vector_dim = 3>}> ({
    ^bb0(%x: tensor<i64>, %y: tensor<i64>):
      %0 = stablehlo.add %x, %y : tensor<i64>
      stablehlo.return %0 : tensor<i64>
  }) : (tensor<2x3x4x2xi64>, tensor<2x2x3x2xi64>, tensor<2x2x3x2x2xi64>) -> tensor<2x3x4x2xi64>
  return %r : tensor<2x3x4x2xi64>
}""",
    "gather_batched": """
func.func @main(%a: tensor<2x3x4x2xi64>) -> tensor<2x2x3x2x2xi64> {
  %i = stablehlo.constant dense<[[[[0, 0], [1, 0], [2, 1]], [[0, 1], [1, 1], [0, 9]]],
                                 [[[0, 0], [2, 1], [2, 2]], [[1, 2], [-4, 1], [1, 0]]]]>
    : tensor<2x2x3x2xi64>
  %r = "stablehlo.gather"(%a, %i) <{dimension_numbers = #stablehlo.gather<
        offset_dims = [3, 4], collapsed_slice_dims = [1], operand_batching_dims = [0],
        start_indices_batching_dims = [1], start_index_map = [2, 1], index_vector_dim = 3>,
      slice_sizes = array<i64: 1, 1, 2, 2>}>
    : (tensor<2x3x4x2xi64>, tensor<2x2x3x2xi64>) -> tensor<2x2x3x2x2xi64>
  return %r : tensor<2x2x3x2x2xi64>
}""",
    "while_captures": """
func.func @main(%n: tensor<i32>, %x: tensor<3xf32>) -> (tensor<i32>, tensor<3xf32>) {
  %one = stablehlo.constant dense<1> : tensor<i32>
  %r:2 = stablehlo.while(%i = %n, %y = %x) : tensor<i32>, tensor<3xf32>
  cond {
    %0 = stablehlo.compare LT, %i, %n : (tensor<i32>, tensor<i32>) -> tensor<i1>
    %1 = stablehlo.constant dense<12> : tensor<i32>
    %2 = stablehlo.compare LT, %i, %1 : (tensor<i32>, tensor<i32>) -> tensor<i1>
    %3 = stablehlo.or %0, %2 : tensor<i1>
    stablehlo.return %3 : tensor<i1>
  } do {
    %0 = stablehlo.add %i, %one : tensor<i32>
    %1 = stablehlo.add %y, %x : tensor<3xf32>
    stablehlo.return %0, %1 : tensor<i32>, tensor<3xf32>
  }
  return %r#0, %r#1 : tensor<i32>, tensor<3xf32>
}""",
    "case_out_of_range": """
func.func @main(%n: tensor<i32>, %x: tensor<ui16>) -> (tensor<ui16>, tensor<i1>) {
  %r:2 = "stablehlo.case"(%n) ({
    %0 = stablehlo.constant dense<true> : tensor<i1>
    stablehlo.return %x, %0 : tensor<ui16>, tensor<i1>
  }, {
    %0 = stablehlo.constant dense<false> : tensor<i1>
    %1 = stablehlo.negate %x : tensor<ui16>
    stablehlo.return %1, %0 : tensor<ui16>, tensor<i1>
  }) : (tensor<i32>) -> (tensor<ui16>, tensor<i1>)
  return %r#0, %r#1 : tensor<ui16>, tensor<i1>
}""",
}

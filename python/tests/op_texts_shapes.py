"""StableHLO functions: sizes as operands, convolutions, contractions, normalisations."""

from __future__ import annotations

BATCH_NORM = {
    "batch_norm_inference": """
func.func @main(%x: tensor<2x3x4xf32>, %s: tensor<3xf32>, %o: tensor<3xf32>, %m: tensor<3xf32>)
    -> tensor<2x3x4xf32> {
  %v = stablehlo.multiply %m, %m : tensor<3xf32>
  %r = "stablehlo.batch_norm_inference"(%x, %s, %o, %m, %v)
    <{epsilon = 1.0e-3 : f32, feature_index = 1 : i64}>
    : (tensor<2x3x4xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>)
      -> tensor<2x3x4xf32>
  return %r : tensor<2x3x4xf32>
}""",
    "batch_norm_training": """
func.func @main(%x: tensor<2x3x4xf64>, %s: tensor<4xf64>, %o: tensor<4xf64>)
    -> (tensor<2x3x4xf64>, tensor<4xf64>, tensor<4xf64>) {
  %r:3 = "stablehlo.batch_norm_training"(%x, %s, %o)
    <{epsilon = 1.0e-3 : f32, feature_index = 2 : i64}>
    : (tensor<2x3x4xf64>, tensor<4xf64>, tensor<4xf64>)
      -> (tensor<2x3x4xf64>, tensor<4xf64>, tensor<4xf64>)
  return %r#0, %r#1, %r#2 : tensor<2x3x4xf64>, tensor<4xf64>, tensor<4xf64>
}""",
    "batch_norm_grad": """
func.func @main(%x: tensor<2x3xf32>, %s: tensor<3xf32>, %m: tensor<3xf32>, %g: tensor<2x3xf32>)
    -> (tensor<2x3xf32>, tensor<3xf32>, tensor<3xf32>) {
  %v = stablehlo.multiply %m, %m : tensor<3xf32>
  %r:3 = "stablehlo.batch_norm_grad"(%x, %s, %m, %v, %g)
    <{epsilon = 1.0e-3 : f32, feature_index = 1 : i64}>
    : (tensor<2x3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<2x3xf32>)
      -> (tensor<2x3xf32>, tensor<3xf32>, tensor<3xf32>)
  return %r#0, %r#1, %r#2 : tensor<2x3xf32>, tensor<3xf32>, tensor<3xf32>
}""",
}

DYNAMIC = {
    "dynamic_broadcast": """
func.func @main(%x: tensor<1x3xf32>) -> tensor<2x3x2xf32> {
  %d = stablehlo.constant dense<[2, 3, 2]> : tensor<3xi64>
  %r = stablehlo.dynamic_broadcast_in_dim %x, %d, dims = [2, 1]
    : (tensor<1x3xf32>, tensor<3xi64>) -> tensor<2x3x2xf32>
  return %r : tensor<2x3x2xf32>
}""",
    "dynamic_results": """
func.func @main(%x: tensor<2x3xi32>) -> tensor<?xi32> {
  %d = stablehlo.constant dense<[6]> : tensor<1xi64>
  %e = stablehlo.constant dense<[3, 4]> : tensor<2xi64>
  %f = stablehlo.constant dense<[2]> : tensor<1xi64>
  %0 = stablehlo.dynamic_reshape %x, %d : (tensor<2x3xi32>, tensor<1xi64>) -> tensor<?xi32>
  %1 = stablehlo.dynamic_iota %e, dim = 1 : (tensor<2xi64>) -> tensor<?x?xi32>
  %2 = stablehlo.get_dimension_size %1, dim = 1 : (tensor<?x?xi32>) -> tensor<i32>
  %3 = stablehlo.reshape %2 : (tensor<i32>) -> tensor<1xi32>
  %4 = stablehlo.concatenate %0, %3, dim = 0 : (tensor<?xi32>, tensor<1xi32>) -> tensor<?xi32>
  return %4 : tensor<?xi32>
}""",
    "dynamic_pad": """
func.func @main(%x: tensor<2x3xi32>, %p: tensor<i32>) -> tensor<?x?xi32> {
  %l = stablehlo.constant dense<[0, -1]> : tensor<2xi64>
  %h = stablehlo.constant dense<[2, 1]> : tensor<2xi64>
  %i = stablehlo.constant dense<[1, 2]> : tensor<2xi64>
  %r = stablehlo.dynamic_pad %x, %p, %l, %h, %i
    : (tensor<2x3xi32>, tensor<i32>, tensor<2xi64>, tensor<2xi64>, tensor<2xi64>) -> tensor<?x?xi32>
  return %r : tensor<?x?xi32>
}""",
    "dynamic_gather": """
func.func @main(%x: tensor<3x4x2xi64>, %s: tensor<2x3x2xi64>) -> tensor<2x3x2x2xi64> {
  %d = stablehlo.constant dense<[1, 2, 2]> : tensor<3xi32>
  %r = "stablehlo.dynamic_gather"(%x, %s, %d) <{dimension_numbers = #stablehlo.gather<
      offset_dims = [2, 3], collapsed_slice_dims = [0], start_index_map = [1, 0],
      index_vector_dim = 2>, indices_are_sorted = false}>
    : (tensor<3x4x2xi64>, tensor<2x3x2xi64>, tensor<3xi32>) -> tensor<2x3x2x2xi64>
  return %r : tensor<2x3x2x2xi64>
}""",
    "real_dynamic_slice": """
func.func @main(%x: tensor<5x7xf32>) -> tensor<?x?xf32> {
  %s = stablehlo.constant dense<[1, 2]> : tensor<2xi64>
  %l = stablehlo.constant dense<[5, 7]> : tensor<2xi64>
  %t = stablehlo.constant dense<[3, 2]> : tensor<2xi64>
  %r = stablehlo.real_dynamic_slice %x, %s, %l, %t
    : (tensor<5x7xf32>, tensor<2xi64>, tensor<2xi64>, tensor<2xi64>) -> tensor<?x?xf32>
  return %r : tensor<?x?xf32>
}""",
    "dynamic_conv": """
func.func @main(%x: tensor<1x4x4x2xf32>, %w: tensor<3x3x2x3xf32>) -> tensor<1x5x3x3xf32> {
  %p = stablehlo.constant dense<[[1, 2], [0, 1]]> : tensor<2x2xi64>
  %r = "stablehlo.dynamic_conv"(%x, %w, %p) <{
      dimension_numbers = #stablehlo.conv<[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]>,
      window_strides = array<i64: 1, 1>,
      batch_group_count = 1 : i64, feature_group_count = 1 : i64}>
    : (tensor<1x4x4x2xf32>, tensor<3x3x2x3xf32>, tensor<2x2xi64>) -> tensor<1x5x3x3xf32>
  return %r : tensor<1x5x3x3xf32>
}""",
}


def _convolution(x: str, w: str, y: str, numbers: str, window: str = "", groups=(1, 1)) -> str:
    return f"""
func.func @main(%x: {x}, %w: {w}) -> {y} {{
  %r = stablehlo.convolution(%x, %w) dim_numbers = {numbers}, window = {{{window}}}
    {{batch_group_count = {groups[0]} : i64, feature_group_count = {groups[1]} : i64}}
    : ({x}, {w}) -> {y}
  return %r : {y}
}}"""


_IMAGE = "[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]"
CONVOLUTIONS = {
    "conv_dilated_input": _convolution(
        "tensor<1x4x4x1xi64>",
        "tensor<3x3x1x1xi64>",
        "tensor<1x2x2x1xi64>",
        _IMAGE,
        "stride = [4, 4], pad = [[1, 1], [1, 1]], lhs_dilate = [2, 2]",
    ),
    "conv_i8_to_i32": _convolution(
        "tensor<2x5x5x3xi8>", "tensor<3x3x3x2xi8>", "tensor<2x3x3x2xi32>", _IMAGE
    ),
    "conv_u8": _convolution(
        "tensor<2x5x4x3xui8>", "tensor<2x2x3x2xui8>", "tensor<2x4x3x2xui32>", _IMAGE
    ),
    "conv_batch_groups": _convolution(
        "tensor<1x4x4x1xi64>",
        "tensor<1x2x1x4xi64>",
        "tensor<1x1x2x4xi64>",
        "[0, b, 1, f]x[0, 1, i, o]->[b, 0, 1, f]",
        "stride = [4, 4], lhs_dilate = [2, 2]",
        (4, 1),
    ),
    "conv_feature_groups": _convolution(
        "tensor<2x5x6x4xf32>",
        "tensor<2x3x2x6xf32>",
        "tensor<2x4x4x6xf32>",
        _IMAGE,
        "",
        (1, 2),
    ),
    "conv_depthwise": _convolution(
        "tensor<2x5x6x3xf32>",
        "tensor<2x3x1x6xf32>",
        "tensor<2x2x2x6xf32>",
        _IMAGE,
        "stride = [2, 3], pad = [[0, 0], [1, 0]]",
        (1, 3),
    ),
    "conv_reversed": _convolution(
        "tensor<1x5x6x2xf32>",
        "tensor<2x3x2x3xf32>",
        "tensor<1x3x2x3xf32>",
        _IMAGE,
        "pad = [[-1, 0], [1, -1]], rhs_dilate = [1, 2], reverse = [true, false]",
    ),
    "conv_channels_first": _convolution(
        "tensor<2x3x5x6xbf16>",
        "tensor<4x3x2x3xbf16>",
        "tensor<2x4x4x4xbf16>",
        "[b, f, 0, 1]x[o, i, 0, 1]->[b, f, 0, 1]",
    ),
    "conv_odd_layout": _convolution(
        "tensor<2x5x3xf16>",
        "tensor<3x4x3xf16>",
        "tensor<3x4x2xf16>",
        "[b, 0, f]x[i, o, 0]->[0, f, b]",
    ),
    "conv_no_space": _convolution(
        "tensor<3x5xf32>", "tensor<5x4xf32>", "tensor<3x4xf32>", "[b, f]x[i, o]->[b, f]"
    ),
    "conv_volume": _convolution(
        "tensor<1x3x4x3x2xf64>",
        "tensor<2x2x2x2x3xf64>",
        "tensor<1x2x3x2x3xf64>",
        "[b, 0, 1, 2, f]x[0, 1, 2, i, o]->[b, 0, 1, 2, f]",
    ),
    "conv_empty": _convolution(
        "tensor<2x0x3xf32>",
        "tensor<1x3x4xf32>",
        "tensor<2x2x4xf32>",
        "[b, 0, f]x[0, i, o]->[b, 0, f]",
        "pad = [[1, 1]]",
    ),
}

DOTS = {
    "dot_nothing_contracted": """
func.func @main(%a: tensor<2x3xi64>, %b: tensor<2xi64>) -> tensor<2x3x2xi64> {
  %r = stablehlo.dot_general %a, %b, contracting_dims = [] x []
    : (tensor<2x3xi64>, tensor<2xi64>) -> tensor<2x3x2xi64>
  return %r : tensor<2x3x2xi64>
}""",
    "dot_algorithm": """
func.func @main(%a: tensor<2x3x5xf32>, %b: tensor<2x5x4xf32>) -> tensor<2x3x4xf32> {
  %r = stablehlo.dot_general %a, %b, batching_dims = [0] x [0], contracting_dims = [2] x [1],
    precision = [DEFAULT, DEFAULT], algorithm = <lhs_precision_type = f32,
      rhs_precision_type = f32, accumulation_type = f32, lhs_component_count = 1,
      rhs_component_count = 1, num_primitive_operations = 1,
      allow_imprecise_accumulation = false>
    : (tensor<2x3x5xf32>, tensor<2x5x4xf32>) -> tensor<2x3x4xf32>
  return %r : tensor<2x3x4xf32>
}""",
    "dot_i8_to_i32": """
func.func @main(%a: tensor<3x200xi8>, %b: tensor<200x5xi8>) -> tensor<3x5xi32> {
  %r = stablehlo.dot_general %a, %b, contracting_dims = [1] x [0]
    : (tensor<3x200xi8>, tensor<200x5xi8>) -> tensor<3x5xi32>
  return %r : tensor<3x5xi32>
}""",
    "dot_u8_to_u32": """
func.func @main(%a: tensor<3x200xui8>, %b: tensor<200x5xui8>) -> tensor<3x5xui32> {
  %r = stablehlo.dot_general %a, %b, contracting_dims = [1] x [0]
    : (tensor<3x200xui8>, tensor<200x5xui8>) -> tensor<3x5xui32>
  return %r : tensor<3x5xui32>
}""",
    "dot_bf16_to_f32": """
func.func @main(%a: tensor<3x20xbf16>, %b: tensor<20x5xbf16>) -> tensor<3x5xf32> {
  %r = stablehlo.dot_general %a, %b, contracting_dims = [1] x [0]
    : (tensor<3x20xbf16>, tensor<20x5xbf16>) -> tensor<3x5xf32>
  return %r : tensor<3x5xf32>
}""",
    "dot_two_batches_two_contractions": """
func.func @main(%a: tensor<2x3x5x4x1xf32>, %b: tensor<4x2x5x7x3xf32>) -> tensor<3x2x1x7xf32> {
  %r = stablehlo.dot_general %a, %b, batching_dims = [1, 0] x [4, 1],
    contracting_dims = [2, 3] x [2, 0]
    : (tensor<2x3x5x4x1xf32>, tensor<4x2x5x7x3xf32>) -> tensor<3x2x1x7xf32>
  return %r : tensor<3x2x1x7xf32>
}""",
    "dot": """
func.func @main(%a: tensor<3x5xi32>, %b: tensor<5xi32>) -> tensor<3xi32> {
  %r = stablehlo.dot %a, %b : (tensor<3x5xi32>, tensor<5xi32>) -> tensor<3xi32>
  return %r : tensor<3xi32>
}""",
}

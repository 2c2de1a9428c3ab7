"""StableHLO functions that JAX does not emit (or not in this form), by name.

Each is one public function; `INPUTS` gives the arguments of those that need particular values.
"""

from __future__ import annotations

import numpy as np
from ml_dtypes import bfloat16
from op_texts_regions import REGIONS
from op_texts_shapes import BATCH_NORM, CONVOLUTIONS, DOTS, DYNAMIC

_SCALARS = {
    "clamp_scalar_bounds": """
func.func @main(%a: tensor<f32>, %x: tensor<3x5xf32>, %b: tensor<f32>) -> tensor<3x5xf32> {
  %0 = stablehlo.minimum %a, %b : tensor<f32>
  %1 = stablehlo.maximum %a, %b : tensor<f32>
  %r = stablehlo.clamp %0, %x, %1 : (tensor<f32>, tensor<3x5xf32>, tensor<f32>) -> tensor<3x5xf32>
  return %r : tensor<3x5xf32>
}""",
    "clamp_unsigned": """
func.func @main(%x: tensor<7xui8>) -> tensor<7xui8> {
  %0 = stablehlo.constant dense<5> : tensor<ui8>
  %1 = stablehlo.constant dense<200> : tensor<ui8>
  %r = stablehlo.clamp %0, %x, %1 : (tensor<ui8>, tensor<7xui8>, tensor<ui8>) -> tensor<7xui8>
  return %r : tensor<7xui8>
}""",
    "select_scalar_predicate": """
func.func @main(%p: tensor<i1>, %a: tensor<3xbf16>, %b: tensor<3xbf16>) -> tensor<3xbf16> {
  %r = stablehlo.select %p, %a, %b : tensor<i1>, tensor<3xbf16>
  return %r : tensor<3xbf16>
}""",
    "bitcast_narrower": """
func.func @main(%x: tensor<3xf32>) -> (tensor<3x4xui8>, tensor<3x2xbf16>, tensor<3xi32>) {
  %0 = stablehlo.bitcast_convert %x : (tensor<3xf32>) -> tensor<3x4xui8>
  %1 = stablehlo.bitcast_convert %x : (tensor<3xf32>) -> tensor<3x2xbf16>
  %2 = stablehlo.bitcast_convert %x : (tensor<3xf32>) -> tensor<3xi32>
  return %0, %1, %2 : tensor<3x4xui8>, tensor<3x2xbf16>, tensor<3xi32>
}""",
    "bitcast_wider": """
func.func @main(%x: tensor<3x4xui8>, %y: tensor<2xi16>) -> (tensor<3xf32>, tensor<f32>) {
  %0 = stablehlo.bitcast_convert %x : (tensor<3x4xui8>) -> tensor<3xf32>
  %1 = stablehlo.bitcast_convert %y : (tensor<2xi16>) -> tensor<f32>
  return %0, %1 : tensor<3xf32>, tensor<f32>
}""",
    "iota_every_axis": """
func.func @main(%x: tensor<2x3xui32>) -> (tensor<2x3xui32>, tensor<2x0xf64>, tensor<3x2xbf16>) {
  %0 = stablehlo.iota dim = 1 : tensor<2x3xui32>
  %1 = stablehlo.add %0, %x : tensor<2x3xui32>
  %2 = stablehlo.iota dim = 0 : tensor<2x0xf64>
  %3 = stablehlo.iota dim = 0 : tensor<3x2xbf16>
  return %1, %2, %3 : tensor<2x3xui32>, tensor<2x0xf64>, tensor<3x2xbf16>
}""",
    "broadcast": """
func.func @main(%x: tensor<3xi8>) -> tensor<2x1x3xi8> {
  %0 = stablehlo.broadcast %x, sizes = [2, 1] : (tensor<3xi8>) -> tensor<2x1x3xi8>
  return %0 : tensor<2x1x3xi8>
}""",
    "concatenate_one": """
func.func @main(%x: tensor<3xi8>) -> tensor<3xi8> {
  %0 = stablehlo.concatenate %x, dim = 0 : (tensor<3xi8>) -> tensor<3xi8>
  return %0 : tensor<3xi8>
}""",
    "replica_and_partition": """
func.func @main(%x: tensor<ui32>) -> tensor<ui32> {
  %0 = stablehlo.replica_id : tensor<ui32>
  %1 = stablehlo.partition_id : tensor<ui32>
  %2 = stablehlo.add %0, %1 : tensor<ui32>
  %3 = stablehlo.add %2, %x : tensor<ui32>
  return %3 : tensor<ui32>
}""",
    "torch_index_select": """
func.func @main(%x: tensor<5x2xf32>, %i: tensor<2xi32>) -> tensor<2x2xf32> {
  %0 = "stablehlo.torch_index_select"(%x, %i) <{dim = 0 : i64, batch_dims = 0 : i64}>
    : (tensor<5x2xf32>, tensor<2xi32>) -> tensor<2x2xf32>
  return %0 : tensor<2x2xf32>
}""",
    "einsum": """
func.func @main(%x: tensor<2x3xf32>, %y: tensor<3x4xf32>) -> tensor<2x4xf32> {
  %0 = "stablehlo.einsum"(%x, %y) <{einsum_config = "ij,jk->ik"}>
    : (tensor<2x3xf32>, tensor<3x4xf32>) -> tensor<2x4xf32>
  return %0 : tensor<2x4xf32>
}""",
}


def _compare(kind: str, element: str) -> str:
    type_, flags = f"tensor<9x9x{element}>", "tensor<9x9xi1>"
    names = ("EQ", "NE", "GE", "GT", "LE", "LT")
    body = "\n".join(
        f"  %{i} = stablehlo.compare {name}, %x, %y, {kind} : ({type_}, {type_}) -> {flags}"
        for i, name in enumerate(names)
    )
    results = ", ".join(f"%{i}" for i in range(len(names)))
    types = ", ".join([flags] * len(names))
    return f"""
func.func @main(%x: {type_}, %y: {type_}) -> ({types}) {{
{body}
  return {results} : {types}
}}"""


_SPECIAL = [-np.nan, -np.inf, -2.0, -1.0, -0.0, 0.0, 1.0, np.inf, np.nan]


def _pairs(values: list, dtype) -> list[np.ndarray]:
    return [np.ascontiguousarray(a) for a in np.meshgrid(*[np.array(values, dtype)] * 2)]


def _divisions(element: str) -> str:
    """Also by zero, and the least value by -1."""
    type_ = f"tensor<9x9x{element}>"
    return f"""
func.func @main(%x: {type_}, %y: {type_}) -> ({type_}, {type_}) {{
  %0 = stablehlo.divide %x, %y : {type_}
  %1 = stablehlo.remainder %x, %y : {type_}
  return %0, %1 : {type_}, {type_}
}}"""


def _shifts(element: str) -> str:
    """Also by more than the width."""
    type_ = f"tensor<9x9x{element}>"
    return f"""
func.func @main(%x: {type_}, %y: {type_}) -> ({type_}, {type_}, {type_}) {{
  %0 = stablehlo.shift_left %x, %y : {type_}
  %1 = stablehlo.shift_right_logical %x, %y : {type_}
  %2 = stablehlo.shift_right_arithmetic %x, %y : {type_}
  return %0, %1, %2 : {type_}, {type_}, {type_}
}}"""


_INTEGER_TYPES = ("i8", "i16", "i32", "i64", "ui8", "ui16", "ui32", "ui64")
_ARITHMETIC = {
    **{f"divide_{element}": _divisions(element) for element in _INTEGER_TYPES},
    **{f"shift_{element}": _shifts(element) for element in _INTEGER_TYPES},
}


def _integers(element: str) -> list[np.ndarray]:
    """All pairs of small, large and extreme values."""
    info = np.iinfo(("uint" if element[0] == "u" else "int") + element.lstrip("ui"))
    values = [info.min, info.min + 1, 0, 1, 2, 7, info.bits, info.max - 1, info.max]
    if info.min < 0:
        values[3:5] = [-1, -5]
    return _pairs(values, info.dtype)


_COMPARISONS = {
    "compare_f32": _compare("FLOAT", "f32"),
    "compare_total_order": _compare("TOTALORDER", "f32"),
    "compare_total_order_bf16": _compare("TOTALORDER", "bf16"),
    "compare_i8": _compare("SIGNED", "i8"),
}

CASES = {
    **BATCH_NORM,
    **DYNAMIC,
    **CONVOLUTIONS,
    **DOTS,
    **REGIONS,
    **_SCALARS,
    **_COMPARISONS,
    **_ARITHMETIC,
}

# What jaxlib's interpreter does not know, or cannot return: XLA is asked.
FOR_XLA = {
    *BATCH_NORM,
    "conv_channels_first",
    "conv_odd_layout",
    "dot",
    "select_scalar_predicate",
    "bitcast_narrower",
    "iota_every_axis",
    "broadcast",
    "replica_and_partition",
    "torch_index_select",
    "einsum",
    "conv_i8_to_i32",
    "conv_u8",
    "select_and_scatter",
    "compare_total_order",
    "compare_total_order_bf16",
    *(f"divide_{element}" for element in _INTEGER_TYPES),
}

# Results of unknown size: neither of them knows these.
EXPECTED = {
    "dynamic_results": lambda x: np.append(x, np.int32(4)),
    "real_dynamic_slice": lambda x: x[1:5:3, 2:7:2],
    "dynamic_pad": lambda x, p: _padded(x, p, (5, 7)),
}


def _padded(x: np.ndarray, value: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """One row between rows, two columns between columns, the first column cut off."""
    padded = np.full((shape[0], shape[1] + 1), value)
    padded[: 2 * len(x) - 1 : 2, :7:3] = x
    return padded[:, 1:]


INPUTS = {
    "compare_f32": _pairs(_SPECIAL, np.float32),
    "compare_total_order": _pairs(_SPECIAL, np.float32),
    "compare_i8": _integers("i8"),
    "compare_total_order_bf16": _pairs(_SPECIAL, bfloat16),
    **{name: _integers(name.split("_")[1]) for name in _ARITHMETIC},
    "case_out_of_range": [np.int32(7), np.uint16(9)],
}

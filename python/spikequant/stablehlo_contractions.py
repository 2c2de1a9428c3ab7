"""Contractions of f16 and bf16 values -> contractions in f32, rounded once."""

from __future__ import annotations

from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo

from .operations import find
from .scalar_loops import create

_NAMES = ("stablehlo.dot_general", "stablehlo.dot", "stablehlo.convolution")


def rewrite_narrow_contractions(module: ir.Module) -> int:
    """Sums are added up in f32, as processors do; products of narrow values are exact there.

    Before: %0 = dot_general %a, %b : (tensor<2x3xbf16>, tensor<3x4xbf16>) -> tensor<2x4xbf16>
    After:  %1 = dot_general (convert %a), (convert %b) : .. -> tensor<2x4xf32>; %0 = convert %1
    Returns the number rewritten.
    """
    found = [op for op in find(module.operation, *_NAMES) if any(map(_is_narrow, op.operands))]
    for operation in found:
        with ir.InsertionPoint(operation), operation.location:
            _rewrite_one(operation)
        operation.erase()
    return len(found)


def _is_narrow(value: ir.Value) -> bool:
    element = ir.RankedTensorType(value.type).element_type
    return isinstance(element, (ir.F16Type, ir.BF16Type))


def _in_f32(type_: ir.Type) -> ir.RankedTensorType:
    return ir.RankedTensorType.get(ir.RankedTensorType(type_).shape, ir.F32Type.get())


def _rewrite_one(operation: ir.Operation) -> None:
    operands = [stablehlo.convert(_in_f32(value.type), value) for value in operation.operands]
    # "algorithm" names the narrow types.
    attributes = {k: operation.attributes[k] for k in operation.attributes if k != "algorithm"}
    result = operation.results[0]
    wide = create(operation.name, [_in_f32(result.type)], operands, attributes=attributes).result
    narrow = wide if wide.type == result.type else stablehlo.convert(result.type, wide)
    result.replace_all_uses_with(narrow)

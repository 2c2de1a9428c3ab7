"""Contractions: in f32 where values are narrower, and without hints for other hardware."""

from __future__ import annotations

from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo

from .operations import find
from .scalar_loops import create

_NAMES = ("stablehlo.dot_general", "stablehlo.dot", "stablehlo.convolution")


def rewrite_narrow_contractions(module: ir.Module) -> int:
    """Sums are added up in f32, as processors do; products of narrow values are exact there.

    Before: %0 = dot_general %a, %b : (tensor<2x3xbf16>, tensor<3x4xbf16>) -> tensor<2x4xbf16>
    (in f64 if that is the type of the result)
    After:  %1 = dot_general (convert %a), (convert %b) : .. -> tensor<2x4xf32>; %0 = convert %1
    Returns the number rewritten. (That of f32 and f64 values is at least as exact as any
    "algorithm" that an operation names.)
    """
    for operation in find(module.operation, *_NAMES):
        if "algorithm" in operation.attributes:
            del operation.attributes["algorithm"]
    found = [op for op in find(module.operation, *_NAMES) if any(map(_is_narrow, op.operands))]
    for operation in found:
        with ir.InsertionPoint(operation), operation.location:
            _rewrite_one(operation)
        operation.erase()
    return len(found)


def _is_narrow(value: ir.Value) -> bool:
    element = ir.RankedTensorType(value.type).element_type
    return isinstance(element, (ir.F16Type, ir.BF16Type))


def _with_element(type_: ir.Type, element: ir.Type) -> ir.RankedTensorType:
    return ir.RankedTensorType.get(ir.RankedTensorType(type_).shape, element)


def _rewrite_one(operation: ir.Operation) -> None:
    result = operation.results[0]
    is_double = isinstance(ir.RankedTensorType(result.type).element_type, ir.F64Type)
    element = ir.F64Type.get() if is_double else ir.F32Type.get()
    operands = [
        stablehlo.convert(_with_element(value.type, element), value) for value in operation.operands
    ]
    attributes = {name: operation.attributes[name] for name in operation.attributes}
    type_ = _with_element(result.type, element)
    wide = create(operation.name, [type_], operands, attributes=attributes).result
    narrow = wide if wide.type == result.type else stablehlo.convert(result.type, wide)
    result.replace_all_uses_with(narrow)

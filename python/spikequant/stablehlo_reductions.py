"""Reductions over no dimension, which have no form in linalg -> over a dimension of size 1."""

from __future__ import annotations

from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo

from .operations import find, is_static
from .scalar_loops import create


def rewrite_reductions_over_nothing(module: ir.Module) -> int:
    """Each element is still combined with the initial value. Returns the number rewritten.

    Before: %r = reduce(%a init: %i) across dimensions = [] : tensor<4xf32> -> tensor<4xf32>
    After:  %1 = reshape %a : tensor<4xf32> -> tensor<4x1xf32>
            %r = reduce(%1 init: %i) across dimensions = [1] : tensor<4x1xf32> -> tensor<4xf32>
    """
    found = [op for op in find(module.operation, "stablehlo.reduce") if _is_over_nothing(op)]
    for operation in found:
        with ir.InsertionPoint(operation), operation.location:
            _rewrite_one(operation)
        operation.erase()
    return len(found)


def _is_over_nothing(operation: ir.Operation) -> bool:
    return not len(ir.DenseI64ArrayAttr(operation.attributes["dimensions"])) and is_static(
        operation
    )


def _rewrite_one(operation: ir.Operation) -> None:
    count = len(operation.results)
    arrays, initial = list(operation.operands)[:count], list(operation.operands)[count:]
    rank = ir.RankedTensorType(arrays[0].type).rank
    types = [result.type for result in operation.results]
    attributes = {"dimensions": ir.DenseI64ArrayAttr.get([rank])}
    operands = [*map(_with_unit_dimension, arrays), *initial]
    new = create("stablehlo.reduce", types, operands, attributes=attributes, regions=1)
    operation.regions[0].blocks[0].append_to(new.regions[0])
    for old, result in zip(operation.results, new.results, strict=True):
        old.replace_all_uses_with(result)


def _with_unit_dimension(value: ir.Value) -> ir.Value:
    type_ = ir.RankedTensorType(value.type)
    return stablehlo.reshape(ir.RankedTensorType.get([*type_.shape, 1], type_.element_type), value)

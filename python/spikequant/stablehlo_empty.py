"""Arrays without elements: their operations have no form in linalg, and need none."""

from __future__ import annotations

from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo

from .operations import find


def rewrite_empty(module: ir.Module) -> int:
    """Makes constants of all StableHLO results without elements; reductions of empty arrays are
    their initial values. Returns the number of operations rewritten.

    Before: %0 = stablehlo.slice %x [0:0] : (tensor<4xf32>) -> tensor<0xf32>
    After:  %0 = stablehlo.constant dense<> : tensor<0xf32>
    """
    found = [op for op in _stablehlo_operations(module) if _is_rewritten(op)]
    for operation in found:
        with ir.InsertionPoint(operation), operation.location:
            for old, new in zip(operation.results, _replacements(operation), strict=True):
                old.replace_all_uses_with(new)
        operation.erase()
    return len(found)


def _stablehlo_operations(module: ir.Module) -> list[ir.Operation]:
    names: set[str] = set()

    def visit(operation: ir.Operation) -> ir.WalkResult:
        names.add(operation.name)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    return find(module.operation, *(name for name in names if name.startswith("stablehlo.")))


def is_empty(value: ir.Value) -> bool:
    type_ = value.type
    return isinstance(type_, ir.RankedTensorType) and type_.has_static_shape and 0 in type_.shape


def _is_rewritten(operation: ir.Operation) -> bool:
    if operation.name == "stablehlo.constant" or not len(operation.results):
        return False
    if all(is_empty(result) for result in operation.results):
        return True
    if operation.name == "stablehlo.reduce":
        return is_empty(operation.operands[0])
    return operation.name == "stablehlo.dot_general" and any(map(is_empty, operation.operands))


def _replacements(operation: ir.Operation) -> list[ir.Value]:
    if all(is_empty(result) for result in operation.results):
        return [_empty_constant(result.type) for result in operation.results]
    if operation.name == "stablehlo.dot_general":
        return [_zeros(operation.results[0].type)]
    initial = list(operation.operands)[len(operation.results) :]
    return [
        stablehlo.broadcast_in_dim(result.type, value, ir.DenseI64ArrayAttr.get([]))
        for result, value in zip(operation.results, initial, strict=True)
    ]


def _zeros(type_: ir.RankedTensorType) -> ir.Value:
    element = type_.element_type
    is_float = isinstance(element, ir.FloatType)
    zero = ir.FloatAttr.get(element, 0.0) if is_float else ir.IntegerAttr.get(element, 0)
    return stablehlo.constant(ir.DenseElementsAttr.get_splat(type_, zero))


def _empty_constant(type_: ir.RankedTensorType) -> ir.Value:
    return stablehlo.constant(ir.Attribute.parse(f"dense<> : {type_}"))

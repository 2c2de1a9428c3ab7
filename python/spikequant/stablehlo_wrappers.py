"""Operations that only wrap others or pass values on: composites, barriers, annotations, tuples."""

from __future__ import annotations

from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo

from .operations import find
from .scalar_loops import create

# Custom calls that tell a distributing compiler something about their operand.
_ANNOTATIONS = (
    "Sharding",
    "annotate_device_placement",
    "LayoutConstraint",
    "MoveToDevice",
    "MoveToHost",
    "xla.sdy.FuncResultSharding",
)
_SAME_VALUE = ("stablehlo.optimization_barrier", "sdy.sharding_constraint", "sdy.reshard")


def rewrite_composites(module: ir.Module) -> None:
    """composite -> a call of its decomposition, which is then inlined."""
    for operation in find(module.operation, "stablehlo.composite"):
        types = [result.type for result in operation.results]
        with ir.InsertionPoint(operation), operation.location:
            callee = {"callee": operation.attributes["decomposition"]}
            call = create("func.call", types, operation.operands, attributes=callee)
        _replace(operation, call.results)


def rewrite_wrappers(module: ir.Module) -> None:
    """Removes barriers, annotations, tuples and the numbers of the device (there is one)."""
    for operation in find(module.operation, "stablehlo.replica_id", "stablehlo.partition_id"):
        with ir.InsertionPoint(operation), operation.location:
            type_ = ir.RankedTensorType(operation.result.type)
            zero = ir.IntegerAttr.get(type_.element_type, 0)
            _replace(operation, [stablehlo.constant(ir.DenseElementsAttr.get_splat(type_, zero))])
    for operation in find(module.operation, *_SAME_VALUE):
        _replace(operation, operation.operands)
    for operation in find(module.operation, "sdy.mesh"):
        operation.erase()
    for operation in find(module.operation, "stablehlo.custom_call"):
        if _is_annotation(operation):
            _replace(operation, operation.operands)
    for operation in find(module.operation, "stablehlo.get_tuple_element"):
        _take_element(operation)
    for operation in reversed(find(module.operation, "stablehlo.tuple")):
        if not list(operation.results[0].uses):
            operation.erase()


def _replace(operation: ir.Operation, values) -> None:
    for old, new in zip(operation.results, values, strict=True):
        old.replace_all_uses_with(new)
    operation.erase()


def _is_annotation(operation: ir.Operation) -> bool:
    target = ir.StringAttr(operation.attributes["call_target_name"]).value
    same = [value.type for value in operation.operands] == [r.type for r in operation.results]
    return target in _ANNOTATIONS and same


def _take_element(operation: ir.Operation) -> None:
    owner = operation.operands[0].owner
    if isinstance(owner, ir.Block) or owner.name != "stablehlo.tuple":
        return
    number = ir.IntegerAttr(operation.attributes["index"]).value
    _replace(operation, [owner.operands[number]])

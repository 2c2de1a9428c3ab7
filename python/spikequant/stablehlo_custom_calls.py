"""Custom calls with a known meaning -> the operations that they stand for."""

from __future__ import annotations

from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo

from .operations import find
from .scalar_loops import create

# Operations of XLA's older dialect, as frameworks export them for StableHLO's sake.
_ELEMENTWISE = {
    f"mhlo.{name}": f"chlo.{name}"
    for name in (
        "acos",
        "acosh",
        "asin",
        "asinh",
        "atan",
        "atanh",
        "bessel_i1e",
        "cosh",
        "erf",
        "erf_inv",
        "erfc",
        "sinh",
        "tan",
    )
}


def rewrite_custom_calls(module: ir.Module) -> None:
    """Rewrites elementwise functions, top-k and approximate top-k (to an exact one); drops checks
    of values. Others are left alone.
    """
    for operation in find(module.operation, "stablehlo.custom_call"):
        target = ir.StringAttr(operation.attributes["call_target_name"]).value
        with ir.InsertionPoint(operation), operation.location:
            _rewrite_one(operation, target)


def _rewrite_one(operation: ir.Operation, target: str) -> None:
    types = [result.type for result in operation.results]
    if target.startswith("check.expect") and not types:
        operation.erase()
    elif target in _ELEMENTWISE:
        _replace(operation, create(_ELEMENTWISE[target], types, operation.operands).results)
    elif target == "mhlo.topk":
        _rewrite_top_k(operation)
    elif target == "ApproxTopK":
        _rewrite_approximate_top_k(operation)


def _replace(operation: ir.Operation, values) -> None:
    for old, new in zip(operation.results, values, strict=True):
        old.replace_all_uses_with(new)
    operation.erase()


def _options(operation: ir.Operation, name: str) -> ir.DictAttr:
    present = name in operation.attributes
    return ir.DictAttr(operation.attributes[name]) if present else ir.DictAttr.get({})


def _rewrite_top_k(operation: ir.Operation) -> None:
    options = _options(operation, "mhlo.attributes")
    is_largest = "largest" not in options or ir.BoolAttr(options["largest"]).value
    if "k" not in options or not is_largest:
        return
    types = [result.type for result in operation.results]
    attributes = {"k": options["k"]}
    _replace(
        operation, create("chlo.top_k", types, operation.operands, attributes=attributes).results
    )


def _rewrite_approximate_top_k(operation: ir.Operation) -> None:
    """custom_call @ApproxTopK(values.., initial values..) -> a sort, and its first k."""
    options = _options(operation, "mhlo.backend_config")
    is_known = all(name in options for name in ("aggregate_to_topk", "reduction_dim", "top_k"))
    if not is_known or not ir.BoolAttr(options["aggregate_to_topk"]).value:
        return
    values = list(operation.operands)[: len(operation.results)]
    comparator = ir.ArrayAttr(operation.attributes["called_computations"])[0]
    _return_as_function(operation, comparator)
    ordered = _sort(values, ir.IntegerAttr(options["reduction_dim"]).value, comparator)
    results = []
    for value, result in zip(ordered, operation.results, strict=True):
        limits = ir.RankedTensorType(result.type).shape
        starts, steps = [0] * len(limits), [1] * len(limits)
        slices = (ir.DenseI64ArrayAttr.get(numbers) for numbers in (starts, limits, steps))
        results.append(stablehlo.slice(value, *slices))
    _replace(operation, results)


def _return_as_function(operation: ir.Operation, name: ir.Attribute) -> None:
    """JAX ends a comparator as a region, not as a function that can be inlined."""
    module = operation.parent
    while module.parent is not None:
        module = module.parent
    function = ir.SymbolTable(module.operation)[ir.FlatSymbolRefAttr(name).value].operation
    terminator = list(function.regions[0].blocks[0].operations)[-1].operation
    if terminator.name == "stablehlo.return":
        with ir.InsertionPoint(terminator), terminator.location:
            create("func.return", [], list(terminator.operands))
        terminator.erase()


def _sort(values: list[ir.Value], dimension: int, comparator: ir.Attribute) -> list[ir.Value]:
    """Stable; `comparator` is a function's name."""
    types = [value.type for value in values]
    attributes = {
        "dimension": ir.IntegerAttr.get(ir.IntegerType.get_signless(64), dimension),
        "is_stable": ir.BoolAttr.get(True),
    }
    operation = create("stablehlo.sort", types, values, attributes=attributes, regions=1)
    scalars = [ir.RankedTensorType.get([], ir.RankedTensorType(t).element_type) for t in types]
    block = operation.regions[0].blocks.append(*(s for scalar in scalars for s in (scalar, scalar)))
    flag = ir.RankedTensorType.get([], ir.IntegerType.get_signless(1))
    with ir.InsertionPoint(block):
        callee = {"callee": comparator}
        call = create("func.call", [flag], list(block.arguments), attributes=callee)
        create("stablehlo.return", [], call.results)
    return list(operation.results)

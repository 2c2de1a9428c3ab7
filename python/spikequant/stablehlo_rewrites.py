"""Rewrites of StableHLO that must happen before its legalisation to linalg."""

from __future__ import annotations

from collections.abc import Callable

from jaxlib.mlir import ir
from jaxlib.mlir._mlir_libs import _jax_mlir_ext
from jaxlib.mlir.dialects import stablehlo

from .operations import find, is_static
from .scalar_loops import as_type, signless, signless_type

# Makes the value that the pieces of a concatenation are written into.
MakeBase = Callable[[ir.RankedTensorType, ir.Location], ir.Value]


class RecursiveCallError(Exception):
    """A function of the module calls itself; the argument is its name."""


def inline_calls(module: ir.Module, entry: ir.Operation) -> None:
    """Replaces every func.call that `entry` reaches by the callee's body.

    (The `inline` pass leaves them: jaxlib does not register the func dialect's inliner.) The
    callees stay in the module.
    """
    _inline_into(entry, ir.SymbolTable(module.operation), [])


def _inline_into(function: ir.Operation, symbols: ir.SymbolTable, callers: list[str]) -> None:
    name = ir.StringAttr(function.attributes["sym_name"]).value
    if name in callers:
        raise RecursiveCallError(name)
    for call in find(function, "func.call"):
        callee = symbols[ir.FlatSymbolRefAttr(call.attributes["callee"]).value].operation
        _inline_into(callee, symbols, [*callers, name])
        with ir.InsertionPoint(call):
            results = _jax_mlir_ext.inlined_func_call(callee, list(call.operands), call.location)
        for old, new in zip(call.results, results, strict=True):
            old.replace_all_uses_with(new)
        call.erase()


def rewrite_trivial_reductions(module: ir.Module) -> int:
    """Reductions over no dimension get one of size 1; returns the number rewritten.

    Before: reduce(%x init: %i) dimensions = [] : (tensor<3xf32>, ..) -> tensor<3xf32>
    After:  reduce(%0 init: %i) dimensions = [1] of %0 = reshape %x : tensor<3x1xf32>
    """

    def is_trivial(operation: ir.Operation) -> bool:
        dimensions = ir.DenseI64ArrayAttr(operation.attributes["dimensions"])
        return is_static(operation) and not len(dimensions)

    found = list(filter(is_trivial, find(module.operation, "stablehlo.reduce")))
    for operation in found:
        rank = ir.RankedTensorType(operation.operands[0].type).rank
        with ir.InsertionPoint(operation), operation.location:
            for number in range(len(operation.results)):
                type_ = ir.RankedTensorType(operation.operands[number].type)
                longer = ir.RankedTensorType.get([*type_.shape, 1], type_.element_type)
                value = stablehlo.reshape(longer, operation.operands[number])
                operation.operands[number] = value
        operation.attributes["dimensions"] = ir.DenseI64ArrayAttr.get([rank])
    return len(found)


def rewrite_index_select(module: ir.Module) -> int:
    """Clamps the indices of torch_index_select, whose legalisation reads wherever they point.

    Before: torch_index_select %x, %i
    After:  torch_index_select %x, (clamp 0, %i, n - 1)
    Returns the number rewritten.
    """
    found = find(module.operation, "stablehlo.torch_index_select")
    for operation in found:
        operand, indices = operation.operands
        dimension = ir.IntegerAttr(operation.attributes["dim"]).value
        size = ir.RankedTensorType(operand.type).shape[dimension]
        with ir.InsertionPoint(operation), operation.location:
            scalar = ir.RankedTensorType.get([], ir.RankedTensorType(indices.type).element_type)
            limits = (_splat(scalar, value) for value in (0, size - 1))
            low, high = (stablehlo.constant(limit) for limit in limits)
            operation.operands[1] = stablehlo.clamp(low, indices, high)
    return len(found)


def _splat(type_: ir.RankedTensorType, value: int) -> ir.Attribute:
    return ir.DenseElementsAttr.get_splat(type_, ir.IntegerAttr.get(type_.element_type, value))


def empty_base(type_: ir.RankedTensorType, location: ir.Location) -> ir.Value:
    """tensor.empty: right because the pieces cover all of it."""
    return ir.Operation.create("tensor.empty", results=[type_], loc=location).result


def zero_base(type_: ir.RankedTensorType, location: ir.Location) -> ir.Value:
    """A constant zero: stays within StableHLO, so that its interpreter can run the result."""
    zero = _zero_attribute(type_.element_type)
    return stablehlo.constant(ir.DenseElementsAttr.get_splat(type_, zero), loc=location)


def rewrite_concatenate(module: ir.Module, make_base: MakeBase = empty_base) -> int:
    """concatenate -> one dynamic_update_slice with constant offsets per operand.

    Before: c = concatenate a, b, dim = 1        (legalised: a branch per element, scalar for ever)
    After:  c0 = base; c1 = dynamic_update_slice c0, a, 0, 0; c = dynamic_update_slice c1, b, 0, n
            (legalised: two tensor.insert_slice)
    Concatenations of dynamic shapes are left alone. Returns the number rewritten.
    """
    found = [op for op in find(module.operation, "stablehlo.concatenate") if is_static(op)]
    for operation in found:
        _rewrite_one(operation, make_base)
    return len(found)


def _rewrite_one(operation: ir.Operation, make_base: MakeBase) -> None:
    result = operation.results[0]
    # The base is no StableHLO operation: it needs MLIR's types, which have no unsigned ones.
    type_ = ir.RankedTensorType(signless_type(result.type))
    dimension = ir.IntegerAttr(operation.attributes["dimension"]).value
    index = ir.RankedTensorType.get([], ir.IntegerType.get_signless(32))

    def constant(value: int) -> ir.Value:
        return stablehlo.constant(_splat(index, value))

    with ir.InsertionPoint(operation), operation.location:
        value, offset = make_base(type_, operation.location), 0
        for operand in map(signless, operation.operands):
            offsets = [constant(offset if d == dimension else 0) for d in range(type_.rank)]
            value = stablehlo.dynamic_update_slice(value, operand, offsets)
            offset += ir.RankedTensorType(operand.type).shape[dimension]
        value = as_type(value, result.type)
    result.replace_all_uses_with(value)
    operation.erase()


def _zero_attribute(element: ir.Type) -> ir.Attribute:
    if isinstance(element, ir.IntegerType):
        return ir.IntegerAttr.get(element, 0)
    return ir.FloatAttr.get(element, 0.0)

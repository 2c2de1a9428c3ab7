"""select_and_scatter (the gradient of pooling) -> loops on scalars; both regions are any."""

from __future__ import annotations

from collections.abc import Sequence

from jaxlib.mlir import ir
from jaxlib.mlir.dialects import arith, stablehlo

from .operations import find, is_static
from .scalar_loops import (
    Values,
    as_type,
    create,
    extract,
    index,
    inline_on_scalars,
    insert,
    is_below,
    nest,
    signless,
)


def rewrite_select_and_scatter(module: ir.Module) -> int:
    """Rewrites every select_and_scatter of static shape; returns their number.

    For each element of the source in order: of the operand's values in its window (padding is
    passed over) keep the one that `select` prefers to those after it; then
    result[place of that value] = scatter(result[place], element).
    """
    found = [op for op in find(module.operation, "stablehlo.select_and_scatter") if is_static(op)]
    for operation in found:
        with ir.InsertionPoint(operation), operation.location:
            result = _SelectAndScatter(operation).build()
            operation.result.replace_all_uses_with(as_type(result, operation.result.type))
        operation.erase()
    return len(found)


class _SelectAndScatter:
    def __init__(self, operation: ir.Operation):
        operands = list(operation.operands)
        self.operand, self.source = map(signless, operands[:2])
        self.base = signless(_broadcast(operands[2], operands[0].type))
        self.select, self.scatter = (region.blocks[0] for region in operation.regions)
        self.shape = ir.RankedTensorType(self.operand.type).shape
        rank = len(self.shape)
        self.window = _integers(operation, "window_dimensions", [1] * rank)
        self.strides = _integers(operation, "window_strides", [1] * rank)
        self.low = _low_padding(operation, rank)

    def build(self) -> ir.Value:
        sizes = ir.RankedTensorType(self.source.type).shape
        (result,) = nest(sizes, [self.base], self._scatter_one)
        return result

    def _scatter_one(self, place: Values, results: Values) -> Values:
        (result,) = results
        false = arith.constant(ir.IntegerType.get_signless(1), 0)
        zeros = [index(0)] * len(self.shape)
        first = [false, extract(self.operand, zeros), *zeros]
        found, _, *target = nest(self.window, first, lambda at, best: self._keep(place, at, best))
        old = extract(result, target)
        (new,) = inline_on_scalars(self.scatter, [old, extract(self.source, place)])
        return [insert(arith.select(found, new, old), result, target)]

    def _keep(self, place: Values, offset: Values, best: Values) -> Values:
        """`best`: whether there is one, its value, its place; of it and the value at `offset`."""
        found, value, *target = best
        here, inside = self._position(place, offset)
        candidate = extract(self.operand, here)
        (is_kept,) = inline_on_scalars(self.select, [value, candidate])
        is_better = arith.ori(_negate(found), _negate(is_kept))
        taken = arith.andi(inside, is_better)
        pairs = zip([candidate, *here], [value, *target], strict=True)
        return [arith.ori(found, inside), *(arith.select(taken, a, b) for a, b in pairs)]

    def _position(self, place: Values, offset: Values) -> tuple[list[ir.Value], ir.Value]:
        """Where in the operand, and whether that is inside; outside, the position is 0."""
        inside = arith.constant(ir.IntegerType.get_signless(1), 1)
        positions = []
        for d, size in enumerate(self.shape):
            start = arith.muli(place[d], index(self.strides[d]))
            position = arith.subi(arith.addi(start, offset[d]), index(self.low[d]))
            inside = arith.andi(inside, is_below(position, index(size)))
            positions.append(position)
        return [arith.select(inside, position, index(0)) for position in positions], inside


def _negate(flag: ir.Value) -> ir.Value:
    return create("arith.xori", [flag.type], [flag, arith.constant(flag.type, 1)]).result


def _broadcast(scalar: ir.Value, type_: ir.Type) -> ir.Value:
    return stablehlo.broadcast_in_dim(type_, scalar, ir.DenseI64ArrayAttr.get([]))


def _integers(operation: ir.Operation, name: str, default: Sequence[int]) -> Sequence[int]:
    if name not in operation.attributes:
        return default
    return list(ir.DenseI64ArrayAttr(operation.attributes[name]))


def _low_padding(operation: ir.Operation, rank: int) -> Sequence[int]:
    if "padding" not in operation.attributes:
        return [0] * rank
    return list(ir.DenseIntElementsAttr(operation.attributes["padding"]))[::2]

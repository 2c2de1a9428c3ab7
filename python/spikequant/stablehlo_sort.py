"""sort -> a stable merge sort on scalars; the comparator is any region."""

from __future__ import annotations

from jaxlib.mlir import ir
from jaxlib.mlir.dialects import arith

from .operations import find, is_static
from .scalar_loops import (
    Values,
    as_type,
    create,
    empty,
    extract,
    index,
    inline_on_scalars,
    insert,
    is_below,
    loop,
    nest,
    signless,
    smaller,
)


def rewrite_sort(module: ir.Module) -> int:
    """Rewrites every sort of static shape; returns their number.

    Along the sorted dimension, per row: passes over runs of 1, 2, 4 .. values merge neighbours into
    a scratch row, which is copied back. A merge takes from the right run only what the comparator
    says is before the left one's value: stable, and what is unordered stays where it is.
    """
    found = [op for op in find(module.operation, "stablehlo.sort") if is_static(op)]
    for operation in found:
        with ir.InsertionPoint(operation), operation.location:
            for old, new in zip(operation.results, _Sort(operation).build(), strict=True):
                old.replace_all_uses_with(as_type(new, old.type))
        operation.erase()
    return len(found)


class _Sort:
    def __init__(self, operation: ir.Operation):
        self.comparator = operation.regions[0].blocks[0]
        self.operands = [signless(value) for value in operation.operands]
        self.shape = ir.RankedTensorType(self.operands[0].type).shape
        self.dimension = ir.IntegerAttr(operation.attributes["dimension"]).value
        self.length = self.shape[self.dimension]

    def build(self) -> Values:
        if self.length < 2:
            return self.operands
        types = [ir.RankedTensorType(value.type).element_type for value in self.operands]
        scratch = [empty([self.length], type_) for type_ in types]
        rows = [size for d, size in enumerate(self.shape) if d != self.dimension]
        return nest(rows, [*self.operands, *scratch], self._sort_row)[: len(self.operands)]

    def _place(self, row: Values, position: ir.Value) -> list[ir.Value]:
        return [*row[: self.dimension], position, *row[self.dimension :]]

    def _split(self, carried: Values) -> tuple[Values, Values]:
        """The operands and their scratch rows."""
        return carried[: len(self.operands)], carried[len(self.operands) :]

    def _sort_row(self, row: Values, carried: Values) -> Values:
        passes = (self.length - 1).bit_length()

        def run_pass(number: ir.Value, carried: Values) -> Values:
            width = create("arith.shli", [number.type], [index(1), number]).result
            values, scratch = self._split(carried)
            scratch = self._merge_runs(row, width, values, scratch)
            return [*self._copy_back(row, values, scratch), *scratch]

        return loop(index(0), index(passes), index(1), carried, run_pass)

    def _copy_back(self, row: Values, values: Values, scratch: Values) -> Values:
        def copy(k: ir.Value, values: Values) -> Values:
            place = self._place(row, k)
            pairs = zip(scratch, values, strict=True)
            return [insert(extract(source, [k]), value, place) for source, value in pairs]

        return loop(index(0), index(self.length), index(1), values, copy)

    def _merge_runs(self, row: Values, width: ir.Value, values: Values, scratch: Values) -> Values:
        length = index(self.length)

        def merge(start: ir.Value, scratch: Values) -> Values:
            middle = smaller(arith.addi(start, width), length)
            end = smaller(arith.addi(middle, width), length)

            def step(k: ir.Value, carried: Values) -> Values:
                return self._take(row, k, middle, end, values, carried)

            return loop(start, end, index(1), [start, middle, *scratch], step)[2:]

        return loop(index(0), length, arith.addi(width, width), scratch, merge)

    def _take(self, row, k, middle, end, values: Values, carried: Values) -> Values:
        """One value of the left or the right run to place k of the scratch row."""
        left, right, *scratch = carried
        last = index(self.length - 1)
        pairs = [
            [extract(value, self._place(row, smaller(side, last))) for side in (right, left)]
            for value in values
        ]
        # The block is used once: it moves into this, the innermost loop.
        (is_before,) = inline_on_scalars(self.comparator, [scalar for p in pairs for scalar in p])
        left_is_used_up = is_below(middle, arith.addi(left, index(1)))
        wanted = arith.ori(is_before, left_is_used_up)
        take_right = arith.andi(is_below(right, end), wanted)
        taken = [arith.select(take_right, *pair) for pair in pairs]
        scratch = [insert(value, s, [k]) for value, s in zip(taken, scratch, strict=True)]
        next_left = arith.select(take_right, left, arith.addi(left, index(1)))
        next_right = arith.select(take_right, arith.addi(right, index(1)), right)
        return [next_left, next_right, *scratch]

"""scatter -> loops on scalars, in the order of the updates; the computation is any region."""

from __future__ import annotations

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


def rewrite_scatter(module: ir.Module) -> int:
    """Rewrites every scatter of static shape; returns their number.

    For each element of the updates in order: result[place] = computation(result[place], element),
    where the place is inside; other updates are skipped.
    """
    found = [op for op in find(module.operation, "stablehlo.scatter") if is_static(op)]
    for operation in found:
        with ir.InsertionPoint(operation), operation.location:
            for old, new in zip(operation.results, _Scatter(operation).build(), strict=True):
                old.replace_all_uses_with(as_type(new, old.type))
        operation.erase()
    return len(found)


class _Scatter:
    def __init__(self, operation: ir.Operation):
        count = len(operation.results)
        operands = list(operation.operands)
        self.inputs = [signless(value) for value in operands[:count]]
        self.updates = [signless(value) for value in operands[count + 1 :]]
        indices = operands[count]
        self.indices = signless(indices)
        self.is_unsigned = self.indices is not indices
        self.computation = operation.regions[0].blocks[0]
        attribute = operation.attributes["scatter_dimension_numbers"]
        self.numbers = stablehlo.ScatterDimensionNumbers(attribute)
        self.shape = ir.RankedTensorType(self.inputs[0].type).shape

    def build(self) -> Values:
        sizes = ir.RankedTensorType(self.updates[0].type).shape
        if 0 in self.shape or 0 in sizes:
            return self.inputs
        return nest(sizes, self.inputs, self._update)

    def _update(self, place: Values, results: Values) -> Values:
        """One element of each update; outside, the element at 0 is written back as it is."""
        target = self._target(place)
        inside = arith.constant(ir.IntegerType.get_signless(1), 1)
        for position, size in zip(target, self.shape, strict=True):
            inside = arith.andi(inside, is_below(position, index(size)))
        target = [arith.select(inside, position, index(0)) for position in target]
        old = [extract(result, target) for result in results]
        new = inline_on_scalars(
            self.computation, [*old, *(extract(update, place) for update in self.updates)]
        )
        kept = [arith.select(inside, a, b) for a, b in zip(new, old, strict=True)]
        return [insert(value, r, target) for value, r in zip(kept, results, strict=True)]

    def _target(self, place: Values) -> list[ir.Value]:
        """Where in the result the update's element at `place` belongs."""
        numbers = self.numbers
        windows = list(numbers.update_window_dims)
        scattered = [position for d, position in enumerate(place) if d not in windows]
        target = [index(0)] * len(self.shape)
        for component, dimension in enumerate(numbers.scattered_dims_to_operand_dims):
            target[dimension] = self._load_index(scattered, component)
        skipped = [*numbers.inserted_window_dims, *numbers.input_batching_dims]
        window_dimensions = [d for d in range(len(self.shape)) if d not in skipped]
        for dimension, window in zip(window_dimensions, windows, strict=True):
            target[dimension] = arith.addi(target[dimension], place[window])
        batching = zip(
            numbers.input_batching_dims, numbers.scatter_indices_batching_dims, strict=True
        )
        for dimension, axis in batching:
            target[dimension] = scattered[axis - (axis > numbers.index_vector_dim)]
        return target

    def _load_index(self, scattered: Values, component: int) -> ir.Value:
        place = list(scattered)
        if self.numbers.index_vector_dim < ir.RankedTensorType(self.indices.type).rank:
            place.insert(self.numbers.index_vector_dim, index(component))
        cast = "arith.index_castui" if self.is_unsigned else "arith.index_cast"
        return create(cast, [ir.IndexType.get()], [extract(self.indices, place)]).result

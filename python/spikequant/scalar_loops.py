"""Builds loops over scalars of tensors (scf, tensor) at the current insertion point.

Element types are signless here, as MLIR's arithmetic wants them: StableHLO's unsigned values pass
through `signless` on their way in and `as_type` on their way out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jaxlib.mlir import ir
from jaxlib.mlir.dialects import arith, stablehlo

Values = Sequence[ir.Value]


def create(name: str, results: Sequence[ir.Type], operands: Values = (), **others) -> ir.Operation:
    return ir.Operation.create(name, results=list(results), operands=list(operands), **others)


def index(value: int) -> ir.Value:
    return arith.constant(ir.IndexType.get(), value)


def smaller(a: ir.Value, b: ir.Value) -> ir.Value:
    """The minimum of two indices."""
    return create("arith.minui", [a.type], [a, b]).result


def is_below(a: ir.Value, b: ir.Value) -> ir.Value:
    """a < b for indices; a negative `a` is very large."""
    return arith.cmpi(arith.CmpIPredicate.ult, a, b)


def signless_type(type_: ir.Type) -> ir.Type:
    """i32 for ui32; tensors of them likewise; others as they are."""
    if isinstance(type_, ir.RankedTensorType):
        element = signless_type(type_.element_type)
        return ir.RankedTensorType.get(type_.shape, element, type_.encoding)
    if isinstance(type_, ir.IntegerType) and not type_.is_signless:
        return ir.IntegerType.get_signless(type_.width)
    return type_


def as_type(value: ir.Value, type_: ir.Type) -> ir.Value:
    """The same bits as a tensor of another signedness."""
    return value if value.type == type_ else stablehlo.bitcast_convert(type_, value)


def signless(value: ir.Value) -> ir.Value:
    return as_type(value, signless_type(value.type))


def extract(tensor: ir.Value, indices: Values = ()) -> ir.Value:
    element = ir.RankedTensorType(tensor.type).element_type
    return create("tensor.extract", [element], [tensor, *indices]).result


def insert(scalar: ir.Value, tensor: ir.Value, indices: Values) -> ir.Value:
    return create("tensor.insert", [tensor.type], [scalar, tensor, *indices]).result


def empty(shape: Sequence[int], element: ir.Type) -> ir.Value:
    return create("tensor.empty", [ir.RankedTensorType.get(shape, element)]).result


def loop(
    lower: ir.Value,
    upper: ir.Value,
    step: ir.Value,
    carried: Values,
    body: Callable[[ir.Value, list[ir.Value]], Values],
) -> list[ir.Value]:
    """scf.for; `body` gets the induction variable and the carried values, returns the next ones."""
    types = [value.type for value in carried]
    operation = create("scf.for", types, [lower, upper, step, *carried], regions=1)
    block = operation.regions[0].blocks.append(ir.IndexType.get(), *types)
    with ir.InsertionPoint(block):
        induction, *values = block.arguments
        create("scf.yield", [], body(induction, values))
    return list(operation.results)


def nest(
    sizes: Sequence[int],
    carried: Values,
    body: Callable[[list[ir.Value], list[ir.Value]], Values],
) -> list[ir.Value]:
    """A loop per size, the first outermost; `body` gets all induction variables."""
    if not sizes:
        return list(body([], list(carried)))

    def inner(induction: ir.Value, values: list[ir.Value]) -> Values:
        return nest(sizes[1:], values, lambda rest, now: body([induction, *rest], now))

    return loop(index(0), index(sizes[0]), index(1), carried, inner)


def inline_on_scalars(block: ir.Block, scalars: Values) -> list[ir.Value]:
    """Moves a StableHLO region's operations here, with signless scalars for its arguments.

    Each scalar becomes a tensor of rank 0, so that the operations stay what they are;
    `linalg_scalars` removes these tensors after legalisation.
    """
    for argument, scalar in zip(block.arguments, scalars, strict=True):
        type_ = signless_type(argument.type)
        tensor = create("tensor.from_elements", [type_], [scalar]).result
        argument.replace_all_uses_with(as_type(tensor, argument.type))
    *operations, terminator = block.operations
    here = ir.InsertionPoint.current
    for operation in operations:
        if here.ref_operation is None:
            here.block.append(operation.operation)
        else:
            operation.operation.move_before(here.ref_operation)
    return [extract(signless(value)) for value in terminator.operands]

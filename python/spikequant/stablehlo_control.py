"""while, if and case -> scf: their legalisation to linalg leaves them alone."""

from __future__ import annotations

from collections.abc import Sequence

from jaxlib.mlir import ir
from jaxlib.mlir.dialects import arith

from .operations import find
from .scalar_loops import as_type, create, extract, signless, signless_type


def rewrite_control_flow(module: ir.Module) -> int:
    """Rewrites every while, if and case; returns their number.

    Before: %r:2 = stablehlo.while(%a = %x, %b = %y) cond {..} do {..}
    After:  %r:2 = scf.while (%a = %x, %b = %y) {.. scf.condition(%c) %a, %b} do {.. scf.yield ..}
    """
    rewrites = {
        "stablehlo.while": _rewrite_while,
        "stablehlo.if": _rewrite_if,
        "stablehlo.case": _rewrite_case,
    }
    found = find(module.operation, *rewrites)
    for operation in found:
        with ir.InsertionPoint(operation), operation.location:
            results = rewrites[operation.name](operation)
            for old, new in zip(operation.results, results, strict=True):
                old.replace_all_uses_with(as_type(new, old.type))
        operation.erase()
    return len(found)


def _rewrite_while(operation: ir.Operation) -> Sequence[ir.Value]:
    operands = [signless(value) for value in operation.operands]
    types = [value.type for value in operands]
    loop = create("scf.while", types, operands, regions=2)
    condition, body = operation.regions
    block = loop.regions[0].blocks.append(*types)
    with ir.InsertionPoint(block):
        (flag,) = _move(condition.blocks[0], block)
        create("scf.condition", [], [extract(flag), *block.arguments])
    block = loop.regions[1].blocks.append(*types)
    with ir.InsertionPoint(block):
        create("scf.yield", [], [signless(value) for value in _move(body.blocks[0], block)])
    return loop.results


def _rewrite_if(operation: ir.Operation) -> Sequence[ir.Value]:
    true, false = operation.regions
    flag = extract(operation.operands[0])
    return _create_if(operation, flag, true, lambda: _move_and_yield(false))


def _rewrite_case(operation: ir.Operation) -> Sequence[ir.Value]:
    """A chain of ifs; an index out of range means the last branch."""
    number = extract(operation.operands[0])
    *branches, last = operation.regions

    def chain(first: int) -> Sequence[ir.Value]:
        if first == len(branches):
            return _move_and_yield(last)
        equal = arith.cmpi(arith.CmpIPredicate.eq, number, arith.constant(number.type, first))
        return _create_if(operation, equal, branches[first], lambda: chain(first + 1))

    if not branches:
        return _move(last.blocks[0], ir.InsertionPoint.current.block, operation)
    return chain(0)


def _create_if(operation, flag, then, otherwise) -> Sequence[ir.Value]:
    """`then` is a region; `otherwise` fills the other branch and returns what it yields."""
    types = [signless_type(result.type) for result in operation.results]
    branch = create("scf.if", types, [flag], regions=2)
    for region, fill in zip(
        branch.regions, (lambda: _move_and_yield(then), otherwise), strict=True
    ):
        with ir.InsertionPoint(region.blocks.append()):
            create("scf.yield", [], fill())
    return branch.results


def _move_and_yield(region: ir.Region) -> list[ir.Value]:
    block = ir.InsertionPoint.current.block
    return [signless(value) for value in _move(region.blocks[0], block)]


def _move(source: ir.Block, target: ir.Block, before: ir.Operation | None = None):
    """Moves all operations but the terminator to the end of `target`, or to before `before`.

    Returns the terminator's operands.
    """
    if before is None:
        for old, new in zip(source.arguments, target.arguments, strict=True):
            old.replace_all_uses_with(as_type(new, old.type))
    *operations, terminator = source.operations
    for operation in operations:
        if before is None:
            target.append(operation.operation)
        else:
            operation.operation.move_before(before)
    return list(terminator.operands)

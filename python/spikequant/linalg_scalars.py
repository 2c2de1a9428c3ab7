"""Removes tensors of rank 0 from loops on scalars, after legalisation to linalg."""

from __future__ import annotations

from jaxlib.mlir import ir

from .operations import find
from .scalar_loops import create, extract


def inline_scalars(module: ir.Module) -> int:
    """Replaces linalg.generic on tensors of rank 0 in scf.for by its body; returns their number.

    Before: %t = tensor.from_elements %x; %r = linalg.generic ins(%t) ..; %y = tensor.extract %r
    After:  %y = the body's operations on %x              (once canonicalised)
    """
    found = [op for op in find(module.operation, "linalg.generic") if _is_scalar(op)]
    for operation in found:
        with ir.InsertionPoint(operation), operation.location:
            _inline(operation)
        operation.erase()
    return len(found)


def _is_scalar(operation: ir.Operation) -> bool:
    if not _is_in_loop(operation):
        return False
    types = [value.type for value in (*operation.operands, *operation.results)]
    return all(isinstance(t, ir.RankedTensorType) and t.rank == 0 for t in types)


def _is_in_loop(operation: ir.Operation) -> bool:
    parent = operation.parent
    while parent is not None:
        if parent.name == "scf.for":
            return True
        parent = parent.parent
    return False


def _inline(operation: ir.Operation) -> None:
    block = operation.regions[0].blocks[0]
    for argument, operand in zip(block.arguments, operation.operands, strict=True):
        argument.replace_all_uses_with(extract(operand))
    *body, terminator = block.operations
    for inner in body:
        inner.operation.move_before(operation)
    for result, scalar in zip(operation.results, terminator.operands, strict=True):
        tensor = create("tensor.from_elements", [result.type], [scalar]).result
        result.replace_all_uses_with(tensor)

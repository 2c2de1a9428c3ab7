"""Finding operations in a module."""

from __future__ import annotations

from jaxlib.mlir import ir


def find(root: ir.Operation, *names: str) -> list[ir.Operation]:
    """All operations inside `root` that have one of the names, inner ones first."""
    found: list[ir.Operation] = []

    def visit(operation: ir.Operation) -> ir.WalkResult:
        if operation.name in names:
            found.append(operation)
        return ir.WalkResult.ADVANCE

    root.walk(visit)
    return found


def is_static(operation: ir.Operation) -> bool:
    """Whether all operands and results are tensors of static shape."""
    types = [value.type for value in (*operation.operands, *operation.results)]
    return all(isinstance(t, ir.RankedTensorType) and t.has_static_shape for t in types)

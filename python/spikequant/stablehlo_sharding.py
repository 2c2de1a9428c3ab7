"""Hints for a distributing compiler: meshes, constraints and attributes of operations."""

from __future__ import annotations

from jaxlib.mlir import ir

from .operations import find

# Their result is their operand.
_SAME_VALUE = ("sdy.sharding_constraint", "sdy.reshard", "sdy.propagation_barrier")
_FOREIGN = ("sdy.", "mhlo.", "xla.")


def remove_shardings(module: ir.Module) -> None:
    """One device computes everything.

    Before: %1 = sdy.sharding_constraint %0 <@mesh, [{"data"}, {}]> : tensor<7x8xf32>
    After:  (%0 for %1; neither sdy.mesh nor attributes such as mhlo.frontend_attributes)
    Operations that move data between devices stay, and are reported as unsupported.
    """
    for operation in find(module.operation, *_SAME_VALUE):
        operation.results[0].replace_all_uses_with(operation.operands[0])
        operation.erase()
    if not find(module.operation, "sdy.manual_computation"):  # these refer to meshes
        for operation in find(module.operation, "sdy.mesh"):
            operation.erase()
    module.operation.walk(_remove_attributes)


def _remove_attributes(operation: ir.Operation) -> ir.WalkResult:
    if operation.name != "builtin.module":
        for name in [n for n in operation.attributes if n.startswith(_FOREIGN)]:
            del operation.attributes[name]
        for key in ("arg_attrs", "res_attrs"):
            if key in operation.attributes:
                operation.attributes[key] = _without_foreign(operation.attributes[key])
    return ir.WalkResult.ADVANCE


def _without_foreign(rows: ir.Attribute) -> ir.ArrayAttr:
    """Of attributes of arguments or results."""
    kept = [
        {
            entry.name: entry.attr
            for entry in ir.DictAttr(row)
            if not entry.name.startswith(_FOREIGN)
        }
        for row in ir.ArrayAttr(rows)
    ]
    return ir.ArrayAttr.get([ir.DictAttr.get(row) for row in kept])

"""Unsigned constants kept in resources -> signless ones, which MLIR's arithmetic has."""

from __future__ import annotations

import re

import numpy as np
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo

from .operations import find
from .scalar_loops import as_type, signless_type

# As printed: the key, then in hexadecimal digits four bytes of alignment and the data.
_DATA = re.compile(r'"0x[0-9A-Fa-f]{8}([0-9A-Fa-f]*)"')


def rewrite_unsigned_resources(module: ir.Module) -> int:
    """The legalisation changes the type of such a constant, but not that of its value.

    Before: %0 = stablehlo.constant dense_resource<key> : tensor<4xui8>
    After:  %1 = stablehlo.constant dense<[..]> : tensor<4xi8>; %0 = bitcast_convert %1
    Returns the number rewritten.
    """
    found = [op for op in find(module.operation, "stablehlo.constant") if _is_unsigned(op)]
    for operation in found:
        with ir.InsertionPoint(operation), operation.location:
            type_ = operation.results[0].type
            constant = stablehlo.constant(_read(operation, signless_type(type_)))
            operation.results[0].replace_all_uses_with(as_type(constant, type_))
        operation.erase()
    return len(found)


def _is_unsigned(operation: ir.Operation) -> bool:
    type_ = operation.results[0].type
    return type_ != signless_type(type_) and _is_resource(operation.attributes["value"])


def _is_resource(value: ir.Attribute) -> bool:
    try:
        return bool(ir.DenseResourceElementsAttr(value))
    except ValueError:
        return False


def _read(operation: ir.Operation, type_: ir.RankedTensorType) -> ir.Attribute:
    """The bindings do not hand out the data of a resource: a module's text has them."""
    alone = ir.Module.create(operation.location)
    alone.body.append(operation.clone())
    (digits,) = _DATA.findall(alone.operation.get_asm())
    data = np.frombuffer(bytes.fromhex(digits), f"<i{type_.element_type.width // 8}")
    return ir.DenseElementsAttr.get(data, type=type_.element_type, shape=type_.shape)

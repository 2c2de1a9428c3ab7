"""Attributes of arguments and results: what JAX hangs there and what the compiler reads."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from jaxlib.mlir import ir

from .errors import SpikeQuantError

Attributes = Mapping[str, str | int]


def donated_arguments(function: ir.Operation) -> list[Attributes]:
    """JAX marks donated arguments with the result that takes their place: that is state."""
    if "arg_attrs" not in function.attributes:
        return []
    rows = [ir.DictAttr(row) for row in ir.ArrayAttr(function.attributes["arg_attrs"])]
    key = "tf.aliasing_output"
    return [
        {"spikequant.state": ir.IntegerAttr(row[key]).value} if key in row else {} for row in rows
    ]


def merge(first: Sequence[Attributes], second: Sequence[Attributes]) -> list[Attributes]:
    return [{**a, **b} for a, b in itertools.zip_longest(first, second, fillvalue={})]


def name_by_number(attributes: Sequence[Attributes], count: int) -> list[Attributes]:
    names = [{"spikequant.name": f"arg{i}"} for i in range(count)]
    named = merge(names, attributes)
    for row in named:
        if "spikequant.weight" in row:
            row.pop("spikequant.name", None)
    return named


def strip_foreign_attributes(module: ir.Module, function: ir.Operation) -> None:
    """Removes what JAX and StableHLO hang on modules and results: MLIR does not know it."""
    for name in list(module.operation.attributes):
        del module.operation.attributes[name]
    if "res_attrs" in function.attributes:
        del function.attributes["res_attrs"]


def set_attributes(
    function: ir.Operation,
    key: str,
    attributes: Sequence[Attributes] | None,
    count: int,
    source: str,
) -> None:
    """Sets the attributes of the arguments ("arg_attrs") or results ("res_attrs")."""
    given = list(attributes or [])
    if len(given) > count:
        what = "arguments" if key == "arg_attrs" else "results"
        last = given[-1].get("spikequant.weight")
        by = f"by the weight '{last}'" if last else "as described"
        raise SpikeQuantError(f"{source}: the function has {count} {what}, not {len(given)} {by}")
    i64 = ir.IntegerType.get_signless(64)

    def convert(value: str | int) -> ir.Attribute:
        if isinstance(value, str):
            return ir.StringAttr.get(value)
        return ir.IntegerAttr.get(i64, value)

    rows = [{k: convert(v) for k, v in row.items()} for row in given]
    rows += [{}] * (count - len(given))
    function.attributes[key] = ir.ArrayAttr.get([ir.DictAttr.get(row) for row in rows])

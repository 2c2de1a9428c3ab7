"""Which arguments of a graph are weights: the keys argN of a safetensors file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jaxlib.mlir import ir

from .errors import SpikeQuantError

# Types of a file that may stand for a type of a graph: the packer extends narrow floats to f32 and
# takes unsigned integers as bits.
_STORED = {
    "f64": ("F64",),
    "f32": ("F32", "F16", "BF16"),
    "f16": ("F16",),
    "bf16": ("BF16",),
    **{
        f"{sign}i{width}": (f"I{width}", f"U{width}")
        for sign in ("", "u")
        for width in (8, 16, 32, 64)
    },
}


class WeightFile:
    """What a safetensors file holds; raises SpikeQuantError if it cannot be read."""

    def __init__(self, path: str | Path):
        self.path = path
        self._entries = {_number(key, path): (key, *rest) for key, *rest in _read(path)}
        if not self._entries:
            raise SpikeQuantError(f"{path}: is empty")

    def argument_attributes(
        self, types: Sequence[ir.Type], source: str
    ) -> list[dict[str, str | int]]:
        """Per argument of the graph, up to the last weight, what the compiler reads.

        `types` are those of the arguments. Raises SpikeQuantError if a weight has no argument, or
        one of another shape or type.
        """
        rows: list[dict[str, str | int]] = [{} for _ in range(max(self._entries) + 1)]
        for number, (key, shape, dtype) in self._entries.items():
            if number >= len(types):
                raise SpikeQuantError(
                    f"{self.path}: there is no argument for '{key}': {source} has {len(types)}, "
                    "counted from arg0"
                )
            _check_type(f"{self.path}: '{key}'", shape, dtype, types[number])
            rows[number] = {"spikequant.weight": key}
        return rows


def _check_type(name: str, shape: list[int], dtype: str, type_: ir.Type) -> None:
    if not isinstance(type_, ir.RankedTensorType):
        raise SpikeQuantError(f"{name}: the argument is no tensor but {type_}")
    if shape != list(type_.shape):
        raise SpikeQuantError(
            f"{name} has shape {shape} in the file and {list(type_.shape)} in the graph"
        )
    fitting = _STORED.get(str(type_.element_type), ())
    if dtype not in fitting:
        way_out = f"store it as {fitting[0]}" if fitting else "make it an input"
        raise SpikeQuantError(
            f"{name} has type {dtype} in the file and {type_.element_type} in the graph: {way_out}"
        )


def _number(key: str, file: str | Path) -> int:
    digits = key.removeprefix("arg")
    if digits == key or not digits.isdecimal() or str(int(digits)) != digits:
        raise SpikeQuantError(
            f"{file}: key '{key}': name each weight after the argument that it is for: arg0, arg1.."
        )
    return int(digits)


def _read(file: str | Path) -> list[tuple[str, list[int], str]]:
    """Keys, shapes and types."""
    from safetensors import safe_open

    try:
        with safe_open(str(file), "np") as opened:
            slices = {key: opened.get_slice(key) for key in opened.keys()}  # noqa: SIM118
            return [(k, s.get_shape(), s.get_dtype()) for k, s in slices.items()]
    except Exception as error:  # the package raises its own and OS errors
        raise SpikeQuantError(f"{file}: not a safetensors file: {error}") from error

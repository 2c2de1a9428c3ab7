"""Which arguments of a graph are weights: the keys argN of a safetensors file."""

from __future__ import annotations

from pathlib import Path

from .errors import SpikeQuantError


def argument_attributes(weights: str | Path | None) -> list[dict[str, str | int]]:
    """Per argument of the graph, up to the last weight, what the compiler reads."""
    if weights is None:
        return []
    numbers = {_number(key, weights): key for key in _keys(weights)}
    if not numbers:
        raise SpikeQuantError(f"{weights}: is empty")
    return [
        {"spikequant.weight": numbers[i]} if i in numbers else {} for i in range(max(numbers) + 1)
    ]


def _number(key: str, file: str | Path) -> int:
    digits = key.removeprefix("arg")
    if digits == key or not digits.isdecimal() or str(int(digits)) != digits:
        raise SpikeQuantError(
            f"{file}: key '{key}': name each weight after the argument that it is for: arg0, arg1.."
        )
    return int(digits)


def _keys(file: str | Path) -> list[str]:
    from safetensors import safe_open

    try:
        with safe_open(str(file), "np") as opened:
            return list(opened.keys())
    except Exception as error:  # the package raises its own and OS errors
        raise SpikeQuantError(f"{file}: not a safetensors file: {error}") from error

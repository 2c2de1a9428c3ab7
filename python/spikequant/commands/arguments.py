"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

_MOST_THREADS = 1024


def whole(low: int, high: int | None = None) -> Callable[[str], int]:
    """A whole number in a range."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number") from None
        if value < low or (high is not None and value > high):
            limits = f"at least {low}" if high is None else f"from {low} to {high}"
            raise argparse.ArgumentTypeError(f"{text} is not {limits}")
        return value

    return parse


positive = whole(1)


def real(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None
        if not low <= value <= high:  # not for NaN either
            raise argparse.ArgumentTypeError(f"{text} is not from {low:g} to {high:g}")
        return value

    return parse


def integer_list(text: str) -> list[int]:
    return [positive(part) for part in text.split(",")]


def add_rotate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rotate",
        choices=("none", "values"),
        default="none",
        help="values: Hadamard rotations of what attentions mix, where weights absorb them; as for "
        "the other of calibrate and compile (default: none)",
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    cores = len(os.sched_getaffinity(0))
    parser.add_argument(
        "--threads",
        type=whole(1, _MOST_THREADS),
        default=cores,
        metavar="N",
        help=f"results do not depend on it (default: {cores}, this machine's cores)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")


def add_output(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help=what)


def add_shapes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="argN=SIZES",
        help="of an argument of unknown size, as in arg0=1x32; may be repeated",
    )


def add_weights(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="of a graph: a safetensors file with key argN for each argument N that is a weight",
    )

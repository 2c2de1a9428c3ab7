"""Every fold rule against exact fractions: random chains of scales before a threshold."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from pathlib import Path

import numpy as np
import pytest

from spikequant.toolchain import find_tool

ROWS, CHANNELS, INPUTS = 16, 24, 8
MAPS = {"row": "(i, j) -> (i)", "channel": "(i, j) -> (j)", "all": "(i, j) -> (i, j)"}
SCALARS = [1.0, -1.0, 0.5, -3.0, 0.1, 7.25, 2.0**-12, -(2.0**9)]


def exact(array) -> np.ndarray:
    return np.vectorize(lambda x: Fraction(float(x)), otypes=[object])(np.asarray(array))


@dataclass
class Chain:
    """MLIR of a chain of operations on [ROWS, CHANNELS], and its exact values.

    `magnitude` bounds what one rounding can be relative to: it adds where values may cancel.
    """

    values: np.ndarray
    current: str
    magnitude: np.ndarray = None
    symbols: list[str] = field(default_factory=list)
    body: list[str] = field(default_factory=list)
    roundings: int = 0

    def __post_init__(self):
        self.magnitude = abs(self.values)

    def apply(self, operation: str, kind: str, other: np.ndarray, name: str, first: bool = False):
        """`operation` on the array so far and `other`, broadcast along `kind`."""
        shape = {"row": f"{ROWS}", "channel": f"{CHANNELS}", "all": f"{ROWS}x{CHANNELS}"}[kind]
        pair = ("%b", "%a") if first else ("%a", "%b")
        result = f"%v{len(self.body)}"
        loops = 'iterator_types = ["parallel", "parallel"]'
        self.body.append(
            f"""  {result} = linalg.generic {{indexing_maps = [affine_map<{MAPS["all"]}>,
      affine_map<{MAPS[kind]}>, affine_map<{MAPS["all"]}>], {loops}}}
      ins({self.current}, {name} : tensor<{ROWS}x{CHANNELS}xf32>, tensor<{shape}xf32>)
      outs(%e : tensor<{ROWS}x{CHANNELS}xf32>) {{
  ^bb0(%a: f32, %b: f32, %out: f32):
    %c = arith.{operation} {pair[0]}, {pair[1]} : f32
    linalg.yield %c : f32
  }} -> tensor<{ROWS}x{CHANNELS}xf32>"""
        )
        self.current = result
        self.roundings += 1
        value = exact(other)
        value = value[:, None] if kind == "row" else value[None, :] if kind == "channel" else value
        self._calculate(operation, value, first)

    def _calculate(self, operation: str, value: np.ndarray, first: bool):
        if operation == "mulf":
            self.values, self.magnitude = self.values * value, self.magnitude * abs(value)
        elif operation == "divf":
            self.values, self.magnitude = self.values / value, self.magnitude / abs(value)
        elif operation == "addf":
            self.values, self.magnitude = self.values + value, self.magnitude + abs(value)
        elif operation == "subf":
            difference = value - self.values if first else self.values - value
            self.values, self.magnitude = difference, self.magnitude + abs(value)
        else:
            self.values = np.maximum(self.values, value)

    def weights(self, values: np.ndarray) -> str:
        """A literal array per channel; the name of its load."""
        name = f"w{len(self.symbols)}"
        literal = values.astype("<f4").tobytes().hex().upper()
        self.symbols.append(
            f"spikequant.weights @{name} : tensor<{CHANNELS}xf32> format(#spikequant.real) "
            f'value(dense<"0x{literal}"> : tensor<{CHANNELS}xf32>)'
        )
        self.body.append(f"  %{name} = spikequant.load_weights @{name} : tensor<{CHANNELS}xf32>")
        return f"%{name}"

    def constant(self, value: float) -> str:
        name = f"%c{len(self.body)}"
        bits = np.float32(value).view(np.uint32)
        self.body.append(
            f"  {name} = arith.constant dense<0x{bits:08X}> : tensor<{ROWS}x{CHANNELS}xf32>"
        )
        return name


def reals(rng, size, zero_share: float = 0.0) -> np.ndarray:
    """Signed, over many magnitudes; half of them with few bits, so that ties occur."""
    values = np.exp2(rng.uniform(-4, 4, size)) * rng.choice([-1, 1], size)
    coarse = np.round(values * 8) / 8
    values = np.where(rng.random(size) < 0.5, np.where(coarse == 0, 0.125, coarse), values)
    return np.where(rng.random(size) < zero_share, 0, values).astype(np.float32)


def grow(chain: Chain, rng, rows: bool, row: np.ndarray, steps: int, positive: bool):
    """Random operations; with `rows`, sums only after the last product with a row."""
    for step in range(steps):
        choices = ["channel", "scalar"] + (
            ["row"] if rows and step < 2 else ["sum", "from", "sums"]
        )
        choice = rng.choice(choices + (["relu"] if positive else []))
        if choice == "row":
            chain.apply(rng.choice(["mulf", "divf"]), "row", row, "%r")
        elif choice == "channel":
            values = reals(rng, CHANNELS)
            values = abs(values) if positive else values
            chain.apply(rng.choice(["mulf", "divf"]), "channel", values, chain.weights(values))
        elif choice == "sum":
            values = reals(rng, CHANNELS, zero_share=0.2)
            chain.apply(rng.choice(["addf", "subf"]), "channel", values, chain.weights(values))
        else:
            scalar = {"relu": 0.0}.get(choice, float(rng.choice(SCALARS)))
            scalar = abs(scalar) if positive and choice == "scalar" else scalar
            full = np.full((ROWS, CHANNELS), scalar, np.float32)
            operation = {"scalar": "mulf", "relu": "maximumf", "from": "subf", "sums": "addf"}[
                choice
            ]
            if choice == "from" and positive:
                operation = "addf"
            first = choice == "from" and not positive
            chain.apply(operation, "all", full, chain.constant(scalar), first)


def run(text: str, arrays: list[np.ndarray], folder: Path) -> tuple[str, np.ndarray]:
    """The folded program and the counts that the reference gives."""
    source, folded = folder / "in.mlir", folder / "folded.mlir"
    source.write_text(text)
    command = [find_tool("sq-opt"), source, "--spikequant-fold-scales", "-o", folded]
    subprocess.run(command, check=True, capture_output=True)
    np.savez(folder / "in.npz", **{f"arg{i}": a for i, a in enumerate(arrays)})
    files = ["--inputs", folder / "in.npz", "--outputs", folder / "out.npz"]
    subprocess.run([find_tool("sq-run"), folded, *files], check=True, capture_output=True)
    with np.load(folder / "out.npz") as results:
        return folded.read_text(), results["out0"]


def check(counts: np.ndarray, v: np.ndarray, slack: np.ndarray):
    """Counts are floor(v); a value within `slack` of an integer may give either side's."""
    for count, value, error in zip(counts.flat, v.flat, slack.flat, strict=True):
        below, above = (max(-32767, min(32767, floor(x))) for x in (value - error, value + error))
        assert below <= count <= above, (count, float(value), float(error))


def encode_case(seed: int, folder: Path) -> int:
    """A chain on an argument: gains, centres and row scales."""
    rng = np.random.default_rng(seed)
    x, row = reals(rng, (ROWS, CHANNELS), 0.1), reals(rng, ROWS)
    chain = Chain(exact(x), "%x")
    grow(chain, rng, bool(seed % 2), row, int(rng.integers(1, 5)), positive=False)
    step = np.float32(rng.choice([0.25, 0.3, 1.0, 0.0123]))
    shape = f"tensor<{ROWS}x{CHANNELS}x"
    text = "\n".join(
        [
            *chain.symbols,
            f"func.func @f(%x: {shape}f32>, %r: tensor<{ROWS}xf32>) -> {shape}i16> {{",
            f"  %e = tensor.empty() : {shape}f32>",
            *chain.body,
            f"  %n = spikequant.encode {chain.current} {{step = {step!s} : f32, "
            f'site = "s"}} : {shape}f32> -> {shape}i16>',
            f"  return %n : {shape}i16>\n}}",
        ]
    )
    program, counts = run(text, [x, row], folder)
    assert any(word in program for word in ("gains", "centres", "row_scale")), text
    unit = Fraction(float(step))
    # Both orders of rounding are within one ulp per operation of the reals.
    error = Fraction(4 * chain.roundings + 10, 2**24)
    slack = error * (chain.magnitude / unit + Fraction(1, 2))
    check(counts, chain.values / unit + Fraction(1, 2), slack)
    return counts.size


def fire_case(seed: int, folder: Path) -> int:
    """A chain on a decode: one integer threshold."""
    rng = np.random.default_rng(seed)
    # Integer rows times a number of 8 bits: the packer finds that number as the scale.
    codes = rng.integers(-7, 8, (CHANNELS, INPUTS))
    codes[:, 0] = rng.choice([-7, 7], CHANNELS)
    codes[rng.random(CHANNELS) < 0.1] = 0
    scale = np.exp2(rng.integers(-6, 3, CHANNELS)) * rng.integers(1, 256, CHANNELS) / 64
    weights = (codes * scale[:, None]).astype("<f4")
    n = rng.integers(-300, 300, (ROWS, INPUTS)).astype(np.int16)
    acc = n.astype(int) @ codes.T
    step_in, step = np.float32(rng.choice([0.5, 0.1])), np.float32(rng.choice([0.25, 3.7]))
    decoded = np.vectorize(lambda a: Fraction(int(a)), otypes=[object])(acc)
    chain = Chain(decoded * exact(scale)[None, :] * Fraction(float(step_in)), "%d")
    grow(chain, rng, False, np.zeros(ROWS), int(rng.integers(0, 4)), positive=True)
    shape = f"tensor<{ROWS}x{CHANNELS}x"
    literal = weights.tobytes().hex().upper()
    text = "\n".join(
        [
            f"spikequant.weights @w : tensor<{CHANNELS}x{INPUTS}xf32> format(#spikequant.codes<"
            "bits = 4, group = 0, symmetric = true>) "
            f'value(dense<"0x{literal}"> : tensor<{CHANNELS}x{INPUTS}xf32>)',
            *chain.symbols,
            f"func.func @f(%n: tensor<{ROWS}x{INPUTS}xi16>) -> {shape}i16> {{",
            f"  %e = tensor.empty() : {shape}f32>",
            f"  %acc = spikequant.integrate %n, @w : tensor<{ROWS}x{INPUTS}xi16> -> {shape}i64>",
            f"  %d = spikequant.decode %acc, @w {{step = {step_in!s} : f32}}"
            f" : {shape}i64> -> {shape}f32>",
            *chain.body,
            f"  %m = spikequant.encode {chain.current} {{step = {step!s} : f32, "
            f'site = "s"}} : {shape}f32> -> {shape}i16>',
            f"  return %m : {shape}i16>\n}}",
        ]
    )
    program, counts = run(text, [n], folder)
    # A kink inside a sum that is no kink at 0 any more stays real.
    if "spikequant.fire" not in program:
        assert "maximumf" in text
    unit = Fraction(float(step))
    fired = Fraction(4, 2**24) if "spikequant.fire" in program else Fraction(64, 2**24)
    slack = fired * (chain.magnitude / unit + 1)
    check(counts, chain.values / unit + Fraction(1, 2), slack)
    return counts.size


@pytest.mark.parametrize("case", [encode_case, fire_case])
def test_rules(case, tmp_path):
    assert sum(case(seed, tmp_path) for seed in range(8)) >= 3000


@pytest.mark.slow
@pytest.mark.parametrize("case", [encode_case, fire_case])
def test_rules_on_many_cases(case, tmp_path):
    assert sum(case(seed, tmp_path) for seed in range(100, 240)) >= 50000

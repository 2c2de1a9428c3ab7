"""Chains of encode, integrate and fire with the integers that they mean, in exact arithmetic."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from pathlib import Path

import numpy as np

from spikequant.toolchain import find_tool

STEP = 0.5  # A power of two: the encode of multiples of STEP / 4 is exact in f32.


@dataclass(frozen=True)
class ChainLayer:
    """Weights that symmetric codes hold exactly: every row has the largest magnitude that the
    code has (7 for 4 bits), or zeros only."""

    weights: np.ndarray
    multipliers: list[int]
    biases: list[int]
    shift: int
    lo: int
    hi: int
    code_bits: int = 4

    def fire(self, counts: np.ndarray) -> np.ndarray:
        rows = counts.astype(object) @ self.weights.T.astype(object)
        threshold = [Fraction(m, 2**self.shift) for m in self.multipliers]
        start = [Fraction(b, 2**self.shift) for b in self.biases]
        fired = [
            [floor(acc * t + s) for acc, t, s in zip(row, threshold, start, strict=True)]
            for row in rows
        ]
        return np.clip(np.array(fired, dtype=np.int64), self.lo, self.hi)


@dataclass(frozen=True)
class Chain:
    name: str
    bits: list[int]
    layers: list[ChainLayer]
    code: str | None = None
    inputs: np.ndarray = field(default_factory=lambda: np.zeros((1, 1)))

    def windows(self) -> np.ndarray:
        return np.array([2 ** (b - 1) - 1 if b > 1 else 0 for b in self.bits])

    def exact_counts(self) -> np.ndarray:
        return np.floor(self.inputs.astype(np.float64) / STEP + 0.5).astype(np.int64)

    def counts(self) -> np.ndarray:
        return np.clip(self.exact_counts(), -self.windows(), self.windows())

    def outputs(self, counts: np.ndarray | None = None) -> np.ndarray:
        counts = self.counts() if counts is None else counts
        for layer in self.layers:
            counts = layer.fire(counts)
        return counts

    def mlir(self) -> str:
        samples, channels = self.inputs.shape
        code = f", code = #spikequant.code<{self.code}>" if self.code else ""
        bits = ", ".join(map(str, self.bits))
        lines = [
            f"spikequant.weights @bits : tensor<{channels}xi8> format(#spikequant.real)",
            f"    value(dense<[{bits}]> : tensor<{channels}xi8>)",
        ]
        body = [
            f'  %n0 = spikequant.encode %x {{step = {STEP} : f32, site = "w0.in", bits = @bits,',
            f"      overflow = #spikequant.overflow<saturate>{code}}}",
            f"      : tensor<{samples}x{channels}xf32> -> tensor<{samples}x{channels}xi16>",
        ]
        for i, layer in enumerate(self.layers):
            n, k = layer.weights.shape
            codes = f"#spikequant.codes<bits = {layer.code_bits}, group = 0, symmetric = true>"
            rows = ", ".join(f"[{', '.join(f'{w}.0' for w in row)}]" for row in layer.weights)
            numbers = {
                key: ", ".join(map(str, getattr(layer, key))) for key in ("multipliers", "biases")
            }
            lines += [
                f"spikequant.weights @w{i} : tensor<{n}x{k}xf32>",
                f"    format({codes})",
                f"    value(dense<[{rows}]> : tensor<{n}x{k}xf32>)",
            ]
            body += [
                f"  %a{i} = spikequant.integrate %n{i}, @w{i}",
                f"      : tensor<{samples}x{k}xi16> -> tensor<{samples}x{n}xi64>",
                f"  %n{i + 1} = spikequant.fire %a{i} {{",
                f"      multipliers = array<i64: {numbers['multipliers']}>,",
                f"      biases = array<i64: {numbers['biases']}>, shift = {layer.shift} : i32,",
                f"      lo = {layer.lo} : i32, hi = {layer.hi} : i32}}",
                f"      : tensor<{samples}x{n}xi64> -> tensor<{samples}x{n}xi16>",
            ]
        last, outputs = len(self.layers), self.layers[-1].weights.shape[0]
        result = f"tensor<{samples}x{outputs}xi16>"
        head = f"func.func @{self.name}(%x: tensor<{samples}x{channels}xf32>) -> {result} {{"
        return "\n".join([*lines, head, *body, f"  return %n{last} : {result}", "}", ""])

    def write(self, folder: Path) -> tuple[Path, Path]:
        """The program and its inputs as files."""
        program, inputs = folder / f"{self.name}.mlir", folder / f"{self.name}.npz"
        program.write_text(self.mlir())
        np.savez(inputs, arg0=self.inputs.astype(np.float32))
        return program, inputs


def translate(target: str, chain: Chain, folder: Path, *options: str) -> Path:
    program, inputs = chain.write(folder)
    out = folder / f"{chain.name}.{target}"
    command = [find_tool("sq-translate"), f"--spikequant-to-{target}", f"--stimulus={inputs}"]
    result = subprocess.run(
        [*command, *options, program, "-o", out], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return out


def random_weights(rng: np.random.Generator, n: int, k: int) -> np.ndarray:
    weights = rng.integers(-7, 8, (n, k))
    weights[np.arange(n), rng.integers(0, k, n)] = rng.choice([-7, 7], n)
    return weights


def random_layer(rng, n: int, k: int, lo: int, hi: int, shift: int = 9) -> ChainLayer:
    """Thresholds that are no integers, so that no two levels are the same distance apart."""
    multipliers = rng.integers(3, 60, n).tolist()
    biases = (2 ** (shift - 1) + rng.integers(-200, 201, n)).tolist()
    return ChainLayer(random_weights(rng, n, k), multipliers, biases, shift, lo, hi)


def random_inputs(rng, samples: int, k: int, spread: float = 5.0) -> np.ndarray:
    """Multiples of STEP / 4: a quarter of them are ties of the encode."""
    return np.round(rng.normal(0, spread, (samples, k)) * 4) * STEP / 4


def build_cases(samples: int = 100) -> list[Chain]:
    rng = np.random.default_rng(20261124)
    small = [2, 3, 4, 4, 3, 0, 1, 4]

    def chain(name, bits, layers):
        return Chain(name, bits, layers, inputs=random_inputs(rng, samples, len(bits)))

    zeros = random_layer(rng, 6, 8, -7, 7)
    zeros.weights[[1, 4]] = 0
    zeros.biases[1:3] = [5 * 2**9, -3 * 2**9]  # A row of zeros that always fires, and one never.
    negative = ChainLayer(-np.abs(random_weights(rng, 5, 8)), [20] * 5, [256] * 5, 9, -7, 7)
    # theta = 4 and all weights +-7 or 0: every second membrane or so is at k + 1/2.
    ties = ChainLayer(rng.choice([-7, 0, 7], (6, 4)), [1] * 6, [2] * 6, 2, -7, 7)
    ties.weights[:, 0] = 7
    one = ChainLayer(random_weights(rng, 4, 8), [1] * 4, [0] * 4, 0, 0, 15)
    saturating = ChainLayer(random_weights(rng, 6, 8), [1] * 6, [1] * 6, 1, -3, 3)
    relu = random_layer(rng, 12, 24, 0, 15)
    return [
        chain("one_layer_two_rails", small, [random_layer(rng, 6, 8, -7, 7)]),
        chain("one_layer_one_rail", small, [random_layer(rng, 6, 8, 0, 15)]),
        chain("rows_of_zeros", small, [zeros]),
        chain("negative_weights", small, [negative]),
        chain("ties", [4, 4, 3, 3], [ties]),
        chain("threshold_one", small, [one]),
        chain("saturation", small, [saturating]),
        chain("one_input_one_output", [2], [ChainLayer(np.array([[7]]), [5], [16], 5, -1, 1)]),
        chain("two_layers", [4] * 24, [relu, random_layer(rng, 7, 12, -7, 7)]),
        chain(
            "three_layers",
            [4] * 10,
            [
                random_layer(rng, 9, 10, -7, 7),
                random_layer(rng, 8, 9, 0, 7),
                random_layer(rng, 5, 8, -3, 3),
            ],
        ),
    ]


def extreme_chain(inputs: int) -> Chain:
    """Membranes up to 127 * 127 * inputs, and others at the levels; theta = 256."""
    rng = np.random.default_rng(inputs)
    weights = np.full((3, inputs), 127)
    weights[1] = -127
    weights[2, ::2] = -127
    layer = ChainLayer(weights, [1] * 3, [128] * 3, 8, -7, 7, code_bits=8)
    rows = [np.full(inputs, 127), np.full(inputs, -127), rng.choice([-127, 127], inputs)]
    signs = np.where(np.arange(inputs) % 2, 127, -127)
    rows += [signs, -signs]
    for step in (-14, -9, -3, -1, 1, 2, 5, 13):  # Near zero: all cancel but a few.
        row = np.resize([127, -127], inputs) * (np.arange(inputs) < inputs // 4 * 4)
        row[-2:] = (0, step)
        rows.append(row)
    values = np.array(rows) * STEP
    return Chain(f"extreme_{inputs}", [8] * inputs, [layer], inputs=values)


CASES = build_cases()

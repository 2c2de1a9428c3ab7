"""What a compiled folder says about its quantised sites: weights, steps, bits, tolerance."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.accuracy.packed import PackedFile

_WEIGHTS = re.compile(r'spikequant\.weights @(\S+) : \S+ .*source\("([^"]+)"(?:, \[([\d, ]+)\])?')
_ENCODE = re.compile(r"(%\w+) = spikequant\.encode [^{]*\{([^}]*)\}")
_INTEGRATE = re.compile(r"= spikequant\.integrate (%\w+), @([^ ,]+)")
_LOOKUP = re.compile(r"= spikequant\.lookup @([^ ,\[]+)")


@dataclass(frozen=True)
class Encoding:
    """By the definition of encode (docs/spec.md); `bits` [K]."""

    site: str
    step: np.float32
    bits: np.ndarray
    tolerance: int

    def counts(self, x: np.ndarray) -> np.ndarray:
        """x [.., K] f32 -> n"""
        x = np.asarray(x, np.float32)
        rate = np.float32(1) / self.step
        v = x * rate + np.float32(0.5)  # one rounding each
        n = np.clip(np.floor(np.nan_to_num(v, nan=0.0)), -32767, 32767).astype(np.int64)
        window = np.where(self.bits > 1, 2 ** np.maximum(self.bits.astype(np.int64) - 1, 0) - 1, 0)
        magnitude = np.abs(n)
        saturates = (magnitude > window) & (magnitude <= window + self.tolerance)
        return np.where(saturates, np.sign(n) * window, n)


class QuantisedSites:
    """`dots`: for each weight (its key), the encodings and symbols of its products in order.

    `lookups`: the symbols of weights of which rows are taken.
    """

    def __init__(self, program: Path):
        self.packed = PackedFile(program / "weights.sqw")
        text = (program / "quantized.mlir").read_text()
        self.source: dict[str, str] = {}
        self.transposed: dict[str, bool] = {}
        for symbol, source, permutation in _WEIGHTS.findall(text):
            self.source[symbol] = source
            self.transposed[symbol] = permutation == "1, 0"
        self.dots: dict[str, list[tuple[Encoding, str]]] = {}
        self.lookups: dict[str, str] = {}
        encodings: dict[str, Encoding] = {}
        for line in text.splitlines():
            if match := _ENCODE.search(line):
                encodings[match[1]] = self._encoding(match[2])
            elif match := _INTEGRATE.search(line):
                dots = self.dots.setdefault(self.source[match[2]], [])
                dots.append((encodings[match[1]], match[2]))
            elif match := _LOOKUP.search(line):
                self.lookups[self.source[match[1]]] = match[1]

    def _encoding(self, attributes: str) -> Encoding:
        def find(pattern: str) -> str:
            return re.search(pattern, attributes)[1]

        bits = self.packed.array(find(r"bits = @([^ ,}]+)"))
        step = np.float32(find(r"step = (\S+) : f32"))
        return Encoding(find(r'site = "([^"]+)"'), step, bits, int(find(r"tolerance = (\d+)")))

    def weight(self, symbol: str) -> np.ndarray:
        """s_w W as the file of weights holds it."""
        integers, scales = self.packed.integers(symbol)
        reals = integers * scales[:, None].astype(np.float64)
        return reals.T if self.transposed[symbol] else reals

"""Operations of a layer by an independent count of explicit spikes, with NumPy."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import ceil, log2

import numpy as np

CODES = ["integer", "count", "rate", "binary_planes", "signed_digits", "one_spike"]
CODES += ["ladder", "gated"]


def planes(count: int) -> list[int]:
    """Binary digits, one per spike."""
    return [1 for digit in bin(abs(count))[2:] if digit == "1"]


def non_adjacent(count: int) -> list[int]:
    digits, rest = [], abs(count)
    while rest:
        digit = 2 - rest % 4 if rest % 2 else 0
        digits.append(digit)
        rest = (rest - digit) // 2
    return [digit for digit in digits if digit]


SPIKES = {
    "count": lambda count: [1] if count else [],
    "rate": lambda count: [1] * abs(count),
    "binary_planes": planes,
    "signed_digits": non_adjacent,
    "one_spike": lambda count: [1] if count else [],
    "ladder": lambda count: [1] * abs(count),
    "gated": lambda count: [1] * abs(count),
}


@dataclass(frozen=True)
class CountedLayer:
    weights: np.ndarray  # [outputs, inputs]
    counts: np.ndarray  # [rows, inputs]
    windows: np.ndarray  # Larger counts are salient.
    bits: np.ndarray  # Per channel, of a dense count.
    lo: int
    hi: int
    membrane_bits: int

    def weight_bits(self) -> int:
        bits = 1
        while self.weights.max() >= 2 ** (bits - 1) or self.weights.min() < -(2 ** (bits - 1)):
            bits += 1
        return bits

    def salient(self) -> int:
        return int((abs(self.counts) > self.windows).sum())

    def spikes_and_events(self, code: str) -> tuple[int, int]:
        targets = np.count_nonzero(self.weights, axis=0)
        spikes = events = 0
        for channel, column in enumerate(self.counts.T):
            for count, times in Counter(column.tolist()).items():
                train = len(SPIKES[code](count))
                sent = train
                if abs(count) > self.windows[channel]:
                    sent, train = 1, 1 if code == "count" else len(planes(count))
                spikes += sent * times
                events += train * times * int(targets[channel])
        return spikes, events

    def expected(self, code: str) -> dict:
        rows, (outputs, inputs) = len(self.counts), self.weights.shape
        fires, rails = rows * outputs, 2 if self.lo < 0 else 1
        levels, steps = self.hi - self.lo, max(self.hi, -self.lo) * rails
        spikes, events = (0, 0) if code == "integer" else self.spikes_and_events(code)
        if code == "ladder":
            events *= levels
        if code == "gated":
            spikes += 3 * rows
            events = (events + 3 * fires) * rails
        ramps = fires * int(self.windows.max()) if code == "one_spike" else 0
        dense = code == "integer"
        additions = fires * inputs if dense else events + ramps
        search = ceil(log2(levels + 1))
        compared = {"rate": steps, "one_spike": steps, "gated": steps, "ladder": levels}
        comparisons = fires * compared.get(code, search)
        membranes = 2 * fires if dense else 2 * additions + comparisons
        return {
            "spikes": spikes,
            "synaptic_events": events,
            "additions": additions,
            "multiplications": {"integer": additions, "count": events}.get(code, 0),
            "comparisons": comparisons,
            "bytes": {
                "weights": ceil((additions if dense else events) * self.weight_bits() / 8),
                "counts": ceil(fires * int(self.bits.sum()) / 8) if dense else 0,
                "events": 4 * (self.salient() if dense else spikes),
                "membranes": ceil(membranes * self.membrane_bits / 8),
            },
        }

"""Operation counts per layer and code against a count of explicit spikes."""

from __future__ import annotations

import json
from math import ceil, log2

import numpy as np
import pytest
from neuromorphic_cases import CASES, translate


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
    "rate": lambda count: [1] * abs(count),
    "binary_planes": planes,
    "signed_digits": non_adjacent,
    "one_spike": lambda count: [1] if count else [],
    "ladder": lambda count: [1] * abs(count),
}


@pytest.mark.parametrize("chain", CASES, ids=lambda chain: chain.name)
def test_counts(chain, tmp_path):
    report = json.loads(translate("counts", chain, tmp_path).read_text())
    assert report["samples"] == len(chain.inputs)
    counts, window = chain.counts(), chain.windows().max()
    for layer, described in zip(chain.layers, report["layers"], strict=True):
        outputs, inputs = layer.weights.shape
        fires, levels = len(counts) * outputs, layer.hi - layer.lo
        steps = layer.hi * (2 if layer.lo < 0 else 1)
        search = ceil(log2(levels + 1))
        integer = described["codes"].pop("integer")
        assert integer["multiplications"] == integer["additions"] == fires * inputs
        assert integer["comparisons"] == fires * search
        assert set(described["codes"]) == set(SPIKES)
        for code, found in described["codes"].items():
            spikes = events = 0
            for sample in counts:
                for channel, count in enumerate(sample):
                    for _ in SPIKES[code](int(count)):
                        spikes += 1
                        targets = np.count_nonzero(layer.weights[:, channel])
                        events += targets * (levels if code == "ladder" else 1)
            ramp = fires * window if code == "one_spike" else 0
            comparisons = {"rate": steps, "one_spike": steps, "ladder": levels}.get(code, search)
            assert found == {
                "spikes": spikes,
                "synaptic_events": events,
                "additions": events + ramp,
                "multiplications": 0,
                "comparisons": fires * comparisons,
            }, code
        counts, window = layer.fire(counts), max(layer.hi, -layer.lo)

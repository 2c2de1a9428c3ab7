"""Functions between matrices as integers: every count again, and the real function behind it."""

from __future__ import annotations

import re
from math import erf, exp, sqrt, tanh

import numpy as np
import pytest
from test_equality import assert_equal_runs
from test_fold import compile_zoo, windowed
from test_zoo import GRAPHS

from benchmarks.accuracy.packed import PackedFile

LIMIT = 2**31 - 1


def clamp(x: int, lo: int, hi: int) -> int:
    return max(lo, min(hi, x))


def grid(acc: np.ndarray, rates: np.ndarray) -> list[list[int]]:
    return [
        [
            clamp(((int(a) * int(m) + 2 ** (int(s) - 1)) >> int(s)) + int(b), -LIMIT, LIMIT)
            for a, m, s, b in zip(row, *rates, strict=True)
        ]
        for row in acc
    ]


def table(x: int, entries: np.ndarray, lo: int, slopes: tuple[int, int]) -> int:
    c = clamp(x, lo, lo + len(entries) - 1)
    beyond = (slopes[x > c] * (x - c) + 2**23) >> 24
    return clamp(int(entries[c - lo]) + beyond, -LIMIT, LIMIT)


def attribute(line: str, name: str, default: int = 0) -> int:
    found = re.search(rf"\b{name} = (?:array<i64: )?(-?\d+)", line)
    return int(found[1]) if found else default


def per_channel(line: str, name: str, channels: int) -> list[int]:
    """One value for all, or one each: centres differ."""
    values = [int(v) for v in re.search(rf"\b{name} = array<i64: ([^>]*)>", line)[1].split(",")]
    return values * channels if len(values) == 1 else values


def silu(x: float) -> float:
    return x / (1 + exp(-x)) if x > -700 else 0.0


def gelu(x: float) -> float:
    return x * 0.5 * (1 + erf(x / sqrt(2)))


def gelu_tanh(x: float) -> float:
    return 0.5 * x * (1 + tanh(sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


class Site:
    """The operations before one fire of quantized.mlir."""

    def __init__(self, text: str, line: str):
        self.text, self.line = text, line
        self.name = re.search(r'site = "([^"]+)"', line)[1]
        self.shift = attribute(line, "shift")
        self.step = float(re.search(r"spikequant.step = (\S+)", line)[1])
        before = text[: text.index(line)].splitlines()
        self.grids = [row for row in before if "spikequant.grid %" in row]
        self.table = [row for row in before if "spikequant.table %" in row][-1]

    def rates_of(self, row: str) -> tuple[str, str, float]:
        """Symbol of the rates, of the weights, and the unit."""
        rates = re.search(r"@([^ ]+) :", row)[1]
        declared = self.text.split(f"weights @{rates} :", 1)[1].split("\n", 1)[0]
        unit = float(re.search(r"unit = (\S+)", declared)[1])
        return rates, re.search(r"weights = @([^ ,]+)", declared)[1], unit


def behind_tables(text: str) -> list[str]:
    """The fires whose input a table made, since the fire before."""
    lines, found = [], False
    for row in text.splitlines():
        found = found or "spikequant.table %" in row
        if "spikequant.step = " in row:
            lines += [row] * found
            found = False
    return lines


def check_site(site: Site, packed: PackedFile, taps, function, gated: bool) -> None:
    rows = site.grids[-2:] if gated else site.grids[-1:]
    (rates, weights, unit), *up = [site.rates_of(row) for row in rows]
    entries = packed.array(re.search(r"@(function[.\d]*)", site.table)[1])
    lo = attribute(site.table, "lo")
    slopes = attribute(site.table, "low_slope"), attribute(site.table, "high_slope")
    numbers = grid(taps[f"{weights}.acc"], packed.array(rates))
    values = [[table(x, entries, lo, slopes) for x in row] for row in numbers]
    products = values
    if gated:
        others = grid(taps[f"{up[0][1]}.acc"], packed.array(up[0][0]))
        products = [
            [a * b for a, b in zip(*pair, strict=True)] for pair in zip(values, others, strict=True)
        ]
    multipliers, biases = (
        per_channel(site.line, name, len(products[0])) for name in ("multipliers", "biases")
    )
    counts = [
        [
            clamp((p * m + b) >> site.shift, -32767, 32767)
            for p, m, b in zip(row, multipliers, biases, strict=True)
        ]
        for row in products
    ]
    expected = windowed(np.array(counts), packed.array(f"{site.name}.bits"))
    assert np.array_equal(expected, taps[f"{site.name}.counts"])
    assert np.count_nonzero(expected) > 0
    # The table is the function at its grid; its unit follows from the threshold.
    assert len(set(multipliers)) == 1
    out = multipliers[0] / 2**site.shift * site.step / (up[0][2] if gated else 1)
    scale = 2.0 ** round(np.log2(out))
    exact = np.array([function((lo + i) * unit) for i in range(len(entries))])
    constant = out / scale  # 1/2 of a gelu may be in the threshold
    assert np.abs(entries * scale * constant - exact).max() <= 0.51 * scale * constant + 1e-6
    far = [function(x) for x in (lo * unit * 3, -lo * unit * 3)]
    ends = [table(3 * lo, entries, lo, slopes), table(-3 * lo, entries, lo, slopes)]
    assert np.allclose(np.array(ends) * out, far, rtol=1e-3, atol=0.01)


FAMILIES = {
    "qwen": (silu, True),
    "gpt2": (gelu_tanh, False),
    "gemma": (gelu_tanh, True),
    "encoder": (gelu_tanh, False),
    "neox": (gelu, False),
}


@pytest.mark.parametrize(
    "name",
    [
        "qwen",
        "gpt2",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("gemma", "encoder", "neox")),
    ],
)
def test_every_count(name, tmp_path):
    """Reference, one and two threads agree, and so do Python's integers from the membranes."""
    function, gated = FAMILIES[name]
    program, report = compile_zoo(name, tmp_path)
    inputs = {f"arg{i}": a for i, a in enumerate(GRAPHS[name].arrays())}
    assert assert_equal_runs(program, "main", inputs, tmp_path) > 0
    text = (program / "quantized.mlir").read_text()
    lines = behind_tables(text)
    assert lines
    packed = PackedFile(program / "weights.sqw")
    with np.load(tmp_path / "taps.npz") as taps:
        for line in lines:
            check_site(Site(text, line), packed, taps, function, gated)
    named = {entry["name"] for entry in report["islands"]}
    assert "gating" not in named
    steps = {site["site"]: site["step"] for site in report["encode_sites"]}
    assert all(step > 0 for step in steps.values())


def test_option_keeps_real_functions(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    _, tables = compile_zoo("qwen", tmp_path / "a")
    _, real = compile_zoo("qwen", tmp_path / "b", real_activations=True)
    assert "activation function" in {entry["name"] for entry in real["islands"]}
    assert "activation function" not in {entry["name"] for entry in tables["islands"]}
    assert tables["decodes"] < real["decodes"]
    assert tables["real_operations"] < real["real_operations"]

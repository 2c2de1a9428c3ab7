"""The residual stream in fixed point: counts against exact fractions, and what is left real."""

from __future__ import annotations

import re
from fractions import Fraction
from math import floor
from pathlib import Path

import numpy as np
import pytest
from test_equality import assert_equal_runs
from test_fold import compile_zoo, windowed
from test_zoo import GRAPHS

from benchmarks.accuracy.packed import PackedFile

# What this fold leaves nothing of.
STREAM = {"residual", "normalised values", "bias", "added positions", "embedding"}
SLOW = ("gemma", "encoder", "neox")


def real_attributes(text: str, line: str) -> dict[str, str]:
    rates = re.search(r" rates = @([^ ,}]+)", line)[1]
    declared = re.search(rf"@{re.escape(rates)} : .*#spikequant.count_rates<([^>]*)>", text)[1]
    found = dict(part.split(" = ") for part in declared.split(", "))
    found["input unit"] = re.search(r" unit = (\S+) : f32", line)[1]
    return {name: value.removesuffix(" : f32") for name, value in found.items()}


def channels(packed: PackedFile, symbol: str | None, size: int, absent: float) -> list[Fraction]:
    array = packed.array(symbol[1:]) if symbol else np.full(size, absent, np.float32)
    return [Fraction(float(value)) for value in array]


def check_site(text: str, line: str, packed: PackedFile, taps) -> int:
    """Every count is floor((x unit q - z) a / step + 1/2), but where v is near an integer."""
    site = re.search(r'site = "([^"]+)"', line)[1]
    found = real_attributes(text, line)
    unit, step = Fraction(float(found["input unit"])), Fraction(float(np.float32(found["step"])))
    x, counts = taps[f"{site}.x"], taps[f"{site}.counts"]
    assert x.dtype == np.int32
    size = x.shape[1]
    scaled = f"{site}.row_scale" in taps
    rows = taps[f"{site}.row_scale"].reshape(-1) if scaled else np.ones(len(x), np.float32)
    gains = channels(packed, found.get("gains"), size, 1.0)
    centres = channels(packed, found.get("centres"), size, 0.0)
    fine = Fraction(1, 2**20) if scaled else unit
    slack = [abs(a / step) * fine for a in gains]
    raw = np.zeros(x.shape, int)
    loose = np.zeros(x.shape, bool)
    for i, j in np.ndindex(*x.shape):
        value = int(x[i, j]) * unit * Fraction(float(rows[i]))
        v = (value - centres[j]) * gains[j] / step + Fraction(1, 2)
        near = slack[j] + abs(v) / 2**29
        raw[i, j] = max(-32767, min(32767, floor(v)))
        loose[i, j] = floor(v - near) != floor(v + near)
    bits = re.search(r"bits = @([^ ,}]+)", line)
    expected = windowed(raw, packed.array(bits[1])) if bits else raw
    assert np.array_equal(counts[~loose], expected[~loose])
    assert np.abs(raw[loose]).size < max(2, raw.size // 100)
    return raw.size


@pytest.mark.parametrize(
    "name", ["qwen", "gpt2", *(pytest.param(n, marks=pytest.mark.slow) for n in SLOW)]
)
def test_every_count(name: str, tmp_path: Path):
    """Reference, one and two threads agree; counts of the stream are the exact ones."""
    program, report = compile_zoo(name, tmp_path)
    inputs = {f"arg{i}": a for i, a in enumerate(GRAPHS[name].arrays())}
    assert assert_equal_runs(program, "main", inputs, tmp_path) > 0
    text = (program / "quantized.mlir").read_text()
    lines = [row for row in text.splitlines() if "encode" in row and " rates = @" in row]
    packed = PackedFile(program / "weights.sqw")
    with np.load(tmp_path / "taps.npz") as taps:
        assert sum(check_site(text, line, packed, taps) for line in lines) > 0
    islands = {entry["name"] for entry in report["islands"]}
    assert not islands & STREAM
    assert "norm row" in islands


@pytest.mark.parametrize("isa", ["portable"])
def test_portable_counts(isa: str, tmp_path: Path):
    program, _ = compile_zoo("opt", tmp_path, isa=isa)
    inputs = {f"arg{i}": a for i, a in enumerate(GRAPHS["opt"].arrays())}
    assert assert_equal_runs(program, "main", inputs, tmp_path) > 0


def test_option_keeps_the_stream_real(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    _, fixed = compile_zoo("gpt2", tmp_path / "a")
    _, real = compile_zoo("gpt2", tmp_path / "b", real_residual=True)
    assert {"residual", "normalised values"} <= {entry["name"] for entry in real["islands"]}
    assert fixed["decodes"] < real["decodes"]
    assert fixed["real_operations"] < real["real_operations"]

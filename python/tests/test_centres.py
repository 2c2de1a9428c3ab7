"""Windows around centres and biases for the means of errors: what they are worth on a GELU."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from graph_runs import run_program

from benchmarks.accuracy.packed import PackedFile
from spikequant.calibrate import CalibrationOptions, calibrate_inputs
from spikequant.compiler import CompileOptions, compile_model

_ROWS, _DRAWS = 64, 24


def _network():
    random = np.random.default_rng(0)
    first, second = (
        jnp.asarray(random.normal(size=s) / s[0] ** 0.5, jnp.float32)
        for s in ((48, 192), (192, 24))
    )
    return lambda x: jax.nn.gelu(x @ first) @ second


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """The graph, its calibration, the same without signs, and inputs [draws, rows, 48]."""
    folder = tmp_path_factory.mktemp("centres")
    source, signed = folder / "g.mlir", folder / "signed.json"
    lowered = jax.jit(_network()).lower(jnp.zeros((_ROWS, 48), jnp.float32))
    source.write_text(lowered.as_text())
    draw = np.random.default_rng(1).normal(size=(_DRAWS, _ROWS, 48)).astype(np.float32)
    np.savez(folder / "batch.npz", arg0=draw)
    calibrate_inputs(source, None, folder / "batch.npz", signed)
    data = json.loads(signed.read_text())
    assert data["version"] == 3
    for site in data["sites"]:
        for channel in site["channels"]:
            del channel["negative"]
    unsigned = folder / "unsigned.json"
    unsigned.write_text(json.dumps({**data, "version": 2}))
    return source, signed, unsigned, draw


def _compiled(folder, source, calibration, draw, fold):
    """Results of all draws, and the program's text."""
    options = CompileOptions(calibration=calibration, bits=3.5, weight_bits=8, fold=fold)
    compile_model(source, folder, options)
    results = [run_program(folder, [x])[0] for x in draw]
    return np.stack(results), (folder / "quantized.mlir").read_text()


@pytest.mark.parametrize("fold", [True, False])
def test_mean_and_error_are_smaller(calibrated, tmp_path, fold):
    """The error of a mean over rows is one sign's: biases take it away. All of it gets smaller."""
    source, signed, unsigned, draw = calibrated
    expected = np.stack([np.asarray(_network()(x)) for x in draw])
    centred, text = _compiled(tmp_path / "signed", source, signed, draw, fold)
    plain, plain_text = _compiled(tmp_path / "unsigned", source, unsigned, draw, fold)
    assert ".bias" in text and ("centres" in text or fold)
    assert ".bias" not in plain_text and "centres" not in plain_text
    means = [np.linalg.norm((r - expected).mean(axis=(0, 1))) for r in (centred, plain)]
    errors = [np.linalg.norm(r - expected) for r in (centred, plain)]
    assert means[0] < 0.35 * means[1]
    assert errors[0] < 0.9 * errors[1]


@pytest.mark.parametrize("level", [1e-4, 0.30003])
def test_channels_that_grams_see_rounded(tmp_path, level):
    """Constant ones, of which the grid of a Gram matrix misses all or a part: squares around their
    means came out negative."""
    random = np.random.default_rng(0)
    first = random.normal(size=(48, 192)).astype(np.float32) / 7
    first[:, ::3] = 0
    second = random.normal(size=(192, 24)).astype(np.float32) / 14
    source, calibration = tmp_path / "g.mlir", tmp_path / "c.json"
    graph = jax.jit(lambda x: jax.nn.gelu(x @ first + level) @ second)
    source.write_text(graph.lower(jnp.zeros((_ROWS, 48), jnp.float32)).as_text())
    draw = np.random.default_rng(1).normal(size=(_DRAWS, _ROWS, 48)).astype(np.float32)
    np.savez(tmp_path / "batch.npz", arg0=draw)
    options = CalibrationOptions(grams=True)
    calibrate_inputs(source, None, tmp_path / "batch.npz", calibration, options=options)
    compile_model(source, tmp_path / "out", CompileOptions(calibration=calibration, bits=4))
    report = json.loads((tmp_path / "out" / "compile.json").read_text())
    assert report["rounding"] == "second-order"


def _bins(runs: str) -> dict[int, int]:
    pairs = (run.split(":") for run in runs.split())
    return {int(a) + i: int(n) for a, b in pairs for i, n in enumerate(b.split(","))}


def _pieces(channel: dict) -> list[tuple[int, Fraction, Fraction]]:
    """Counts and bounds of the signed bins."""
    every, negative = _bins(channel["bins"]), _bins(channel["negative"])
    pieces = []
    for i, count in every.items():
        low, high = (
            (Fraction(8 + b % 8, 8) * Fraction(2) ** (b // 8 - 24) for b in (i - 1, i))
            if i
            else (Fraction(0), Fraction(0))
        )
        below = negative.get(i, 0)
        pieces += [(below, -high, -low), (count - below, low, high)]
    return [piece for piece in pieces if piece[0]]


def _mean_count(low: Fraction, high: Fraction, step: Fraction, centre: Fraction, window: int):
    """E[n] of values spread evenly from low to high, windows with tolerance 1."""

    def count(n: int) -> int:
        return int(math.copysign(window, n)) if abs(n) == window + 1 else n

    def number(x: Fraction) -> int:
        return math.floor((x - centre) / step + Fraction(1, 2))

    if low == high:
        return Fraction(count(number(low)))
    total = Fraction(0)
    for n in range(number(low), number(high) + 1):
        ends = [centre + (n + Fraction(k, 2)) * step for k in (-1, 1)]
        inside = min(high, ends[1]) - max(low, ends[0])
        total += max(inside, 0) * count(n)
    return total / (high - low)


def test_biases_are_those_of_exact_fractions(calibrated, tmp_path):
    """b_o = sum_j W_oj E[x_j - s n_j] of the calibration's histograms."""
    source, signed, _, draw = calibrated
    _, text = _compiled(tmp_path / "p", source, signed, draw[:1], fold=False)
    packed = PackedFile(tmp_path / "p" / "weights.sqw")
    report = json.loads((tmp_path / "p" / "compile.json").read_text())
    site = next(s for s in report["encode_sites"] if s["channels"] == 192)
    name = site["site"]
    bits = packed.array(f"{name}.bits")
    centres = packed.array(f"{name}.centres")
    bias = packed.array(name.removesuffix(".in") + ".bias")
    channels = next(
        s["channels"] for s in json.loads(signed.read_text())["sites"] if s["name"] == name
    )
    step, offsets = Fraction(site["step"]), []
    for b, z, channel in zip(bits, centres, channels, strict=True):
        window = 2 ** (int(b) - 1) - 1 if b > 1 else 0
        rows = sum(n for n, _, _ in _pieces(channel))
        offset = sum(
            n * ((low + high) / 2 - step * _mean_count(low, high, step, Fraction(float(z)), window))
            for n, low, high in _pieces(channel)
        )
        offsets.append(float(offset / rows))
    random = np.random.default_rng(0)
    random.normal(size=(48, 192))
    weights = np.float32(random.normal(size=(192, 24)) / 192**0.5).astype(float)
    assert "spikequant.encode" in text or "spikequant.fire" in text
    scale = np.abs(np.asarray(offsets) @ np.abs(weights)).max()
    np.testing.assert_allclose(bias, np.asarray(offsets) @ weights, atol=1e-5 * scale)

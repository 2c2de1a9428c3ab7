"""Folded programs: integers against exact fractions, and what stays real."""

from __future__ import annotations

import re
from fractions import Fraction
from math import floor
from pathlib import Path

import numpy as np
import pytest
from graph_runs import calibrate_zoo_graph
from graph_zoo_families import FAMILY_GRAPHS
from test_equality import assert_equal_runs
from test_zoo import GRAPHS as ZOO

from benchmarks.accuracy.packed import PackedFile
from spikequant.compiler import CompileOptions, compile_model

GRAPHS = {**ZOO, **FAMILY_GRAPHS}


def compile_zoo(name: str, folder: Path, **options) -> tuple[Path, dict]:
    """The zoo graph `name`, calibrated and compiled; compile.json."""
    graph = GRAPHS[name]
    source, weights = calibrate_zoo_graph(graph, folder, batches=4)
    settings = CompileOptions(
        calibration=folder / "calib", weights=weights, bits=4.5, taps=True, **options
    )
    return folder / "out", compile_model(source, folder / "out", settings)


def real_counts(acc: np.ndarray, rate: list[Fraction], offset: list[Fraction]) -> np.ndarray:
    """floor(acc * rate + offset), exactly, limited to what a count can hold."""
    rows = [
        [
            max(0, min(32767, floor(int(a) * r + o)))
            for a, r, o in zip(row, rate, offset, strict=True)
        ]
        for row in acc
    ]
    return np.array(rows)


def windowed(counts: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """One step outside the window saturates."""
    limits = 2 ** np.maximum(bits.astype(int) - 1, 0) - 1
    size = np.abs(counts)
    return np.where(size == limits + 1, np.sign(counts) * limits, counts)


@pytest.mark.parametrize("isa", ["auto", "portable"])
def test_relu_fires(tmp_path, isa):
    """Bias and ReLU between two layers live in the threshold; OPT's feed-forward block."""
    program, report = compile_zoo("opt", tmp_path, isa=isa)
    inputs = {f"arg{i}": a for i, a in enumerate(GRAPHS["opt"].arrays())}
    assert assert_equal_runs(program, "main", inputs, tmp_path) > 0
    text = (program / "quantized.mlir").read_text()
    # Factors of attention products fire too, in both directions.
    site = re.search(r'spikequant\.fire [^}]*lo = 0 : i32, site = "([^"]+)"', text)[1]
    packed = PackedFile(program / "weights.sqw")
    table = packed.array(f"{site}.fire")
    source = text.split(f"@{site}.fire :", 1)[1].split("weights = @", 1)[1].split(",", 1)[0]
    scales = packed.scales(source)
    declared = text.split(f"@{site}.fire :", 1)[1].split("\n", 1)[0]
    step, output = (
        Fraction(float(np.float32(declared.split(f"{key} = ", 1)[1].split(" :", 1)[0])))
        for key in ("step", "output")
    )
    biases = packed.array(f"{site}.biases")
    rate = [step * Fraction(float(s)) / output for s in scales[: len(biases)]]
    offset = [Fraction(float(b)) / output + Fraction(1, 2) for b in biases]
    with np.load(tmp_path / "taps.npz") as taps:
        acc, counts = taps[f"{source}.acc"], taps[f"{site}.counts"]
    exact = windowed(real_counts(acc, rate, offset), packed.array(f"{site}.bits"))
    # Thresholds are rounded to 31 bits, membranes are below 2^24: a handful of ties at most.
    assert np.count_nonzero(exact != counts) <= 2e-6 * counts.size + 1
    assert np.count_nonzero(counts) > 0
    for channel, (r, o) in enumerate(zip(rate, offset, strict=True)):
        unit = 1 << int(table[4, channel])
        assert abs(int(table[2, channel]) - r * unit) <= 1
        assert abs(int(table[3, channel]) - o * unit) <= 1
    assert any(entry["name"] == "norm row" for entry in report["islands"])


def test_folding_removes_real_operations(tmp_path):
    """Fewer decodes and real operations than without; the same sites."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    _, folded = compile_zoo("opt", tmp_path / "a")
    _, plain = compile_zoo("opt", tmp_path / "b", fold=False)
    assert folded["decodes"] < plain["decodes"]
    assert folded["real_operations"] < plain["real_operations"]
    assert folded["integer_accumulations"] == plain["integer_accumulations"]
    names = [{site["site"] for site in report["encode_sites"]} for report in (folded, plain)]
    assert names[0] == names[1]


# Per family with real products of activations, from its definition: decodes outside named islands
# (one per linear layer but fired and last ones), encodes, those with a norm's factors in the
# threshold, those of them with a bias, fires (functions between matrices among them; Gemma's other
# one caps its scores), and the islands outside named ones that its kind of block must have.
FAMILIES = {
    "opt": (5, 4, 3, 3, 1, {"residual", "bias", "product of activations", "added positions"}),
    "gemma": (10, 7, 5, 0, 2, {"activation function", "rotary embedding"}),
}
SLOW_FAMILIES = {
    "gpt2": (6, 7, 5, 5, 2, {"residual", "mask"}),
    "neox": (6, 7, 5, 5, 2, {"residual", "rotary embedding"}),
    # Rows are sliced between the last norm and the head.
    "encoder": (5, 4, 3, 3, 1, {"row statistics", "mask"}),
    "qwen": (10, 7, 5, 0, 2, {"residual", "rotary embedding"}),
    # Norms are transposed before the layers that mix tokens, split into groups before the others.
    "mixer": (6, 6, 0, 0, 2, {"residual", "normalised values"}),
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *FAMILIES.items(),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW_FAMILIES.items()),
    ],
)
def test_families(name, expected, tmp_path):
    """What folds in each family of graphs, and which islands it leaves."""
    decodes, encodes, normed, biased, fires, islands = expected
    # Without centres of the calibration: those that are found come from folding alone.
    settings = {"attention_bits": 0, "centres": False, "real_residual": True}
    program, report = compile_zoo(name, tmp_path, **settings)
    text = (program / "quantized.mlir").read_text()
    words = ("spikequant.encode %", "row_scale(", "gains = @", "centres = @", "spikequant.fire %")
    found = [text.count(word) for word in words]
    assert found == [encodes, normed, normed, biased, fires]
    assert report["decodes"] == decodes
    entries = {entry["name"]: entry for entry in report["islands"]}
    assert islands <= entries.keys()
    assert entries["softmax row"]["named"] if name != "mixer" else "softmax row" not in entries
    assert not any(entries[island]["named"] for island in islands)
    assert all(entry["reason"] for entry in report["islands"])
    assert sum(entry["decodes"] for entry in report["islands"]) >= decodes

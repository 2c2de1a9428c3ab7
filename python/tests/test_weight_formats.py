"""Codes of every width and group, chosen by hand or within a budget."""

from __future__ import annotations

import json

import jax.numpy as jnp
import numpy as np
import pytest
from graph_cases import GraphCase
from safetensors.numpy import save_file
from test_equality import assert_equal_runs, compile_with_taps

from benchmarks.accuracy.packed import PackedFile
from spikequant import bundle, cli
from spikequant.calibrate import calibrate_inputs
from spikequant.errors import SpikeQuantError

WIDTHS = (96, 80, 72, 33)
# The last one computes the result: a head.
LAYERS = tuple(zip(WIDTHS, WIDTHS[1:], strict=False))
ROWS = 5


def network(x, *weights):
    for w in weights[:-1]:
        x = jnp.tanh(x @ w)
    return x @ weights[-1]


CASE = GraphCase(network, [(ROWS, WIDTHS[0]), *LAYERS], weights=(1, 2, 3))


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """Paths of the graph, its weights and its calibration; the weights themselves."""
    folder = tmp_path_factory.mktemp("formats")
    graph, weights = folder / "g.mlir", folder / "g.safetensors"
    graph.write_text(CASE.text())
    random = np.random.default_rng(5)
    sizes = (0.3, 0.03, 0.1)
    arrays = [
        (s * random.standard_normal(shape)).astype(np.float32)
        for s, shape in zip(sizes, LAYERS, strict=True)
    ]
    save_file({f"arg{i + 1}": array for i, array in enumerate(arrays)}, weights)
    x = random.standard_normal((12, ROWS, WIDTHS[0])) * np.exp(random.normal(size=WIDTHS[0]))
    np.savez(folder / "in.npz", arg0=x.astype(np.float32))
    calibrate_inputs(graph, weights, folder / "in.npz", folder / "calib", grams=True)
    return graph, weights, folder / "calib", arrays, x[0].astype(np.float32)


@pytest.mark.parametrize(
    ("bits", "group", "rounding", "isa"),
    [
        (2, 32, "nearest", "auto"),
        (2, 0, "second-order", "portable"),
        (3, 64, "second-order", "auto"),
        (3, 32, "nearest", "portable"),
        (4, 0, "second-order", "auto"),
        (5, 32, "nearest", "auto"),
        (6, 64, "second-order", "auto"),
        (6, 0, "nearest", "portable"),
        (7, 32, "second-order", "auto"),
        (4, 16, "second-order", "auto"),
        (5, 16, "nearest", "portable"),
        (8, 128, "second-order", "auto"),
    ],
)
def test_reference_equals_processor(calibrated, tmp_path, bits, group, rounding, isa):
    graph, weights, calibration, arrays, x = calibrated
    options = {"weight_bits": bits, "head_bits": bits, "group": group, "rounding": rounding}
    program = compile_with_taps(
        graph, tmp_path / "p", weights=weights, calibration=calibration, isa=isa, bits=6, **options
    )
    assert assert_equal_runs(program, "main", {"arg0": x}, tmp_path) > 0
    file = PackedFile(program / "weights.sqw")
    for i, array in enumerate(arrays):
        entry = file.entries[f"arg{i + 1}.codes"]
        n, k = array.shape[1], array.shape[0]
        assert (entry["bits"], entry["group"]) == (bits, min(group or k, k))
        # No more than that many bits for each of the padded weights, a byte for each multiplier and
        # one or two for each offset.
        parameters = -(-k // entry["group"]) * (1 + entry["offset_bits"] // 8)
        size = -(-n // 16) * 16 * (-(-k // 8) * bits + parameters)
        assert entry["blobs"]["codes"]["bytes"] == -(-size // 64) * 64
        error = np.linalg.norm(file.real(f"arg{i + 1}.codes") - array.T) / np.linalg.norm(array)
        # Second order moves errors to where few inputs see them.
        assert error < (1.5 if rounding == "nearest" else 8) * 0.5**bits


def budgeted(calibrated, out, budget) -> dict:
    graph, weights, calibration, *_ = calibrated
    options = ("--calibration", calibration, "--weight-budget", budget, "--bits", 8)
    words = ("compile", graph, "--weights", weights, *options, "-o", out)
    assert cli.main([str(word) for word in words]) == 0
    return json.loads((out / "compile.json").read_text())


def test_budget_is_met_and_spent_where_it_counts(calibrated, tmp_path):
    """The mean is below the budget; formats are those of the file; more bits, less error."""
    _, _, calibration, arrays, _ = calibrated
    last = 0.0
    for budget in (2.9, 3.6, 5.5):
        report = budgeted(calibrated, tmp_path / str(budget), budget)
        file = PackedFile(tmp_path / str(budget) / "weights.sqw")
        stored = 0.0
        for i in range(len(arrays)):
            entry, chosen = (
                source[f"arg{i + 1}.codes"] for source in (file.entries, report["weight_formats"])
            )
            n, k = entry["n"], entry["k"]
            assert entry["bits"] == chosen["bits"]
            assert entry["group"] == min(chosen["group"] or k, k)
            each = entry["bits"] + 16 / entry["group"] + 32 / k
            assert chosen["stored_bits"] == pytest.approx(each)
            stored += each * n * k if i < 2 else 0.0
        assert file.entries["arg3.codes"]["bits"] == 8  # the head has its own bits
        mean = stored / sum(array.size for array in arrays[:2])
        assert last < mean <= budget + 1e-9
        last = mean


def test_error_budget_too_small(calibrated, tmp_path, capsys):
    graph, weights, calibration, *_ = calibrated
    words = ("compile", graph, "--weights", weights, "--calibration", calibration)
    assert cli.main([*map(str, words), "--weight-budget", "2.1", "-o", str(tmp_path / "p")]) == 1
    message = capsys.readouterr().err
    assert "a mean of 2.1 bits per weight cannot be met: the smallest formats take 2.54" in message
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("options", [{"head_bits": 6}, {"head_bits": 4, "weight_budget": 5.5}])
def test_model_with_tied_embedding(tiny_bundle, calibration, tmp_path, options):
    """The same codes as rows of the embedding and as the head."""
    program = compile_with_taps(
        tiny_bundle, tmp_path / "p", calibration=calibration, bits=6, graphs=None, **options
    )
    rng = np.random.default_rng(7)
    entry = bundle.read_model(tiny_bundle)["graphs"][0]
    tokens, _, *count = [a for a in entry["arguments"] if a["kind"] == "input"]
    length = tokens["shape"][0]
    inputs = {"arg0": rng.integers(0, 200, length).astype(np.int32), "arg1": np.int32(0)}
    inputs |= {f"arg{2 + i}": np.int32(length - 1) for i in range(len(count))}
    assert assert_equal_runs(program, entry["name"], inputs, tmp_path) > 0
    codes = PackedFile(program / "weights.sqw").entries["token_embd.codes"]
    assert codes["bits"] == options["head_bits"]


def test_error_budget_range(calibrated, tmp_path):
    with pytest.raises((SystemExit, SpikeQuantError)):
        cli.main(["compile", "g.mlir", "--weight-budget", "1", "-o", str(tmp_path / "p")])

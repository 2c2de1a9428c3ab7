"""Sensitivities: what an error at a site does to the loss, measured in two ways and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import TEXT
from tiny_chat import CONTEXTS

from spikequant import llama_fisher, sensitivity
from spikequant.arrays import save_arrays
from spikequant.calibrate import CalibrationOptions, calibrate_inputs
from spikequant.calibration_runs import ArrayRuns, TextRuns
from spikequant.compiler import PROBE, CompileOptions, compile_model
from spikequant.text import read_windows

TOKENS = 16  # a chunk


@pytest.fixture(scope="module")
def text_runs(tiny_bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("probe")
    graphs = [f"score_{CONTEXTS[0]}"]
    compile_model(tiny_bundle, folder / "program", CompileOptions(PROBE, graphs=graphs))
    windows = read_windows(tiny_bundle, TEXT / "calibration.txt", TOKENS, 12)
    save_arrays({folder / "in.npz": {"tokens": windows}})
    return TextRuns(folder / "program", folder / "in.npz", 1)


def test_gradients_agree_with_finite_differences(text_runs, tiny_bundle, monkeypatch):
    """XLA's gradients of the exported layers, against rounded sites of the compiled program."""
    monkeypatch.setattr(sensitivity, "_STEP_OVER_MEDIAN", 0.1)
    monkeypatch.setattr(llama_fisher, "_DRAWS", 40)
    names = text_runs.graph.sites
    finite, fisher = np.zeros(len(names)), np.zeros(len(names))
    model = llama_fisher.LlamaFisher(tiny_bundle)
    for unit, window in enumerate(text_runs.windows):
        values, rows = sensitivity.probe_sites(text_runs, unit)
        assert (rows == TOKENS).all()
        finite += values
        known, count = model.measure(window)
        assert known.keys() == set(names)
        assert count == TOKENS
        fisher += [known[name] for name in names]
    # Draws and errors of few tokens are noisy; a wrong factor or site would be far out.
    np.testing.assert_allclose(fisher, finite, rtol=0.35)


def test_probe_rounds_one_site(text_runs):
    """Steps of 0 change nothing to the bit, and a step changes the results."""
    count = len(text_runs.graph.sites)
    zero = np.zeros(count, np.float32)
    exact = [part.copy() for part in text_runs.results(0, zero)]
    again = list(text_runs.results(0, zero))
    assert all(np.array_equal(a, b) for a, b in zip(exact, again, strict=True))
    for site in range(count):
        steps = zero.copy()
        steps[site] = 0.5
        assert sensitivity.divergence(exact, text_runs.results(0, steps)) > 0


def test_divergence_of_distributions():
    random = np.random.default_rng(7)
    exact = random.standard_normal((5, 11)).astype(np.float32) * 3
    for size in (1e-3, 1e-1, 2):
        other = exact + size * random.standard_normal(exact.shape).astype(np.float32)
        p, q = (np.exp(x.astype(float)) for x in (exact, other))
        p, q = p / p.sum(1, keepdims=True), q / q.sum(1, keepdims=True)
        expected = (p * np.log(p / q)).sum(1).mean()
        assert sensitivity.divergence([exact], [other]) == pytest.approx(expected, rel=1e-3)


LINEAR = """\
module {
  func.func @main(%x: tensor<3x64xf32>, %w: tensor<64x16xf32>) -> tensor<3x16xf32> {
    %y = stablehlo.dot_general %x, %w, contracting_dims = [1] x [0]
        : (tensor<3x64xf32>, tensor<64x16xf32>) -> tensor<3x16xf32>
    return %y : tensor<3x16xf32>
  }
}
"""


@pytest.fixture
def linear(tmp_path):
    """A graph, its weights, and inputs of four items."""
    from safetensors.numpy import save_file

    random = np.random.default_rng(3)
    weight = random.standard_normal((64, 16)).astype(np.float32)
    (tmp_path / "graph.mlir").write_text(LINEAR)
    save_file({"arg1": weight}, tmp_path / "weights.safetensors")
    x = random.standard_normal((4, 3, 64)).astype(np.float32)
    x[3] = 0
    np.savez(tmp_path / "batch.npz", arg0=x)
    return tmp_path, x, weight


def test_linear_graph_by_hand(linear):
    folder, x, weight = linear
    files = folder / "graph.mlir", folder / "program"
    compile_model(*files, CompileOptions(PROBE, weights=folder / "weights.safetensors"))
    runs = ArrayRuns(folder / "program", folder / "batch.npz", 1, "batch.npz")
    values, rows = sensitivity.probe_sites(runs, 1)
    step = np.float32(0.5) * np.median(np.abs(x[1]))
    error = np.rint(x[1] / step) * step - x[1]
    loss = np.square(error @ weight).sum() / np.square(x[1] @ weight).sum()
    assert rows.tolist() == [3]
    assert values[0] == pytest.approx(loss / (np.square(error).sum() / 3), rel=1e-3)
    # A site of zeros has no error that could be measured.
    assert sensitivity.probe_sites(runs, 3)[1].tolist() == [0]


@pytest.mark.parametrize("jobs", [1, 2])
def test_calibration_of_a_graph(linear, jobs):
    import json

    folder, x, _ = linear
    settings = CalibrationOptions(jobs=jobs, sensitivity="auto")
    files = folder / "graph.mlir", folder / "weights.safetensors", folder / "batch.npz"
    calibrate_inputs(*files, folder / "calib", options=settings)
    (site,) = json.loads((folder / "calib").read_text())["sites"]
    assert site["rows"] == 12
    # Four items of three rows; the one of zeros cannot be measured.
    assert site["sensitivity"]["rows"] == 9
    assert int(site["sensitivity"]["sum"]) > 0


def test_fisher_is_for_bundles(linear, capsys):
    from spikequant import cli

    folder, _, _ = linear
    words = ["calibrate", folder / "graph.mlir", "--inputs", folder / "batch.npz"]
    words += ["--weights", folder / "weights.safetensors", "--sensitivity", "fisher"]
    assert cli.main(list(map(str, [*words, "-o", folder / "calib"]))) == 1
    assert "a graph takes finite" in capsys.readouterr().err
    assert not (folder / "calib").exists()

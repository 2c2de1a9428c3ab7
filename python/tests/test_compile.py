"""Single graphs: compiled, run on arrays, calibrated and quantised, against jaxlib."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest
from graph_cases import CASES
from safetensors.numpy import save_file

from spikequant import SpikeQuantError, cli
from spikequant.arrays import named_arguments
from spikequant.compiler import FLOAT, CompileOptions, compile_model
from spikequant.native import NativeModel


def write_case(case, folder):
    """Paths of the graph, of its weights (or None) and of its inputs."""
    graph, weights, inputs = (folder / name for name in ("g.mlir", "g.safetensors", "in.npz"))
    graph.write_text(case.text())
    arrays = case.arrays()
    if case.weights:
        save_file({f"arg{i}": arrays[i] for i in case.weights}, weights)
    rest = [i for i in range(len(arrays)) if i not in case.weights]
    np.savez(inputs, **{f"arg{i}": arrays[i] for i in rest})
    return graph, weights if case.weights else None, inputs


def run_cli(*words) -> None:
    assert cli.main([str(word) for word in words if word is not None]) == 0


@pytest.mark.parametrize("name", CASES)
def test_float_graph_equals_interpreter(name, tmp_path):
    case = CASES[name]
    graph, weights, inputs = write_case(case, tmp_path)
    given = ["--weights", weights] if weights else []
    run_cli("compile", graph, *given, "--float", "-o", tmp_path / "out")
    outputs = tmp_path / "out.npz"
    run_cli("run", tmp_path / "out", "--inputs", inputs, "--outputs", outputs, "--threads", 2)
    expected = case.expected(case.arrays())
    with np.load(outputs) as results:
        assert results.files == [f"out{i}" for i in range(len(expected))]
        for i, array in enumerate(expected):
            assert results[f"out{i}"].dtype == array.dtype
            np.testing.assert_allclose(results[f"out{i}"], array, rtol=2e-5, atol=2e-5)


def test_donated_argument_is_state(tmp_path):
    case = CASES["state"]
    graph, _, _ = write_case(case, tmp_path)
    compile_model(graph, tmp_path / "out", CompileOptions(FLOAT))
    model = NativeModel(tmp_path / "out")
    main = model.graph("main")
    x, state = case.arrays()
    given = named_arguments(model, main, {"arg0": x, "arg1": state}, "test")
    for _ in range(3):
        expected, expected_state = case.expected([x, state])
        result, state = main.run(given)
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(state, expected_state, rtol=1e-5, atol=1e-5)
        assert state is given["arg1"]
        state = state.copy()


def test_compiled_again_in_place(tmp_path):
    """The loader must not run the library that was there before."""
    for name in ("transposed_weight", "two_results", "transposed_weight"):
        case = CASES[name]
        graph, weights, inputs = write_case(case, tmp_path)
        run_cli("compile", graph, "--weights", weights, "--float", "-o", tmp_path / "out")
        run_cli("run", tmp_path / "out", "--inputs", inputs, "--outputs", tmp_path / "out.npz")
        expected = case.expected(case.arrays())[0]
        with np.load(tmp_path / "out.npz") as results:
            np.testing.assert_allclose(results["out0"], expected, rtol=1e-5, atol=1e-5)


def test_state_left_out_starts_as_zeros(tmp_path):
    case = CASES["state"]
    graph, _, inputs = write_case(case, tmp_path)
    x = case.arrays()[0]
    np.savez(inputs, arg0=x)
    run_cli("compile", graph, "--float", "-o", tmp_path / "out")
    run_cli("run", tmp_path / "out", "--inputs", inputs, "--outputs", tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as results:
        np.testing.assert_array_equal(results["out0"], np.zeros_like(x))
        np.testing.assert_allclose(results["out1"], x.T @ x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["layer", "constant_weight"])
def test_quantised_graph_is_near_the_float_one(name, tmp_path):
    """8-bit weights and 8 bits per activation: some percent of the largest value."""
    case = CASES[name]
    graph, weights, inputs = write_case(case, tmp_path)
    given = ["--weights", weights] if weights else []
    batch = tmp_path / "batch.npz"
    seeds = [case.arrays(seed) for seed in range(1, 30)]
    rest = [i for i in range(len(case.shapes)) if i not in case.weights]
    np.savez(batch, **{f"arg{i}": np.stack([arrays[i] for arrays in seeds]) for i in rest})
    calibration = tmp_path / "calib.json"
    run_cli("calibrate", graph, *given, "--inputs", batch, "-o", calibration)
    options = ["--calibration", calibration, "--bits", 8, "--weight-bits", 8, "--head-bits", 8]
    report = tmp_path / "compile.json"
    run_cli("compile", graph, *given, *options, "-o", tmp_path / "out", "--json", report)
    run_cli("run", tmp_path / "out", "--inputs", inputs, "--outputs", tmp_path / "out.npz")
    figures = json.loads(report.read_text())
    assert figures["sites"] == (2 if name == "layer" else 1)
    assert {"seconds", "peak_bytes", "decodes", "islands"} <= set(figures)
    expected = case.expected(case.arrays())[0]
    with np.load(tmp_path / "out.npz") as results:
        error = np.abs(results["out0"] - expected).max() / np.abs(expected).max()
    assert 0 < error < 0.1


def test_calibration_merges(tmp_path):
    """Two halves give the same file as the whole."""
    case = CASES["layer"]
    graph, weights, _ = write_case(case, tmp_path)
    seeds = [case.arrays(seed) for seed in range(1, 5)]
    parts = {"whole": seeds, "one": seeds[:1], "two": seeds[1:]}
    for part, some in parts.items():
        arrays = {f"arg{i}": np.stack([a[i] for a in some]) for i in (0, 2)}
        np.savez(tmp_path / f"{part}.npz", **arrays)
        source = ["calibrate", graph, "--weights", weights, "--inputs", tmp_path / f"{part}.npz"]
        run_cli(*source, "-o", tmp_path / part)
    run_cli("calibrate", "--merge", tmp_path / "two", tmp_path / "one", "-o", tmp_path / "sum")
    assert (tmp_path / "sum").read_bytes() == (tmp_path / "whole").read_bytes()


def test_observed_statistics_are_those_of_the_inputs(tmp_path):
    case = CASES["transposed_weight"]
    graph, weights, _ = write_case(case, tmp_path)
    x = np.stack([case.arrays(seed)[1] for seed in range(6)])
    np.savez(tmp_path / "in.npz", arg1=x)
    source = ["calibrate", graph, "--weights", weights, "--inputs", tmp_path / "in.npz"]
    run_cli(*source, "-o", tmp_path / "calib")
    (site,) = json.loads((tmp_path / "calib").read_text())["sites"]
    assert (site["name"], site["rows"]) == ("arg0.in", x.shape[0] * x.shape[1])
    largest = [channel["max"] for channel in site["channels"]]
    np.testing.assert_allclose(largest, np.abs(x).max(axis=(0, 1)), rtol=1e-6)


def test_error_nothing_to_encode(tmp_path):
    graph, _, _ = write_case(CASES["softmax"], tmp_path)
    np.savez(tmp_path / "in.npz", arg0=np.zeros((2, 6, 37), np.float32))
    words = ["calibrate", graph, "--inputs", tmp_path / "in.npz", "-o", tmp_path / "c"]
    assert cli.main([str(word) for word in words]) == 1
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"arg0": np.zeros((2, 5, 24)), "arg2": np.zeros((3, 40))}, "leading batch axis"),
        ({"arg0": np.float32(1)}, "leading batch axis"),
        ({"arg0": np.zeros((2, 5, 24), np.float32)}, "'arg2' is missing"),
        ({"arg0": np.zeros((2, 5, 24)), "arg1": np.zeros((2, 24, 40))}, "no input arg1"),
    ],
    ids=["unequal", "scalar", "missing", "weight"],
)
def test_error_batches(tmp_path, capsys, arrays, message):
    graph, weights, _ = write_case(CASES["layer"], tmp_path)
    np.savez(tmp_path / "bad.npz", **arrays)
    words = ["calibrate", graph, "--weights", weights, "--inputs", tmp_path / "bad.npz"]
    assert cli.main([str(word) for word in [*words, "-o", tmp_path / "c"]]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"up": np.zeros((2, 2))}, "key 'up': name each weight after the argument"),
        ({"arg01": np.zeros((2, 2))}, "key 'arg01'"),
        ({"arg9": np.zeros((2, 2))}, "there is no argument for 'arg9'"),
        ({"arg1": np.zeros((2, 2), np.float32)}, "arg1"),
        ({}, "is empty"),
    ],
    ids=["name", "digits", "number", "shape", "empty"],
)
def test_error_weights(tmp_path, weights, message):
    graph, _, _ = write_case(CASES["layer"], tmp_path)
    save_file(weights, tmp_path / "bad.safetensors")
    options = CompileOptions(FLOAT, weights=tmp_path / "bad.safetensors")
    with pytest.raises(SpikeQuantError, match=message):
        compile_model(graph, tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


def test_error_unknown_size_names_file_and_line(tmp_path):
    graph = tmp_path / "dynamic.mlir"
    graph.write_text(
        "func.func @main(%n: tensor<1xi32>) -> tensor<?xf32> {\n"
        "  %0 = stablehlo.dynamic_iota %n, dim = 0 : (tensor<1xi32>) -> tensor<?xf32>\n"
        "  return %0 : tensor<?xf32>\n"
        "}\n"
    )
    with pytest.raises(SpikeQuantError, match=f"stablehlo.dynamic_iota: {graph}:2:8"):
        compile_model(graph, tmp_path / "out", CompileOptions(FLOAT))
    assert [path.name for path in tmp_path.iterdir()] == ["dynamic.mlir"]


def test_check_names_sites_and_reasons(tmp_path, capsys):
    case = CASES["layer"]
    graph, weights, _ = write_case(case, tmp_path)
    report = tmp_path / "check.json"
    run_cli("check", graph, "--weights", weights, "--json", report)
    result = json.loads(report.read_text())
    assert [entry["text"].split("'")[1] for entry in result["sites"]] == ["arg1", "arg3"]
    assert all(entry["location"].startswith(f"{graph}:") for entry in result["sites"])
    assert "2 sites will be quantised, 0 contractions stay real" in capsys.readouterr().out
    run_cli("check", graph)
    assert "0 sites will be quantised, 2 contractions stay real" in capsys.readouterr().out


def test_check_of_a_bundle_counts_shared_sites_once(tiny_bundle, capsys):
    run_cli("check", tiny_bundle)
    out = capsys.readouterr().out
    # Two layers of seven matrices and the tied head; two products of activations a layer.
    assert "15 sites will be quantised, 4 contractions stay real" in out
    assert "prefill_16, score_16, decode_16: quantised: site 'blk.0.attn_q'" in out


def test_check_lists_unsupported_operations(tmp_path, capsys):
    graph = tmp_path / "fft.mlir"
    spec = jax.ShapeDtypeStruct((8,), np.float32)
    graph.write_text(jax.jit(lambda x: jax.numpy.fft.rfft(x).real).lower(spec).as_text())
    report = tmp_path / "check.json"
    assert cli.main(["check", str(graph), "--json", str(report)]) == 1
    captured = capsys.readouterr()
    assert "unsupported: stablehlo.fft at" in captured.out and str(graph) in captured.out
    assert "hint: do this step outside" in captured.out
    assert "cannot be compiled, see above" in captured.err

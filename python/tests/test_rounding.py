"""Second-order rounding of weights: Gram files, and what they do to a compiled graph."""

from __future__ import annotations

import json

import numpy as np
import pytest
from graph_cases import GraphCase
from safetensors.numpy import save_file

from benchmarks.accuracy.packed import PackedFile
from spikequant import cli

CHANNELS, OUTPUTS, ROWS = 64, 48, 256
CASE = GraphCase(lambda x, w: x @ w, [(ROWS, CHANNELS), (CHANNELS, OUTPUTS)], weights=(1,))


def words(*parts) -> list[str]:
    return [str(part) for part in parts]


def run_cli(*parts) -> None:
    assert cli.main(words(*parts)) == 0


@pytest.fixture
def layer(tmp_path):
    """Paths of a linear layer and its weights, and inputs that mix four signals."""
    random = np.random.default_rng(3)
    graph, weights = tmp_path / "g.mlir", tmp_path / "g.safetensors"
    graph.write_text(CASE.text())
    w = random.normal(0, 0.05, (CHANNELS, OUTPUTS)).astype(np.float32)
    save_file({"arg1": w}, weights)
    mixing = random.normal(size=(4, CHANNELS))
    signals = random.normal(size=(6, ROWS, 4))
    x = signals @ mixing + 0.3 * random.normal(size=(6, ROWS, CHANNELS))
    return graph, weights, w, x.astype(np.float32)


def calibrate(layer, x, out, *more) -> None:
    graph, weights, *_ = layer
    np.savez(out.with_suffix(".npz"), arg0=x)
    inputs = ("--inputs", out.with_suffix(".npz"))
    words = [graph, "--weights", weights, *inputs, "--sensitivity", "none", *more]
    run_cli("calibrate", *words, "-o", out)


def compile_layer(layer, calibration, out, *more) -> dict:
    graph, weights, *_ = layer
    options = ("--calibration", calibration, "--bits", 8, "--head-bits", 4, *more)
    run_cli("compile", graph, "--weights", weights, *options, "-o", out)
    return json.loads((out / "compile.json").read_text())


def read_gram(path) -> np.ndarray:
    """The one site's matrix, read as docs/Calibration.md says."""
    data = path.read_bytes()
    assert data[:8] == b"SQGRAMS\n"
    start = int.from_bytes(data[24:32], "little")
    (site,) = json.loads(data[64 : 64 + int.from_bytes(data[16:24], "little")])["sites"]
    channels = site["channels"]
    sums = np.frombuffer(data, "<i8", channels * (channels + 1) // 2, start + site["offset"])
    gram = np.zeros((channels, channels), np.int64)
    gram[np.tril_indices(channels)] = sums
    return gram


def test_gram_is_the_exact_product(layer, tmp_path):
    x = layer[3]
    calibrate(layer, x, tmp_path / "c", "--gram")
    q = np.rint(x.astype(np.float64) * 4096).astype(np.int64).reshape(-1, CHANNELS)
    np.testing.assert_array_equal(read_gram(tmp_path / "c.gram"), np.tril(q.T @ q))


def test_merged_grams_are_the_whole_ones(layer, tmp_path):
    x = layer[3]
    for name, part in {"whole": x, "one": x[:2], "two": x[2:]}.items():
        calibrate(layer, part, tmp_path / name, "--gram")
    run_cli("calibrate", "--merge", tmp_path / "two", tmp_path / "one", "-o", tmp_path / "sum")
    for suffix in ("", ".gram"):
        merged, whole = (tmp_path / (name + suffix) for name in ("sum", "whole"))
        assert merged.read_bytes() == whole.read_bytes()


def test_an_old_gram_file_does_not_stay(layer, tmp_path):
    x = layer[3]
    calibrate(layer, x, tmp_path / "c", "--gram")
    calibrate(layer, x[:1], tmp_path / "c")
    assert (tmp_path / "c").exists() and not (tmp_path / "c.gram").exists()


def test_second_order_lowers_the_error_of_new_outputs(layer, tmp_path):
    *_, w, x = layer
    calibrate(layer, x[:5], tmp_path / "c", "--gram")
    errors = {}
    for rounding in ("nearest", "auto"):
        out = tmp_path / rounding
        report = compile_layer(layer, tmp_path / "c", out, "--rounding", rounding)
        assert report["rounding"] == ("nearest" if rounding == "nearest" else "second-order")
        np.savez(tmp_path / "in.npz", arg0=x[5])
        run_cli("run", out, "--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz")
        with np.load(tmp_path / "out.npz") as results:
            errors[rounding] = np.square(results["out0"] - x[5] @ w).sum()
    assert errors["auto"] < 0.7 * errors["nearest"]


def test_weighted_rounding_lowers_the_error_where_inputs_are_large(layer, tmp_path):
    """Without Gram matrices: two channels are 40 times as large as the others."""
    *_, w, x = layer
    x = x * np.where(np.arange(CHANNELS) % 32 == 5, 40, 1).astype(np.float32)
    calibrate(layer, x[:5], tmp_path / "c")
    errors = {}
    for rounding in ("nearest", "auto"):
        out = tmp_path / rounding
        report = compile_layer(layer, tmp_path / "c", out, "--rounding", rounding, "--group", 0)
        assert report["rounding"] == ("nearest" if rounding == "nearest" else "weighted")
        real = PackedFile(out / "weights.sqw").real("arg1.codes")
        errors[rounding] = np.square(x[5] @ (real.T - w)).sum()
    assert errors["auto"] < 0.7 * errors["nearest"]


def test_error_second_order_without_grams(layer, tmp_path, capsys):
    graph, weights, _, x = layer
    calibrate(layer, x, tmp_path / "c")
    assert compile_layer(layer, tmp_path / "c", tmp_path / "out")["rounding"] == "weighted"
    source = ("compile", graph, "--weights", weights, "--calibration", tmp_path / "c")
    assert cli.main(words(*source, "--rounding", "second-order", "-o", tmp_path / "new")) == 1
    assert "--gram" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("how", ["cut", "flipped", "other calibration"])
def test_error_wrong_gram_file(how, layer, tmp_path, capsys):
    graph, weights, _, x = layer
    calibrate(layer, x, tmp_path / "c", "--gram")
    gram = tmp_path / "c.gram"
    data = bytearray(gram.read_bytes())
    if how == "cut":
        gram.write_bytes(data[:-8])
    elif how == "flipped":
        data[-1000] ^= 1
        gram.write_bytes(data)
    else:
        calibrate(layer, x[:2], tmp_path / "d", "--gram")
        (tmp_path / "d.gram").replace(gram)
    source = ("compile", graph, "--weights", weights, "--calibration", tmp_path / "c")
    assert cli.main(words(*source, "-o", tmp_path / "new")) == 1
    message = capsys.readouterr().err
    assert "c.gram" in message and "calibrate again" in message
    assert not (tmp_path / "new").exists()

"""Weights and inputs of a graph, in the types that people have them in."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from spikequant import SpikeQuantError, cli
from spikequant.arrays import load_arrays
from spikequant.importer import import_text

_GRAPH = """
func.func @main(%t: tensor<1x3xi64>, %m: tensor<1x3xi1>, %w: tensor<9x16xf32>, %s: tensor<2xi32>)
    -> (tensor<3x16xf32>, tensor<f32>, tensor<i1>) {
  %0 = stablehlo.reshape %t : (tensor<1x3xi64>) -> tensor<3x1xi64>
  %1 = "stablehlo.gather"(%w, %0) <{
    dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0],
                                          start_index_map = [0], index_vector_dim = 1>,
    slice_sizes = array<i64: 1, 16>}> : (tensor<9x16xf32>, tensor<3x1xi64>) -> tensor<3x16xf32>
  %2 = stablehlo.reshape %m : (tensor<1x3xi1>) -> tensor<3xi1>
  %3 = stablehlo.broadcast_in_dim %2, dims = [0] : (tensor<3xi1>) -> tensor<3x16xi1>
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %zeros = stablehlo.constant dense<0.0> : tensor<3x16xf32>
  %4 = stablehlo.select %3, %1, %zeros : tensor<3x16xi1>, tensor<3x16xf32>
  %5 = stablehlo.reduce(%4 init: %zero) applies stablehlo.add across dimensions = [0, 1]
    : (tensor<3x16xf32>, tensor<f32>) -> tensor<f32>
  %6 = stablehlo.compare GT, %5, %zero : (tensor<f32>, tensor<f32>) -> tensor<i1>
  return %4, %5, %6 : tensor<3x16xf32>, tensor<f32>, tensor<i1>
}"""
_TABLE = np.arange(9 * 16, dtype=np.float32).reshape(9, 16) / 8  # also exact in f16 and bf16
_EXTRA = np.array([1, 2], np.int32)


@pytest.fixture
def compiled(tmp_path):
    """A function of the weights; returns the compiled folder."""

    def compile_with(**weights):
        (tmp_path / "g.mlir").write_text(_GRAPH)
        save_file(weights, tmp_path / "w.safetensors")
        words = ["compile", str(tmp_path / "g.mlir"), "--weights", str(tmp_path / "w.safetensors")]
        assert cli.main([*words, "--float", "-o", str(tmp_path / "out")]) == 0
        return tmp_path / "out"

    return compile_with


def _run(program, **arrays):
    files = [program.parent / name for name in ("in.npz", "out.npz")]
    np.savez(files[0], **arrays)
    code = cli.main(["run", str(program), "--inputs", str(files[0]), "--outputs", str(files[1])])
    return code, load_arrays(files[1]) if code == 0 else {}


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("integer", [np.int64, np.int32, np.uint8, np.int8])
@pytest.mark.parametrize("flag", [np.bool_, np.int64])
def test_types_of_weights_and_inputs(compiled, dtype, integer, flag):
    program = compiled(arg2=_TABLE.astype(dtype), arg3=_EXTRA)
    tokens, mask = np.array([[8, 0, 3]]), np.array([[True, False, True]])
    code, results = _run(program, arg0=tokens.astype(integer), arg1=mask.astype(flag))
    expected = _TABLE[tokens[0]] * mask[0][:, None]
    assert code == 0
    np.testing.assert_array_equal(results["out0"], expected)
    assert results["out1"].shape == results["out2"].shape == ()
    assert results["out1"] == expected.sum() and results["out2"]


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("arg0", np.zeros((1, 3), np.float32), "'arg0': expected int64 [1, 3], got float32 [1, 3]"),
        ("arg0", np.zeros(3, np.int64), "'arg0': expected int64 [1, 3], got int64 [3]"),
        ("arg1", np.array([[0, 2, 1]]), "'arg1': expected bool [1, 3], got int64 [1, 3]"),
    ],
)
def test_error_inputs(compiled, capsys, name, array, message):
    good = {"arg0": np.zeros((1, 3), np.int64), "arg1": np.ones((1, 3), bool)}
    code, _ = _run(compiled(arg2=_TABLE, arg3=_EXTRA), **{**good, name: array})
    assert code == 1 and message in capsys.readouterr().err


def _import(tmp_path, **weights):
    save_file(weights, tmp_path / "w.safetensors")
    return import_text(_GRAPH.encode(), "g", weights=tmp_path / "w.safetensors")


def test_weights_that_are_left_out_are_inputs(tmp_path):
    assert _import(tmp_path, arg3=_EXTRA).count("spikequant.weight") == 1


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"arg4": _EXTRA}, "there is no argument for 'arg4': g has 4, counted from arg0"),
        ({"lm_head": _TABLE}, "'lm_head': name each weight after the argument"),
        ({"arg02": _TABLE}, "'arg02': name each weight after the argument"),
        ({"arg2": _TABLE[:5]}, "'arg2' has shape .5, 16. in the file and .9, 16. in the graph"),
        ({"arg2": _TABLE.astype(np.float64)}, "'arg2' has type F64 in the file and f32 .*as F32"),
        ({"arg3": _EXTRA.astype(np.int64)}, "'arg3' has type I64 in the file and i32 .*as I32"),
        ({"arg1": np.ones((1, 3), bool)}, "'arg1' has type BOOL .* and i1 .*: make it an input"),
    ],
)
def test_error_weights(tmp_path, weights, message):
    with pytest.raises(SpikeQuantError, match=message):
        _import(tmp_path, **weights)


def test_error_no_single_public_function():
    one = "func.func @{} (%a: tensor<f32>) -> tensor<f32> {{ return %a : tensor<f32> }}"
    with pytest.raises(SpikeQuantError, match="has 2 public functions .f, g. and none"):
        import_text((one.format("f") + one.format("g")).encode(), "t")
    with pytest.raises(SpikeQuantError, match="has 0 public functions"):
        import_text(b"module {}", "t")


def test_error_bits_of_a_count(tmp_path, capsys):
    (tmp_path / "g.mlir").write_text(_GRAPH)
    files = ["--calibration", str(tmp_path / "g.mlir"), "-o", str(tmp_path / "out")]
    assert cli.main(["compile", str(tmp_path / "g.mlir"), "--bits", "12", *files]) == 1
    assert "--bits 12: a count has at most 8" in capsys.readouterr().err

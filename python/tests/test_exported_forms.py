"""What exporters write besides plain text: resources, serialised exports, odd reductions."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from graph_runs import run_program
from jax import export
from jax.experimental.xla_metadata import set_xla_metadata
from test_equality import sq_run

from spikequant import SpikeQuantError, cli
from spikequant.calibrate import calibrate_inputs
from spikequant.compiler import FLOAT, CompileOptions, compile_model
from spikequant.importer import import_text

_RESOURCES = """
func.func @main(%a: tensor<4xui8>, %x: tensor<3xf32>)
    -> (tensor<4xui8>, tensor<2x2xui16>, tensor<3xf32>, tensor<3xf32>) {
  %0 = stablehlo.constant dense_resource<bytes> : tensor<4xui8>
  %1 = stablehlo.add %a, %0 : tensor<4xui8>
  %2 = stablehlo.constant dense_resource<words> : tensor<2x2xui16>
  %3 = stablehlo.constant dense_resource<reals> : tensor<3xf32>
  %4 = stablehlo.multiply %x, %3 : tensor<3xf32>
  %5 = stablehlo.constant dense_resource<flags> : tensor<3xi1>
  %6 = stablehlo.select %5, %x, %4 : tensor<3xi1>, tensor<3xf32>
  return %1, %2, %4, %6 : tensor<4xui8>, tensor<2x2xui16>, tensor<3xf32>, tensor<3xf32>
}
{-#
  dialect_resources: { builtin: {
    bytes: "0x08000000010203FF",
    words: "0x08000000010002000300FFFF",
    reals: "0x080000000000003F00000040000080BF",
    flags: "0x08000000000100" } }
#-}"""


def _run(text: bytes, arrays, folder):
    (folder / "g.mlir").write_bytes(text)
    compile_model(folder / "g.mlir", folder / "out", CompileOptions(FLOAT))
    return run_program(folder / "out", arrays)


def test_constants_in_resources(tmp_path):
    """0.5, 2 and -1; false, true and false."""
    a, x = np.array([1, 2, 255, 2], np.uint8), np.array([3, 5, 7], np.float32)
    total, words, product, chosen = _run(_RESOURCES.encode(), [a, x], tmp_path)
    assert total.view(np.uint8).tolist() == [2, 4, 2, 1]
    assert words.view(np.uint16).tolist() == [[1, 2], [3, 65535]]
    assert product.tolist() == [1.5, 10, -7]
    assert chosen.tolist() == [1.5, 5, -7]


def test_error_resource_without_data(tmp_path, capsys):
    """As `print --elide-resource-strings` leaves it."""
    text = _RESOURCES.replace('reals: "0x080000000000003F00000040000080BF",', "")
    (tmp_path / "g.mlir").write_text(text)
    words = ["compile", str(tmp_path / "g.mlir"), "--float", "-o", str(tmp_path / "out")]
    assert cli.main(words) == 1
    assert "does not hold the data of resource 'reals'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


_NO_DIMENSIONS = """
func.func @main(%a: tensor<2x3xf32>, %b: tensor<2x3xi32>, %i: tensor<f32>, %j: tensor<i32>)
    -> (tensor<2x3xf32>, tensor<2x3xi32>) {
  %0:2 = stablehlo.reduce(%a init: %i), (%b init: %j) across dimensions = []
      : (tensor<2x3xf32>, tensor<2x3xi32>, tensor<f32>, tensor<i32>)
      -> (tensor<2x3xf32>, tensor<2x3xi32>)
    reducer(%x: tensor<f32>, %u: tensor<f32>) (%y: tensor<i32>, %v: tensor<i32>) {
      %1 = stablehlo.maximum %x, %u : tensor<f32>
      %2 = stablehlo.add %y, %v : tensor<i32>
      stablehlo.return %1, %2 : tensor<f32>, tensor<i32>
    }
  return %0#0, %0#1 : tensor<2x3xf32>, tensor<2x3xi32>
}"""


def test_reduction_over_no_dimension(tmp_path):
    a = np.arange(6, dtype=np.float32).reshape(2, 3) - 3
    b = np.arange(6, dtype=np.int32).reshape(2, 3)
    arrays = [a, b, np.float32(-1), np.int32(5)]
    greatest, total = _run(_NO_DIMENSIONS.encode(), arrays, tmp_path)
    np.testing.assert_array_equal(greatest, np.maximum(a, -1))
    np.testing.assert_array_equal(total, b + 5)


def _exported(platforms):
    function = jax.jit(lambda x: (x * 2, x.sum()))
    spec = jax.ShapeDtypeStruct((3, 4), np.float32)
    return bytes(export.export(function, platforms=platforms)(spec).serialize())


def test_serialised_export(tmp_path):
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    doubled, total = _run(_exported(["cpu"]), [x], tmp_path)
    np.testing.assert_array_equal(doubled, 2 * x)
    assert total == 66


def test_error_export_for_several_platforms():
    with pytest.raises(SpikeQuantError, match="exported for cpu, tpu: export it for one"):
        import_text(_exported(["cpu", "tpu"]), "g")


def test_error_damaged_export():
    data = _exported(["cpu"])
    for broken in (data[:-200], data[:300], b"x" + data):
        with pytest.raises(SpikeQuantError, match="not a StableHLO module|cannot be"):
            import_text(broken, "g")


def test_large_constants_are_written_once(tmp_path):
    """The program beside the packed weights refers to them; the reference reads it so."""
    random = np.random.default_rng(0)
    table = random.standard_normal((300, 64), np.float32)
    weight = random.standard_normal((64, 300), np.float32) / 8

    tokens = random.integers(0, 300, (5, 7)).astype(np.int32)
    text = jax.jit(lambda t: jax.numpy.asarray(table)[t] @ weight).lower(tokens).as_text()
    (tmp_path / "g.mlir").write_text(text)
    np.savez(tmp_path / "batch.npz", arg0=random.integers(0, 300, (4, 5, 7)).astype(np.int32))
    calibrate_inputs(tmp_path / "g.mlir", None, tmp_path / "batch.npz", tmp_path / "calib")
    options = CompileOptions(calibration=tmp_path / "calib", bits=6)
    compile_model(tmp_path / "g.mlir", tmp_path / "out", options)
    assert (tmp_path / "out" / "quantized.mlir").stat().st_size < 20_000
    (result,) = run_program(tmp_path / "out", [tokens])
    expected = table[tokens] @ weight
    assert 0 < np.abs(result - expected).max() < 0.2 * np.abs(expected).max()
    np.savez(tmp_path / "in.npz", arg0=tokens)
    files = ["--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "reference.npz"]
    sq_run(tmp_path / "out", "--function", "main", *files)
    with np.load(tmp_path / "reference.npz") as reference:
        assert reference["out0"].tobytes() == result.tobytes()


def _sharded():
    mesh = jax.make_mesh((1,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("d"))

    def function(x, w):
        with set_xla_metadata(note="kept from linalg"):
            y = x @ w
        return jax.lax.with_sharding_constraint(y, sharding)

    return jax.jit(function, in_shardings=(sharding, None), out_shardings=sharding)


@pytest.mark.parametrize("form", ["text", "export"])
def test_shardings_are_left_out(tmp_path, form):
    x, w = (np.arange(12, dtype=np.float32).reshape(shape) for shape in ((3, 4), (4, 3)))
    jitted = _sharded()
    text = jitted.lower(x, w).as_text()
    assert all(word in text for word in ("sdy.mesh", "sdy.sharding_constraint", "sdy.sharding ="))
    data = text.encode() if form == "text" else bytes(export.export(jitted)(x, w).serialize())
    (result,) = _run(data, [x, w], tmp_path)
    np.testing.assert_array_equal(result, x @ w)


def test_error_of_several_devices():
    text = """
sdy.mesh @mesh = <["d"=2]>
func.func @main(%a: tensor<4xf32>) -> tensor<4xf32> {
  %0 = sdy.manual_computation(%a) in_shardings=[<@mesh, [{"d"}]>] out_shardings=[<@mesh, [{"d"}]>]
      manual_axes={"d"} (%b: tensor<2xf32>) {
    sdy.return %b : tensor<2xf32>
  } : (tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}"""
    with pytest.raises(SpikeQuantError, match="sdy.manual_computation: t:4:8"):
        import_text(text.encode(), "t")

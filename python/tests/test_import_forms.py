"""Forms of StableHLO modules: unknown sizes, wrappers, unsigned signatures."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from graph_runs import run_program
from jax import export

from spikequant import SpikeQuantError, cli
from spikequant.compiler import FLOAT, CompileOptions, compile_model
from spikequant.importer import import_text
from spikequant.stablehlo_shapes import parse_shapes
from spikequant.toolchain import run_tool


def _polymorphic(x, w):
    rows = x.shape[0] * x.shape[1]
    return jax.nn.softmax(x.reshape(rows, -1) @ w) + jnp.arange(rows)[:, None]


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    b, t = export.symbolic_shape("b,t", constraints=["b <= 4"])
    specs = [jax.ShapeDtypeStruct(s, np.float32) for s in ((b, t, 8), (8, 4))]
    path = tmp_path_factory.mktemp("shapes") / "graph.bc"
    path.write_bytes(export.export(jax.jit(_polymorphic))(*specs).mlir_module_serialized)
    return path


@pytest.mark.parametrize("shape", [(1, 31, 8), (3, 5, 8)])
def test_unknown_sizes_are_chosen(artifact, tmp_path, shape):
    option = f"arg0={'x'.join(map(str, shape))}"
    words = ["compile", str(artifact), "--float", "--shape", option, "-o", str(tmp_path / "out")]
    assert cli.main(words) == 0
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(s).astype(np.float32) for s in (shape, (8, 4))]
    (result,) = run_program(tmp_path / "out", arrays)
    np.testing.assert_allclose(result, _polymorphic(*arrays), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "arg0 is tensor<.x.x8xf32>, of unknown size: choose one, as in --shape arg0=32x32x8"),
        (["arg0=1x32"], "--shape arg0=1x32 does not fit"),
        (["arg0=1x32x9"], "--shape arg0=1x32x9 does not fit"),
        (["arg0=1x2x8", "arg1=8x5"], "--shape arg1=8x5 does not fit"),
        (["arg7=1"], "--shape arg7: the graph has 2 arguments"),
        (["x=1"], "--shape x=1: write argument and sizes"),
        (["arg0=5x2x8"], "does not fit the given shapes: .*b <= 4"),
    ],
)
def test_error_unknown_sizes(artifact, words, message):
    with pytest.raises(SpikeQuantError, match=message):
        import_text(artifact.read_bytes(), "graph.bc", shapes=parse_shapes(words))


_WRAPPED = """
func.func @main(%a: tensor<2xf32>) -> (tensor<2xf32>, tensor<2xf32>) {
  %0 = stablehlo.optimization_barrier %a : tensor<2xf32>
  %1 = stablehlo.composite "my.op" %0 {decomposition = @impl, version = 1 : i32}
    : (tensor<2xf32>) -> tensor<2xf32>
  %2 = stablehlo.custom_call @Sharding(%1) : (tensor<2xf32>) -> tensor<2xf32>
  %3 = stablehlo.tuple %2, %0 : tuple<tensor<2xf32>, tensor<2xf32>>
  %4 = stablehlo.tuple %3, %2 : tuple<tuple<tensor<2xf32>, tensor<2xf32>>, tensor<2xf32>>
  %5 = stablehlo.get_tuple_element %4[0]
    : (tuple<tuple<tensor<2xf32>, tensor<2xf32>>, tensor<2xf32>>)
      -> tuple<tensor<2xf32>, tensor<2xf32>>
  %6 = stablehlo.get_tuple_element %5[1]
    : (tuple<tensor<2xf32>, tensor<2xf32>>) -> tensor<2xf32>
  return %2, %6 : tensor<2xf32>, tensor<2xf32>
}
func.func private @impl(%a: tensor<2xf32>) -> tensor<2xf32> {
  %0 = stablehlo.add %a, %a : tensor<2xf32>
  return %0 : tensor<2xf32>
}"""


def test_wrappers_are_removed(tmp_path):
    (tmp_path / "g.mlir").write_text(_WRAPPED)
    compile_model(tmp_path / "g.mlir", tmp_path / "out", CompileOptions(FLOAT))
    x = np.array([1, -3], np.float32)
    doubled, same = run_program(tmp_path / "out", [x])
    np.testing.assert_array_equal(doubled, 2 * x)
    np.testing.assert_array_equal(same, x)


def test_an_unknown_custom_call_is_named():
    text = _WRAPPED.replace("@Sharding", "@somebody.kernel")
    with pytest.raises(SpikeQuantError, match=r"stablehlo.custom_call: t:6:8\n.*somebody.kernel"):
        import_text(text.encode(), "t")


def test_unsigned_signature_becomes_signless():
    text = """func.func @main(%a: tensor<2xui8>, %b: tensor<f32>) -> tensor<2xui8> {
      return %a : tensor<2xui8>
    }"""
    imported = import_text(text.encode(), "t")
    assert "tensor<2xi8>" in imported and imported.count("spikequant.unsigned = 1") == 2
    assert "ui8" not in imported


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
def test_unsigned_arrays_go_through_npz_files(dtype, tmp_path):
    """By the compiled code and by the reference; a signed array is refused."""
    spec = jax.ShapeDtypeStruct((3,), dtype)
    with jax.enable_x64(True):
        (tmp_path / "g.mlir").write_text(jax.jit(lambda x: (x // 3, x > 5)).lower(spec).as_text())
    out = tmp_path / "out"
    assert cli.main(["compile", str(tmp_path / "g.mlir"), "--float", "-o", str(out)]) == 0
    x = np.array([7, np.iinfo(dtype).max, 0], dtype)
    np.savez(tmp_path / "in.npz", arg0=x)
    words = [str(tmp_path / "in.npz"), "--outputs", str(tmp_path / "out.npz")]
    assert cli.main(["run", str(out), "--inputs", *words]) == 0
    files = [f"--inputs={words[0]}", f"--outputs={tmp_path / 'reference.npz'}"]
    run_tool("sq-run", [out, *files])
    for name in ("out.npz", "reference.npz"):
        with np.load(tmp_path / name) as results:
            np.testing.assert_array_equal(results["out0"], x // 3)
            np.testing.assert_array_equal(results["out1"], x > 5)
            assert (results["out0"].dtype, results["out1"].dtype) == (x.dtype, np.bool_)
    np.savez(tmp_path / "in.npz", arg0=x.astype(f"int{8 * x.itemsize}"))
    assert cli.main(["run", str(out), "--inputs", *words]) == 1

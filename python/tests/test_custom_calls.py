"""Custom calls with a known meaning, versions of artifacts, and what cannot be compiled."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from graph_runs import run_function, run_program
from jaxlib.mlir.dialects import stablehlo
from scipy import special

from spikequant import SpikeQuantError
from spikequant.compiler import FLOAT, CompileOptions, compile_model
from spikequant.importer import UnsupportedOperationsError, import_text


def run_text(text: str, arrays: list[np.ndarray], folder) -> list[np.ndarray]:
    (folder / "g.mlir").write_text(text)
    compile_model(folder / "g.mlir", folder / "out", CompileOptions(FLOAT))
    return run_program(folder / "out", arrays)


_FUNCTIONS = {
    "erf": special.erf,
    "erfc": special.erfc,
    "erf_inv": special.erfinv,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "asinh": np.arcsinh,
    "atanh": np.arctanh,
    "tan": np.tan,
    "bessel_i1e": special.i1e,
}


def test_elementwise_functions_of_xla(tmp_path):
    lines = [
        f"  %{i} = stablehlo.custom_call @mhlo.{name}(%x) {{mhlo.attributes = {{}}, "
        "mhlo.version = 1 : i64} : (tensor<7xf64>) -> tensor<7xf64>"
        for i, name in enumerate(_FUNCTIONS)
    ]
    names = ", ".join(f"%{i}" for i in range(len(_FUNCTIONS)))
    types = ", ".join(["tensor<7xf64>"] * len(_FUNCTIONS))
    lines = [
        f"func.func @main(%x: tensor<7xf64>) -> ({types}) {{",
        *lines,
        f"  return {names} : {types}",
        "}",
    ]
    x = np.linspace(-0.9, 0.9, 7)
    results = run_text("\n".join(lines), [x], tmp_path)
    for result, (name, function) in zip(results, _FUNCTIONS.items(), strict=True):
        np.testing.assert_allclose(result, function(x), rtol=1e-6, atol=1e-12, err_msg=name)


def test_top_k_of_xla(tmp_path):
    text = """func.func @main(%x: tensor<2x5xf32>) -> (tensor<2x3xf32>, tensor<2x3xi32>) {
  %0:2 = stablehlo.custom_call @mhlo.topk(%x) {
      mhlo.attributes = {k = 3 : i64, largest = true}, mhlo.version = 1 : i64}
    : (tensor<2x5xf32>) -> (tensor<2x3xf32>, tensor<2x3xi32>)
  return %0#0, %0#1 : tensor<2x3xf32>, tensor<2x3xi32>
}"""
    x = np.array([[1, 5, 5, -2, 0], [3, 1, 4, 1, 5]], np.float32)
    values, numbers = run_text(text, [x], tmp_path)
    np.testing.assert_array_equal(values, [[5, 5, 1], [5, 4, 3]])
    np.testing.assert_array_equal(numbers, [[1, 2, 0], [4, 2, 0]])


def test_approximate_top_k_is_exact(tmp_path):
    def function(x):
        return jax.lax.approx_max_k(x, 4, reduction_dimension=1)

    x = np.random.default_rng(0).permutation(60).reshape(3, 20).astype(np.float32)
    (_, values, _), (_, numbers, _) = run_function(function, [x], tmp_path)
    expected = np.argsort(-x, axis=1)[:, :4]
    np.testing.assert_array_equal(numbers, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(x, expected, 1))


def test_checks_of_values_are_dropped(tmp_path):
    text = """func.func @main(%x: tensor<2xf32>) -> tensor<2xf32> {
  %0 = stablehlo.negate %x : tensor<2xf32>
  stablehlo.custom_call @check.expect_close(%0, %x) {has_side_effect = true}
    : (tensor<2xf32>, tensor<2xf32>) -> ()
  return %0 : tensor<2xf32>
}"""
    (result,) = run_text(text, [np.array([1, 2], np.float32)], tmp_path)
    np.testing.assert_array_equal(result, [-1, -2])


def _unsupported(body: str, type_: str = "tensor<4x4xf32>") -> str:
    return f"func.func @main(%x: {type_}) -> {type_} {{\n  {body}\n  return %r : {type_}\n}}"


_COMPLEX = """%r = stablehlo.add %x, %x : tensor<2xcomplex<f32>>"""
_UNSUPPORTED = {
    "complex": (_unsupported(_COMPLEX, "tensor<2xcomplex<f32>>"), "stablehlo.add", "imaginary"),
    "f8": (
        _unsupported("%r = stablehlo.negate %x : tensor<2xf8E4M3FN>", "tensor<2xf8E4M3FN>"),
        "stablehlo.negate",
        "f8E4M3FN: convert it to f32",
    ),
    "i4": (
        _unsupported("%r = stablehlo.add %x, %x : tensor<2xi4>", "tensor<2xi4>"),
        "stablehlo.add",
        "i4: convert it to i8",
    ),
    "cholesky": (
        _unsupported("%r = stablehlo.cholesky %x, lower = true : tensor<4x4xf32>"),
        "stablehlo.cholesky",
        "do this step outside",
    ),
    "collective": (
        _unsupported(
            """%r = "stablehlo.all_reduce"(%x) <{replica_groups = dense<0> : tensor<1x1xi64>}> ({
    ^bb0(%a: tensor<f32>, %b: tensor<f32>):
      %s = stablehlo.add %a, %b : tensor<f32>
      stablehlo.return %s : tensor<f32>
  }) : (tensor<4x4xf32>) -> tensor<4x4xf32>"""
        ),
        "stablehlo.all_reduce",
        "for one device",
    ),
    "custom_call": (
        _unsupported(
            "%r = stablehlo.custom_call @their.kernel(%x) : (tensor<4x4xf32>) -> tensor<4x4xf32>"
        ),
        "stablehlo.custom_call",
        "kernel of another compiler",
    ),
    "random": (
        _unsupported(
            """%a = stablehlo.constant dense<0.0> : tensor<f32>
  %s = stablehlo.constant dense<4> : tensor<2xi64>
  %r = stablehlo.rng %a, %a, %s, distribution = UNIFORM
    : (tensor<f32>, tensor<f32>, tensor<2xi64>) -> tensor<4x4xf32>"""
        ),
        "stablehlo.rng",
        "draw random numbers outside",
    ),
    "size_at_run_time": (
        """func.func @main(%x: tensor<6xf32>, %n: tensor<2xi32>) -> tensor<?x?xf32> {
  %r = stablehlo.dynamic_reshape %x, %n : (tensor<6xf32>, tensor<2xi32>) -> tensor<?x?xf32>
  return %r : tensor<?x?xf32>
}""",
        "stablehlo.dynamic_reshape",
        "make it a constant",
    ),
    "other_dialect": (
        _unsupported('%r = "their.op"(%x) : (tensor<4x4xf32>) -> tensor<4x4xf32>'),
        "their.op",
        "export the model without it",
    ),
}


@pytest.mark.parametrize("name", _UNSUPPORTED)
def test_error_names_operation_place_and_way_out(name):
    text, operation, hint = _UNSUPPORTED[name]
    with pytest.raises(UnsupportedOperationsError, match=hint) as caught:
        import_text(text.encode(), "their.mlir")
    found = {op.name: op for op in caught.value.operations}
    assert found[operation].location.startswith("their.mlir:")
    assert f"{operation}: {found[operation].location}" in str(caught.value)


_VERSIONS = ("0.9.0", "0.14.0", "0.20.0", "1.0.0", "1.8.0", stablehlo.get_current_version())


@pytest.mark.parametrize("version", _VERSIONS)
def test_artifacts_of_every_version(version, tmp_path):
    def function(x):
        return jnp.tanh(x @ x).sum(0)

    x = np.random.default_rng(0).standard_normal((3, 3)).astype(np.float32)
    text = jax.jit(function).lower(x).as_text()
    (tmp_path / "g.bc").write_bytes(stablehlo.serialize_portable_artifact_str(text, version))
    compile_model(tmp_path / "g.bc", tmp_path / "out", CompileOptions(FLOAT))
    (result,) = run_program(tmp_path / "out", [x])
    np.testing.assert_allclose(result, function(x), rtol=1e-6, atol=1e-6)


def test_error_artifact_of_a_newer_version():
    current = stablehlo.get_current_version()
    text = "func.func @main(%x: tensor<2xf32>) -> tensor<2xf32> { return %x : tensor<2xf32> }"
    data = stablehlo.serialize_portable_artifact_str(text, current)
    newer = ".".join(["9", *current.split(".")[1:]])
    assert data.count(f"StableHLO_v{current}".encode()) == 1
    data = data.replace(f"StableHLO_v{current}".encode(), f"StableHLO_v{newer}".encode())
    message = rf"newer version of StableHLO \({newer}.*up to {current}.*for an older version"
    with pytest.raises(SpikeQuantError, match=message):
        import_text(data, "g.bc")

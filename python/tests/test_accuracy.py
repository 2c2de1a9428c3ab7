"""Errors of functions of real numbers, in ulp, over their ranges, in every real type."""

from __future__ import annotations

import accuracy_cases
import jax
import numpy as np
import pytest
from graph_runs import retype, run_program

from spikequant.compiler import FLOAT, CompileOptions, compile_model

_COUNT = 20000


@pytest.mark.parametrize("dtype", accuracy_cases.DTYPES)
def test_errors_are_within_the_documented_limits(dtype, tmp_path):
    """docs/FloatProfile.md states the limits."""
    functions = accuracy_cases.FUNCTIONS
    arguments = [accuracy_cases.arguments(name, dtype, _COUNT) for name in functions]

    def graph(*arrays):
        return [f.compiled(x) for f, x in zip(functions.values(), arrays, strict=True)]

    with jax.enable_x64(True):
        (tmp_path / "g.mlir").write_text(jax.jit(graph).lower(*arguments).as_text())
    compile_model(tmp_path / "g.mlir", tmp_path / "out", CompileOptions(FLOAT))
    results = run_program(tmp_path / "out", arguments)
    number = accuracy_cases.DTYPES.index(dtype)
    over = {}
    for (name, function), x, result in zip(functions.items(), arguments, results, strict=True):
        exact = accuracy_cases.expected(name, x)
        error = accuracy_cases.largest_error(retype(result, x), exact)
        if not error <= function.limits[number]:
            over[name] = error
    assert not over


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_special_values(dtype, tmp_path):
    """Of the functions whose definition is this project's."""
    values = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 1e-30, -1e-30]
    x = np.array(values, dtype)
    functions = {
        "exp": (jax.lax.exp, np.exp),
        "expm1": (jax.lax.expm1, np.expm1),
        "log": (jax.lax.log, np.log),
        "log1p": (jax.lax.log1p, np.log1p),
        "tanh": (jax.lax.tanh, np.tanh),
        "sin": (jax.lax.sin, np.sin),
        "cos": (jax.lax.cos, np.cos),
        "cbrt": (jax.lax.cbrt, np.cbrt),
        "atan": (jax.lax.atan, np.arctan),
    }
    with jax.enable_x64(True):
        lowered = jax.jit(lambda x: [f(x) for f, _ in functions.values()]).lower(x)
    (tmp_path / "g.mlir").write_text(lowered.as_text())
    compile_model(tmp_path / "g.mlir", tmp_path / "out", CompileOptions(FLOAT))
    results = run_program(tmp_path / "out", [x])
    for (name, (_, reference)), result in zip(functions.items(), results, strict=True):
        with np.errstate(all="ignore"):
            expected = reference(x)
        np.testing.assert_allclose(result, expected, rtol=1e-6, err_msg=name)
        kept = ~np.isnan(expected)
        signs = [np.signbit(array[kept]) for array in (result, expected)]
        np.testing.assert_array_equal(*signs, err_msg=name)

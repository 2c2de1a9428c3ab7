"""Every operation in every element type, compiled, against JAX on the CPU."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import op_cases
import pytest
from graph_runs import run_function

_TOLERANCE = {"float16": 2e-3, "bfloat16": 1e-2, "float32": 1e-5, "float64": 1e-9}


@pytest.mark.parametrize("dtype", op_cases.ALL)
@pytest.mark.parametrize("group", op_cases.GROUPS)
def test_group(group, dtype, tmp_path):
    with jax.enable_x64(True):
        arrays = op_cases.arguments(group, dtype)
        compared = run_function(op_cases.graph(group, dtype), arrays, tmp_path)
    assert compared
    for name, result, expected in compared:
        assert (result.dtype, result.shape) == (expected.dtype, expected.shape), name
        if tolerance := _TOLERANCE.get(jnp.dtype(expected.dtype).name):
            wide = [array.astype(np.float64) for array in (result, expected)]
            np.testing.assert_allclose(*wide, rtol=tolerance, atol=tolerance, err_msg=name)
        else:
            np.testing.assert_array_equal(result, expected, err_msg=name)

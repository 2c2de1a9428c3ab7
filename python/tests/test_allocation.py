"""Steps and bits of small networks, chosen without sensitivities, beside round-to-nearest."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from graph_runs import run_program

from spikequant.calibrate import calibrate_inputs
from spikequant.compiler import RTN, SPIKE, CompileOptions, compile_model

_ROWS = 32


def _matrices(*sizes: int) -> list[jax.Array]:
    random = np.random.default_rng(0)
    pairs = zip(sizes, sizes[1:], strict=False)
    return [jnp.asarray(random.normal(size=s) / s[0] ** 0.5, jnp.float32) for s in pairs]


def _chain(activation, *sizes: int):
    first, *rest = _matrices(*sizes)

    def network(x):
        x = x @ first
        for matrix in rest:
            x = activation(x) @ matrix
        return x

    return network


def _normalised(x):
    centred = x - jnp.mean(x, axis=1, keepdims=True)
    return centred / jnp.sqrt(jnp.mean(centred * centred, axis=1, keepdims=True) + 1e-5)


def _residual(layers: int, size: int, classes: int):
    """Feed-forward layers around a residual stream, and a narrow classifier."""
    sizes = [size, *[4 * size, size] * layers, classes]
    matrices = _matrices(*sizes)

    def network(x):
        for i in range(layers):
            x = x + jax.nn.gelu(_normalised(x) @ matrices[2 * i]) @ matrices[2 * i + 1]
        return _normalised(x) @ matrices[-1]

    return network


# With the widths of what their layers read.
NETWORKS = {
    "gelu": (_chain(jax.nn.gelu, 64, 256, 16), [64, 256]),
    "bottleneck": (_chain(jax.nn.relu, 96, 32, 8, 32, 96), [96, 32, 8, 32]),
    "residual": (_residual(4, 64, 10), [64, 256] * 4 + [64]),
}
_TESTS = 8


@pytest.mark.parametrize("name", NETWORKS)
def test_no_worse_than_rtn_at_equal_bits(name, tmp_path):
    """RTN of 4 bits and a scale of 16 per row, weights of 8 bits; errors over several draws, as
    those of one differ by a tenth."""
    network, widths = NETWORKS[name]
    width, bits = widths[0], 4 + 16 * len(widths) / sum(widths)
    source, calibration = tmp_path / "g.mlir", tmp_path / "calib.json"
    lowered = jax.jit(network).lower(jnp.zeros((_ROWS, width), jnp.float32))
    source.write_text(lowered.as_text())
    random = np.random.default_rng(1)
    loudness = np.exp(0.5 * random.normal(size=width))
    draw = (random.normal(size=(_TESTS + 23, _ROWS, width)) * loudness).astype(np.float32)
    np.savez(tmp_path / "batch.npz", arg0=draw[_TESTS:])
    calibrate_inputs(source, None, tmp_path / "batch.npz", calibration)
    expected, errors = [np.asarray(network(x)) for x in draw[:_TESTS]], {}
    for method, given, budget in ((SPIKE, calibration, bits), (RTN, None, 4.0)):
        options = CompileOptions(method, calibration=given, bits=budget, weight_bits=8)
        compile_model(source, tmp_path / method, options)
        results = [run_program(tmp_path / method, [x])[0] for x in draw[:_TESTS]]
        errors[method] = np.linalg.norm(np.subtract(results, expected))
    assert errors[SPIKE] < errors[RTN]


def test_rules_and_budgets(tmp_path):
    """Each reaches the allocation, and a budget by multiply-accumulates is kept."""
    network, (width, *_) = NETWORKS["gelu"]
    source, calibration = tmp_path / "g.mlir", tmp_path / "calib.json"
    source.write_text(jax.jit(network).lower(jnp.zeros((_ROWS, width), jnp.float32)).as_text())
    draw = np.random.default_rng(1).normal(size=(4, _ROWS, width)).astype(np.float32)
    np.savez(tmp_path / "batch.npz", arg0=draw)
    calibrate_inputs(source, None, tmp_path / "batch.npz", calibration)
    steps = set()
    for change in (
        {},
        {"budget_by": "macs"},
        {"allocation": "mad"},
        {"allocation": "mad", "mad_factor": 5.0},
        {"allocation": "percentile"},
        {"allocation": "percentile", "percentile": 0.8},
    ):
        options = CompileOptions(SPIKE, calibration=calibration, bits=4.0, **change)
        report = compile_model(source, tmp_path / "out", options)
        steps.add(tuple(site["step"] for site in report["encode_sites"]))
    assert len(steps) == 6

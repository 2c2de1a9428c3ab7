"""Loops, branches, sorts and scatters: values in the right places, against JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from graph_runs import relative_error, run_function, run_program
from jax import lax

from spikequant.compiler import FLOAT, CompileOptions, compile_model

X = np.arange(12, dtype=np.float32).reshape(3, 4)
Y = X * 0.5 + 1


def _repeat(count, body):
    return lambda *carried: lax.fori_loop(
        0, count, body, carried if len(carried) > 1 else carried[0]
    )


LOOPS = {
    "change_places": (_repeat(5, lambda i, s: (s[1], s[0])), X, Y),
    "fibonacci": (_repeat(5, lambda i, s: (s[1], s[0] + s[1])), X, Y),
    "three_rotate": (_repeat(4, lambda i, s: (s[1], s[2], s[0] * 0.5 + s[1])), X, Y, X + Y),
    "roll": (_repeat(5, lambda i, s: jnp.roll(s, 1, 1) + i), X),
    "reversed_view": (_repeat(5, lambda i, s: (s[1], s[0][::-1])), X, Y),
    "nested": (
        _repeat(3, lambda i, s: lax.fori_loop(0, 4, lambda k, t: (t[1], t[0] + k * i), s)),
        X,
        Y,
    ),
    "no_iteration": (_repeat(0, lambda i, s: s + 1), X),
    "row_by_row": (_repeat(3, lambda i, s: s.at[i].set(s[i - 1] * 2)), X),
    "sort_in_loop": (_repeat(3, lambda i, s: jnp.sort(-s, axis=0)), X),
    "unsigned": (_repeat(3, lambda i, s: s * s + 1), np.arange(250, 256, dtype=np.uint8)),
    "half": (_repeat(3, lambda i, s: s * s), (X / 9).astype(np.float16)),
    "ends_by_value": (
        lambda x: lax.while_loop(
            lambda s: s[0].sum() < 500, lambda s: (s[0] * 1.5, s[1] + 1), (x, 0)
        ),
        X,
    ),
    "flag_alone_decides": (
        lambda x: lax.while_loop(
            lambda s: s[0], lambda s: (s[1].sum() < 500, s[1] * 1.5 + 1), (True, x)
        ),
        X,
    ),
    "branch_in_loop": (
        _repeat(5, lambda i, s: lax.cond(i % 2 == 0, lambda v: v * 1.5, lambda v: v[::-1] + 1, s)),
        X,
    ),
    "branch_returns_operands": (
        lambda x, y: lax.cond(
            x[0, 0] > y[0, 0], lambda u, v: (u, v), lambda u, v: (v, u + 1), x, y
        ),
        X,
        Y,
    ),
    "branch_returns_views": (
        lambda x, y: lax.cond(x[0, 0] < y[0, 0], lambda u, v: u[1:], lambda u, v: v[:2], x, y),
        X,
        Y,
    ),
    "same_twice": (lambda x: (x + 1, x + 1, (x + 1).T), X),
    "scan_with_outputs": (
        lambda x: lax.scan(lambda s, row: (s + row, (s * row, row.sum())), jnp.zeros(4), x),
        X,
    ),
}


@pytest.mark.parametrize("name", LOOPS)
def test_loop(name, tmp_path):
    function, *arrays = LOOPS[name]
    for _, result, expected in run_function(function, arrays, tmp_path):
        np.testing.assert_allclose(result, expected, rtol=1e-6)


@pytest.mark.parametrize("index", [-1, 0, 1, 2, 7])
def test_switch(index, tmp_path):
    """An index out of range means the last branch in StableHLO; JAX clamps it before."""
    branches = [lambda v: v + 1, lambda v: v * 2, lambda v: v - 3]
    arrays = [np.int32(index), X]
    function = lambda i, x: lax.switch(i, branches, x)  # noqa: E731
    for _, result, expected in run_function(function, arrays, tmp_path):
        np.testing.assert_array_equal(result, expected)


def test_state_in_loop_is_updated_in_place(tmp_path):
    """A state that a loop updates row by row."""

    def step(x, state):
        update = lambda i, s: s.at[i].set(s[i] * 2 + x[i])  # noqa: E731
        return x.sum(), lax.fori_loop(0, 3, update, state)

    jitted = jax.jit(step, donate_argnums=1)
    (tmp_path / "g.mlir").write_text(jitted.lower(X, Y).as_text())
    compile_model(tmp_path / "g.mlir", tmp_path / "out", CompileOptions(FLOAT))
    results = run_program(tmp_path / "out", [X, Y])
    for result, expected in zip(results, [X.sum(), Y * 2 + X], strict=True):
        assert relative_error(result, np.asarray(expected)) < 1e-6


# Sort


def _hard_floats(count: int) -> np.ndarray:
    """Ties, both zeros, infinities and NaNs of both signs."""
    random = np.random.default_rng(3)
    values = random.integers(-3, 4, count).astype(np.float32)
    special = np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, 0.0], np.float32)
    values[random.integers(0, count, count // 3)] = special[random.integers(0, 6, count // 3)]
    return values


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 31, 257])
def test_sort_is_stable_and_orders_special_values(count, tmp_path):
    keys, places = _hard_floats(count), np.arange(count, dtype=np.int32)

    def function(keys, places):
        return (
            lax.sort((keys, places), num_keys=1, is_stable=True),
            lax.sort((-keys, places), num_keys=1, is_stable=True),
            lax.top_k(keys, min(5, count)),
        )

    for _, result, expected in run_function(function, [keys, places], tmp_path):
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("dimension", [0, 1, 2])
def test_sort_along(dimension, tmp_path):
    x = np.random.default_rng(0).integers(0, 9, (4, 5, 6)).astype(np.int16)
    function = lambda x: (lax.sort(x, dimension=dimension), jnp.argsort(x, dimension))  # noqa: E731
    for _, result, expected in run_function(function, [x], tmp_path):
        np.testing.assert_array_equal(result, expected)


# Scatter


def test_scatter_order_and_bounds(tmp_path):
    """Later updates win; those outside are dropped; all of them are seen by adding."""
    where = np.array([[2, 0], [5, 1], [2, 0], [-4, 0], [0, 3], [2, -1]], np.int32)

    def function(x, where, values):
        row, column = where[:, 0], where[:, 1]
        return {
            "set": x.at[row, column].set(values, mode="drop"),
            "add": x.at[row, column].add(values, mode="drop"),
            "max": x.at[row, column].max(values, mode="drop"),
            "multiply": x.at[row].multiply(2.0, mode="drop"),
            "batched": jax.vmap(lambda r, c, v: r.at[c].set(v, mode="drop"))(
                x, where[:3], x[:, :2]
            ),
        }

    values = np.arange(1, 7, dtype=np.float32)
    for _, result, expected in run_function(function, [X, where, values], tmp_path):
        np.testing.assert_array_equal(result, expected)

"""Contractions of random forms are quantised, and compute what they did."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from einsum_forms import random_form
from graph_runs import relative_error, run_program, write_zoo_graph
from graph_zoo_sites import SITE_GRAPHS
from safetensors.numpy import save_file
from test_equality import sq_run

from spikequant.check import check
from spikequant.compiler import RTN, CompileOptions, compile_model

FORMS = 12  # in one graph
SLOW = [pytest.param(i, marks=pytest.mark.slow) for i in range(10) if i != 1]


@pytest.mark.parametrize("seed", [1, 10, *SLOW])
def test_random_forms(seed, tmp_path):
    """Where 4-bit weights and counts are exact, so is the result, but for scales' rounding.

    A wrong order of elements or a wrong matrix would change every value.
    """
    random = np.random.default_rng(seed)
    forms = [random_form(random) for _ in range(FORMS)]
    arrays = [form.arrays(random) for form in forms]
    xs, weights, numbers = (list(part) for part in zip(*arrays, strict=True))

    def function(*given):
        parts = zip(forms, given[:FORMS], given[2 * FORMS :], given[FORMS:], strict=False)
        return tuple(form(x, w, n) for form, x, w, n in parts)

    jitted = jax.jit(function, keep_unused=True)
    arguments = [*xs, *numbers, *weights]
    (tmp_path / "g.mlir").write_text(jitted.lower(*arguments).as_text())
    keyed = {f"arg{2 * FORMS + i}": w for i, w in enumerate(weights)}
    save_file(keyed, tmp_path / "g.safetensors")
    options = CompileOptions(RTN, weights=tmp_path / "g.safetensors", head_bits=4)
    report = compile_model(tmp_path / "g.mlir", tmp_path / "out", options)
    assert report["sites"] == FORMS, [form.describe() for form in forms]
    results = run_program(tmp_path / "out", arguments[: 2 * FORMS])
    for form, result, wanted in zip(forms, results, jitted(*arguments), strict=True):
        assert relative_error(result, np.asarray(wanted)) < 1e-5, form.describe()
    inputs = {f"arg{i}": array for i, array in enumerate(arguments[: 2 * FORMS])}
    np.savez(tmp_path / "in.npz", **inputs)
    files = ["--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "reference.npz"]
    sq_run(tmp_path / "out", "--function", "main", *files)
    with np.load(tmp_path / "reference.npz") as reference:
        for i, result in enumerate(results):
            assert result.tobytes() == reference[f"out{i}"].tobytes(), forms[i].describe()


# Sites, products of activations, and why other contractions stay real.
FOUND = {
    "flax_attention": (4, 2, []),
    "stacked_layers": (3, 0, []),
    "looped_layers": (3, 0, []),
    "gathered_experts": (4, 0, []),
    "layered_experts": (3, 0, []),
    "dispatched_experts": (3, 2, []),
    "split_projection": (6, 2, []),
    "channels_first": (3, 0, []),
    "constants": (2, 0, ["its weight is a constant of only 9 elements"]),
    "patches": (3, 0, []),
    "mixed_precision": (2, 0, []),
    "broadcast_weight": (2, 0, []),
}


@pytest.mark.parametrize("name", FOUND)
def test_check_lists_every_contraction(name, tmp_path):
    sites, products, reasons = FOUND[name]
    result = check(*write_zoo_graph(SITE_GRAPHS[name], tmp_path))
    left = [entry["text"].split(" left: ")[1] for entry in result["left"]]
    assert len(result["sites"]) == sites
    assert left.count("a product of two activations") == products
    assert [text for text in left if text != "a product of two activations"] == reasons
    assert all(entry["location"] for entry in result["sites"] + result["left"])

"""Random graphs: compiled float against XLA; quantised against the reference.

SPIKEQUANT_SEEDS=FIRST:COUNT chooses the seeds. A failure names its seed: run that one again with
SPIKEQUANT_SEEDS=SEED:1; the graph's text is in the test's folder, which the message names.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from graph_runs import retype, run_program
from random_graphs import RandomGraph, lower
from safetensors.numpy import save_file

from spikequant import cli
from spikequant.compiler import FLOAT, CompileOptions, compile_model
from spikequant.toolchain import run_tool

_FIRST, _COUNT = map(int, os.environ.get("SPIKEQUANT_SEEDS", "0:60").split(":"))
# 75: two results whose places were one when empty tensors were eliminated.
_QUICK = (75, *range(1000, 1004))
_TOLERANCE = {"float16": 3e-2, "bfloat16": 2e-1, "float32": 2e-4, "float64": 1e-7}


def _seeds(quick: Iterable[int], slow: Iterable[int]) -> list:
    marked = [pytest.param(seed, marks=pytest.mark.slow) for seed in slow if seed not in quick]
    return [*quick, *marked]


def _differences(results: list[np.ndarray], expected: list[np.ndarray]) -> list[str]:
    """Values whose place depends on rounding (sorted, counted, compared) may differ: few do."""
    found = []
    for number, (result, array) in enumerate(zip(results, expected, strict=True)):
        result = retype(result, array)
        if (result.dtype, result.shape) != (array.dtype, array.shape):
            types = [f"{a.dtype}{list(a.shape)}" for a in (result, array)]
            found.append(f"out{number}: {types[0]}, not {types[1]}")
            continue
        tolerance = _TOLERANCE.get(jnp.dtype(array.dtype).name, 0)
        wide = [a.astype(np.float64) for a in (result, array)]
        if not np.allclose(*wide, rtol=tolerance, atol=tolerance, equal_nan=True):
            worst = float(np.nanmax(np.abs(wide[0] - wide[1])))
            found.append(f"out{number}: {array.dtype}{array.shape} differs by {worst}")
    return found


def compare_float(seed: int, folder: Path) -> list[str]:
    """What differs from XLA."""
    with jax.enable_x64(True):
        graph = RandomGraph(seed)
        lowered = lower(graph)
        (folder / "g.mlir").write_text(lowered.as_text())
        expected = [np.asarray(value) for value in lowered.compile()(*graph.arrays)]
    compile_model(folder / "g.mlir", folder / "out", CompileOptions(FLOAT))
    return _differences(run_program(folder / "out", graph.arrays), expected)


@pytest.mark.parametrize("seed", _seeds(_QUICK, range(_FIRST, _FIRST + _COUNT)))
def test_float_graph_is_near_xla(seed, tmp_path):
    assert not compare_float(seed, tmp_path), f"seed {seed}, {tmp_path / 'g.mlir'}"


@pytest.mark.parametrize("seed", _seeds(range(1000, 1002), range(_FIRST, _FIRST + _COUNT // 3)))
def test_quantised_graph_equals_the_reference(seed, tmp_path):
    graph = RandomGraph(seed, weights=True)
    (tmp_path / "g.mlir").write_text(lower(graph).as_text())
    weights = {f"arg{i}": graph.arrays[i] for i in graph.weight_numbers}
    save_file(weights, tmp_path / "w.safetensors")
    given = {f"arg{i}": a for i, a in enumerate(graph.arrays) if i not in graph.weight_numbers}
    np.savez(tmp_path / "in.npz", **given)
    np.savez(tmp_path / "batch.npz", **{name: array[None] for name, array in given.items()})
    files = [str(tmp_path / name) for name in ("g.mlir", "w.safetensors", "batch.npz", "c.json")]
    common = [files[0], "--weights", files[1]]
    assert cli.main(["calibrate", *common, "--inputs", files[2], "-o", files[3]]) == 0
    out = str(tmp_path / "out")
    options = ["--calibration", files[3], "--bits", "4.5", "-o", out]
    assert cli.main(["compile", *common, *options]) == 0
    results = str(tmp_path / "results.npz")
    inputs = str(tmp_path / "in.npz")
    assert cli.main(["run", out, "--inputs", inputs, "--outputs", results]) == 0
    reference = tmp_path / "reference.npz"
    run_tool("sq-run", [out, f"--inputs={inputs}", f"--outputs={reference}"])
    with np.load(results) as a, np.load(reference) as b:
        assert sorted(a.files) == sorted(b.files)
        for name in a.files:
            np.testing.assert_array_equal(a[name], b[name], err_msg=f"seed {seed}, {name}")

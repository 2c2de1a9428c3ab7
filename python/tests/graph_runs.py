"""Compiles a graph's text and runs it on arrays."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from graph_zoo import ZooGraph
from safetensors.numpy import save_file

from spikequant.arrays import named_arguments
from spikequant.calibrate import calibrate_inputs
from spikequant.compiler import FLOAT, CompileOptions, compile_model
from spikequant.native import NativeModel


def write_zoo_graph(graph: ZooGraph, folder: Path) -> tuple[Path, Path | None]:
    """Paths of the graph and of its weights."""
    source, weights = folder / "g.mlir", folder / "g.safetensors"
    source.write_text(graph.text())
    if not graph.weights:
        return source, None
    save_file(graph.keyed_weights(), weights)
    return source, weights


def calibrate_zoo_graph(graph: ZooGraph, folder: Path, batches: int) -> tuple[Path, Path | None]:
    """As `write_zoo_graph`; the calibration of that many random inputs becomes `calib`."""
    source, weights = write_zoo_graph(graph, folder)
    inputs = [graph.arrays(seed) for seed in range(1, batches + 1)]
    stacked = {f"arg{i}": np.stack(arrays) for i, arrays in enumerate(zip(*inputs, strict=True))}
    np.savez(folder / "batch.npz", **stacked)
    calibrate_inputs(source, weights, folder / "batch.npz", folder / "calib")
    return source, weights


def run_program(program: Path, arrays: list[np.ndarray], threads: int = 2) -> list[np.ndarray]:
    """On the arguments arg0, arg1, .. in order."""
    model = NativeModel(program)
    main = model.graph("main")
    given = {f"arg{i}": array for i, array in enumerate(arrays)}
    return main.run(named_arguments(model, main, given, "test"), threads)


def run_function(function, arrays: list[np.ndarray], folder: Path, threads: int = 2):
    """Pairs of result and expected result (by JAX) with the names of the latter."""
    jitted = jax.jit(function, keep_unused=True)
    (folder / "g.mlir").write_text(jitted.lower(*arrays).as_text())
    compile_model(folder / "g.mlir", folder / "out", CompileOptions(FLOAT))
    results = run_program(folder / "out", arrays, threads)
    expected = jax.tree_util.tree_leaves_with_path(jitted(*arrays))
    return [
        (jax.tree_util.keystr(path), retype(result, np.asarray(array)), np.asarray(array))
        for result, (path, array) in zip(results, expected, strict=True)
    ]


def retype(result: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """bf16 values come back as bits."""
    if expected.dtype == jnp.bfloat16:
        assert result.dtype == np.uint16
        return result.view(expected.dtype)
    return result


def relative_error(result: np.ndarray, expected: np.ndarray) -> float:
    """max|a - b| / max|b|, once shapes and types agree."""
    result = retype(result, expected)
    assert (result.dtype, result.shape) == (expected.dtype, expected.shape)
    a, b = result.astype(np.float64), expected.astype(np.float64)
    return float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)) if a.size else 0.0

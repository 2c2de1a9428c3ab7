"""Graphs of two and three layers with something between them, and their quantised programs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import jsonschema
import numpy as np
from safetensors.numpy import save_file

from spikequant.calibrate import calibrate_inputs
from spikequant.compiler import CompileOptions
from spikequant.neuromorphic_compile import SelectOptions, compile_selection
from spikequant.toolchain import find_tool

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "docs" / "schema" / "selection-1.json").read_text())
INPUTS, HIDDEN, OUTPUTS, ROWS, ITEMS = 24, 40, 12, 10, 12


def two_layers(between: Callable) -> Callable:
    """x @ W1, `between`(value, per-channel constants), @ W2."""
    return lambda x, up, bias, down: between(x @ up, bias) @ down


def relu_bias(x, c):
    return jax.nn.relu(x + c)


def leaky(x, c):
    return jnp.where(x > 0, x, 0.1 * x)


@dataclass(frozen=True)
class Between:
    """`real` is the same in NumPy; `lo` says whether the fire is clamped at 0."""

    function: Callable
    real: Callable
    one_rail: bool = False


BETWEEN = {
    "nothing": Between(lambda x, c: x, lambda x, c: x),
    "bias": Between(lambda x, c: x + c, lambda x, c: x + c),
    "relu": Between(relu_bias, lambda x, c: np.maximum(x + c, 0), True),
    "where": Between(
        lambda x, c: jnp.where(x > 0, x, 0.0), lambda x, c: np.maximum(x, 0), one_rail=True
    ),
    "batch_norm": Between(
        lambda x, c: jax.nn.relu((x - c) * jax.lax.rsqrt(c * c + 0.1) + 0.5),
        lambda x, c: np.maximum((x - c) / np.sqrt(c * c + 0.1) + 0.5, 0),
        one_rail=True,
    ),
    "scales": Between(
        lambda x, c: jax.nn.relu((c - x) * -2.0 / 3.0) * jnp.abs(c),
        lambda x, c: np.maximum((c - x) * -2 / 3, 0) * np.abs(c),
        one_rail=True,
    ),
}
REFUSED = {
    "gelu": (lambda x, c: jax.nn.gelu(x), "SEL-C6: before 'arg3' stands"),
    "leaky": (leaky, "SEL-C6: before 'arg3' stands a selection that is no maximum"),
    "square": (lambda x, c: x * x, "'arith.mulf' without an operand that is one constant"),
    "norm": (lambda x, c: x / jnp.sum(x, axis=1, keepdims=True), "SEL-C6: before 'arg3' stands"),
    "negative": (lambda x, c: c - x, "SEL-C5: output 0 counts -"),
    "clamps": (lambda x, c: jnp.maximum(x, c), "SEL-C8: output "),
}


@dataclass(frozen=True)
class Graph:
    """A graph file, its weights, its calibration and the batch that it was calibrated on."""

    file: Path
    weights: Path
    calibration: Path
    batch: np.ndarray
    arrays: list[np.ndarray]

    def select(self, target: str, selection: str, out: Path, **options) -> dict:
        """The report of the one network that `spikequant compile --select` makes."""
        settings = CompileOptions(calibration=self.calibration, weights=self.weights, bits=4.5)
        select = SelectOptions(target, [selection], **options)
        (network,) = compile_selection(self.file, out, settings, select)["networks"]
        jsonschema.Draft202012Validator(SCHEMA).validate(network)
        return network


def make_graph(function: Callable, shapes: list[tuple[int, ...]], folder: Path, seed=5) -> Graph:
    """Argument 0 is the input, [ROWS, INPUTS]; the others are weights."""
    random = np.random.default_rng(seed)
    arrays = [random.standard_normal(shape).astype(np.float32) for shape in shapes]
    batch = random.standard_normal((ITEMS, ROWS, INPUTS)).astype(np.float32)
    folder.mkdir(exist_ok=True)
    names = [f"graph.{kind}" for kind in ("mlir", "safetensors", "npz", "calib.json")]
    file, weights, inputs, calibration = (folder / name for name in names)
    types = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in (batch[0], *arrays)]
    file.write_text(jax.jit(function, keep_unused=True).lower(*types).as_text())
    save_file({f"arg{i + 1}": array for i, array in enumerate(arrays)}, weights)
    np.savez(inputs, arg0=batch)
    calibrate_inputs(file, weights, inputs, calibration)
    return Graph(file, weights, calibration, batch, arrays)


def make_two_layers(between: Callable, folder: Path) -> Graph:
    shapes = [(INPUTS, HIDDEN), (HIDDEN,), (HIDDEN, OUTPUTS)]
    return make_graph(two_layers(between), shapes, folder)


def make_three_layers(folder: Path) -> Graph:
    def function(x, up, bias, middle, other, down):
        hidden = jax.nn.relu(x @ up + bias)
        return (hidden @ middle + other) @ down

    shapes = [(INPUTS, HIDDEN), (HIDDEN,), (HIDDEN, 16), (16,), (16, OUTPUTS)]
    return make_graph(function, shapes, folder)


def record_program(program: Path, inputs: np.ndarray, folder: Path) -> dict[str, np.ndarray]:
    """Counts and membranes of the whole quantised program, by the reference."""
    given, taps = folder / "program.in.npz", folder / "program.taps.npz"
    np.savez(given, arg0=inputs)
    command = [find_tool("sq-run"), program, "--inputs", given, "--record", taps]
    subprocess.run([str(word) for word in command], check=True)
    with np.load(taps) as arrays:
        return {name: arrays[name] for name in arrays.files}

"""Graphs on .npz files: arguments arg0, arg1, .. and results out0, out1, .."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from .errors import SpikeQuantError
from .native import Graph, NativeModel, Observer
from .outputs import replacing_file

_NPZ_ERRORS = (OSError, ValueError, TypeError, KeyError, EOFError, NotImplementedError)
_DAMAGE = (zipfile.BadZipFile, zlib.error, SyntaxError)


def run_arrays(
    program: str | Path,
    inputs: str | Path,
    outputs: str | Path,
    graph_name: str | None = None,
    threads: int = 1,
    record: str | Path | None = None,
) -> None:
    """Runs one graph; with `record`, saves what it shows, by site."""
    model = NativeModel(program)
    graph = choose_graph(model, graph_name)
    recorder = Recorder(graph)
    given = named_arguments(model, graph, load_arrays(inputs), inputs)
    results = graph.run(given, threads, recorder.observer if record else None)
    save_arrays(outputs, {f"out{i}": array for i, array in enumerate(results)})
    if record:
        save_arrays(record, recorder.arrays())


class Recorder:
    """Keeps what a graph shows; several calls are joined along axis 0."""

    def __init__(self, graph: Graph):
        self._graph = graph
        self._parts: dict[str, list[np.ndarray]] = {}
        self.observer = Observer.from_python(self._receive)

    def _receive(self, site: int, array: np.ndarray) -> None:
        self._parts.setdefault(self._graph.sites[site], []).append(array)

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: np.concatenate(parts) for name, parts in self._parts.items()}


def choose_graph(model: NativeModel, name: str | None) -> Graph:
    if name is None and len(model.graphs) > 1:
        raise SpikeQuantError(f"choose one with --graph: {', '.join(model.graphs)}")
    return model.graph(name or next(iter(model.graphs)))


def argument_numbers(model: NativeModel, graph: Graph) -> dict[str, str]:
    """argN (N counts the function's arguments, weights too) to the argument's name."""
    for entry in model.description.get("graphs", []):
        if entry["name"] == graph.name:
            names = [argument["name"] for argument in entry["arguments"]]
            given = {spec.name for spec in graph.arguments}
            return {f"arg{i}": name for i, name in enumerate(names) if name in given}
    return {spec.name: spec.name for spec in graph.arguments}


def named_arguments(
    model: NativeModel, graph: Graph, arrays: dict[str, np.ndarray], source: str | Path
) -> dict[str, np.ndarray]:
    """Arrays argN as the graph's arguments; state left out starts as zeros."""
    names = argument_numbers(model, graph)
    unknown = [key for key in arrays if key not in names]
    if unknown:
        raise SpikeQuantError(
            f"{source}: graph '{graph.name}' has no input {', '.join(unknown)}: "
            f"it has {', '.join(names)}"
        )
    specs = {spec.name: spec for spec in graph.arguments}
    named = {}
    for key, name in names.items():
        spec = specs[name]
        if key in arrays:
            # State is changed in place: not the caller's array.
            array = _as_bits(np.array(arrays[key], order="C"), spec.dtype)
            named[name] = _as_integers(array, spec.dtype)
        elif spec.state_result >= 0:
            named[name] = spec.empty()
        else:
            raise SpikeQuantError(
                f"{source}: '{key}' is missing: {name} {spec.dtype} {list(spec.shape)}"
            )
    return named


def _as_bits(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Unsigned integers and bf16 (which .npz files hold as raw bytes) are handed over as bits."""
    is_unsigned = array.dtype.kind == "u" and dtype.kind == "i"
    is_bfloat = array.dtype.name in ("bfloat16", "void16") and dtype == np.uint16
    if array.dtype.itemsize == dtype.itemsize and (is_unsigned or is_bfloat):
        return array.view(dtype)
    return array


def _as_integers(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Whole numbers and flags in another width, if all fit: NumPy makes int64, JAX int32."""
    if array.dtype == dtype or array.dtype.kind not in "biu" or dtype.kind not in "bi":
        return array
    converted = array.astype(dtype)
    return converted if np.array_equal(converted, array) else array


def load_arrays(path: str | Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise SpikeQuantError(f"{path}: no such file") from error
    except (*_NPZ_ERRORS, *_DAMAGE) as error:
        raise SpikeQuantError(
            f"{path}: not an .npz file of arrays (numpy.savez makes one): {error}"
        ) from error


def save_arrays(path: str | Path, arrays: dict[str, np.ndarray]) -> None:
    with replacing_file(Path(path)) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)

"""Graphs on .npz files: arguments arg0, arg1, .. or by name, and results out0, out1, .."""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

import numpy as np

from .errors import SpikeQuantError
from .native import Graph, NativeModel, Observer
from .outputs import replacing_file
from .packed_counts import is_packed, pack_counts, unpack_counts

_NPZ_ERRORS = (OSError, ValueError, TypeError, KeyError, EOFError, NotImplementedError)
_DAMAGE = (zipfile.BadZipFile, zlib.error, SyntaxError)


def run_arrays(
    program: str | Path,
    inputs: str | Path,
    outputs: str | Path,
    graph_name: str | None = None,
    threads: int = 1,
    record: str | Path | None = None,
    packed: bool = False,
) -> None:
    """Runs one graph; with `record`, saves what it shows, by site. Both files appear or none.

    `packed` saves recorded counts in the bits of their windows (docs/PackedCounts.md).
    """
    model = NativeModel(program)
    graph = choose_graph(model, graph_name)
    recorder = Recorder(graph)
    given = named_arguments(model, graph, load_arrays(inputs), inputs)
    results = graph.run(given, threads, recorder.observer if record else None)
    written = {outputs: {f"out{i}": array for i, array in enumerate(results)}}
    if record:
        shown = recorder.arrays()
        written[record] = {
            name: pack_counts(array) if packed and array.dtype == np.int16 else array
            for name, array in shown.items()
        }
    save_arrays(written)


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
    model: NativeModel,
    graph: Graph,
    arrays: dict[str, np.ndarray],
    source: str | Path,
    apart: Collection[str] = (),
) -> dict[str, np.ndarray]:
    """Arrays argN, or by name, as the graph's arguments; state left out starts as zeros.

    Arguments named in `apart` are none of the user's.
    """
    numbers = argument_numbers(model, graph).items()
    names = {name if name in arrays else key: name for key, name in numbers if name not in apart}
    unknown = [key for key in arrays if key not in names]
    if unknown:
        raise SpikeQuantError(
            f"{source}: graph '{graph.name}' has no input {', '.join(unknown)}: "
            f"it has {', '.join(names)}"
        )
    specs = {spec.name: spec for spec in graph.arguments}
    for key, name in names.items():
        spec = specs[name]
        if key not in arrays and spec.state_result < 0:
            raise SpikeQuantError(
                f"{source}: '{key}' is missing: {name} {spec.dtype} {list(spec.shape)}"
            )
    named = {}
    for key, name in names.items():
        spec = specs[name]
        if key in arrays:
            # State is changed in place: not the caller's array.
            array = _as_bits(np.array(arrays[key], order="C"), spec.dtype)
            array = _as_integers(array, spec.dtype)
            try:
                named[name] = spec.check(array, graph.name)
            except SpikeQuantError as error:
                raise SpikeQuantError(f"{source}: {error}") from error
        else:
            named[name] = spec.empty()
    return named


def _as_bits(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """bf16 (which .npz files hold as raw bytes) is handed over as bits."""
    is_bfloat = array.dtype.name in ("bfloat16", "void16") and dtype == np.uint16
    return array.view(dtype) if is_bfloat else array


def _as_integers(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Whole numbers and flags in another width, if all fit: NumPy makes int64, JAX int32."""
    if array.dtype == dtype or array.dtype.kind not in "biu" or dtype.kind not in "biu":
        return array
    converted = array.astype(dtype)
    return converted if np.array_equal(converted, array) else array


def load_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Packed counts are unpacked."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise SpikeQuantError(f"{path}: no such file") from error
    except (*_NPZ_ERRORS, *_DAMAGE) as error:
        raise SpikeQuantError(
            f"{path}: not an .npz file of arrays (numpy.savez makes one): {error}"
        ) from error
    try:
        return {n: unpack_counts(a) if is_packed(a) else a for n, a in arrays.items()}
    except SpikeQuantError as error:
        raise SpikeQuantError(f"{path}: {error}") from error


def save_arrays(files: dict[str | Path, dict[str, np.ndarray]]) -> None:
    """Writes .npz files; none takes its place before all are complete."""
    with contextlib.ExitStack() as stack:
        for path, arrays in files.items():
            temporary = stack.enter_context(replacing_file(Path(path)))
            with temporary.open("wb") as file:
                np.savez(file, **arrays)

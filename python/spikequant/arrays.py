"""Graphs on .npz files: arguments arg0, arg1, .. and results out0, out1, .."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from . import bundle
from .errors import SpikeQuantError
from .native import Graph, NativeModel, Observer


def run_arrays(
    program: str | Path,
    inputs: str | Path,
    outputs: str | Path,
    graph_name: str | None = None,
    threads: int = 1,
    record: str | Path | None = None,
) -> None:
    """Runs one graph; with `record`, saves what it shows, by site."""
    graph = choose_graph(NativeModel(program), graph_name)
    arrays = load_arrays(inputs, [f"arg{i}" for i in range(len(graph.arguments))])
    recorder = Recorder(graph)
    given = named_arguments(graph, arrays)
    results = graph.run(given, threads, recorder.observer if record else None)
    save_arrays(outputs, {f"out{i}": array for i, array in enumerate(results.values())})
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


def named_arguments(graph: Graph, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays argN as the graph's arguments; state left out starts as zeros."""
    named = {}
    for index, spec in enumerate(graph.arguments):
        if f"arg{index}" in arrays:
            array = arrays[f"arg{index}"]
            named[spec.name] = np.array(array) if spec.state_result >= 0 else array
        elif spec.state_result >= 0:
            named[spec.name] = spec.empty()
        else:
            raise SpikeQuantError(f"graph '{graph.name}': array 'arg{index}' is missing")
    return named


def load_arrays(path: str | Path, known: list[str]) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, AttributeError) as error:
        raise SpikeQuantError(f"{path}: not an .npz file of arrays: {error}") from error
    unknown = [name for name in arrays if name not in known]
    if unknown:
        raise SpikeQuantError(f"{path}: no argument is called {', '.join(unknown)}")
    return arrays


def save_arrays(path: str | Path, arrays: dict[str, np.ndarray]) -> None:
    with bundle.replacing_file(Path(path)) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)

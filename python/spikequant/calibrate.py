"""`spikequant calibrate`: runs the float program over text or arrays and collects statistics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from . import bundle
from .arrays import Recorder, choose_graph, load_arrays, named_arguments
from .calibration_inputs import save_inputs, save_tokens
from .collector import Collector, replacing_calibration
from .compiler import OBSERVE, CompileOptions, compile_model
from .errors import SpikeQuantError
from .native import NativeModel
from .native_graph import Graph
from .session import Session
from .stablehlo_shapes import Shapes
from .text import read_windows

Progress = Callable[[str, int, int], None]


def calibrate_text(
    source: str | Path,
    text: str | Path,
    out: str | Path,
    tokens: int = 8192,
    context: int = 1024,
    threads: int = 1,
    progress: Progress | None = None,
    grams: bool = False,
) -> Path:
    """Calibrates a language model bundle on the first `tokens` tokens of a text file.

    In windows of `context` tokens (at most the bundle's largest context), each from an empty cache.
    `grams` also collects what second-order rounding of weights needs (a second, larger file).
    """
    source, out = Path(source), Path(out)
    report = progress or (lambda *_: None)
    contexts = bundle.read_model(source)["contexts"]
    context = min(context, max(contexts))
    if context not in contexts:
        known = ", ".join(map(str, contexts))
        raise SpikeQuantError(f"--context {context}: the bundle was exported for {known}")
    windows = read_windows(source, Path(text), context, -(-tokens // context), allow_fewer=True)
    steps = len(windows) + 1
    with replacing_calibration(out) as fresh:
        report("compile", 0, steps)
        program = fresh.parent / "observed"
        compile_model(source, program, CompileOptions(OBSERVE, graphs=[f"score_{context}"]))
        session = Session(program, threads)
        collector = Collector(*_learn_sites(session), grams)
        session.observer = collector.observer
        for index, window in enumerate(windows):
            report("observe", index + 1, steps)
            # Windows fill the context, so that no row of any chunk is padding.
            session.reset(context)
            for _ in session.score(window):
                pass
        collector.save(fresh)
        save_tokens(fresh, windows)
        report("done", steps, steps)
    return out


def calibrate_inputs(
    source: str | Path,
    weights: str | Path | None,
    inputs: str | Path,
    out: str | Path,
    threads: int = 1,
    progress: Progress | None = None,
    shapes: Shapes | None = None,
    grams: bool = False,
) -> Path:
    """Calibrates a graph on arrays argN that have a leading batch axis."""
    out = Path(out)
    report = progress or (lambda *_: None)
    arrays = load_arrays(inputs)
    batches = _split_batch(arrays, inputs)
    with replacing_calibration(out) as fresh:
        report("compile", 0, len(batches) + 1)
        program = fresh.parent / "observed"
        compile_model(source, program, CompileOptions(OBSERVE, weights=weights, shapes=shapes))
        model = NativeModel(program)
        graph = choose_graph(model, None)
        first = named_arguments(model, graph, batches[0], inputs)
        collector = Collector(*_learn_graph_sites(graph, first, threads), grams)
        for index, batch in enumerate(batches):
            report("observe", index + 1, len(batches) + 1)
            arguments = named_arguments(model, graph, batch, inputs)
            graph.run(arguments, threads, collector.observer)
        collector.save(fresh)
        save_inputs(fresh, arrays)
        report("done", len(batches) + 1, len(batches) + 1)
    return out


def _split_batch(arrays: dict[str, np.ndarray], path) -> list[dict[str, np.ndarray]]:
    sizes = {array.shape[0] if array.ndim else 0 for array in arrays.values()}
    if len(sizes) != 1 or 0 in sizes:
        raise SpikeQuantError(f"{path}: the arrays need one leading batch axis of equal length")
    for name, array in arrays.items():
        if array.dtype.kind == "f" and np.isnan(array).any():
            place = np.argwhere(np.isnan(array))[0].tolist()
            raise SpikeQuantError(f"{path}: '{name}' is NaN at {place}: leave such inputs out")
    return [{name: array[i] for name, array in arrays.items()} for i in range(sizes.pop())]


def _learn_sites(session: Session) -> tuple[list[str], list[int]]:
    """Names and channels of the sites, from what one chunk shows."""
    graph = next(iter(session.model.graphs.values()))
    session.reset()
    recorder = Recorder(graph)
    session.observer = recorder.observer
    for _ in session.score([0]):
        pass
    return _sites(graph, recorder)


def _learn_graph_sites(graph: Graph, arguments: dict, threads: int) -> tuple[list[str], list[int]]:
    recorder = Recorder(graph)
    graph.run(arguments, threads, recorder.observer)
    return _sites(graph, recorder)


def _sites(graph: Graph, recorder: Recorder) -> tuple[list[str], list[int]]:
    shown = recorder.arrays()
    missing = [name for name in graph.sites if name not in shown]
    if missing:
        raise SpikeQuantError(f"the program did not show the sites {', '.join(missing)}")
    if not graph.sites:
        raise SpikeQuantError(
            f"graph '{graph.name}' has no value to encode: 'spikequant check' tells why"
        )
    return graph.sites, [shown[name].shape[-1] for name in graph.sites]

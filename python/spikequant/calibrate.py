"""`spikequant calibrate`: runs the float program over text and collects statistics."""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from . import bundle
from .arrays import Recorder, choose_graph, load_arrays, named_arguments
from .compiler import CompileOptions, compile_model
from .errors import SpikeQuantError
from .native import NativeModel, ObserveFunction, Observer
from .session import Session
from .text import read_windows
from .toolchain import find_library

Progress = Callable[[str, int, int], None]


class Collector:
    """The C++ statistics behind an observer."""

    def __init__(self, names: list[str], channels: list[int]):
        self._library = _load_library()
        c_names = (ctypes.c_char_p * len(names))(*(name.encode() for name in names))
        c_channels = (ctypes.c_int64 * len(channels))(*channels)
        self._handle = self._library.sq_calibration_create(len(names), c_names, c_channels)
        if not self._handle:
            raise SpikeQuantError(self._library.sq_calibration_error(None).decode())
        address = ctypes.cast(self._library.sq_calibration_observe, ctypes.c_void_p).value
        self.observer = Observer(ObserveFunction(address), self._handle)

    def set_rows(self, rows: int) -> None:
        """Only the first `rows` tokens of the following calls are real."""
        self._library.sq_calibration_set_rows(self._handle, rows)

    def save(self, path: Path) -> None:
        if self._library.sq_calibration_save(self._handle, str(path).encode()):
            raise SpikeQuantError(self._library.sq_calibration_error(self._handle).decode())


def merge(files: list[Path], out: Path) -> None:
    """Adds up calibration files of the same sites; their order does not matter."""
    library = _load_library()
    paths = (ctypes.c_char_p * len(files))(*(str(file).encode() for file in files))
    if library.sq_calibration_merge_files(len(files), paths, str(out).encode()):
        raise SpikeQuantError(library.sq_calibration_error(None).decode())


def calibrate_text(
    source: str | Path,
    text: str | Path,
    out: str | Path,
    tokens: int = 8192,
    context: int = 1024,
    threads: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Calibrates a language model bundle on the first `tokens` tokens of a text file."""
    source, out = Path(source), Path(out)
    report = progress or (lambda *_: None)
    description = bundle.read_model(source)
    context = min(context, max(description["contexts"]))
    if context not in description["contexts"]:
        raise SpikeQuantError(f"--context {context}: the bundle has {description['contexts']}")
    windows = read_windows(source, Path(text), context, -(-tokens // context), allow_fewer=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
        program = Path(folder) / "observed"
        options = CompileOptions(method="observe", graphs=[f"score_{context}"])
        report("compile", 0, len(windows) + 1)
        compile_model(source, program, options)
        _observe(program, windows, context, threads, out, report)
    return out


def calibrate_inputs(
    source: str | Path,
    weights: Path | None,
    inputs: str | Path,
    out: str | Path,
    threads: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Calibrates a graph on arrays argN that have a leading batch axis."""
    out = Path(out)
    report = progress or (lambda *_: None)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
        report("compile", 0, 1)
        program = Path(folder) / "observed"
        compile_model(source, program, CompileOptions(method="observe", weights=weights))
        graph = choose_graph(NativeModel(program), None)
        names = [f"arg{i}" for i in range(len(graph.arguments))]
        batches = _split_batch(load_arrays(inputs, names), inputs)
        collector = None
        for index, batch in enumerate(batches):
            report("observe", index, len(batches))
            if collector is None:
                collector = Collector(*_learn_graph_sites(graph, batch, threads))
            graph.run(named_arguments(graph, batch), threads, collector.observer)
        collector.save(out)
        report("done", len(batches), len(batches))
    return out


def _split_batch(arrays: dict[str, np.ndarray], path) -> list[dict[str, np.ndarray]]:
    sizes = {array.shape[0] if array.ndim else 0 for array in arrays.values()}
    if len(sizes) != 1 or 0 in sizes:
        raise SpikeQuantError(f"{path}: the arrays need one leading batch axis of equal length")
    return [{name: array[i] for name, array in arrays.items()} for i in range(sizes.pop())]


def _learn_graph_sites(graph, batch, threads) -> tuple[list[str], list[int]]:
    recorder = Recorder(graph)
    graph.run(named_arguments(graph, batch), threads, recorder.observer)
    shown = recorder.arrays()
    missing = [name for name in graph.sites if name not in shown]
    if missing:
        raise SpikeQuantError(f"the program did not show the sites {', '.join(missing)}")
    return graph.sites, [shown[name].shape[-1] for name in graph.sites]


def _observe(program, windows, context, threads, out, report) -> None:
    session = Session(program, threads)
    collector = Collector(*_learn_sites(session, context))
    session.observer = collector.observer
    for index, window in enumerate(windows):
        report("observe", index + 1, len(windows) + 1)
        session.reset(context)
        for start in range(0, len(window), session.chunk):
            part = window[start : start + session.chunk]
            collector.set_rows(len(part))
            session.score(part)
    collector.save(out)
    report("done", len(windows) + 1, len(windows) + 1)


def _learn_sites(session: Session, context: int) -> tuple[list[str], list[int]]:
    """Names and channel counts, from what one chunk shows."""
    session.reset(context)
    names = session.model.graph(f"score_{context}").sites
    channels: dict[int, int] = {}
    session.observer = Observer.from_python(
        lambda site, array: channels.__setitem__(site, array.shape[-1])
    )
    session.score(np.zeros(1, np.int32))
    missing = [name for site, name in enumerate(names) if site not in channels]
    if missing:
        raise SpikeQuantError(f"the program did not show the sites {', '.join(missing)}")
    return names, [channels[site] for site in range(len(names))]


def _load_library() -> ctypes.CDLL:
    library = ctypes.CDLL(find_library("libSpikeQuantCalibrationC.so"))
    pointer = ctypes.c_void_p
    library.sq_calibration_create.restype = pointer
    library.sq_calibration_create.argtypes = [
        ctypes.c_int32,
        ctypes.POINTER(ctypes.c_char_p),
        ctypes.POINTER(ctypes.c_int64),
    ]
    library.sq_calibration_set_rows.argtypes = [pointer, ctypes.c_int64]
    library.sq_calibration_save.argtypes = [pointer, ctypes.c_char_p]
    library.sq_calibration_error.argtypes = [pointer]
    library.sq_calibration_error.restype = ctypes.c_char_p
    return library

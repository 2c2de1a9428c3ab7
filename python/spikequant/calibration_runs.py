"""The inputs of a calibration as numbered units, each of which an instrumented program can run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .arrays import Recorder, choose_graph, load_arrays, named_arguments
from .errors import SpikeQuantError
from .native import NativeModel
from .native_graph import Graph, Observer
from .session import Session

TOKENS = "tokens"
# Argument of programs that round what sites read (sq-compile --probe): a step per site, 0 for none.
PROBE_STEPS = "probe_steps"


class TextRuns:
    """A unit is a window of tokens, from an empty cache."""

    def __init__(self, program: Path, inputs: Path, threads: int):
        self.windows = load_arrays(inputs)[TOKENS]
        self.session = Session(program, threads)
        self.graph = self.session.model.graph(next(iter(self.session.model.graphs)))
        specs = {spec.name: spec for spec in self.graph.arguments}
        if PROBE_STEPS in specs:
            self.session.constants = {PROBE_STEPS: specs[PROBE_STEPS].zeros()}

    def observe(self, unit: int, observer: Observer) -> None:
        for _ in self._score(self.windows[unit], observer):
            pass

    def learn(self) -> dict[str, int]:
        """Channels of the sites that one chunk shows."""
        recorder = Recorder(self.graph)
        for _ in self._score([0], recorder.observer):
            pass
        return _channels(recorder)

    def results(
        self, unit: int, steps: np.ndarray, observer: Observer | None = None
    ) -> Iterator[np.ndarray]:
        """Logits of the window's first chunk, with the sites' inputs rounded."""
        self.session.constants = {PROBE_STEPS: steps}
        yield from self._score(self.windows[unit][: self.session.chunk], observer)

    def _score(self, tokens, observer: Observer | None) -> Iterator[np.ndarray]:
        # Windows fill the context, so that no row of any chunk is padding.
        self.session.reset(self.session.contexts[-1])
        self.session.observer = observer
        return self.session.score(tokens)


class ArrayRuns:
    """A unit is one item of a batch of a graph's inputs."""

    def __init__(self, program: Path, inputs: Path, threads: int, source: str):
        self.arrays = load_arrays(inputs)
        self.model = NativeModel(program)
        self.graph = choose_graph(self.model, None)
        self.threads, self.source = threads, source

    def observe(self, unit: int, observer: Observer) -> None:
        self._run(unit, observer)

    def learn(self) -> dict[str, int]:
        """Channels of the sites. A unit may take one branch only: then the next ones are run."""
        known: dict[str, int] = {}
        for unit in range(len(next(iter(self.arrays.values())))):
            recorder = Recorder(self.graph)
            self._run(unit, recorder.observer)
            known |= _channels(recorder)
            if len(known) == len(self.graph.sites):
                break
        return known

    def results(
        self, unit: int, steps: np.ndarray, observer: Observer | None = None
    ) -> Iterator[np.ndarray]:
        """Real results, state only if there is nothing else."""
        values = self._run(unit, observer, steps)
        states = {spec.state_result for spec in self.graph.arguments}
        real = [i for i, value in enumerate(values) if value.dtype.kind == "f"]
        for index in [i for i in real if i not in states] or real:
            yield values[index]

    def _run(self, unit: int, observer: Observer | None, steps=None) -> list[np.ndarray]:
        given = {name: array[unit] for name, array in self.arrays.items()}
        arguments = named_arguments(self.model, self.graph, given, self.source, (PROBE_STEPS,))
        for spec in self.graph.arguments:
            if spec.name == PROBE_STEPS:
                arguments[PROBE_STEPS] = spec.zeros() if steps is None else steps
        return self.graph.run(arguments, self.threads, observer)


def probed_sites(graph: Graph) -> int:
    """How many of the graph's sites, the first ones, can be rounded."""
    return next((spec.shape[0] for spec in graph.arguments if spec.name == PROBE_STEPS), 0)


def _channels(recorder: Recorder) -> dict[str, int]:
    return {name: array.shape[-1] for name, array in recorder.arrays().items()}


def sites_of(graph: Graph, known: dict[str, int]) -> tuple[list[str], list[int]]:
    """Names and channels of the sites, from what runs showed."""
    missing = [name for name in graph.sites if name not in known]
    if missing:
        raise SpikeQuantError(
            f"no input reaches the sites {', '.join(missing)}, in a branch or loop of graph "
            f"'{graph.name}': give inputs that do"
        )
    if not graph.sites:
        raise SpikeQuantError(
            f"graph '{graph.name}' has no value to encode: 'spikequant check' tells why"
        )
    return graph.sites, [known[name] for name in graph.sites]

"""The work of a calibration on some units: in this process, or in another that this module starts.

    python -m spikequant.calibration_worker STORE TASK THREADS UNIT ..

prints a line per unit done; its errors go to standard error.
"""

from __future__ import annotations

import os
import selectors
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from .calibration_runs import ArrayRuns, TextRuns, sites_of
from .calibration_store import Store
from .collector import Collector
from .errors import SpikeQuantError

FIT, HELD, SENSITIVITY = "fit", "held", "sensitivity"
NONE, FINITE, FISHER = "none", "finite", "fisher"
# Saving may take this part of the time: a part with Gram matrices has hundreds of megabytes.
_SAVING_SHARE = 0.1

Done = Callable[[], None]


def perform(store: Store, role: str, units: Sequence[int], threads: int, done: Done) -> None:
    """Runs units of a role; their parts are in the store afterwards."""
    if role == SENSITIVITY:
        measure = _fisher(store) if store.plan["sensitivity"] == FISHER else _finite(store, threads)
        for unit in units:
            _save_sensitivity(store, unit, *measure(unit))
            done()
        return
    runs = _open_runs(store, threads)
    collector = Collector(*sites_of(runs.graph, runs.learn()), store.plan["grams"])
    finished: list[int] = []
    # The first is saved at once: how long that takes decides how often it is done.
    due = 0.0
    for unit in units:
        runs.observe(unit, collector.observer)
        finished.append(unit)
        if time.monotonic() >= due or unit == units[-1]:
            start = time.monotonic()
            store.add(role, finished, collector)
            due = time.monotonic() + (time.monotonic() - start) / _SAVING_SHARE
        done()


def _open_runs(store: Store, threads: int) -> TextRuns | ArrayRuns:
    if store.plan["kind"] == "text":
        return TextRuns(store.program, store.inputs, threads)
    return ArrayRuns(store.program, store.inputs, threads, store.plan["inputs"])


def _finite(store: Store, threads: int):
    from .sensitivity import probe_sites

    runs = _open_runs(store, threads)
    names, channels = sites_of(runs.graph, runs.learn())
    return lambda unit: (names, channels, *probe_sites(runs, unit))


def _fisher(store: Store):
    from .llama_fisher import LlamaFisher

    runs = _open_runs(store, 1)
    names, channels = sites_of(runs.graph, runs.learn())
    windows = runs.windows
    model = LlamaFisher(Path(store.plan["source"]))

    def measure(unit: int):
        known, rows = model.measure(windows[unit])
        # A rotation changes no sum of squares.
        known |= {f"{name[:-3]}.rotated.in": value for name, value in known.items()}
        values = np.array([known.get(name, 0.0) for name in names])
        return names, channels, values, np.where([name in known for name in names], rows, 0)

    return measure


def _save_sensitivity(store: Store, unit: int, names, channels, values, rows) -> None:
    """As statistics of no rows: merging files adds them up exactly."""
    collector = Collector(names, channels)
    for site in np.flatnonzero(rows):
        collector.set_sensitivity(int(site), float(values[site]), int(rows[site]))
    store.add(SENSITIVITY, [unit], collector)


def run_units(
    store: Store, role: str, units: Sequence[int], jobs: int, threads: int, done: Done
) -> None:
    """`perform`, on as many processes. Fisher's has one thread each, always of its own process:
    how XLA splits a sum depends on the threads that it finds."""
    if not units:
        return
    fisher = role == SENSITIVITY and store.plan["sensitivity"] == FISHER
    jobs = min(jobs if not fisher else max(jobs, min(threads, 2)), len(units))
    if jobs == 1 and not fisher:
        return perform(store, role, units, threads, done)
    each = 1 if fisher else max(1, threads // jobs)
    workers: list[_Worker] = []
    try:
        for number in range(jobs):
            workers.append(_Worker(store, role, units[number::jobs], each))
        for _ in _lines(workers):
            done()
    finally:
        for worker in workers:
            worker.close()


class _Worker:
    """A process for some units, which ends when this process does."""

    def __init__(self, store: Store, role: str, units: Sequence[int], threads: int):
        words = [sys.executable, "-m", __name__, store.folder, role, threads, *units]
        if leash := shutil.which("setpriv"):
            words = [leash, "--pdeathsig", "KILL", *words]
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
            "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}",
        }
        # Messages go to a file: nobody reads two pipes at once here.
        self._messages = (store.folder / f"messages-{role}-{units[0]}").open("w+")
        self._process = subprocess.Popen(
            list(map(str, words)),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            text=True,
        )
        self.output = self._process.stdout

    def check(self) -> None:
        """For one that has closed its output."""
        if code := self._process.wait():
            self._messages.seek(0)
            raise SpikeQuantError(self._messages.read().strip() or _describe(code))

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self.output.close()
        self._messages.close()


def _describe(code: int) -> str:
    hint = " (out of memory?)" if code == -9 else ""
    return f"a process of the calibration ended with code {code}{hint}"


def _lines(workers: Sequence[_Worker]) -> Iterator[str]:
    """Lines of all as they come. Raises the error of one that failed."""
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            selector.register(worker.output, selectors.EVENT_READ, worker)
        while selector.get_map():
            for key, _ in selector.select():
                if line := key.fileobj.readline():
                    yield line
                else:
                    selector.unregister(key.fileobj)
                    key.data.check()


def main(words: Sequence[str]) -> int:
    folder, role, threads, *units = words
    try:
        # A line even if the reader is gone: the pipe's end then ends this process.
        perform(Store(Path(folder)), role, list(map(int, units)), int(threads), _print_done)
    except SpikeQuantError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if os.environ.get("SPIKEQUANT_TRACE"):
            raise
        print(f"internal error: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def _print_done() -> None:
    print("done", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

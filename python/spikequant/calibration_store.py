"""What a calibration has done so far, kept beside its output so that a killed run can go on.

`.OUT.checkpoint` holds the plan (and its hash), the inputs, the instrumented program, and parts:
statistics files of the units (windows of text, items of a batch) that some process has run. Parts
only ever appear whole, and all they hold is integers that add up in any order, so the
calibration is the sum of the parts whoever made them.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import xxhash

from .bundle import write_json
from .collector import Collector, gram_path
from .errors import SpikeQuantError
from .outputs import replacing_folder
from .toolchain import find_tool

_PLAN, _PART, _STATISTICS = "plan.json", "part.json", "statistics.json"
# Raised when a checkpoint of an older version would be misread.
_VERSION = 1


class Store:
    """One checkpoint folder. Roles of parts: `fit`, `held` (out) and `sensitivity`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.plan: dict = json.loads((folder / _PLAN).read_text(encoding="utf-8"))

    @property
    def program(self) -> Path:
        return self.folder / "program"

    @property
    def inputs(self) -> Path:
        return self.folder / "inputs.npz"

    def done(self, role: str) -> set[int]:
        return {unit for part in self._parts(role) for unit in self._units(part)}

    def files(self, role: str) -> list[Path]:
        return [part / _STATISTICS for part in self._parts(role)]

    def add(self, role: str, units: Sequence[int], collector: Collector) -> None:
        """Saves what `collector` holds of the units. A part is named after its first unit, which
        belongs to one process: saving it again with more units replaces it."""
        with replacing_folder(
            self.folder / f"{role}-{units[0]:06}", lambda path: True, "a part"
        ) as fresh:
            collector.save(fresh / _STATISTICS)
            write_json(fresh / _PART, {"units": list(units)})

    def _parts(self, role: str) -> list[Path]:
        return sorted(part.parent for part in self.folder.glob(f"{role}-*/{_PART}"))

    @staticmethod
    def _units(part: Path) -> list[int]:
        return json.loads((part / _PART).read_text(encoding="utf-8"))["units"]


@contextlib.contextmanager
def open_store(out: Path, plan: dict, note) -> Iterator[Store]:
    """The store of output `out`: what an interrupted run of the same plan left, or a fresh one.

    It goes when the body succeeds or fails; a kill or an interrupt leaves it.
    """
    out = Path(out).resolve()
    folder = out.with_name(f".{out.name}.checkpoint")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpikeQuantError(f"{out}: cannot be written: {error}") from error
    lock = os.open(folder, os.O_RDONLY)
    keep = False
    try:
        _lock(lock, out)
        _prepare(folder, plan, note)
        yield Store(folder)
    except KeyboardInterrupt:
        keep = any(folder.glob(f"*/{_PART}"))
        raise
    except OSError as error:
        raise SpikeQuantError(f"{out}: cannot be written: {error}") from error
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _lock(lock: int, out: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SpikeQuantError(f"{out}: another calibration is writing it") from None


def _prepare(folder: Path, plan: dict, note) -> None:
    plan = {**plan, "version": _VERSION}
    if (folder / _PLAN).is_file():
        with contextlib.suppress(ValueError):
            if json.loads((folder / _PLAN).read_text(encoding="utf-8")) == plan:
                note("goes on where an interrupted calibration stopped")
                return
        note("an interrupted calibration of another model, text or options is dropped")
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    write_json(folder / "plan.tmp", plan)
    (folder / "plan.tmp").replace(folder / _PLAN)


def hash_files(paths: Sequence[Path]) -> str:
    """Of the contents, in order."""
    total = xxhash.xxh3_128()
    for path in paths:
        total.update(f"{path.stat().st_size};".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                total.update(block)
    return total.hexdigest()


def hash_source(source: Path, weights: Path | None) -> str:
    """Of a bundle or graph, its weights, and the compiler."""
    files = [path for path in sorted(source.rglob("*")) if path.is_file()]
    files = files if source.is_dir() else [source]
    tool = Path(find_tool("sq-compile"))
    stamp = f"{tool.stat().st_mtime_ns} {tool.stat().st_size}"
    return f"{hash_files([*files, *([weights] if weights else [])])} {stamp}"


def hash_arrays(arrays: dict[str, np.ndarray]) -> str:
    total = hashlib.sha256()
    for name, array in arrays.items():
        total.update(f"{name} {array.dtype} {array.shape};".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


__all__ = ["Store", "gram_path", "hash_arrays", "hash_source", "open_store"]

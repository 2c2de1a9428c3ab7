"""Files and folders that appear as a whole or not at all, also when the process is killed."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from .errors import SpikeQuantError

_SUFFIX = ".tmp"
_AT_CURRENT_FOLDER, _EXCHANGE = -100, 2  # fcntl.h, stdio.h


@contextlib.contextmanager
def workspace(target: Path) -> Iterator[Path]:
    """A hidden folder beside `target` (`.NAME.*.tmp`) that is gone afterwards.

    The folder is locked while it is in use. A killed process cannot remove its folder, but
    its lock goes with it: folders of that kind are removed here first.
    """
    with _clear_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target)
        folder, lock = _create_locked(target)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


@contextlib.contextmanager
def replacing_folder(target: Path, is_ours: Callable[[Path], bool], what: str) -> Iterator[Path]:
    """An empty folder that takes the place of `target` if the body succeeds.

    Its parent is a workspace, where other temporary files can be kept.
    An existing target is replaced only if `is_ours` or empty: nothing else is deleted.
    """
    target = Path(target).resolve()
    _check_replaceable(target, is_ours, what)
    with workspace(target) as work:
        fresh = work / "new"
        fresh.mkdir()
        yield fresh
        _give_usual_permissions(fresh)
        _put_in_place(fresh, target)


@contextlib.contextmanager
def replacing_file(target: Path) -> Iterator[Path]:
    """A path (nothing is there yet) whose file takes the place of `target` if the body succeeds.

    A device or a pipe stays what it is: the file is copied into it.
    """
    target = Path(target)
    if target.is_dir():
        raise SpikeQuantError(f"{target}: is a folder: give the name of a file")
    if target.exists() and not target.is_file():
        with _copied_into(target) as fresh:
            yield fresh
        return
    target = target.resolve()
    with workspace(target) as work:
        fresh = work / target.name
        yield fresh
        _give_usual_permissions(fresh)
        fresh.replace(target)


@contextlib.contextmanager
def _copied_into(target: Path) -> Iterator[Path]:
    with _clear_errors(target), tempfile.TemporaryDirectory() as work:
        fresh = Path(work) / "new"
        yield fresh
        with fresh.open("rb") as source, target.open("wb") as out:
            shutil.copyfileobj(source, out)


def _check_replaceable(target: Path, is_ours: Callable[[Path], bool], what: str) -> None:
    if not target.exists():
        return
    empty = target.is_dir() and not any(target.iterdir())
    if not empty and not (target.is_dir() and is_ours(target)):
        raise SpikeQuantError(f"{target}: exists and is not {what}: choose another output folder")


@contextlib.contextmanager
def _clear_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SpikeQuantError(f"{target}: cannot be written: {error}") from error


def _create_locked(target: Path) -> tuple[Path, int]:
    while True:
        name = tempfile.mkdtemp(prefix=f".{target.name}.", suffix=_SUFFIX, dir=target.parent)
        lock = os.open(name, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Another process may have taken it for an abandoned one before it was locked.
        if os.path.isdir(name):
            return Path(name), lock
        os.close(lock)


def _remove_abandoned(target: Path) -> None:
    for folder in target.parent.glob(f".{_escape(target.name)}.*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _escape(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _put_in_place(fresh: Path, target: Path) -> None:
    """One exchange where the file system can; else two renames with nothing in place between."""
    if not target.exists():
        fresh.rename(target)
    elif not _exchange(fresh, target):
        target.rename(fresh.with_name("old"))
        fresh.rename(target)


def _exchange(first: Path, second: Path) -> bool:
    library = ctypes.CDLL(None)
    if not hasattr(library, "renameat2"):
        return False
    here = ctypes.c_int(_AT_CURRENT_FOLDER)
    names = [os.fsencode(path) for path in (first, second)]
    return library.renameat2(here, names[0], here, names[1], ctypes.c_uint(_EXCHANGE)) == 0


def _give_usual_permissions(path: Path) -> None:
    """Temporary folders and some libraries' files are private; the result follows the umask."""
    mask = os.umask(0)
    os.umask(mask)
    for item in (path, *path.rglob("*")):
        item.chmod((0o777 if item.is_dir() else 0o666) & ~mask)

"""Results by the hash of all that they depend on; each file appears as a whole."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from spikequant.outputs import replacing_file


def digest(*parts: object) -> str:
    """Of anything that JSON can write; paths count with their contents."""
    text = json.dumps(parts, sort_keys=True, default=_describe)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _describe(value: object) -> object:
    if isinstance(value, Path):
        status = value.stat()
        return _file_digest(str(value), status.st_mtime_ns, status.st_size)
    return repr(value)


@functools.cache
def _file_digest(path: str, _time: int, _size: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def source_digest(*names: str) -> str:
    """Of modules of this package: results of older code are not taken for this one's."""
    here = Path(__file__).parent
    return digest(*(here / f"{name}.py" for name in names))


def cached(path: Path, make: Callable[[Path], None]) -> Path:
    """`path`, made by `make(temporary path)` if it is not there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing_file(path) as fresh:
            make(fresh)
            if not fresh.exists():
                raise FileNotFoundError(f"{path} was not written")
    return path


def read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write_json(path: Path, value: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing_file(path) as fresh:
        fresh.write_text(json.dumps(value, indent=1), encoding="utf-8")


def drop(path: Path) -> None:
    if path.exists():
        os.remove(path)

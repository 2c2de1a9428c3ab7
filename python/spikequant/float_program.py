"""The float program that a quantised one is compared with, compiled once and kept."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from .errors import SpikeQuantError
from .native import is_compiled
from .session import Session
from .toolchain import find_tool


def cached_float_program(session: Session) -> Path:
    """The float program of the bundle that a program was compiled from."""
    from .compiler import CompileOptions, compile_model

    source = Path(session.model.description.get("bundle", ""))
    if not (source / "model.json").is_file():
        raise SpikeQuantError(
            f"the bundle '{source}' is gone: compile it with --float, and give that folder as "
            "--float"
        )
    files = (source / "model.json", Path(find_tool("sq-compile")))
    stamp = " ".join(f"{file} {file.stat().st_mtime_ns}" for file in files)
    key = hashlib.sha256(stamp.encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = cache / "spikequant" / f"float-{key}"
    if not is_compiled(folder):
        graphs = [graph["name"] for graph in session.model.description["graphs"]]
        scores = [name for name in graphs if name.startswith("score")]
        compile_model(source, folder, CompileOptions(method="float", graphs=scores))
    return folder

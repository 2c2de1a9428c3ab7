"""The float program that a quantised one is compared with, compiled once and kept."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from .errors import SpikeQuantError
from .native import is_compiled
from .outputs import replacing_file
from .session import Session
from .toolchain import find_tool


def cached_float_program(session: Session) -> Path:
    """The float program of the bundle that a program was compiled from.

    One per bundle; its stamp says which bundle and compiler made it.
    """
    from .compiler import CompileOptions, compile_model

    source = Path(session.model.description.get("bundle", ""))
    if not (source / "model.json").is_file():
        raise SpikeQuantError(
            f"the bundle '{source}' is gone: compile it with --float, and give that folder as "
            "--float"
        )
    files = (source / "model.json", Path(find_tool("sq-compile")))
    stamp = " ".join(f"{file} {file.stat().st_mtime_ns}" for file in files)
    key = hashlib.sha256(str(source).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "spikequant"
    folder, stamp_file = cache / f"float-{key}", cache / f"float-{key}.stamp"
    if not is_compiled(folder) or not stamp_file.exists() or stamp_file.read_text() != stamp:
        graphs = [graph["name"] for graph in session.model.description["graphs"]]
        scores = [name for name in graphs if name.startswith("score")]
        stamp_file.unlink(missing_ok=True)
        compile_model(source, folder, CompileOptions(method="float", graphs=scores))
        with replacing_file(stamp_file) as fresh:
            fresh.write_text(stamp)
    return folder

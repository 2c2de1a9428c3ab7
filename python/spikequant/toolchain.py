"""Finds and runs the project's C++ tools."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .errors import SpikeQuantError

# Where `make` puts them, relative to this file in the source tree.
_BUILD = Path(__file__).resolve().parents[2] / "build"


def build_folder() -> Path:
    """SPIKEQUANT_BUILD, or the source tree's build folder."""
    return Path(os.environ.get("SPIKEQUANT_BUILD", _BUILD))


def find_tool(name: str) -> str:
    path = build_folder() / "bin" / name
    found = str(path) if path.exists() else shutil.which(name)
    if not found:
        raise SpikeQuantError(f"{path} is missing: build the project with 'make build'")
    return found


def find_library(name: str) -> str:
    path = build_folder() / "lib" / name
    if not path.exists():
        raise SpikeQuantError(f"{path} is missing: build the project with 'make build'")
    return str(path)


def run_tool(name: str, arguments: Sequence[str | Path], quiet: bool = False) -> str:
    """Runs a tool; its messages go through unless `quiet`. Returns its standard output."""
    command = [find_tool(name), *map(str, arguments)]
    error_stream = subprocess.PIPE if quiet else None
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=error_stream, text=True)
    if done.returncode:
        message = (done.stderr or "").strip().splitlines()
        reason = "\n".join(message) if message else f"exit code {done.returncode}"
        raise SpikeQuantError(f"{name} failed: {reason}")
    return done.stdout

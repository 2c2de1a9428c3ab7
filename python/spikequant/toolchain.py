"""Finds and runs the project's C++ tools."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .errors import SpikeQuantError

# How MLIR begins a message that is about no place in a file.
_NOWHERE = "<unknown>:0: "
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


def load_library(name: str) -> ctypes.CDLL:
    path = find_library(name)
    try:
        return ctypes.CDLL(path)
    except OSError as error:
        raise SpikeQuantError(f"{path}: cannot be loaded: {error}") from error


def run_tool(name: str, arguments: Sequence[str | Path]) -> str:
    """Runs a tool; returns its standard output. A failure is reported with its messages.

    The tool is killed when this process is.
    """
    command = [find_tool(name), *map(str, arguments)]
    if leash := shutil.which("setpriv"):
        command = [leash, "--pdeathsig", "KILL", *command]
    # Messages may quote what is no text.
    options = {"encoding": "utf-8", "errors": "replace"}
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, **options)
    if done.returncode:
        raise SpikeQuantError(f"{name} failed: {_reason(done)}")
    return done.stdout


def _reason(done: subprocess.CompletedProcess) -> str:
    """The messages, without progress lines."""
    if done.returncode < 0:
        return _describe_signal(-done.returncode)
    lines = [line.removeprefix(_NOWHERE) for line in done.stderr.splitlines() if line.strip()]
    telling = [line for line in lines if "error:" in line or "note:" in line]
    return "\n".join(telling or lines) or f"exit code {done.returncode}"


def _describe_signal(number: int) -> str:
    reasons = {signal.SIGKILL: "out of memory?", signal.SIGBUS: "disk full?"}
    hint = reasons.get(number, "this is an error of the tool: please report it")
    return f"stopped by signal {number} ({hint})"

"""Portable artifacts (bytecode) of StableHLO, before jaxlib sees them."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np
from jaxlib.mlir.dialects import stablehlo

from .errors import SpikeQuantError

MAGIC = b"ML\xefR"
_MOST_NESTING, _BLOCK = 1000, 1 << 22
_PATIENCE = 600  # seconds
# Behind the magic: the version of the container, then the producer.
_PRODUCER = re.compile(re.escape(MAGIC) + rb"[^S]{1,9}StableHLO_v(\d+)\.(\d+)\.(\d+)\0", re.DOTALL)


def check_source(data: bytes, source: str) -> None:
    """Raises SpikeQuantError for what cannot be a graph that this program reads.

    Bytecode is read by another process first: the reader ends its process on some damaged files.
    """
    if not data.strip():
        raise SpikeQuantError(f"{source}: is empty: a StableHLO module is needed")
    if data.startswith(MAGIC):
        _check_version(data, source)
        if not _survives(data):
            raise SpikeQuantError(f"{source}: not a StableHLO module: damaged: export it again")
        return
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise SpikeQuantError(
            f"{source}: not a StableHLO module: neither text nor a portable artifact ({error})"
        ) from error
    if _deepest_nesting(data) > _MOST_NESTING:
        raise SpikeQuantError(
            f"{source}: not a StableHLO module: brackets nest deeper than {_MOST_NESTING} levels"
        )


def _deepest_nesting(text: bytes) -> int:
    """Of brackets, those in strings counted too; the parser's own stack is not endless."""
    steps = np.zeros(256, np.int8)
    steps[list(b"([{<")], steps[list(b")]}>")] = 1, -1
    depth = deepest = 0
    for start in range(0, len(text), _BLOCK):
        block = np.frombuffer(text[start : start + _BLOCK], np.uint8)
        delta = steps[block]
        delta[1:][(block[1:] == ord(">")) & (block[:-1] == ord("-"))] = 0  # an arrow
        depths = depth + np.cumsum(delta, dtype=np.int64)
        deepest, depth = max(deepest, int(depths.max())), int(depths[-1])
    return deepest


def _check_version(data: bytes, source: str) -> None:
    match = _PRODUCER.match(data)
    current = stablehlo.get_current_version()
    if match and tuple(map(int, match.groups())) > tuple(map(int, current.split("."))):
        made = ".".join(part.decode() for part in match.groups())
        raise SpikeQuantError(
            f"{source}: made for a newer version of StableHLO ({made}, this program reads up to "
            f"{current}): export it for an older version, or install a newer jaxlib"
        )


def _survives(data: bytes) -> bool:
    """Whether a process of its own comes to an end in reading it, error or not.

    Not a fork: the threads of JAX and MLIR would hold locks that no one frees.
    """
    command = [sys.executable, "-m", "spikequant.artifacts"]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        done = subprocess.run(
            command, input=data, env=environment, timeout=_PATIENCE, check=False, **silent
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode >= 0


if __name__ == "__main__":
    from .importer import make_context, read_module

    read_module(sys.stdin.buffer.read(), make_context())

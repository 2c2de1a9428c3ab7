"""Portable artifacts (bytecode) of StableHLO, before jaxlib sees them."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable

import numpy as np
from jaxlib.mlir.dialects import stablehlo

from .errors import SpikeQuantError

MAGIC = b"ML\xefR"
_MOST_NESTING, _BLOCK = 1000, 1 << 22
# Behind the magic: the version of the container, then the producer.
_PRODUCER = re.compile(re.escape(MAGIC) + rb"[^S]{1,9}StableHLO_v(\d+)\.(\d+)\.(\d+)\0", re.DOTALL)


def check_source(data: bytes, source: str, read: Callable[[bytes], object]) -> None:
    """Raises SpikeQuantError for what cannot be a graph that this program reads.

    `read` is what will be done with the data; it is tried on bytecode in a process of its own,
    because the reader ends its process on some damaged files.
    """
    if not data.strip():
        raise SpikeQuantError(f"{source}: is empty: a StableHLO module is needed")
    if data.startswith(MAGIC):
        _check_version(data, source)
        if not _survives(read, data):
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


def _survives(read: Callable[[bytes], object], data: bytes) -> bool:
    """Whether a child process comes to an end of its own in `read`, error or not."""
    with warnings.catch_warnings():
        # JAX warns of forks, as its threads are not in the child: it does not need them.
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        try:
            read(data)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFEXITED(status)

"""`spikequant bench`: speed, memory and load time of a compiled model."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from .errors import SpikeQuantError
from .memory import memory_bytes
from .session import Session

Progress = Callable[[str, int, int], None]

_REPEATS = 3
_USUAL_LENGTHS = (128, 512)


def measure(
    program: str | Path,
    threads: int = 1,
    prompt_lengths: Sequence[int] | None = None,
    decode_tokens: int = 64,
    progress: Progress | None = None,
) -> dict:
    """Median of three runs each, after one that does not count; tokens are arbitrary but fixed.

    `prompt_lengths` None: the usual ones that fit the model.
    """
    report = progress or (lambda *_: None)
    start = time.perf_counter()
    session = Session(program, threads)
    load_seconds = time.perf_counter() - start
    lengths = _lengths(session, prompt_lengths)
    if decode_tokens >= session.contexts[-1]:
        raise SpikeQuantError(
            f"--decode-tokens {decode_tokens}: the largest context is {session.contexts[-1]}"
        )
    steps = len(lengths) + 1
    prefill = {}
    for index, length in enumerate(lengths):
        report(f"prefill {length}", index, steps)
        prefill[str(length)] = length / _median_seconds(lambda n=length: _prefill(session, n))
    report("decode", steps - 1, steps)
    seconds = _median_seconds(lambda: _decode(session, decode_tokens))
    report("done", steps, steps)
    return {
        "prefill_tokens_per_second": prefill,
        "decode_tokens_per_second": decode_tokens / seconds,
        "threads": threads,
        "load_seconds": load_seconds,
        "resident_bytes": resident_bytes(),
    }


def profile(
    program: str | Path, threads: int = 1, prompt_length: int = 128, decode_tokens: int = 64
) -> dict:
    """Time of each kernel, in the first thread and with its barrier, longest first.

    Two lists, `prefill_kernels` (of one prompt) and `decode_kernels` (of one token), of objects
    with `name`, `calls` and `milliseconds`. The program must be compiled with `--profile`.
    """
    session = Session(program, threads)
    prefill = _kernels(session, lambda: _prefill(session, prompt_length), 1)
    decode = _kernels(session, lambda: _decode(session, decode_tokens), decode_tokens)
    return {"prefill_kernels": prefill, "decode_kernels": decode}


def _kernels(session: Session, work: Callable[[], float], steps: int) -> list[dict]:
    work()
    session.model.reset_kernel_times()
    for _ in range(_REPEATS):
        work()
    times = session.model.kernel_times()
    if not times:
        raise SpikeQuantError(
            f"{session.model.folder} measures no kernels: compile it with --profile"
        )
    runs = _REPEATS * steps
    kernels = [
        {"name": name, "calls": calls / runs, "milliseconds": nanoseconds / runs / 1e6}
        for name, calls, nanoseconds in times
    ]
    return sorted(kernels, key=lambda kernel: -kernel["milliseconds"])


def resident_bytes() -> int:
    """Resident memory of this process, Python included."""
    return memory_bytes("VmRSS")


def _lengths(session: Session, wanted: Sequence[int] | None) -> list[int]:
    largest = session.contexts[-1]
    if wanted is None:
        return [length for length in _USUAL_LENGTHS if length <= largest] or [largest]
    for length in wanted:
        if length > largest:
            raise SpikeQuantError(f"--prompt-lengths {length}: the largest context is {largest}")
    return list(wanted)


def _median_seconds(work: Callable[[], float]) -> float:
    work()
    return statistics.median(work() for _ in range(_REPEATS))


def _tokens(session: Session, count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, session.vocabulary, count)


def _smallest_context(session: Session, count: int) -> int:
    return min(context for context in session.contexts if context >= count)


def _prefill(session: Session, length: int) -> float:
    tokens = _tokens(session, length)
    session.reset(_smallest_context(session, length))
    start = time.perf_counter()
    session.feed(tokens)
    return time.perf_counter() - start


def _decode(session: Session, count: int) -> float:
    tokens = _tokens(session, count + 1)
    session.reset(_smallest_context(session, count + 1))
    session.feed(tokens[:1])
    start = time.perf_counter()
    for token in tokens[1:]:
        session.feed([token])
    return time.perf_counter() - start

"""`spikequant bench`: speed, memory and load time of a compiled model."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from .session import Session

Progress = Callable[[str, int, int], None]

_REPEATS = 3


def measure(
    program: str | Path,
    threads: int = 1,
    prompt_lengths: Sequence[int] = (128, 512),
    decode_tokens: int = 64,
    progress: Progress | None = None,
) -> dict:
    """Median of three runs each; tokens are arbitrary but fixed."""
    report = progress or (lambda *_: None)
    start = time.perf_counter()
    session = Session(program, threads)
    load_seconds = time.perf_counter() - start
    lengths = [length for length in prompt_lengths if length <= session.contexts[-1]]
    steps = len(lengths) + 1
    prefill = {}
    for index, length in enumerate(lengths):
        report(f"prefill {length}", index, steps)
        prefill[str(length)] = length / _median_seconds(lambda n=length: _prefill(session, n))
    report("decode", steps - 1, steps)
    decode_tokens = min(decode_tokens, session.contexts[-1] - 1)
    seconds = _median_seconds(lambda: _decode(session, decode_tokens))
    report("done", steps, steps)
    return {
        "prefill_tokens_per_second": prefill,
        "decode_tokens_per_second": decode_tokens / seconds,
        "threads": threads,
        "load_seconds": load_seconds,
        "resident_bytes": resident_bytes(),
    }


def resident_bytes() -> int:
    """Resident memory of this process, Python included."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def _median_seconds(work: Callable[[], float]) -> float:
    work()
    return statistics.median(work() for _ in range(_REPEATS))


def _tokens(session: Session, count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, session.vocabulary, count)


def _prefill(session: Session, length: int) -> float:
    tokens = _tokens(session, length)
    session.reset(min(c for c in session.contexts if c >= length))
    start = time.perf_counter()
    session.feed(tokens)
    return time.perf_counter() - start


def _decode(session: Session, count: int) -> float:
    tokens = _tokens(session, count + 1)
    session.reset()
    session.feed(tokens[:1])
    start = time.perf_counter()
    for token in tokens[1:]:
        session.feed([token])
    return time.perf_counter() - start

"""`spikequant eval`: perplexity of a compiled model, beside the float program's."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .activation_bits import activation_bits
from .errors import SpikeQuantError
from .float_program import cached_float_program
from .session import Session
from .text import read_windows

Progress = Callable[[str, int, int], None]


@dataclass
class Losses:
    """One value per window: means over its tokens after the first, in nats."""

    program: list[float] = field(default_factory=list)
    baseline: list[float] = field(default_factory=list)
    divergence: list[float] = field(default_factory=list)


def evaluate(
    program: str | Path,
    text: str | Path,
    context: int = 1024,
    windows: int = 8,
    threads: int = 1,
    float_program: str | Path | None = None,
    progress: Progress | None = None,
) -> dict:
    """Perplexity over the first `windows` windows of `context` tokens.

    `float_program` is a folder compiled with --float from the same bundle; without it one
    is compiled from the bundle that the program came from, once, into the cache folder.
    """
    return evaluate_all([program], text, context, windows, threads, float_program, progress)[0]


def evaluate_all(
    programs: Sequence[str | Path],
    text: str | Path,
    context: int = 1024,
    windows: int = 8,
    threads: int = 1,
    float_program: str | Path | None = None,
    progress: Progress | None = None,
) -> list[dict]:
    """As `evaluate`, for several programs of one model: the float program runs once."""
    report = progress or (lambda *_: None)
    sessions = [Session(program, threads) for program in programs]
    largest = min(session.contexts[-1] for session in sessions)
    if context > largest:
        raise SpikeQuantError(f"--context {context} is more than the model's {largest}")
    tokens = read_windows(Path(programs[0]), Path(text), context, windows)
    baseline = None
    if any(session.model.compilation.get("method") != "float" for session in sessions):
        report("float program", 0, windows)
        baseline = Session(float_program or cached_float_program(sessions[0]), threads)
        for session in sessions:
            _check_alike(session, baseline)
    losses = [Losses() for _ in sessions]
    for index, window in enumerate(tokens):
        report("window", index, windows)
        _add_window(losses, sessions, baseline, window)
    report("done", windows, windows)
    return [
        {
            **summary(loss),
            "windows": windows,
            "context": context,
            **activation_bits(session),
            "weight_bits": session.model.compilation.get("weight_bits"),
            "islands": session.model.compilation.get("islands", []),
        }
        for loss, session in zip(losses, sessions, strict=True)
    ]


def summary(losses: Losses) -> dict:
    """The ratio's standard error is that of the mean paired difference, to first order."""
    program = np.array(losses.program)
    baseline = np.array(losses.baseline or losses.program)
    paired = program - baseline
    ratio = float(np.exp(paired.mean()))
    error = float(paired.std(ddof=1) / np.sqrt(len(paired))) if len(paired) > 1 else None
    return {
        "perplexity": float(np.exp(program.mean())),
        "float_perplexity": float(np.exp(baseline.mean())),
        "ratio": ratio,
        "ratio_standard_error": None if error is None else ratio * error,
        "kl": float(np.mean(losses.divergence)) if losses.divergence else 0.0,
    }


def _check_alike(session: Session, baseline: Session) -> None:
    if baseline.vocabulary != session.vocabulary or baseline.contexts[-1] < session.contexts[-1]:
        raise SpikeQuantError(
            f"{baseline.model.folder}: compiled from another model than {session.model.folder}"
        )


def _add_window(
    losses: list[Losses], sessions: list[Session], baseline: Session | None, window: np.ndarray
) -> None:
    """Chunk by chunk, so that no logits of a whole window are held."""
    sums = np.zeros((len(sessions), 3))
    position = 0
    others = itertools.repeat(None) if baseline is None else _scores(baseline, window)
    for expected, *chunks in zip(others, *(_scores(s, window) for s in sessions), strict=False):
        following = window[position + 1 : position + 1 + len(chunks[0])]
        probabilities = None if expected is None else np.exp(expected)
        for total, scores in zip(sums, chunks, strict=True):
            total[0] += _loss(scores, following)
            if expected is not None:
                total[1] += _loss(expected, following)
                total[2] += _divergence(probabilities, expected, scores)
        position += len(chunks[0])
    for loss, total in zip(losses, sums, strict=True):
        loss.program.append(total[0] / (len(window) - 1))
        if baseline is not None:
            loss.baseline.append(total[1] / (len(window) - 1))
            loss.divergence.append(total[2] / len(window))


def _scores(session: Session, window: np.ndarray) -> Iterator[np.ndarray]:
    """Log probabilities of every next token, from an empty cache."""
    session.reset(min(context for context in session.contexts if context >= len(window)))
    return map(_log_softmax, session.score(window))


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    total = np.exp(shifted).sum(axis=1, dtype=np.float64, keepdims=True)
    return shifted - np.log(total).astype(np.float32)


def _loss(scores: np.ndarray, following: np.ndarray) -> float:
    """Sum of negative log likelihoods; the window's last token has none that follows."""
    return -float(scores[np.arange(len(following)), following].sum(dtype=np.float64))


def _divergence(probabilities: np.ndarray, expected: np.ndarray, scores: np.ndarray) -> float:
    """Sum over tokens of the Kullback-Leibler divergence; `probabilities` is exp(expected)."""
    by_token = np.einsum("tv,tv->t", probabilities, expected - scores)
    return float(by_token.sum(dtype=np.float64))

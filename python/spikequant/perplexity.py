"""`spikequant eval`: perplexity of a compiled model, beside the float program's."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .compiler import CompileOptions, compile_model
from .errors import SpikeQuantError
from .session import Session
from .text import read_windows

Progress = Callable[[str, int, int], None]

# Bits of an event that is sent with its address, and of one that is stored in order
# behind an escape code (docs/spec.md, accounting).
_EVENT_BITS, _STORED_EVENT_BITS = 32, 16


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
    report = progress or (lambda *_: None)
    session = Session(program, threads)
    largest = session.contexts[-1]
    if context > largest:
        raise SpikeQuantError(f"--context {context} is more than the model's {largest}")
    tokens = read_windows(Path(program), Path(text), context, windows)
    baseline = None
    if session.model.compilation.get("method") != "float":
        report("float program", 0, windows)
        baseline = Session(float_program or cached_float_program(session), threads)
    losses, float_losses, divergences = [], [], []
    for index, window in enumerate(tokens):
        report("window", index, windows)
        scores = _log_softmax(_score(session, window))
        losses.append(_loss(scores, window))
        if baseline is not None:
            expected = _log_softmax(_score(baseline, window))
            float_losses.append(_loss(expected, window))
            divergences.append(float(np.mean(_divergence(expected, scores))))
    report("done", windows, windows)
    result = _summary(np.array(losses), np.array(float_losses or losses), divergences)
    return {
        **result,
        "windows": windows,
        "context": context,
        **activation_bits(session, windows * context),
        "weight_bits": session.model.compilation.get("weight_bits"),
        "islands": session.model.compilation.get("islands", []),
    }


def activation_bits(session: Session, tokens: int) -> dict:
    """Measured bits of the encoded values, salient events included."""
    sites = session.model.compilation.get("encode_sites", [])
    if not sites:
        return {"activation_bits": None, "activation_bits_by_macs": None, "stored_bits": None}
    salient = _salient_by_site(session)
    values = np.array([site["channels"] for site in sites], float)
    fan_out = np.array([site["fan_out"] for site in sites], float)
    bits = np.array([site["mean_bits"] for site in sites], float)
    rate = np.array([salient.get(site["site"], 0) for site in sites]) / (tokens * values)
    sent, stored = bits + _EVENT_BITS * rate, bits + _STORED_EVENT_BITS * rate
    return {
        "activation_bits": float(np.average(sent, weights=values)),
        "activation_bits_by_macs": float(np.average(sent, weights=values * fan_out)),
        "stored_bits": float(np.average(stored, weights=values)),
        "stored_bits_by_macs": float(np.average(stored, weights=values * fan_out)),
        "salient_share": float(np.average(rate, weights=values)),
    }


def cached_float_program(session: Session) -> Path:
    """The float program of the bundle that a program was compiled from."""
    source = Path(session.model.description.get("bundle", ""))
    if not (source / "model.json").is_file():
        raise SpikeQuantError(
            f"the bundle '{source}' is gone: give a folder compiled with --float as --float"
        )
    stamp = f"{source} {(source / 'model.json').stat().st_mtime_ns}"
    key = hashlib.sha256(stamp.encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = cache / "spikequant" / f"float-{key}"
    if not (folder / "compile.json").is_file():
        graphs = [graph["name"] for graph in session.model.description["graphs"]]
        scores = [name for name in graphs if name.startswith("score")]
        compile_model(source, folder, CompileOptions(method="float", graphs=scores))
    return folder


def _score(session: Session, window: np.ndarray) -> np.ndarray:
    bucket = min(context for context in session.contexts if context >= len(window))
    session.reset(bucket)
    return session.score(window)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    total = np.exp(shifted).sum(axis=1, dtype=np.float64, keepdims=True)
    return shifted - np.log(total).astype(np.float32)


def _loss(scores: np.ndarray, window: np.ndarray) -> float:
    """Mean negative log likelihood of the tokens after the first, nats."""
    chosen = scores[np.arange(len(window) - 1), window[1:]]
    return float(-chosen.mean(dtype=np.float64))


def _divergence(expected: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Kullback-Leibler divergence per token, nats."""
    return (np.exp(expected) * (expected - scores)).sum(axis=1, dtype=np.float64)


def _summary(losses: np.ndarray, float_losses: np.ndarray, divergences: list[float]) -> dict:
    paired = losses - float_losses
    ratio = float(np.exp(paired.mean()))
    error = float(paired.std(ddof=1) / np.sqrt(len(paired))) if len(paired) > 1 else None
    return {
        "perplexity": float(np.exp(losses.mean())),
        "float_perplexity": float(np.exp(float_losses.mean())),
        "ratio": ratio,
        "ratio_standard_error": None if error is None else ratio * error,
        "kl": float(np.mean(divergences)) if divergences else 0.0,
    }


def _salient_by_site(session: Session) -> dict[str, int]:
    totals: dict[str, int] = {}
    for graph in session.model.graphs.values():
        for site, count in zip(graph.sites, graph.salient, strict=False):
            totals[site] = totals.get(site, 0) + int(count)
    return totals

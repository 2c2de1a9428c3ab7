"""How far a model is from the float model, and what the figures of windows add up to."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from .graph import Evaluator, Model
from .texts import CHOICES, Questions

_ROWS = 128


@functools.cache
def _head(graph):
    return jax.jit(graph.head)


@jax.jit
def _compare(expected: jax.Array, logits: jax.Array, following: jax.Array):
    """[T, V] twice, [T] -> loss, float loss, KL(float || model), same first choice; each [T]."""
    p, q = jax.nn.log_softmax(expected), jax.nn.log_softmax(logits)
    loss, float_loss = (-jnp.take_along_axis(a, following[:, None], 1)[:, 0] for a in (q, p))
    kl = jnp.sum(jnp.exp(p) * (p - q), axis=1)
    return loss, float_loss, kl, jnp.argmax(p, 1) == jnp.argmax(q, 1)


def window_figures(
    reference_graph,
    reference: Model,
    expected: np.ndarray,
    graph,
    model: Model,
    hidden: jax.Array,
    tokens: np.ndarray,
) -> dict:
    """Means over a window [T]; `expected` and `hidden` are the last hidden values [T, D]."""
    following = np.append(tokens[1:], 0)
    parts, salient = [], 0
    for start in range(0, len(tokens), _ROWS):
        rows = slice(start, start + _ROWS)
        want, _ = _head(reference_graph)(jnp.asarray(expected[rows]), reference.weights, None)
        have, count = _head(graph)(hidden[rows], model.weights, model.head)
        parts.append([np.asarray(a, np.float64) for a in _compare(want, have, following[rows])])
        salient += int(count)
    loss, float_loss, kl, same = (np.concatenate(column) for column in zip(*parts, strict=True))
    # The last token of a window has none that follows.
    return {
        "loss": loss[:-1].mean(),
        "float_loss": float_loss[:-1].mean(),
        "kl": kl.mean(),
        "agreement": same.mean(),
        "head_salient": salient,
    }


def choose(config, model: Model, questions: Questions) -> np.ndarray:
    """The likeliest continuation of each context, [N]."""
    count, width = questions.contexts.shape
    length = questions.continuations.shape[2]
    first = evaluator(config, width + length, width)
    second = evaluator(config, width + length, length)
    hidden, caches, _ = first.run(model, questions.contexts)
    caches = [tuple(jnp.repeat(a, CHOICES, axis=0) for a in pair) for pair in caches]
    pieces = questions.continuations.reshape(-1, length)
    more, _, _ = second.run(model, pieces, width, caches)
    # What predicts the continuation: the context's last row and all but its own last one.
    before = jnp.repeat(hidden[:, -1:], CHOICES, axis=0)
    rows = jnp.concatenate([before, more[:, :-1]], axis=1).reshape(-1, hidden.shape[2])
    losses = [
        np.asarray(_loss(_head(first.graph)(rows[i : i + _ROWS], model.weights, model.head)[0], t))
        for i, t in ((i, pieces.reshape(-1)[i : i + _ROWS]) for i in range(0, len(rows), _ROWS))
    ]
    return np.concatenate(losses).reshape(count, CHOICES, length).sum(axis=2).argmin(axis=1)


@functools.cache
def evaluator(config, context: int, tokens: int) -> Evaluator:
    return Evaluator(config, context, tokens)


@jax.jit
def _loss(logits: jax.Array, following: jax.Array) -> jax.Array:
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), following[:, None], 1)[:, 0]


def summarise(windows: list[dict]) -> dict:
    """Ratio of perplexities with its paired standard error; KL and agreement with theirs."""
    loss, float_loss, kl, agreement = (
        np.array([window[key] for window in windows])
        for key in ("loss", "float_loss", "kl", "agreement")
    )
    ratio = float(np.exp((loss - float_loss).mean()))
    return {
        "perplexity": float(np.exp(loss.mean())),
        "float_perplexity": float(np.exp(float_loss.mean())),
        "ratio": ratio,
        "ratio_standard_error": ratio * _error(loss - float_loss),
        "kl": float(kl.mean()),
        "kl_standard_error": _error(kl),
        "agreement": float(agreement.mean()),
        "windows": len(windows),
    }


def paired(windows: list[dict], others: list[dict]) -> tuple[float, float]:
    """Ratio of the perplexities of two models on the same windows, and its standard error."""
    pairs = list(zip(windows, others, strict=False))
    difference = np.array([a["loss"] - b["loss"] for a, b in pairs])
    ratio = float(np.exp(difference.mean()))
    return ratio, ratio * _error(difference)


def _error(values: np.ndarray) -> float:
    """Standard error of the mean; NaN for a single window."""
    if len(values) < 2:
        return float("nan")
    return float(values.std(ddof=1) / np.sqrt(len(values)))

"""How far a model is from the float model, and what the figures of windows add up to."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .graph import Evaluator, Model
from .texts import CHOICES, Questions

ROWS = 128


@functools.cache
def head(graph):
    return jax.jit(graph.head)


class Expected(NamedTuple):
    """The float model's on some tokens: probabilities of what follows [T, V]; [T]: sum of p log p,
    loss, and the likeliest token."""

    probabilities: jax.Array
    information: jax.Array
    loss: jax.Array
    choice: jax.Array


@jax.jit
def expect(logits: jax.Array, following: jax.Array) -> Expected:
    """logits [T, V], following [T]"""
    shifted, total = _shift(logits)
    p = jnp.exp(shifted - total)
    information = jnp.sum(p * shifted, axis=1) - total[:, 0]
    return Expected(p, information, _losses(shifted, total, following), jnp.argmax(logits, 1))


@jax.jit
def compare(expected: Expected, logits: jax.Array, following: jax.Array):
    """-> loss, float loss, KL(float || model), same first choice; each [T]."""
    shifted, total = _shift(logits)
    cross = jnp.sum(expected.probabilities * shifted, axis=1) - total[:, 0]
    loss = _losses(shifted, total, following)
    same = jnp.argmax(logits, 1) == expected.choice
    return loss, expected.loss, expected.information - cross, same


def _shift(logits: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Logits below their largest, and the logarithm of the sum of their exponentials [T, 1]."""
    shifted = logits - jnp.max(logits, axis=1, keepdims=True)
    return shifted, jnp.log(jnp.sum(jnp.exp(shifted), axis=1, keepdims=True))


def _losses(shifted: jax.Array, total: jax.Array, following: jax.Array) -> jax.Array:
    return total[:, 0] - jnp.take_along_axis(shifted, following[:, None], 1)[:, 0]


def parts(tokens: np.ndarray) -> list[tuple[slice, np.ndarray]]:
    """Rows of a window [T] that are compared at a time, and what follows them."""
    following = np.append(tokens[1:], 0)
    return [(slice(i, i + ROWS), following[i : i + ROWS]) for i in range(0, len(tokens), ROWS)]


def expectations(graph, model: Model, hidden: np.ndarray, tokens: np.ndarray) -> list[Expected]:
    """Of the float model, whose last hidden values are `hidden` [T, D]."""
    return [
        expect(head(graph)(jnp.asarray(hidden[rows]), model.weights, None)[0], following)
        for rows, following in parts(tokens)
    ]


def window_figures(
    expected: list[Expected], logits: Iterable[jax.Array], tokens: np.ndarray
) -> dict:
    """Means over a window [T] whose logits come in parts."""
    pieces = [
        [np.asarray(a, np.float64) for a in compare(want, have, following)]
        for want, have, (_, following) in zip(expected, logits, parts(tokens), strict=True)
    ]
    loss, float_loss, kl, same = (np.concatenate(column) for column in zip(*pieces, strict=True))
    # The last token of a window has none that follows.
    return {
        "loss": loss[:-1].mean(),
        "float_loss": float_loss[:-1].mean(),
        "kl": kl.mean(),
        "agreement": same.mean(),
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
        np.asarray(_loss(head(first.graph)(rows[i : i + ROWS], model.weights, model.head)[0], t))
        for i, t in ((i, pieces.reshape(-1)[i : i + ROWS]) for i in range(0, len(rows), ROWS))
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
        "ratio_standard_error": ratio * standard_error(loss - float_loss),
        "kl": float(kl.mean()),
        "kl_standard_error": standard_error(kl),
        "agreement": float(agreement.mean()),
        "windows": len(windows),
    }


def paired(windows: list[dict], others: list[dict]) -> tuple[float, float]:
    """Ratio of the perplexities of two models on the same windows, and its standard error."""
    pairs = list(zip(windows, others, strict=False))
    difference = np.array([a["loss"] - b["loss"] for a, b in pairs])
    ratio = float(np.exp(difference.mean()))
    return ratio, ratio * standard_error(difference)


def standard_error(values: np.ndarray) -> float:
    """Standard error of the mean; NaN for a single window."""
    if len(values) < 2:
        return float("nan")
    return float(values.std(ddof=1) / np.sqrt(len(values)))

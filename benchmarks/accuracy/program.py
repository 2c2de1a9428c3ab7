"""A compiled folder as one of the methods: the program itself runs on the windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from spikequant.activation_bits import activation_bits
from spikequant.session import Session

from .packed import CompiledModel
from .texts import CHOICES, Questions

THREADS = 2
# Measured by the program, per window.
BITS = ("activation_bits", "activation_bits_by_macs", "stored_bits", "salient_share")


class Program:
    """A folder compiled with its score graphs."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.weight_bits = CompiledModel(folder).weight_bits()

    def _session(self) -> Session:
        return Session(self.folder, THREADS)

    def score(
        self, tokens: np.ndarray, rows: int
    ) -> tuple[Iterator[jnp.ndarray], Callable[[], dict]]:
        """Logits of a window in parts of `rows` rows, and, once those are read, its bits."""
        session = self._session()  # salient counts start at 0
        session.reset(min(c for c in session.contexts if c >= len(tokens)))

        def bits() -> dict:
            measured = activation_bits(session)
            return {key: measured[key] for key in BITS}

        return _in_parts(session.score(tokens), rows), bits

    def choose(self, questions: Questions) -> np.ndarray:
        """The likeliest continuation of each context, [N]."""
        session, losses = self._session(), []
        for context, continuations in zip(questions.contexts, questions.continuations, strict=True):
            for piece in continuations:
                session.reset()
                logits = np.concatenate(list(session.score([*context, *piece])))
                losses.append(_loss(logits[len(context) - 1 : -1], piece))
        return np.array(losses).reshape(-1, CHOICES).argmin(axis=1)


def _in_parts(chunks: Iterator[np.ndarray], rows: int) -> Iterator[jnp.ndarray]:
    """The same rows, `rows` at a time."""
    rest = None
    for chunk in chunks:
        rest = chunk if rest is None or not len(rest) else np.concatenate([rest, chunk])
        while len(rest) >= rows:
            yield jnp.asarray(rest[:rows])
            rest = rest[rows:]
    if rest is not None and len(rest):
        yield jnp.asarray(rest)


def _loss(logits: np.ndarray, following: np.ndarray) -> float:
    shifted = logits - logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(shifted).sum(axis=1, dtype=np.float64))
    return float((total - shifted[np.arange(len(following)), following]).sum())

"""Texts that are there on every machine, as windows of tokens and as multiple-choice questions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from pydoc_data import topics

import numpy as np

from spikequant.outputs import replacing_file
from spikequant.text import load_tokenizer, read_text

CHOICES = 4
_CONTEXT, _CONTINUATION = 32, 12


def write_topics(path: Path) -> Path:
    """The second domain: Python's own help texts (module pydoc_data), in the order of their names.

    They differ a little between versions of Python; the hash of the text names the results.
    """
    text = "\n\n".join(topics.topics[name] for name in sorted(topics.topics))
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        with replacing_file(path) as fresh:
            fresh.write_text(text, encoding="utf-8")
    return path


@dataclass(frozen=True)
class Questions:
    """contexts [N, at most 32], continuations [N, 4, 12]; `answers` [N]: index of the true one."""

    contexts: np.ndarray
    continuations: np.ndarray
    answers: np.ndarray


def make_questions(folder: Path, text: Path, count: int, room: int) -> Questions:
    """Which of four pieces follows? The others come from a little later in the same text.

    Questions lie evenly over the text; where the answer stands is pseudo-random, but fixed. A
    context and its continuation have at most `room` tokens.
    """
    width = min(_CONTEXT, room - _CONTINUATION)
    ids = np.array(load_tokenizer(folder).encode(read_text(text), add_special_tokens=False).ids)
    reach = width + _CONTINUATION * 5 * CHOICES
    starts = np.linspace(0, len(ids) - reach - 1, count).astype(int)
    answers = np.random.default_rng(0).integers(0, CHOICES, count)
    contexts = np.stack([ids[s : s + width] for s in starts])
    continuations = []
    for start, answer in zip(starts, answers, strict=True):
        first = start + width
        pieces = [ids[p : p + _CONTINUATION] for p in first + 5 * _CONTINUATION * np.arange(4)]
        order = [p for p in range(1, CHOICES)]
        order.insert(answer, 0)
        continuations.append([pieces[p] for p in order])
    return Questions(contexts.astype(np.int32), np.array(continuations, np.int32), answers)

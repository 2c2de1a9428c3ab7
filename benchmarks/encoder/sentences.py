"""Sentences of a text, as rows of tokens."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

LEAST_WORDS = 6
LONGEST = 64  # tokens of a sentence
_END = re.compile(r"(?<=[.?!]) +")


def read_sentences(text: Path, count: int, leave_out: Collection[str] = ()) -> list[str]:
    """`count` different sentences, evenly spread over the text; headings are left out."""
    found = {}
    for line in text.read_text(encoding="utf-8").splitlines():
        if not line.strip().startswith("="):
            for sentence in _END.split(_natural(line.strip())):
                if len(sentence.split()) >= LEAST_WORDS:
                    found.setdefault(sentence)
    known = set(leave_out)
    sentences = [sentence for sentence in found if sentence not in known]
    if len(sentences) < count:
        raise SystemExit(f"{text}: {len(sentences)} sentences, {count} are wanted")
    return [sentences[i] for i in np.linspace(0, len(sentences) - 1, count).astype(int)]


def _natural(line: str) -> str:
    """The text before it was cut into words: '3 @.@ 1 , and' is '3.1, and'."""
    line = re.sub(r" @(.)@ ", r"\1", line)
    return re.sub(r" ([,.;:?!)%])", r"\1", line).replace("( ", "(")


@dataclass(frozen=True)
class Packed:
    """Rows of whole sentences: model.embed's arguments [B, T] i32, and where sentences went.

    A row is filled up with the beginning of the next sentence, whose number is too large to be
    returned.
    """

    tokens: np.ndarray
    places: np.ndarray
    owners: np.ndarray
    where: np.ndarray  # [N, 2]: row and number in it

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.tokens, self.places, self.owners


def pack(folder: Path, sentences: list[str], length: int, most: int) -> Packed:
    """At most `most` sentences in a row of `length` tokens; longer sentences are cut."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(LONGEST)
    texts = [np.array(encoded.ids, np.int32) for encoded in tokenizer.encode_batch(sentences)]
    rows, where, current = [], [], []
    for text in texts:
        if len(current) == most or sum(map(len, current)) + len(text) > length:
            rows.append(_fill(current, text, length, most))
            current = []
        where.append((len(rows), len(current)))
        current.append(text)
    rows.append(_fill(current, texts[0], length, most))
    return Packed(*np.stack(rows, axis=1).astype(np.int32), np.array(where))


def _fill(row: list[np.ndarray], rest: np.ndarray, length: int, most: int) -> np.ndarray:
    """[3, T]: tokens, places, owners."""
    owners = list(range(len(row)))
    while sum(map(len, row)) < length:
        row, owners = [*row, rest], [*owners, most + len(row)]
    places = np.concatenate([np.arange(len(text)) for text in row])
    numbers = np.repeat(owners, [len(text) for text in row])
    return np.stack([np.concatenate(row), places, numbers])[:, :length]


def first(packed: Packed, count: int) -> Packed:
    """The rows that hold the first `count` sentences; all sentences of these rows."""
    rows = packed.where[min(count, len(packed.where)) - 1][0] + 1
    where = packed.where[packed.where[:, 0] < rows]
    return Packed(*(array[:rows] for array in packed.arrays()), where)

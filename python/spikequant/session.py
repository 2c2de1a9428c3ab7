"""A conversation with a compiled language model: cache buckets, chunks, sampling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from .errors import SpikeQuantError
from .native import Graph, NativeModel, Observer

# A rest of a prompt this short is quicker token by token than as a padded chunk.
_SHORT_REST = 8


class Session:
    """Holds the cache of one conversation. `position` tokens have been taken so far."""

    def __init__(self, folder: str | Path, threads: int = 1, observer: Observer | None = None):
        self.model = NativeModel(folder)
        description = self.model.description
        if "contexts" not in description:
            raise SpikeQuantError(
                f"{folder}: not a language model bundle; run it with --inputs and --outputs"
            )
        self.threads, self.observer = threads, observer
        self.chunk: int = description["chunk"]
        self.contexts: list[int] = sorted(description["contexts"])
        self.vocabulary: int = description["hyperparameters"]["vocabulary"]
        self.reset()

    def reset(self, context: int | None = None) -> None:
        """Forgets everything; `context` is the bucket to start with (the smallest one)."""
        self.position = 0
        self.context = context or self.contexts[0]
        self._state = self._graph(self._roles()[0]).new_state()

    def feed(self, tokens: Sequence[int]) -> np.ndarray:
        """Takes tokens; returns the logits [vocabulary] after the last one."""
        tokens = self._checked(tokens)
        self._reserve(len(tokens))
        logits = None
        while len(tokens):
            fits = self.position + self.chunk <= self.context
            if len(tokens) > _SHORT_REST and fits and self._has("prefill"):
                logits, tokens = self._prefill(tokens)
            else:
                logits, tokens = self._decode(tokens)
        return logits

    def score(self, tokens: Sequence[int]) -> np.ndarray:
        """Takes tokens; returns the logits [len(tokens), vocabulary] after each one."""
        tokens = self._checked(tokens)
        chunks = -(-len(tokens) // self.chunk)
        self._reserve(chunks * self.chunk)
        logits = np.empty((len(tokens), self.vocabulary), np.float32)
        for start in range(0, len(tokens), self.chunk):
            part = tokens[start : start + self.chunk]
            outputs = self._run("score", self._chunk_inputs(part))
            logits[start : start + len(part)] = outputs["logits"][: len(part)]
            self.position += len(part)
        return logits

    def generate(
        self, tokens: Sequence[int], limit: int, end_ids: Sequence[int] = ()
    ) -> Iterator[int]:
        """Greedy continuation: the likeliest token each time, at most `limit` of them.

        Ends at one of `end_ids`, or when the largest context is full.
        """
        logits = self.feed(tokens)
        for remaining in range(limit, 0, -1):
            token = int(logits.argmax())
            if token in end_ids:
                return
            yield token
            if remaining == 1 or self.position >= self.contexts[-1]:
                return
            logits = self.feed([token])

    @property
    def room(self) -> int:
        """Tokens that can still be taken."""
        return self.contexts[-1] - self.position

    def _prefill(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        part = tokens[: self.chunk]
        logits = self._run("prefill", self._chunk_inputs(part))["logits"]
        self.position += len(part)
        return logits, tokens[len(part) :]

    def _decode(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inputs = {"tokens": tokens[:1], "start": np.array(self.position, np.int32)}
        logits = self._run("decode", inputs)["logits"]
        self.position += 1
        return logits, tokens[1:]

    def _chunk_inputs(self, part: np.ndarray) -> dict[str, np.ndarray]:
        padded = np.zeros(self.chunk, np.int32)
        padded[: len(part)] = part
        return {
            "tokens": padded,
            "start": np.array(self.position, np.int32),
            "count": np.array(len(part), np.int32),
        }

    def _run(self, role: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        graph = self._graph(role)
        wanted = {spec.name for spec in graph.arguments}
        given = {name: array for name, array in inputs.items() if name in wanted}
        return graph.run({**given, **self._state}, self.threads, self.observer)

    def _graph(self, role: str) -> Graph:
        return self.model.graph(f"{role}_{self.context}")

    def _has(self, role: str) -> bool:
        return f"{role}_{self.context}" in self.model.graphs

    def _roles(self) -> list[str]:
        return [role for role in ("decode", "prefill", "score") if self._has(role)]

    def _checked(self, tokens: Sequence[int]) -> np.ndarray:
        array = np.asarray(tokens, np.int64)
        if array.size == 0:
            raise SpikeQuantError("no tokens: the prompt is empty")
        if array.min() < 0 or array.max() >= self.vocabulary:
            raise SpikeQuantError(f"token ids must be 0 to {self.vocabulary - 1}")
        return array.astype(np.int32)

    def _reserve(self, count: int) -> None:
        """Moves the cache to the smallest bucket that has room for `count` more tokens."""
        needed = self.position + count
        if needed <= self.context:
            return
        larger = [context for context in self.contexts if context >= needed]
        if not larger:
            raise SpikeQuantError(
                f"{needed} tokens do not fit the largest context of {self.contexts[-1]}: "
                "shorten the text, or export the model with a larger --context"
            )
        old, self.context = self._state, larger[0]
        self._state = self._graph(self._roles()[0]).new_state()
        for name, array in old.items():
            self._state[name][tuple(slice(size) for size in array.shape)] = array

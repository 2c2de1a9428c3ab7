"""A conversation with a compiled language model: cache buckets, chunks, greedy generation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from .errors import SpikeQuantError
from .native import NativeModel, Observer
from .session_file import (
    SavedSession,
    cut_state,
    identify_program,
    load_session,
    save_session,
)

# A rest of a prompt this short is quicker token by token than as a padded chunk.
_SHORT_REST = 8

END, LIMIT, FULL = "end of text", "limit", "context full"


class Session:
    """Holds the cache of one conversation and the tokens in it.

    The graphs `prefill`, `score` (a chunk of tokens at a time) and `decode` (one token) exist for
    several cache lengths ("contexts"); the cache moves to a larger one when it has to.
    """

    def __init__(
        self,
        folder: str | Path | NativeModel,
        threads: int = 1,
        observer: Observer | None = None,
    ):
        self.model = folder if isinstance(folder, NativeModel) else NativeModel(folder)
        self.threads, self.observer = threads, observer
        self._read_description(self.model.description)
        self.constants: dict[str, np.ndarray] = {}  # further arguments, the same for every call
        self.rows = 0  # token rows computed so far, padding included, over all resets
        self.stopped: str | None = None  # why the last `generate` ended
        self.reset()

    def _read_description(self, description: dict) -> None:
        """A program may hold only some of the bundle's graphs."""
        if "contexts" not in description:
            raise SpikeQuantError(
                f"{self.model.folder}: no language model: run it with --inputs and --outputs"
            )
        try:
            self.chunk = int(description["chunk"])
            self.vocabulary = int(description["hyperparameters"]["vocabulary"])
            self._names = {
                (graph["role"], int(graph["context"])): graph["name"]
                for graph in description["graphs"]
                if graph["name"] in self.model.graphs
            }
        except (KeyError, TypeError, ValueError) as error:
            raise SpikeQuantError(
                f"{self.model.folder}/model.json: damaged: {error!r}; compile the model again"
            ) from error
        self.contexts = sorted({context for _, context in self._names})
        if not self.contexts:
            raise SpikeQuantError(f"{self.model.folder}: holds no graph of its model.json")

    @property
    def position(self) -> int:
        """Tokens in the cache."""
        return len(self.history)

    @property
    def room(self) -> int:
        """Tokens that can still be taken."""
        return self.contexts[-1] - self.position

    def reset(self, context: int | None = None) -> None:
        """Forgets everything; `context` is the cache length to start with (the smallest one)."""
        self.history: list[int] = []
        self.context = context or self.contexts[0]
        self._state = self._new_state()

    def rewind(self, position: int) -> None:
        """Forgets all but the first `position` tokens. What follows them is overwritten later."""
        del self.history[position:]

    def save(self, path: str | Path) -> int:
        """Writes tokens and cache (docs/PackedCounts.md); returns the bytes."""
        axes = self._token_axes()
        states = {n: cut_state(a, axes[n], self.position) for n, a in self._state.items()}
        program = identify_program(self.model.folder)
        return save_session(Path(path), SavedSession(program, self.history, states))

    def restore(self, path: str | Path) -> None:
        """Goes on where a saved session of the same program was; an error changes nothing."""
        saved = load_session(Path(path))
        if saved.program != identify_program(self.model.folder):
            raise SpikeQuantError(
                f"{path}: saved by another program than {self.model.folder}: counts of one mean "
                "nothing to another; save a session of this one"
            )
        history, context, state = self.history, self.context, self._state
        try:
            self._restore(saved)
        except (SpikeQuantError, KeyError, ValueError) as error:
            self.history, self.context, self._state = history, context, state
            raise SpikeQuantError(f"{path}: damaged session: {error}") from error

    def _restore(self, saved: SavedSession) -> None:
        tokens = self._checked(saved.tokens) if saved.tokens else []
        if len(tokens) > self.contexts[-1]:
            raise SpikeQuantError(f"{len(tokens)} tokens")
        self.reset(min(context for context in self.contexts if context >= len(tokens)))
        axes = self._token_axes()
        for name, array in self._state.items():
            target, source = cut_state(array, axes[name], len(tokens)), saved.states[name]
            if source.dtype != target.dtype:
                raise SpikeQuantError(f"'{name}' is {source.dtype}, not {target.dtype}")
            target[...] = source.reshape(target.shape)
        self.history = tokens

    def feed(self, tokens: Sequence[int]) -> np.ndarray:
        """Takes tokens; returns the logits [vocabulary] after the last one."""
        tokens = self._checked(tokens)
        self._check_room(len(tokens))
        logits = None
        while tokens:
            # A short cache costs less attention: it grows only when it has to.
            self._grow(min(len(tokens), self.chunk))
            chunk = self._has("prefill") and (len(tokens) > _SHORT_REST or not self._has("decode"))
            logits, taken = self._chunk("prefill", tokens) if chunk else self._decode(tokens[0])
            tokens = tokens[taken:]
        return logits

    def score(self, tokens: Sequence[int]) -> Iterator[np.ndarray]:
        """Takes tokens, a chunk at a time; yields the logits [part, vocabulary] after each one."""
        tokens = self._checked(tokens)
        self._check_room(len(tokens))
        self._grow(len(tokens))
        while tokens:
            logits, taken = self._chunk("score", tokens)
            yield logits[-taken:]
            tokens = tokens[taken:]

    def generate(
        self, tokens: Sequence[int], limit: int, end_ids: Sequence[int] = ()
    ) -> Iterator[int]:
        """Greedy continuation: the likeliest token each time (the first of equals).

        `stopped` then says why it ended: END (one of `end_ids` came, which is not yielded), LIMIT
        (`limit` tokens), or FULL (the last token found no place in the largest context).
        """
        self.stopped = None
        logits = self.feed(tokens)
        for count in range(1, limit + 1):
            token = int(logits.argmax())
            if token in end_ids:
                self.stopped = END
                return
            yield token
            if count == limit or self.room == 0:
                self.stopped = LIMIT if count == limit else FULL
                return
            logits = self.feed([token])

    def _chunk(self, role: str, tokens: list[int]) -> tuple[np.ndarray, int]:
        """Logits of the valid rows (`score`) or of the last (`prefill`); how many were taken.

        A chunk has to fit the cache as a whole. At its end it starts earlier and computes some
        positions again, which gives the same values.
        """
        start = min(self.position, self.context - self.chunk)
        again = self.history[start:]
        part = tokens[: self.chunk - len(again)]
        valid = [*again, *part]
        padded = np.resize(np.array(valid, np.int32), self.chunk)
        logits = self._run(role, tokens=padded, start=start, count=len(valid))
        self.rows += self.chunk
        self.history += part
        return (logits[: len(valid)] if role == "score" else logits), len(part)

    def _decode(self, token: int) -> tuple[np.ndarray, int]:
        logits = self._run("decode", tokens=[token], start=self.position)
        self.rows += 1
        self.history.append(token)
        return logits, 1

    def _run(self, role: str, **inputs) -> np.ndarray:
        """The first result: the logits."""
        graph = self.model.graph(self._graph_name(role))
        arrays = {name: np.array(value, np.int32) for name, value in inputs.items()}
        return graph.run({**self.constants, **arrays, **self._state}, self.threads, self.observer)[
            0
        ]

    def _graph_name(self, role: str) -> str:
        if not self._has(role):
            raise SpikeQuantError(
                f"{self.model.folder} was compiled without the graph '{role}_{self.context}': "
                "compile it without --graphs"
            )
        return self._names[role, self.context]

    def _has(self, role: str) -> bool:
        return (role, self.context) in self._names

    def _new_state(self) -> dict[str, np.ndarray]:
        """All graphs of one context have the same state."""
        name = next(name for (_, context), name in self._names.items() if context == self.context)
        return self.model.graph(name).new_state()

    def _token_axes(self) -> dict[str, int | None]:
        """The axis of each state that is as long as the context, if one alone is."""
        axes = {}
        for name, array in self._state.items():
            long = [axis for axis, size in enumerate(array.shape) if size == self.context]
            axes[name] = long[0] if len(long) == 1 else None
        return axes

    def _checked(self, tokens: Sequence[int]) -> list[int]:
        # Each step of a generation has one: NumPy would take 2 % of its time.
        single = isinstance(tokens, list) and len(tokens) == 1 and type(tokens[0]) is int
        if single and 0 <= tokens[0] < self.vocabulary:
            return list(tokens)
        ids = np.asarray(tokens)
        if ids.size == 0:
            raise SpikeQuantError("no tokens: the prompt is empty")
        if ids.ndim != 1 or ids.dtype.kind not in "iu":
            raise SpikeQuantError("tokens must be a list of whole numbers")
        if ids.min() < 0 or ids.max() >= self.vocabulary:
            raise SpikeQuantError(f"token ids must be 0 to {self.vocabulary - 1}")
        return ids.tolist()

    def _check_room(self, count: int) -> None:
        needed = self.position + count
        if needed > self.contexts[-1]:
            raise SpikeQuantError(
                f"{needed} tokens do not fit the largest context of {self.contexts[-1]}: "
                "shorten the text, or export the model with a larger --context"
            )

    def _grow(self, count: int) -> None:
        """Moves the cache to the smallest context that has room for `count` more tokens."""
        needed = self.position + count
        if needed <= self.context:
            return
        larger = [context for context in self.contexts if context >= needed]
        old, self.context = self._state, larger[0]
        self._state = self._new_state()
        for name, array in old.items():
            self._state[name][tuple(slice(size) for size in array.shape)] = array

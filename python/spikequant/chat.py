"""Text in, text out: prompts, chat templates, and text as its tokens come."""

from __future__ import annotations

from collections.abc import Iterator

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from .errors import SpikeQuantError
from .session import Session
from .text import load_tokenizer

Message = dict[str, str]


class Chat:
    """A session with its tokenizer."""

    def __init__(self, session: Session):
        self.session = session
        self.tokenizer: Tokenizer = load_tokenizer(session.model.folder)
        self.settings: dict = session.model.description.get("tokenizer") or {}

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text).ids if text else []

    def encode_messages(self, messages: list[Message]) -> list[int]:
        """The model's chat template around a conversation that the model is to go on with."""
        ids = self.tokenizer.encode(self._render(messages), add_special_tokens=False).ids
        bos = self.settings.get("bos_id")
        return [bos, *ids] if self.settings.get("add_bos") and ids[:1] != [bos] else ids

    def answer(self, tokens: list[int], limit: int) -> Iterator[str]:
        """Pieces of text as they come; ends at an end-of-text token.

        What the cache holds already of the start of `tokens` is not computed again.
        """
        session = self.session
        if not tokens:
            raise SpikeQuantError("the prompt is empty: give some text")
        if len(tokens) > session.contexts[-1]:
            raise SpikeQuantError(
                f"the prompt has {len(tokens)} tokens, but the largest context holds "
                f"{session.contexts[-1]}: shorten it, or export the model with a larger --context"
            )
        session.rewind(self.count_kept(tokens))
        rest = tokens[session.position :]
        return self._text(session.generate(rest, limit, self.settings.get("end_ids", [])))

    def count_kept(self, tokens: list[int]) -> int:
        """How many of `tokens` the cache holds. One at least is computed, for its logits."""
        return max(0, min(_common_prefix(self.session.history, tokens), len(tokens) - 1))

    def _text(self, tokens: Iterator[int]) -> Iterator[str]:
        ids: list[int] = []
        shown = text = ""
        for token in tokens:
            ids.append(token)
            text = self.tokenizer.decode(ids)
            # A character may need several tokens: wait for its last byte.
            if not text.endswith("\ufffd"):
                yield text[len(shown) :]
                shown = text
        if text != shown:
            yield text[len(shown) :]

    def _render(self, messages: list[Message]) -> str:
        template = self.settings.get("chat_template")
        if not template:
            raise SpikeQuantError("the model has no chat template: leave out --chat")
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        try:
            return environment.from_string(template).render(
                messages=messages,
                add_generation_prompt=True,
                bos_token=self.settings.get("bos_text", ""),
                eos_token=self.settings.get("eos_text", ""),
                raise_exception=_refuse,
            )
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            raise SpikeQuantError(f"the model's chat template fails: {error}") from error


def _common_prefix(first: list[int], second: list[int]) -> int:
    pairs = enumerate(zip(first, second, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))


def _refuse(message: str):
    raise SpikeQuantError(f"the model's chat template refuses the messages: {message}")

"""Text in, text out: prompts, chat templates and printing tokens as they come."""

from __future__ import annotations

from collections.abc import Iterator

import jinja2
from tokenizers import Tokenizer

from .errors import SpikeQuantError
from .session import Session
from .text import load_tokenizer


class Chat:
    """A session with its tokenizer."""

    def __init__(self, session: Session):
        self.session = session
        self.tokenizer: Tokenizer = load_tokenizer(session.model.folder)
        self.settings: dict = session.model.description["tokenizer"]

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text).ids

    def encode_turn(self, text: str, first: bool = True) -> list[int]:
        """The model's chat template around one message of the user."""
        template = self.settings.get("chat_template")
        if not template:
            raise SpikeQuantError("the model has no chat template: leave out --chat")
        environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
        rendered = environment.from_string(template).render(
            messages=[{"role": "user", "content": text}],
            add_generation_prompt=True,
            bos_token=self.settings.get("bos_text", ""),
            eos_token=self.settings.get("eos_text", ""),
            raise_exception=_raise_template_error,
        )
        ids = self.tokenizer.encode(rendered, add_special_tokens=False).ids
        if first and self.settings.get("add_bos") and ids[:1] != [self.settings["bos_id"]]:
            ids = [self.settings["bos_id"], *ids]
        return ids

    def answer(self, tokens: list[int], limit: int) -> Iterator[str]:
        """Pieces of text as they come; ends at an end-of-text token."""
        if not tokens:
            raise SpikeQuantError("the prompt is empty: give some text")
        if len(tokens) > self.session.room:
            raise SpikeQuantError(
                f"the prompt has {len(tokens)} tokens, but there is room for "
                f"{self.session.room}: shorten it"
            )
        ids: list[int] = []
        shown = ""
        for token in self.session.generate(tokens, limit, self.settings.get("end_ids", [])):
            ids.append(token)
            text = self.tokenizer.decode(ids)
            # A character may need several tokens: wait for its last byte.
            if not text.endswith("\ufffd"):
                yield text[len(shown) :]
                shown = text


def _raise_template_error(message: str):
    raise SpikeQuantError(f"the chat template refuses the messages: {message}")

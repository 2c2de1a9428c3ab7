"""`spikequant run --chat` without a prompt: a conversation in the terminal."""

from __future__ import annotations

import contextlib
import sys

from .chat import Chat
from .errors import SpikeQuantError
from .session import FULL

with contextlib.suppress(ImportError):
    import readline  # noqa: F401  (input() then knows the arrow keys)

_HELP = "Ask something. /new starts anew, /quit (or Ctrl-D) ends."


def converse(chat: Chat, limit: int) -> None:
    """Reads lines and answers each; the cache keeps what was said."""
    chat.encode_messages([{"role": "user", "content": "?"}])  # a model without a template: say so
    print(_HELP, file=sys.stderr)
    messages: list[dict[str, str]] = []
    while (line := _read_line()) is not None:
        if line == "/new":
            messages = []
        elif line:
            messages = _take_turn(chat, [*messages, {"role": "user", "content": line}], limit)


def _take_turn(chat: Chat, messages: list[dict[str, str]], limit: int) -> list[dict[str, str]]:
    tokens = chat.encode_messages(messages)
    if len(tokens) > chat.session.contexts[-1] and len(messages) > 1:
        print("(the context is full: the conversation starts anew)", file=sys.stderr)
        messages = messages[-1:]
        tokens = chat.encode_messages(messages)
    try:
        answer = show_answer(chat, tokens, limit)
    except SpikeQuantError as error:
        print(f"({error})", file=sys.stderr)
        return messages[:-1]
    except KeyboardInterrupt:
        print("\n(interrupted)", file=sys.stderr)
        return messages[:-1]
    return [*messages, {"role": "assistant", "content": answer}]


def _read_line() -> str | None:
    """None at the end."""
    try:
        line = input("> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return None
    return None if line == "/quit" else line


def show_answer(chat: Chat, tokens: list[int], limit: int) -> str:
    """Prints the text as it comes; returns it."""
    text = ""
    for piece in chat.answer(tokens, limit):
        print(piece, end="", flush=True)
        text += piece
    print()
    if chat.session.stopped == FULL:
        size = chat.session.contexts[-1]
        print(f"(stopped: the context of {size} tokens is full)", file=sys.stderr)
    return text

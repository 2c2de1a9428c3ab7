"""A tiny language model that takes any text: byte-level tokens and a chat template."""

from __future__ import annotations

from pathlib import Path

from tiny_gguf import TinyLlama, write_tiny

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CONTEXTS, CHUNK = (16, 40), 16


def byte_tokens() -> list[str]:
    """One token per byte, written as GPT-2's tokenizer writes bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    symbols = {byte: chr(byte) for byte in printable}
    symbols |= {byte: chr(256 + index) for index, byte in enumerate(others)}
    return [symbols[byte] for byte in range(256)]


TOKENS = [*SPECIAL, *byte_tokens(), "th"]
TINY = TinyLlama(vocabulary=len(TOKENS), width=24, feed_forward=20, seed=5)


def write_chat(path: Path, model: TinyLlama = TINY, **extra) -> Path:
    kinds = [3] * len(SPECIAL) + [1] * (len(TOKENS) - len(SPECIAL))
    extra = {"tokenizer.chat_template": TEMPLATE, **extra}
    return write_tiny(path, model, tokens=TOKENS, merges=["t h"], kinds=kinds, extra=extra)

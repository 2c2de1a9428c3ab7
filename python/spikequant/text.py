"""Text to token windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from . import bundle
from .errors import SpikeQuantError


def load_tokenizer(folder: str | Path) -> Tokenizer:
    path = Path(folder) / bundle.TOKENIZER
    if not path.exists():
        raise SpikeQuantError(f"{path} is missing: {folder} holds no language model")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the package raises plain Exception
        raise SpikeQuantError(f"{path}: cannot be read: {error}") from error


def read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpikeQuantError(f"{path}: cannot be read as UTF-8 text: {error}") from error


def read_windows(
    folder: Path,
    text: Path,
    context: int,
    windows: int,
    allow_fewer: bool = False,
    allow_short: bool = False,
) -> np.ndarray:
    """The first `windows` windows of `context` tokens of a text file, [windows, context] i32.

    `allow_short`: fewer if there are not as many, and a text with less than one window (but at
    least two tokens) is one shorter window.
    """
    if windows < 1 or context < 2:
        raise SpikeQuantError("at least one window of two tokens is needed")
    tokenizer = load_tokenizer(folder)
    # A token has at least one byte; 16 bytes per token is far more than any text needs.
    head = read_text(text)[: windows * context * 16]
    ids = tokenizer.encode(head, add_special_tokens=False).ids
    if allow_short and 2 <= len(ids) < context:
        return np.array([ids], np.int32)
    allow_fewer = allow_fewer or allow_short
    available = len(ids) // context
    if available < windows and not (allow_fewer and available):
        raise SpikeQuantError(
            f"{text}: {len(ids)} tokens, but {windows} windows of {context} need "
            f"{windows * context}"
        )
    windows = min(windows, available)
    return np.array(ids[: windows * context], np.int32).reshape(windows, context)

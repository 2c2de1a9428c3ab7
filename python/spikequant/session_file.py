"""A conversation's tokens and cache in a file, counts in the bits of their windows.

docs/PackedCounts.md describes the file. States are cut to the tokens that they hold; their
counts are arranged [tokens, channels], so that each channel gets the bits it needs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from .calibration_store import hash_files
from .errors import SpikeQuantError
from .native import LIBRARY, WEIGHTS
from .outputs import replacing_file
from .packed_counts import is_packed, pack_counts, unpack_counts

_MAGIC = b"SQSTATE1"
_HEADER = len(_MAGIC) + 8
_ABOUT, _TOKENS, _STATE = "about", "tokens", "state."


@dataclass(frozen=True)
class SavedSession:
    """`states` by name: [tokens, ..], or whole arrays; see `cut_state`."""

    program: str
    tokens: list[int]
    states: dict[str, np.ndarray]


def identify_program(folder: Path) -> str:
    """Equal for programs whose caches mean the same: of the code and the weights."""
    return hash_files([folder / LIBRARY, folder / WEIGHTS])


def cut_state(array: np.ndarray, axis: int | None, tokens: int) -> np.ndarray:
    """[tokens, ..] of a state with the tokens along `axis`; all of it if there is no such axis."""
    if axis is None:
        return array
    return np.moveaxis(array, axis, 0)[:tokens]


def save_session(path: Path, session: SavedSession) -> int:
    """Writes the file as a whole or not at all; returns its size in bytes."""
    arrays = {f"{_STATE}{name}": _pack(array) for name, array in session.states.items()}
    about = {"program": session.program}
    arrays[_ABOUT] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    arrays[_TOKENS] = np.array(session.tokens, np.int32)
    content = safetensors.save(arrays)
    with replacing_file(path) as fresh, fresh.open("wb") as stream:
        stream.write(_MAGIC)
        stream.write(xxhash.xxh3_64_intdigest(content).to_bytes(8, "little"))
        stream.write(content)
    return _HEADER + len(content)


def load_session(path: Path) -> SavedSession:
    """Refuses what is no such file, truncated or changed."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise SpikeQuantError(f"{path}: cannot be read: {error}") from error
    if not content.startswith(_MAGIC):
        raise SpikeQuantError(f"{path}: not a saved session: --save-state writes them")
    content, expected = content[_HEADER:], content[len(_MAGIC) : _HEADER]
    if xxhash.xxh3_64_intdigest(content).to_bytes(8, "little") != expected:
        raise SpikeQuantError(f"{path}: damaged or truncated: save the session again")
    try:
        arrays = safetensors.load(content)
        about = json.loads(arrays.pop(_ABOUT).tobytes())
        tokens = arrays.pop(_TOKENS).tolist()
        states = {name.removeprefix(_STATE): _unpack(array) for name, array in arrays.items()}
        return SavedSession(str(about["program"]), tokens, states)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise SpikeQuantError(f"{path}: damaged: {error!r}: save the session again") from error


def _pack(array: np.ndarray) -> np.ndarray:
    """Arrays of i8 as packed counts, one a byte or two, whichever is smaller."""
    array = np.ascontiguousarray(array)
    if array.dtype != np.int8 or array.ndim == 0 or array.size == 0:
        return array
    return min((pack_counts(counts) for counts in (_whole(array), _halves(array))), key=np.size)


def _whole(array: np.ndarray) -> np.ndarray:
    """[tokens, channels]."""
    return array.reshape(len(array), -1).astype(np.int16)


def _halves(array: np.ndarray) -> np.ndarray:
    """[tokens, 1, channels]: what the low 4 bits of each byte count, then the high 4 bits."""
    wide = _whole(array)
    low = ((wide & 15) ^ 8) - 8
    return np.concatenate([low, wide >> 4], axis=1)[:, None]


def _unpack(array: np.ndarray) -> np.ndarray:
    if not is_packed(array):
        return array
    counts = unpack_counts(array)
    if counts.ndim == 3:
        low, high = np.split(counts[:, 0], 2, axis=1)
        counts = (low & 15) | (high << 4)
    return counts.astype(np.int8)

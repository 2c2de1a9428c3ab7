"""The inputs of a calibration, kept beside its file: what selected layers are driven with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from . import bundle
from .arrays import load_arrays, save_arrays
from .errors import SpikeQuantError
from .text import read_windows

# Enough rows for any stimulus; images and the like are not copied by the gigabyte.
_MOST_BYTES = 1 << 24
_TOKENS = "tokens"


def inputs_path(calibration: Path) -> Path:
    """Where the inputs of a calibration file are kept."""
    return calibration.with_name(calibration.name + ".inputs.npz")


def save_inputs(calibration: Path, arrays: dict[str, np.ndarray]) -> None:
    """Arrays with a leading batch axis; the first items of it, as many as fit."""
    items = len(next(iter(arrays.values())))
    size = sum(array.nbytes for array in arrays.values()) // items
    kept = max(1, min(items, _MOST_BYTES // max(size, 1)))
    save_arrays({inputs_path(calibration): {name: a[:kept] for name, a in arrays.items()}})


def save_tokens(calibration: Path, windows: np.ndarray) -> None:
    save_inputs(calibration, {_TOKENS: windows})


def find_inputs(
    source: Path, calibration: Path | None, text: Path | None, inputs: Path | None
) -> dict[str, np.ndarray]:
    """Inputs of a graph with a leading batch axis: from text, from a file, or the calibration's.

    Tokens become chunks, each at the start of an empty cache.
    """
    if source.is_dir() and inputs is not None or not source.is_dir() and text is not None:
        raise SpikeQuantError("a bundle takes --text, a graph --inputs")
    if inputs is not None:
        return _check_batch(load_arrays(inputs), inputs)
    if text is not None:
        chunk = _chunk(source)
        return _chunk_inputs(read_windows(source, text, chunk, 64, allow_fewer=True), chunk)
    path = inputs_path(calibration)
    if not path.is_file():
        raise SpikeQuantError(
            f"{calibration}: its inputs ({path.name}) are not beside it: calibrate again, or give "
            f"{'--text FILE' if source.is_dir() else '--inputs NPZ'}"
        )
    arrays = load_arrays(path)
    if (_TOKENS in arrays) != source.is_dir():
        raise SpikeQuantError(f"{path}: belongs to another model than {source}")
    if _TOKENS in arrays:
        return _chunk_inputs(arrays[_TOKENS], _chunk(source))
    return _check_batch(arrays, path)


def _chunk(source: Path) -> int:
    return int(bundle.read_model(source)["chunk"])


def _chunk_inputs(tokens: np.ndarray, chunk: int) -> dict[str, np.ndarray]:
    """Arguments of a prefill graph."""
    flat = tokens.reshape(-1)
    count = len(flat) // chunk
    if not count:
        raise SpikeQuantError(f"the text has {len(flat)} tokens, one chunk has {chunk}")
    return {
        _TOKENS: np.ascontiguousarray(flat[: count * chunk].reshape(count, chunk), np.int32),
        "start": np.zeros(count, np.int32),
        "count": np.full(count, chunk, np.int32),
    }


def _check_batch(arrays: dict[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    sizes = {array.shape[0] if array.ndim else 0 for array in arrays.values()}
    if len(sizes) != 1 or 0 in sizes:
        raise SpikeQuantError(f"{path}: the arrays need one leading batch axis of equal length")
    return arrays

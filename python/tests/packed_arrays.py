"""Reads weights.sqw by docs/PackedWeights.md, not by the project's code."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np


def packed_array(program: Path, key: str, blob: str | None = None) -> np.ndarray:
    """An array of weights.sqw."""
    data = (program / "weights.sqw").read_bytes()
    size = struct.unpack_from("<Q", data, 16)[0]
    entry = json.loads(data[64 : 64 + size].rstrip(b"\0 "))["entries"][key]
    part = entry["blobs"][blob] if blob else entry
    kind = np.dtype({"i64": "<i8", "i8": "<i1"}.get(entry["kind"], "<f4"))
    raw = data[part["offset"] : part["offset"] + part["bytes"]]
    return np.frombuffer(raw, kind).reshape(entry["shape"] if blob is None else -1)

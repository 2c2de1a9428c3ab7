"""The packed weights file, read by docs/PackedWeights.md with NumPy alone."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np

_TYPES = {"f32": "<f4", "f16": "<f2", "f64": "<f8", "i8": "i1", "u8": "u1", "i16": "<i2"}
_TYPES |= {"i32": "<i4", "i64": "<i8"}


class PackedWeights:
    """Arrays by key: `raw`, or integers and scales of codes."""

    def __init__(self, path: Path):
        self._data = path.read_bytes()
        magic, version, _, size = struct.unpack_from("<8sIIQ", self._data)
        assert (magic, version) == (b"SQWEIGHT", 1)
        self.entries = json.loads(self._data[64 : 64 + size])["entries"]

    def _blob(self, blob: dict, dtype: str) -> np.ndarray:
        return np.frombuffer(self._data[blob["offset"] :][: blob["bytes"]], dtype)

    def raw(self, key: str) -> np.ndarray:
        entry = self.entries[key]
        return self._blob(entry, _TYPES[entry["kind"]]).reshape(entry["shape"])

    def integers(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """W [N, K] = m u + c as int64, and s_w [N] as float32."""
        entry = self.entries[key]
        n, k, group = entry["n"], entry["k"], entry["group"]
        blobs = entry["blobs"]
        groups, tiles = -(-k // group), -(-n // 16)

        def by_row(name: str, dtype: str) -> np.ndarray:
            tiled = self._blob(blobs[name], dtype).reshape(tiles, groups, 16)
            return tiled.transpose(0, 2, 1).reshape(tiles * 16, groups)[:n].astype(np.int64)

        channel_group = np.arange(k) // group
        m = by_row("multipliers", "u1")[:, channel_group]
        c = by_row("offsets", "<i2")[:, channel_group]
        scales = self._blob(blobs["scales"], "<f4")[:n]
        return m * self._codes(entry)[:n, :k] + c, scales

    def _codes(self, entry: dict) -> np.ndarray:
        """u [Npad, Kpad]; lines of 64 bytes, 16 channels by 8 or 4 input channels."""
        nibbles = entry["container"] == 4
        width = 8 if nibbles else 4
        tiles, lines = -(-entry["n"] // 16), -(-entry["k"] // 8) * 8 // width
        data = self._blob(entry["blobs"]["codes"], "u1").reshape(-1, 16, 4)
        codes = np.zeros((tiles, 16, lines, width), np.int64)
        for tile in range(tiles):
            panel = tile // 4 * 4
            in_panel = min(4, tiles - panel)
            for line in range(lines):
                part = data[panel * lines + line * in_panel + tile - panel]
                halves = [part & 15, part >> 4] if nibbles else [part]
                codes[tile, :, line] = np.concatenate(halves, axis=1)
        return codes.reshape(tiles * 16, lines * width)

    def reals(self, key: str) -> np.ndarray:
        """s_w W [N, K] as float64."""
        integers, scales = self.integers(key)
        return integers * scales[:, None].astype(np.float64)

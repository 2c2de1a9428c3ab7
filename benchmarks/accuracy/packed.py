"""Reads back what the compiler decided: real weights, steps and bits of a compiled folder.

An own reading of docs/PackedWeights.md.
"""

from __future__ import annotations

import json
import re
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np

_DTYPES = {"f64": "<f8", "f32": "<f4", "f16": "<f2", "i8": "i1", "u8": "u1", "i16": "<i2"}
_DTYPES |= {"i32": "<i4", "i64": "<i8"}
_TILE, _HEADER = 16, 64


class PackedFile:
    """weights.sqw. Arrays are read when asked for."""

    def __init__(self, path: Path):
        self.data = np.memmap(path, np.uint8, "r")
        magic, version, _, size = struct.unpack("<8sIIQ", self.data[:24].tobytes())
        if (magic, version) != (b"SQWEIGHT", 2):
            raise ValueError(f"{path}: not a file of packed weights of version 2")
        self.entries = json.loads(self.data[_HEADER : _HEADER + size].tobytes())["entries"]

    def array(self, key: str) -> np.ndarray:
        entry = self.entries[key]
        return self._blob(entry, _DTYPES[entry["kind"]]).reshape(entry["shape"])

    def integers(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """W = m u + c [n, k] (i32) and the scales [n] of packed codes."""
        entry = self.entries[key]
        n, k, group = entry["n"], entry["k"], entry["group"]
        groups = -(-k // group)
        codes, m, c = self._parts(entry)
        of_channel = np.minimum(np.arange(k) // group, groups - 1)
        m, c = (a[:n, of_channel].astype(np.int32) for a in (m, c))
        return m * codes[:n, :k] + c, self.scales(key)

    def scales(self, key: str) -> np.ndarray:
        """s_w [n]"""
        entry = self.entries[key]
        return self._blob(entry["blobs"]["scales"], "<f4")[: entry["n"]]

    def real(self, key: str) -> np.ndarray:
        """s W [n, k] in f32."""
        integers, scales = self.integers(key)
        return integers.astype(np.float32) * scales[:, None]

    def _blob(self, place: dict, dtype: str) -> np.ndarray:
        return self.data[place["offset"] : place["offset"] + place["bytes"]].view(dtype)

    def _parts(self, entry: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """u [Npad, Kpad], m and c [Npad, groups]. Panels of up to four tiles; in each, groups."""
        raw = self._blob(entry["blobs"]["codes"], "u1")
        tiles, panels, start = -(-entry["n"] // _TILE), [], 0
        for first in range(0, tiles, 4):
            channels = min(4, tiles - first) * _TILE
            parts, start = _read_panel(raw, start, channels, entry)
            panels.append(parts)
        codes, m, c = (np.concatenate(part) for part in zip(*panels, strict=True))
        return codes.astype(np.int32), m, c


def _read_panel(raw: np.ndarray, start: int, channels: int, entry: dict) -> tuple[tuple, int]:
    """Codes [channels, Kpad], m and c [channels, groups] of a panel; where the next one begins."""
    container, width, groups = entry["container"], entry["offset_bits"] // 8, []
    padded = -(-entry["k"] // 8) * 8
    bounds = [*range(0, padded, entry["group"]), padded]
    if entry["group"] >= entry["k"]:
        bounds = [0, padded]
    for first, last in pairwise(bounds):
        bytes_ = (last - first) * channels * container // 8
        m, c, lines = np.split(
            raw[start : start + channels * (1 + width) + bytes_], [channels, channels * (1 + width)]
        )
        steps = lines.reshape((last - first) // (4 if container == 8 else 8), -1)
        groups.append((_panel(steps, channels, container), m, _offsets(m, c, entry)))
        start += channels * (1 + width) + bytes_
    codes, m, c = zip(*groups, strict=True)
    return (np.concatenate(codes, axis=1), np.stack(m, axis=1), np.stack(c, axis=1)), start


def _offsets(m: np.ndarray, stored: np.ndarray, entry: dict) -> np.ndarray:
    """c, or zero points in steps of 2^(container - 8) of a code."""
    if entry["offset_bits"] == 16:
        return stored.view("<i2").astype(np.int32)
    unit = 2 ** (8 - entry["container"])
    return -((m.astype(np.int32) * stored + unit // 2) // unit)


def _panel(steps: np.ndarray, channels: int, container: int) -> np.ndarray:
    """Codes [channels, k] from the bytes of each step along k."""
    if container == 8:
        whole = steps.reshape(len(steps), channels, 4)
        return whole.transpose(1, 0, 2).reshape(channels, -1)
    codes = np.zeros((channels, len(steps), 8), np.uint8)
    start = shift = 0
    for bits in (plane for plane in (4, 2, 1) if container & plane):
        plane = steps[:, start : start + channels * bits]
        plane = plane.reshape(len(steps), channels, bits).transpose(1, 0, 2)
        codes |= _from_plane(plane) << shift
        start, shift = start + channels * bits, shift + bits
    return codes.reshape(channels, -1)


def _from_plane(plane: np.ndarray) -> np.ndarray:
    """The parts of eight codes in the last axis' 4, 2 or 1 bytes."""
    if plane.shape[-1] == 4:
        return np.concatenate([plane & 15, plane >> 4], axis=-1)
    if plane.shape[-1] == 2:
        parts = [plane >> place & 3 for place in (0, 4, 2, 6)]  # channels 0 1, 2 3, 4 5, 6 7
        return np.concatenate(parts, axis=-1)
    return plane >> np.arange(8, dtype=np.uint8) & 1


class CompiledModel:
    """Weights as the graph takes them, and the encode sites' steps and bits."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.file = PackedFile(folder / "weights.sqw")
        self.report = json.loads((folder / "compile.json").read_text(encoding="utf-8"))
        text = (folder / "quantized.mlir").read_text(encoding="utf-8")
        found = re.search(r"spikequant\.encode .*tolerance = (\d+)", text)
        self.tolerance = int(found[1]) if found else 0

    def weights(self, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
        """By the graph's keys; packed [n, k] is the transpose of a linear weight."""
        result = {}
        for key, shape in shapes.items():
            if key in self.file.entries:
                result[key] = np.array(self.file.array(key))
            elif f"{key}.fixed" in self.file.entries:
                # Cosines and sines of positions, in 2^-14.
                result[key] = (self.file.array(f"{key}.fixed") / 2.0**14).astype(np.float32)
            else:
                real = self.file.real(f"{key}.codes")
                # Rows of the embedding are its output channels; others are stored [K, N].
                result[key] = real if key == "token_embd" else np.ascontiguousarray(real.T)
            if result[key].shape != tuple(shape):
                raise ValueError(f"{key}: {result[key].shape}, but the graph has {shape}")
        return result

    def weight_bits(self) -> float:
        """Mean over the weights of the layers; multipliers, offsets and scales included."""
        bits = weights = 0.0
        for key, entry in self.file.entries.items():
            if key.startswith("blk.") and entry["kind"] == "codes":
                n, k = entry["n"], entry["k"]
                groups = -(-k // entry["group"])
                bits += n * (k * entry["bits"] + groups * (8 + 16) + 32)
                weights += n * k
        return bits / weights

    def sites(self) -> dict[str, tuple[float, np.ndarray]]:
        """Encode site -> step and bits of its channels."""
        return {
            site["site"]: (site["step"], self.file.array(site["site"] + ".bits"))
            for site in self.report["encode_sites"]
        }

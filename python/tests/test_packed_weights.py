"""The NumPy reader of packed weights, on a file laid out by hand."""

from __future__ import annotations

import json
import struct
from fractions import Fraction
from math import floor

import numpy as np
import pytest
from quantised_sites import Encoding

from benchmarks.accuracy.packed import PackedFile


@pytest.mark.parametrize("offset_bits", [8, 16])
@pytest.mark.parametrize(
    ("n", "k", "bits", "group"),
    [(1, 1, 4, 1), (35, 24, 4, 8), (70, 12, 8, 8), (70, 12, 8, 12), (70, 12, 2, 8), (17, 20, 3, 8),
     (90, 24, 6, 8)],
)  # fmt: skip
def test_codes(n, k, bits, group, offset_bits, tmp_path):
    """Every code at the place that docs/PackedWeights.md names, one by one."""
    random = np.random.default_rng(n)
    groups, tiles = -(-k // group), -(-n // 16)
    codes = random.integers(0, 2**bits, (n, k))
    m = random.integers(1, 64, (n, groups))
    c = random.integers(-999, 999, (n, groups))
    z = random.integers(0, 256, (n, groups))
    s = random.random(n).astype(np.float32)
    scales = np.ones(tiles * 16, "<f4")
    scales[:n] = s
    stored = z if offset_bits == 8 else c
    blobs = {"codes": pack(codes, m, stored, bits, group, offset_bits), "scales": scales}
    if offset_bits == 8:  # half a unit up, then down
        half = Fraction(1, 2) if bits < 8 else 0
        c = np.array([-floor(Fraction(int(p), 2 ** (8 - bits)) + half) for p in (m * z).flat])
        c = c.reshape(m.shape)
    file = tmp_path / "w.sqw"
    entry = {"n": n, "k": k, "group": group, "container": bits, "offset_bits": offset_bits}
    write(file, entry, blobs)
    integers, scales = PackedFile(file).integers("w")
    expected = [
        [m[i, j // group] * codes[i, j] + c[i, j // group] for j in range(k)] for i in range(n)
    ]
    np.testing.assert_array_equal(integers, expected)
    np.testing.assert_array_equal(scales, s)


# Where channel j of a step is in an output channel's bytes, by the bits of the plane.
PLACES = {4: (0, 8, 16, 24, 4, 12, 20, 28), 2: (0, 8, 4, 12, 2, 10, 6, 14), 1: range(8)}


def pack(codes, m, offsets, bits, group, offset_bits) -> np.ndarray:
    """Bit by bit. A tile's share of its panel: each group's m and offsets, then its lines."""
    n, k = codes.shape
    tiles, width = -(-n // 16), 4 if bits == 8 else 8
    steps, line = -(-k // 8) * 8 // width, 64 if bits == 8 else 16 * bits
    header = 16 + 2 * offset_bits
    share = m.shape[1] * header + steps * line
    packed = np.zeros(-(-tiles * share // 64) * 64, np.uint8)
    for row in range(n):
        panel, inside = divmod(row, 64)
        present = min(4, tiles - 4 * panel)
        for g in range(m.shape[1]):
            start = 4 * panel * share + present * (g * header + g * group // width * line)
            packed[start + inside] = m[row, g]
            start += 16 * present + inside * offset_bits // 8
            for byte in range(offset_bits // 8):
                packed[start + byte] = offsets[row, g] >> (8 * byte) & 255
        for j in range(k):
            headers = (j // group + 1) * header
            start = 4 * panel * share + present * (headers + j // width * line)
            if bits == 8:
                packed[start + inside * 4 + j % 4] = codes[row, j]
                continue
            shift = 0
            for plane in (p for p in (4, 2, 1) if bits & p):
                byte, bit = divmod(PLACES[plane][j % 8], 8)
                part = codes[row, j] >> shift & (2**plane - 1)
                packed[start + inside * plane + byte] |= part << bit
                start += present * 16 * plane
                shift += plane
    return packed


def write(file, entry: dict, blobs: dict) -> None:
    data, places = b"", {}
    for name, array in blobs.items():
        places[name] = {"offset": 1024 + len(data), "bytes": array.nbytes}
        data += array.tobytes()
    index = json.dumps({"entries": {"w": {"kind": "codes", **entry, "blobs": places}}}).encode()
    header = struct.pack("<8sIIQ", b"SQWEIGHT", 2, 0, len(index))
    file.write_bytes((header.ljust(64, b"\0") + index).ljust(1024, b"\0") + data)


def test_counts():
    """Ties go up; window 3 (3 bits) with tolerance 1; silent channels; events."""
    encoding = Encoding("s", np.float32(0.5), np.array([3, 0, 8]), 1)
    x = np.array([[1.75, 0.4, 63.4], [2.1, 0.6, 64.1], [-1.75, -1.0, np.nan], [-2.3, 9e9, -9e9]])
    expected = [[3, 0, 127], [3, 0, 127], [-3, -2, 0], [-5, 32767, -32767]]
    np.testing.assert_array_equal(encoding.counts(x), expected)

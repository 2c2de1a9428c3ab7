"""Arrays of counts in the bits of their windows (docs/PackedCounts.md), as arrays of bytes."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence

import numpy as np

from .errors import SpikeQuantError
from .toolchain import load_library

_MAGIC = b"SQCOUNTS"
_MOST_RANK = 8


def pack_counts(counts: np.ndarray, bits: Sequence[int] | None = None) -> np.ndarray:
    """Bytes of i16 counts [.., channels], with `bits` per channel or those that cost least."""
    if counts.dtype != np.int16 or not 1 <= counts.ndim <= _MOST_RANK:
        raise SpikeQuantError(f"counts are int16 with 1 to 8 axes, not {counts.dtype}")
    library = _load_library()
    counts = np.ascontiguousarray(counts)
    windows = None if bits is None else np.ascontiguousarray(bits, np.uint8)
    if windows is not None and windows.shape != counts.shape[-1:]:
        raise SpikeQuantError(f"{windows.size} windows for {counts.shape[-1]} channels")
    shape = (ctypes.c_int64 * counts.ndim)(*counts.shape)
    given = None if windows is None else windows.ctypes.data
    handle = library.sq_counts_pack(counts.ctypes.data, counts.ndim, shape, given)
    if not handle:
        raise SpikeQuantError(f"counts {list(counts.shape)}: more than 2^31, or a window of 9 bits")
    try:
        size = ctypes.c_int64()
        address = library.sq_counts_bytes(handle, ctypes.byref(size))
        return np.frombuffer(ctypes.string_at(address, size.value), np.uint8)
    finally:
        library.sq_counts_destroy(handle)


def is_packed(array: np.ndarray) -> bool:
    return array.dtype == np.uint8 and array.ndim == 1 and array[: len(_MAGIC)].tobytes() == _MAGIC


def unpack_counts(packed: np.ndarray) -> np.ndarray:
    library, error = _load_library(), ctypes.c_char_p()
    packed = np.ascontiguousarray(packed)
    handle = library.sq_counts_unpack(packed.ctypes.data, packed.size, ctypes.byref(error))
    if not handle:
        raise SpikeQuantError(f"damaged packed counts: {error.value.decode()}")
    try:
        rank, shape = ctypes.c_int32(), (ctypes.c_int64 * _MOST_RANK)()
        address = library.sq_counts_values(handle, ctypes.byref(rank), shape)
        sizes = shape[: rank.value]
        size = 2 * int(np.prod(sizes, dtype=np.int64))
        return np.frombuffer(ctypes.string_at(address, size), np.int16).reshape(sizes)
    finally:
        library.sq_counts_destroy(handle)


@functools.cache
def _load_library() -> ctypes.CDLL:
    library = load_library("libSpikeQuantCountsC.so")
    pointer, sizes = ctypes.c_void_p, ctypes.POINTER(ctypes.c_int64)
    library.sq_counts_pack.restype = pointer
    library.sq_counts_pack.argtypes = [pointer, ctypes.c_int32, sizes, pointer]
    library.sq_counts_unpack.restype = pointer
    library.sq_counts_unpack.argtypes = [pointer, ctypes.c_int64, ctypes.POINTER(ctypes.c_char_p)]
    library.sq_counts_destroy.argtypes = [pointer]
    library.sq_counts_bytes.restype = pointer
    library.sq_counts_bytes.argtypes = [pointer, sizes]
    library.sq_counts_values.restype = pointer
    library.sq_counts_values.argtypes = [pointer, ctypes.POINTER(ctypes.c_int32), sizes]
    return library

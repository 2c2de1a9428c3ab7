"""The structures of include/spikequant/Runtime/spikequant.h, for ctypes."""

from __future__ import annotations

import ctypes
import math

import numpy as np

ABI_VERSION = 2
ALIGNMENT = 64

# Index: sq_element_type. bf16 has no NumPy type of its own; its bits are handed over.
DTYPES = [np.float32, np.int16, np.int64, np.int32, np.int8, np.bool_, np.float64, np.float16]
DTYPES += [np.uint16, np.uint8, np.uint16, np.uint32, np.uint64]

ObserveFunction = ctypes.CFUNCTYPE(
    None,
    ctypes.c_void_p,
    ctypes.c_int32,
    ctypes.c_void_p,
    ctypes.c_int32,
    ctypes.c_int32,
    ctypes.POINTER(ctypes.c_int64),
)


class SqArray(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("element_type", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("bytes", ctypes.c_int64),
        ("state_result", ctypes.c_int32),
    ]


class SqCall(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint64),
        ("threads", ctypes.c_int64),
        ("weights", ctypes.c_void_p),
        ("arena", ctypes.c_void_p),
        ("arguments", ctypes.POINTER(ctypes.c_void_p)),
        ("results", ctypes.POINTER(ctypes.c_void_p)),
        ("salient", ctypes.POINTER(ctypes.c_int64)),
        ("observe", ObserveFunction),
        ("observe_user", ctypes.c_void_p),
    ]


class SqGraph(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("body", ctypes.c_void_p),
        ("arena_bytes", ctypes.c_int64),
        ("argument_count", ctypes.c_int64),
        ("arguments", ctypes.POINTER(SqArray)),
        ("result_count", ctypes.c_int64),
        ("results", ctypes.POINTER(SqArray)),
        ("site_count", ctypes.c_int64),
        ("sites", ctypes.POINTER(ctypes.c_char_p)),
    ]


class SqModel(ctypes.Structure):
    _fields_ = [
        ("abi_version", ctypes.c_int64),
        ("graph_count", ctypes.c_int64),
        ("graphs", ctypes.POINTER(SqGraph)),
        ("weights_checksum", ctypes.c_uint64),
        ("weights_bytes", ctypes.c_uint64),
        ("cpu_features", ctypes.c_char_p),
    ]


class SqKernelTime(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("calls", ctypes.c_int64),
        ("nanoseconds", ctypes.c_int64),
    ]


def aligned_zeros(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Zeros at a 64-byte boundary."""
    size = math.prod(shape) * dtype.itemsize
    return _aligned(np.zeros(size + ALIGNMENT, np.uint8), size).view(dtype).reshape(shape)


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """At a 64-byte boundary, with any values."""
    size = math.prod(shape) * dtype.itemsize
    return _aligned(np.empty(size + ALIGNMENT, np.uint8), size).view(dtype).reshape(shape)


def _aligned(raw: np.ndarray, size: int) -> np.ndarray:
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size]

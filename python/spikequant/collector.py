"""The C++ calibration statistics (include/spikequant/Calibration/CAPI.h) behind an observer."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Sequence
from pathlib import Path

from .errors import SpikeQuantError
from .native_graph import Observer
from .native_types import ObserveFunction
from .outputs import replacing_file
from .toolchain import find_library


class Collector:
    """Statistics of sites with so many channels each; fill it by running with `observer`."""

    def __init__(self, names: Sequence[str], channels: Sequence[int]):
        self._library = _load_library()
        self._handle = self._library.sq_calibration_create(
            len(names),
            (ctypes.c_char_p * len(names))(*(name.encode() for name in names)),
            (ctypes.c_int64 * len(channels))(*channels),
        )
        if not self._handle:
            raise SpikeQuantError(self._library.sq_calibration_error(None).decode())
        address = ctypes.cast(self._library.sq_calibration_observe, ctypes.c_void_p).value
        self.observer = Observer(ObserveFunction(address), self._handle)

    def save(self, path: Path) -> None:
        if self._library.sq_calibration_save(self._handle, os.fsencode(path)):
            raise SpikeQuantError(self._library.sq_calibration_error(self._handle).decode())

    def __del__(self):
        if getattr(self, "_handle", None):
            self._library.sq_calibration_destroy(self._handle)


def merge(files: Sequence[Path], out: Path) -> None:
    """Adds up calibration files of the same sites; their order does not matter."""
    for file in files:
        if not file.is_file():
            raise SpikeQuantError(f"{file}: no such file")
    library = _load_library()
    paths = (ctypes.c_char_p * len(files))(*(os.fsencode(file) for file in files))
    with replacing_file(out) as fresh:
        if library.sq_calibration_merge_files(len(files), paths, os.fsencode(fresh)):
            raise SpikeQuantError(library.sq_calibration_error(None).decode())


@functools.cache
def _load_library() -> ctypes.CDLL:
    path = find_library("libSpikeQuantCalibrationC.so")
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise SpikeQuantError(f"{path}: cannot be loaded: {error}") from error
    pointer, text, texts = ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_char_p)
    signatures = {
        "create": (pointer, [ctypes.c_int32, texts, ctypes.POINTER(ctypes.c_int64)]),
        "destroy": (None, [pointer]),
        "save": (ctypes.c_int32, [pointer, text]),
        "merge_files": (ctypes.c_int32, [ctypes.c_int32, texts, text]),
        "error": (text, [pointer]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, f"sq_calibration_{name}")
        function.restype, function.argtypes = result, arguments
    return library

"""The C++ calibration statistics (include/spikequant/Calibration/CAPI.h) behind an observer."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from .calibration_inputs import inputs_path
from .errors import SpikeQuantError
from .native_graph import Observer
from .native_types import ObserveFunction
from .outputs import replacing_file
from .toolchain import load_library


class Collector:
    """Statistics of sites with so many channels each; fill it by running with `observer`.

    With `grams` also X^T X of every site, for second-order weight rounding.
    """

    def __init__(self, names: Sequence[str], channels: Sequence[int], grams: bool = False):
        self._grams = grams
        self._library = _load_library()
        self._handle = self._library.sq_calibration_create(
            len(names),
            (ctypes.c_char_p * len(names))(*(name.encode() for name in names)),
            (ctypes.c_int64 * len(channels))(*channels),
        )
        if not self._handle:
            raise SpikeQuantError(self._library.sq_calibration_error(None).decode())
        if grams:
            self._check(self._library.sq_calibration_collect_grams(self._handle))
        address = ctypes.cast(self._library.sq_calibration_observe, ctypes.c_void_p).value
        self.observer = Observer(ObserveFunction(address), self._handle)

    def set_sensitivity(self, site: int, value: float, rows: int) -> None:
        """Nats per token and unit of squared error of a token, measured on `rows` tokens."""
        self._check(self._library.sq_calibration_set_sensitivity(self._handle, site, value, rows))

    def save(self, path: Path) -> None:
        """Writes the statistics, and the Gram matrices beside them (`gram_path`)."""
        self._check(self._library.sq_calibration_save(self._handle, os.fsencode(path)))
        if self._grams:
            file = os.fsencode(gram_path(path))
            self._check(self._library.sq_calibration_save_grams(self._handle, file))

    def _check(self, failed: int) -> None:
        if failed:
            raise SpikeQuantError(self._library.sq_calibration_error(self._handle).decode())

    def __del__(self):
        if getattr(self, "_handle", None):
            self._library.sq_calibration_destroy(self._handle)


def gram_path(calibration: Path) -> Path:
    """Where the Gram matrices of a calibration file are kept."""
    return calibration.with_name(calibration.name + ".gram")


@contextlib.contextmanager
def replacing_calibration(out: Path) -> Iterator[Path]:
    """A path whose calibration file takes the place of `out`, and the files beside it."""
    out = Path(out).resolve()
    with replacing_file(out) as fresh:
        yield fresh
        for beside in (gram_path, inputs_path):
            if beside(fresh).exists():
                beside(fresh).replace(beside(out))
            else:
                # One of an older calibration would be taken for this one's.
                beside(out).unlink(missing_ok=True)


def merge(files: Sequence[Path], out: Path) -> None:
    """Adds up calibration files of the same sites; their order does not matter.

    Gram files are added up too, if every calibration has one.
    """
    for file in files:
        if not file.is_file():
            raise SpikeQuantError(f"{file}: no such file")
    grams = [gram_path(file) for file in files]
    with replacing_calibration(out) as fresh:
        merge_into(files, fresh)
        if all(gram.is_file() for gram in grams):
            merge_grams_into(grams, gram_path(fresh))


def merge_into(files: Sequence[Path], out: Path) -> None:
    """Adds up calibration files alone."""
    library = _load_library()
    _merge(library, library.sq_calibration_merge_files, files, out)


def merge_grams_into(files: Sequence[Path], out: Path) -> None:
    library = _load_library()
    _merge(library, library.sq_calibration_merge_gram_files, files, out)


class Review(ctypes.Structure):
    """sq_calibration_review."""

    _fields_ = [
        ("in_sample_bits", ctypes.c_double),
        ("held_out_bits", ctypes.c_double),
        ("nan_values", ctypes.c_int64),
        ("infinite_values", ctypes.c_int64),
    ]


def review(fit: Sequence[Path], held: Sequence[Path], bits: float) -> Review:
    """What an allocation from the files `fit` costs on them and on the files `held`."""
    library, result = _load_library(), Review()
    counts_and_paths = [len(fit), _paths(fit), len(held), _paths(held)]
    if library.sq_calibration_review_files(*counts_and_paths, bits, ctypes.byref(result)):
        raise SpikeQuantError(library.sq_calibration_error(None).decode())
    return result


def _paths(files: Sequence[Path]):
    return (ctypes.c_char_p * len(files))(*(os.fsencode(file) for file in files))


def _merge(library: ctypes.CDLL, function, files: Sequence[Path], out: Path) -> None:
    if function(len(files), _paths(files), os.fsencode(out)):
        raise SpikeQuantError(library.sq_calibration_error(None).decode())


@functools.cache
def _load_library() -> ctypes.CDLL:
    library = load_library("libSpikeQuantCalibrationC.so")
    pointer, text, texts = ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_char_p)
    signatures = {
        "create": (pointer, [ctypes.c_int32, texts, ctypes.POINTER(ctypes.c_int64)]),
        "destroy": (None, [pointer]),
        "collect_grams": (ctypes.c_int32, [pointer]),
        "set_sensitivity": (
            ctypes.c_int32,
            [pointer, ctypes.c_int32, ctypes.c_double, ctypes.c_int64],
        ),
        "save": (ctypes.c_int32, [pointer, text]),
        "save_grams": (ctypes.c_int32, [pointer, text]),
        "merge_files": (ctypes.c_int32, [ctypes.c_int32, texts, text]),
        "merge_gram_files": (ctypes.c_int32, [ctypes.c_int32, texts, text]),
        "review_files": (
            ctypes.c_int32,
            [ctypes.c_int32, texts, ctypes.c_int32, texts, ctypes.c_double, pointer],
        ),
        "error": (text, [pointer]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, f"sq_calibration_{name}")
        function.restype, function.argtypes = result, arguments
    return library

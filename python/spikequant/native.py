"""A compiled folder as Python objects: `model.so` through its C interface (docs/CABI.md)."""

from __future__ import annotations

import ctypes
import json
import os
import struct
import weakref
from pathlib import Path

import numpy as np
import xxhash

from .errors import SpikeQuantError
from .native_graph import ArraySpec, Graph, Observer
from .native_types import ABI_VERSION, SqCall, SqGraph, SqKernelTime, SqModel, aligned_zeros

__all__ = ["ArraySpec", "Graph", "NativeModel", "Observer"]

LIBRARY, WEIGHTS, MODEL, COMPILE = "model.so", "weights.sqw", "model.json", "compile.json"
HEADER_BYTES = 64  # of the weights file; docs/PackedWeights.md
_FUNCTIONS = ("sq_get_model", "sq_status_message", "sq_check", "sq_run")


def is_compiled(folder: Path) -> bool:
    return (folder / COMPILE).is_file() and (folder / LIBRARY).is_file()


# Files that were loaded from one path, by device and inode.
_loaded: dict[Path, list[tuple[int, int]]] = {}


def _spelling(path: Path) -> str:
    """A name of the file under which the loader does not remember another file.

    The loader goes by names first: without this, a model that was compiled again in place would
    run the old code.
    """
    status = path.stat()
    files = _loaded.setdefault(path, [])
    if (status.st_dev, status.st_ino) not in files:
        files.append((status.st_dev, status.st_ino))
    return f"{path.parent}/{'./' * files.index((status.st_dev, status.st_ino))}{path.name}"


def _check_whole(library: Path) -> None:
    """Raises OSError for half a library, which would stop the loader by a bus error.

    An ELF file ends with its section headers, whose place is in the first 64 bytes.
    """
    with library.open("rb") as file:
        header = file.read(64)
    if len(header) < 64 or header[:4] != b"\x7fELF":
        raise OSError("not a library (invalid ELF header)")
    (offset,) = struct.unpack_from("<Q", header, 40)
    size, count = struct.unpack_from("<HH", header, 58)
    if offset + size * count > library.stat().st_size:
        raise OSError("the file is truncated")


class NativeModel:
    """A compiled folder: its library, its mapped weights and its description."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.description = self._read_json(MODEL)
        self.compilation = self._read_json(COMPILE)
        self._library = self._load()
        self._model = self._library.sq_get_model().contents
        if self._model.abi_version != ABI_VERSION:
            raise SpikeQuantError(f"{folder}: made by another version: compile it again")
        self._weights = self._map_weights()
        self.weights_address = self._weights.ctypes.data
        # Not empty: NumPy does not align the address of an empty array.
        self._arena = aligned_zeros((64,), np.dtype(np.uint8))
        self._check(self._library.sq_check(self.weights_address))
        self._verify_weights()
        graphs = [self._model.graphs[i] for i in range(self._model.graph_count)]
        self.graphs = {raw.name.decode(): Graph(self, raw) for raw in graphs}

    def _verify_weights(self) -> None:
        """Reads all of the file: 6 ms of a processor for 96 MB in memory."""
        stored = int.from_bytes(self._weights[40:48].tobytes(), "little")
        if xxhash.xxh3_64_intdigest(memoryview(self._weights)[HEADER_BYTES:]) != stored:
            raise SpikeQuantError(
                f"{self.folder / WEIGHTS}: damaged: its checksum does not match: "
                "compile the model again"
            )

    def graph(self, name: str) -> Graph:
        if name not in self.graphs:
            known = ", ".join(self.graphs)
            raise SpikeQuantError(f"{self.folder} has no graph '{name}': it has {known}")
        return self.graphs[name]

    def arena(self, size: int) -> int:
        """Address of scratch memory, shared by all graphs of the folder."""
        if self._arena.nbytes < size:
            self._arena = aligned_zeros((size,), np.dtype(np.uint8))
        return self._arena.ctypes.data

    def run(self, graph: SqGraph, call: SqCall) -> None:
        self._check(self._library.sq_run(ctypes.byref(graph), ctypes.byref(call)))

    def kernel_times(self) -> list[tuple[str, int, int]]:
        """Name, calls and nanoseconds of each kernel; empty if not compiled with --profile."""
        if not hasattr(self._library, "sq_get_kernel_time"):
            return []
        self._library.sq_get_kernel_time.restype = ctypes.c_int64
        self._library.sq_get_kernel_time.argtypes = [ctypes.c_int64, ctypes.c_void_p]
        entry = SqKernelTime()
        count = self._library.sq_get_kernel_time(-1, None)
        times = []
        for index in range(count):
            self._library.sq_get_kernel_time(index, ctypes.byref(entry))
            times.append((entry.name.decode(), entry.calls, entry.nanoseconds))
        return times

    def reset_kernel_times(self) -> None:
        if hasattr(self._library, "sq_reset_kernel_times"):
            self._library.sq_reset_kernel_times()

    def _read_json(self, name: str) -> dict:
        hint = "make one with 'spikequant compile'"
        if (self.folder / "weights.safetensors").exists():
            hint = f"this is a bundle: compile it with 'spikequant compile {self.folder} ..'"
        try:
            value = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except OSError as error:
            reason = f"{name}: {error.strerror}"
            raise SpikeQuantError(
                f"{self.folder}: not a compiled model ({reason}); {hint}"
            ) from error
        except (ValueError, RecursionError) as error:
            raise SpikeQuantError(f"{self.folder / name}: damaged: {error}; {hint}") from error
        if not isinstance(value, dict):
            raise SpikeQuantError(f"{self.folder / name}: damaged: not an object; {hint}")
        return value

    def _load(self) -> ctypes.CDLL:
        path = (self.folder / LIBRARY).resolve()
        try:
            _check_whole(path)
            library = ctypes.CDLL(_spelling(path), use_errno=True)
        except OSError as error:
            raise SpikeQuantError(
                f"{path}: cannot be loaded: {error}; compile the model again"
            ) from error
        missing = [name for name in _FUNCTIONS if not hasattr(library, name)]
        if missing:
            raise SpikeQuantError(f"{path}: not a compiled model: it has no {', '.join(missing)}")
        library.sq_get_model.restype = ctypes.POINTER(SqModel)
        library.sq_status_message.restype = ctypes.c_char_p
        library.sq_check.argtypes = [ctypes.c_void_p]
        library.sq_run.argtypes = [ctypes.POINTER(SqGraph), ctypes.POINTER(SqCall)]
        return library

    def _map_weights(self) -> np.ndarray:
        path = self.folder / WEIGHTS
        map_weights, unmap_weights = self._library.sq_map_weights, self._library.sq_unmap_weights
        map_weights.restype = ctypes.c_void_p
        map_weights.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
        unmap_weights.argtypes, unmap_weights.restype = [ctypes.c_void_p, ctypes.c_uint64], None
        size = ctypes.c_uint64()
        address = map_weights(os.fsencode(path), ctypes.byref(size))
        if not address:
            reason = os.strerror(ctypes.get_errno())
            raise SpikeQuantError(f"{path}: cannot be mapped: {reason}")
        weakref.finalize(self, unmap_weights, address, size.value)
        if size.value != self._model.weights_bytes:
            raise SpikeQuantError(
                f"{path}: {size.value} bytes where {self._model.weights_bytes} were packed: "
                "compile the model again"
            )
        return np.frombuffer((ctypes.c_uint8 * size.value).from_address(address), np.uint8)

    def _check(self, status: int) -> None:
        if status:
            message = self._library.sq_status_message(status).decode()
            raise SpikeQuantError(f"{self.folder}: {message}")

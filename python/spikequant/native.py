"""A compiled folder as Python objects: `model.so` through its C interface (docs/CABI.md)."""

from __future__ import annotations

import ctypes
import json
import mmap
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from .errors import SpikeQuantError

LIBRARY, WEIGHTS, MODEL, COMPILE = "model.so", "weights.sqw", "model.json", "compile.json"
_ABI_VERSION = 1
_ALIGNMENT = 64

# Index: sq_element_type. bf16 has no NumPy type of its own; its bits are handed over.
_DTYPES = [np.float32, np.int16, np.int64, np.int32, np.int8, np.bool_, np.float64, np.float16]
_DTYPES.append(np.uint16)

ObserveFunction = ctypes.CFUNCTYPE(
    None,
    ctypes.c_void_p,
    ctypes.c_int32,
    ctypes.c_void_p,
    ctypes.c_int32,
    ctypes.c_int32,
    ctypes.POINTER(ctypes.c_int64),
)


class _Array(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("element_type", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("bytes", ctypes.c_int64),
        ("state_result", ctypes.c_int32),
    ]


class _Call(ctypes.Structure):
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


class _Graph(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("body", ctypes.c_void_p),
        ("arena_bytes", ctypes.c_int64),
        ("argument_count", ctypes.c_int64),
        ("arguments", ctypes.POINTER(_Array)),
        ("result_count", ctypes.c_int64),
        ("results", ctypes.POINTER(_Array)),
        ("site_count", ctypes.c_int64),
        ("sites", ctypes.POINTER(ctypes.c_char_p)),
    ]


class _Model(ctypes.Structure):
    _fields_ = [
        ("abi_version", ctypes.c_int64),
        ("graph_count", ctypes.c_int64),
        ("graphs", ctypes.POINTER(_Graph)),
        ("weights_checksum", ctypes.c_uint64),
        ("weights_bytes", ctypes.c_uint64),
        ("cpu_features", ctypes.c_char_p),
    ]


class ArraySpec:
    """Name, dtype and shape of an argument or a result."""

    def __init__(self, raw: _Array):
        self.name = raw.name.decode()
        self.dtype = np.dtype(_DTYPES[raw.element_type])
        self.shape = tuple(raw.shape[axis] for axis in range(raw.rank))
        self.bytes = raw.bytes
        self.state_result = raw.state_result

    def empty(self) -> np.ndarray:
        return aligned_zeros(self.shape, self.dtype)

    def check(self, array: np.ndarray, graph: str) -> np.ndarray:
        if array.shape != self.shape or array.dtype != self.dtype:
            raise SpikeQuantError(
                f"graph '{graph}', '{self.name}': expected {self.dtype} {list(self.shape)}, "
                f"got {array.dtype} {list(array.shape)}"
            )
        return np.ascontiguousarray(array)


def aligned_zeros(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Zeros at a 64-byte boundary."""
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = np.zeros(size + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


class Graph:
    """One graph of a compiled folder. Not for use by several threads at once."""

    def __init__(self, model: NativeModel, raw: _Graph):
        self._model, self._raw = model, raw
        self.name = raw.name.decode()
        self.arguments = [ArraySpec(raw.arguments[i]) for i in range(raw.argument_count)]
        self.results = [ArraySpec(raw.results[i]) for i in range(raw.result_count)]
        self.sites = [raw.sites[i].decode() for i in range(raw.site_count)]
        self.salient = np.zeros(max(1, raw.site_count), np.int64)
        self.arena_bytes = raw.arena_bytes

    @property
    def states(self) -> list[ArraySpec]:
        return [spec for spec in self.arguments if spec.state_result >= 0]

    def new_state(self) -> dict[str, np.ndarray]:
        return {spec.name: spec.empty() for spec in self.states}

    def run(
        self,
        inputs: Mapping[str, np.ndarray],
        threads: int = 1,
        observer: Observer | None = None,
    ) -> dict[str, np.ndarray]:
        """Runs the graph on arrays by argument name; returns the results by name.

        State arrays are updated in place and must be those of `new_state` (or alike).
        """
        arrays = [self._argument(spec, inputs) for spec in self.arguments]
        updated = {spec.state_result: i for i, spec in enumerate(self.arguments)}
        results = [
            arrays[updated[i]] if i in updated else spec.empty()
            for i, spec in enumerate(self.results)
        ]
        self._call(arrays, results, threads, observer)
        return {spec.name: array for spec, array in zip(self.results, results, strict=True)}

    def _argument(self, spec: ArraySpec, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        if spec.name not in inputs:
            raise SpikeQuantError(f"graph '{self.name}': argument '{spec.name}' is missing")
        given = inputs[spec.name]
        array = spec.check(given, self.name)
        if spec.state_result >= 0 and array is not given and array.base is not given:
            raise SpikeQuantError(
                f"graph '{self.name}': state '{spec.name}' must be one contiguous array"
            )
        return array

    def _call(self, arrays, results, threads, observer) -> None:
        call = _Call(ctypes.sizeof(_Call), threads, self._model.weights_address)
        call.arena = self._model.arena(self.arena_bytes)
        call.arguments = _pointers(arrays)
        call.results = _pointers(results)
        call.salient = self.salient.ctypes.data_as(ctypes.POINTER(ctypes.c_int64))
        if observer is not None:
            call.observe, call.observe_user = observer.function, observer.user
        self._model.run(self._raw, call)


class Observer:
    """What a run calls with the arrays that the program shows: a C function and its data."""

    def __init__(self, function: ObserveFunction, user: int | None = None):
        self.function, self.user = function, user

    @classmethod
    def from_python(cls, receive: Callable[[int, np.ndarray], None]) -> Observer:
        """Calls `receive(site index, copy of the array)`."""

        def callback(_user, site, data, element_type, rank, shape):
            dtype = np.dtype(_DTYPES[element_type])
            dims = tuple(shape[axis] for axis in range(rank))
            size = int(np.prod(dims, dtype=np.int64)) * dtype.itemsize
            receive(site, np.frombuffer(ctypes.string_at(data, size), dtype).reshape(dims))

        return cls(ObserveFunction(callback))


def _pointers(arrays: list[np.ndarray]):
    return (ctypes.c_void_p * max(1, len(arrays)))(*(array.ctypes.data for array in arrays))


class NativeModel:
    """A compiled folder: its library, its mapped weights and its description."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.description = self._read_json(MODEL)
        self.compilation = self._read_json(COMPILE)
        self._library = self._load()
        self._model = self._library.sq_get_model().contents
        if self._model.abi_version != _ABI_VERSION:
            raise SpikeQuantError(f"{folder}: made by another version: compile it again")
        self._weights = self._map_weights()
        self.weights_address = self._weights.ctypes.data
        self._arena = aligned_zeros((0,), np.dtype(np.uint8))
        self._check(self._library.sq_check(self.weights_address))
        graphs = [self._model.graphs[i] for i in range(self._model.graph_count)]
        self.graphs = {raw.name.decode(): Graph(self, raw) for raw in graphs}

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

    def run(self, graph: _Graph, call: _Call) -> None:
        self._check(self._library.sq_run(ctypes.byref(graph), ctypes.byref(call)))

    def _read_json(self, name: str) -> dict:
        try:
            return json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SpikeQuantError(
                f"{self.folder}: not a compiled model: {name}: {error}; "
                "make one with 'spikequant compile'"
            ) from error

    def _load(self) -> ctypes.CDLL:
        path = (self.folder / LIBRARY).resolve()
        try:
            library = ctypes.CDLL(str(path))
        except OSError as error:
            raise SpikeQuantError(f"{path}: cannot be loaded: {error}") from error
        library.sq_get_model.restype = ctypes.POINTER(_Model)
        library.sq_status_message.restype = ctypes.c_char_p
        library.sq_check.argtypes = [ctypes.c_void_p]
        library.sq_run.argtypes = [ctypes.POINTER(_Graph), ctypes.POINTER(_Call)]
        return library

    def _map_weights(self) -> np.ndarray:
        path = self.folder / WEIGHTS
        try:
            with path.open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise SpikeQuantError(f"{path}: cannot be mapped: {error}") from error
        if len(mapped) != self._model.weights_bytes:
            raise SpikeQuantError(
                f"{path}: {len(mapped)} bytes where {self._model.weights_bytes} were packed: "
                "compile the model again"
            )
        return np.frombuffer(mapped, np.uint8)

    def _check(self, status: int) -> None:
        if status:
            message = self._library.sq_status_message(status).decode()
            raise SpikeQuantError(f"{self.folder}: {message}")

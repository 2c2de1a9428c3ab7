"""One graph of a compiled folder: its arrays, and running it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from .errors import SpikeQuantError
from .native_types import (
    DTYPES,
    ObserveFunction,
    SqArray,
    SqCall,
    SqGraph,
    aligned_empty,
    aligned_zeros,
)


class Host(Protocol):
    """What a graph needs of the model that it belongs to."""

    weights_address: int

    def arena(self, size: int) -> int: ...

    def run(self, graph: SqGraph, call: SqCall) -> None: ...


class ArraySpec:
    """Name, dtype and shape of an argument or a result."""

    def __init__(self, raw: SqArray):
        self.name = raw.name.decode()
        self.dtype = np.dtype(DTYPES[raw.element_type])
        self.shape = tuple(raw.shape[axis] for axis in range(raw.rank))
        self.bytes = raw.bytes
        self.state_result = raw.state_result

    def zeros(self) -> np.ndarray:
        return aligned_zeros(self.shape, self.dtype)

    def empty(self) -> np.ndarray:
        """For a result: a graph writes all of it."""
        return aligned_empty(self.shape, self.dtype)

    def check(self, array: np.ndarray, graph: str) -> np.ndarray:
        if array.shape != self.shape or array.dtype != self.dtype:
            raise SpikeQuantError(
                f"graph '{graph}', '{self.name}': expected {self.dtype} {list(self.shape)}, "
                f"got {array.dtype} {list(array.shape)}"
            )
        return array if array.flags.c_contiguous else np.ascontiguousarray(array)


class Observer:
    """What a run calls with the arrays that the program shows: a C function and its data."""

    def __init__(self, function: ObserveFunction, user: int | None = None):
        self.function, self.user = function, user

    @classmethod
    def from_python(cls, receive: Callable[[int, np.ndarray], None]) -> Observer:
        """Calls `receive(site index, copy of the array)`."""

        def callback(_user, site, data, element_type, rank, shape):
            dtype = np.dtype(DTYPES[element_type])
            dims = tuple(shape[axis] for axis in range(rank))
            size = int(np.prod(dims, dtype=np.int64)) * dtype.itemsize
            receive(site, np.frombuffer(ctypes.string_at(data, size), dtype).reshape(dims))

        return cls(ObserveFunction(callback))


class Graph:
    """One graph of a compiled folder. Not for use by several threads at once.

    `salient` adds up the salient counts of each site over all runs.
    """

    def __init__(self, model: Host, raw: SqGraph):
        self._model, self._raw = model, raw
        self.name = raw.name.decode()
        self.arguments = [ArraySpec(raw.arguments[i]) for i in range(raw.argument_count)]
        self.results = [ArraySpec(raw.results[i]) for i in range(raw.result_count)]
        self.sites = [raw.sites[i].decode() for i in range(raw.site_count)]
        self.salient = np.zeros(max(1, raw.site_count), np.int64)
        self.arena_bytes = raw.arena_bytes
        # The arguments of the last run, which are kept, and their addresses: a state is the same
        # array at each step, and a step has dozens of them.
        self._arguments: list[np.ndarray | None] = [None] * len(self.arguments)
        self._addresses = (ctypes.c_void_p * max(1, len(self.arguments)))()
        self._state_of_result = {
            spec.state_result: index
            for index, spec in enumerate(self.arguments)
            if spec.state_result >= 0
        }

    @property
    def states(self) -> list[ArraySpec]:
        return [spec for spec in self.arguments if spec.state_result >= 0]

    def new_state(self) -> dict[str, np.ndarray]:
        return {spec.name: spec.zeros() for spec in self.states}

    def run(
        self,
        inputs: Mapping[str, np.ndarray],
        threads: int = 1,
        observer: Observer | None = None,
    ) -> list[np.ndarray]:
        """Runs the graph on arrays by argument name; returns the results in order.

        State arrays are updated in place (the same objects come back as results): they must be
        contiguous, as those of `new_state` are.
        """
        for index, spec in enumerate(self.arguments):
            if inputs.get(spec.name) is not self._arguments[index] or spec.name not in inputs:
                self._set_argument(index, self._argument(spec, inputs))
        results = [
            self._arguments[self._state_of_result[i]]
            if i in self._state_of_result
            else spec.empty()
            for i, spec in enumerate(self.results)
        ]
        self._call(results, threads, observer)
        return results

    def _set_argument(self, index: int, array: np.ndarray) -> None:
        self._arguments[index] = array
        self._addresses[index] = array.ctypes.data

    def _argument(self, spec: ArraySpec, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        if spec.name not in inputs:
            raise SpikeQuantError(f"graph '{self.name}': argument '{spec.name}' is missing")
        given = inputs[spec.name]
        array = spec.check(given, self.name)
        if spec.state_result >= 0 and (array is not given or not array.flags.writeable):
            raise SpikeQuantError(
                f"graph '{self.name}': state '{spec.name}' must be one contiguous array that "
                "can be written to"
            )
        return array

    def _call(self, results, threads, observer) -> None:
        call = SqCall(ctypes.sizeof(SqCall), threads, self._model.weights_address)
        call.arena = self._model.arena(self.arena_bytes)
        call.arguments = self._addresses
        call.results = self._result_addresses(results)
        call.salient = self.salient.ctypes.data_as(ctypes.POINTER(ctypes.c_int64))
        if observer is not None:
            call.observe, call.observe_user = observer.function, observer.user
        self._model.run(self._raw, call)

    def _result_addresses(self, results: list[np.ndarray]) -> ctypes.Array:
        states = self._state_of_result
        addresses = [
            self._addresses[states[i]] if i in states else array.ctypes.data
            for i, array in enumerate(results)
        ]
        return (ctypes.c_void_p * max(1, len(addresses)))(*addresses)

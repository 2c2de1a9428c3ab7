"""Compiles linalg text with upstream MLIR only, as scalar loops, and calls it."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np

_PIPELINE = (
    "builtin.module(one-shot-bufferize{bufferize-function-boundaries "
    "function-boundary-type-conversion=identity-layout-map},"
    "func.func(llvm-request-c-wrappers,convert-linalg-to-loops),expand-strided-metadata,lower-affine,convert-scf-to-cf,"
    "convert-math-to-llvm,convert-math-to-libm,convert-index-to-llvm,"
    "finalize-memref-to-llvm,convert-func-to-llvm,convert-arith-to-llvm,convert-cf-to-llvm,"
    "reconcile-unrealized-casts)"
)


def tool(name: str) -> str:
    """Path of an LLVM 22 program; the project cannot be built without them."""
    for candidate in (f"{name}-22", f"/usr/lib/llvm-22/bin/{name}"):
        if path := shutil.which(candidate):
            return path
    raise FileNotFoundError(f"{name}-22: install the packages that tools/dev/packages.txt lists")


def verify(path: Path) -> str:
    """What mlir-opt prints after parsing and verifying."""
    command = [tool("mlir-opt"), "--verify-each", path]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


class Library:
    """The functions of one linalg file, compiled."""

    def __init__(self, path: Path, folder: Path):
        names = [f"{path.stem}{suffix}" for suffix in (".llvm.mlir", ".ll", ".so")]
        lowered, ir_file, library = (folder / name for name in names)
        _run([tool("mlir-opt"), path, f"--pass-pipeline={_PIPELINE}", "-o", lowered])
        _run([tool("mlir-translate"), "--mlir-to-llvmir", lowered, "-o", ir_file])
        options = ["-O1", "-ffp-contract=off", "-shared", "-fPIC", "-Wno-override-module"]
        # memref.copy of strided memory becomes a call into MLIR's support library.
        support = ["-L/usr/lib/llvm-22/lib", "-Wl,-rpath,/usr/lib/llvm-22/lib"]
        support += ["-lmlir_c_runner_utils", "-lm"]
        _run([tool("clang"), *options, ir_file, *support, "-o", library])
        self.library = ctypes.CDLL(str(library))

    def call(
        self, name: str, arguments: list[np.ndarray], results: list[tuple[tuple, np.dtype]]
    ) -> list[np.ndarray]:
        """`results`: shape and dtype of each. Arguments are copied first: they may be written."""
        arrays = [np.array(argument, order="C") for argument in arguments]
        inputs = [_descriptor(array.shape)(array) for array in arrays]
        fields = [(f"r{i}", _descriptor(shape)) for i, (shape, _) in enumerate(results)]
        outputs = type("Results", (ctypes.Structure,), {"_fields_": fields})()
        function = getattr(self.library, f"_mlir_ciface_{name}")
        function.restype = None
        function(ctypes.byref(outputs), *(ctypes.byref(value) for value in inputs))
        return [
            _read(getattr(outputs, f"r{i}"), shape, dtype)
            for i, (shape, dtype) in enumerate(results)
        ]


def _descriptor(shape: tuple) -> type:
    """The memref descriptor struct of this rank."""

    class Descriptor(ctypes.Structure):
        _fields_ = (
            ("allocated", ctypes.c_void_p),
            ("aligned", ctypes.c_void_p),
            ("offset", ctypes.c_int64),
            ("sizes", ctypes.c_int64 * len(shape)),
            ("strides", ctypes.c_int64 * len(shape)),
        )

        def __init__(self, array: np.ndarray):
            strides = [stride // array.itemsize for stride in array.strides]
            data = array.ctypes.data
            super().__init__(data, data, 0, type(self.sizes)(*shape), type(self.strides)(*strides))

    return Descriptor


def _read(descriptor, shape: tuple, dtype: np.dtype) -> np.ndarray:
    dtype = np.dtype(dtype)
    strides = [stride * dtype.itemsize for stride in descriptor.strides]
    count = 1 + sum(
        (size - 1) * stride for size, stride in zip(shape, descriptor.strides, strict=True)
    )
    address = descriptor.aligned + descriptor.offset * dtype.itemsize
    flat = np.frombuffer((ctypes.c_char * (count * dtype.itemsize)).from_address(address), dtype)
    return np.lib.stride_tricks.as_strided(flat, shape, strides).copy()


def _run(command: list) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{Path(command[0]).name}: {result.stderr[:4000]}"


def count(text: str, operation: str) -> int:
    """Occurrences of an operation in MLIR text."""
    return len(re.findall(rf"(?<![\w.]){re.escape(operation)}\b", text))

"""StableHLO functions that JAX does not emit, compiled, against jaxlib's interpreter."""

from __future__ import annotations

import numpy as np
import op_texts
import pytest
from graph_runs import retype
from ml_dtypes import bfloat16
from stablehlo_eval import argument_types, evaluate_text, evaluate_with_xla

from spikequant.importer import import_graph
from spikequant.native import NativeModel
from spikequant.toolchain import run_tool

_DTYPES = {"f16": np.float16, "bf16": bfloat16, "f32": np.float32, "f64": np.float64, "i1": bool}
_TOLERANCE = {"float16": 2e-3, "bfloat16": 1e-2, "float32": 1e-5, "float64": 1e-12}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """One graph per case."""
    folder = tmp_path_factory.mktemp("texts")
    files = []
    for name, text in op_texts.CASES.items():
        source = folder / "source.mlir"
        source.write_text(text)
        files.append(import_graph(source, folder / f"{name}.mlir", name, number_arguments=True))
    run_tool("sq-compile", [*files, "--float", "-o", folder / "out"])
    (folder / "out" / "model.json").write_text("{}")
    return NativeModel(folder / "out")


def _arguments(name: str) -> list[np.ndarray]:
    if name in op_texts.INPUTS:
        return op_texts.INPUTS[name]
    random = np.random.default_rng(len(name))
    return [_draw(random, *type_) for type_ in argument_types(op_texts.CASES[name])]


def _expected(name: str, arguments: list[np.ndarray]) -> list[np.ndarray]:
    if name in op_texts.EXPECTED:
        return [op_texts.EXPECTED[name](*arguments)]
    evaluate = evaluate_with_xla if name in op_texts.FOR_XLA else evaluate_text
    return evaluate(op_texts.CASES[name], arguments)


def _draw(random: np.random.Generator, element: str, shape: tuple[int, ...]) -> np.ndarray:
    if element in _DTYPES and element != "i1":
        return np.asarray(random.normal(size=shape), _DTYPES[element])
    kind = "uint" if element.startswith("ui") else "int"
    dtype = _DTYPES.get(element, f"{kind}{element.lstrip('ui')}")
    low = 0 if element in ("i1",) or kind == "uint" else -9
    return np.asarray(random.integers(low, 2 if element == "i1" else 10, shape)).astype(dtype)


@pytest.mark.parametrize("name", op_texts.CASES)
def test_case(name, program):
    arguments = _arguments(name)
    graph = program.graph(name)
    given = {
        spec.name: array.view(np.uint16) if array.dtype == bfloat16 else array
        for spec, array in zip(graph.arguments, map(np.asarray, arguments), strict=True)
    }
    results = graph.run(given, threads=2)
    expected = _expected(name, arguments)
    for result, array in zip(results, expected, strict=True):
        result = retype(result, array)
        assert (result.dtype, result.shape) == (array.dtype, array.shape)
        if tolerance := _TOLERANCE.get(array.dtype.name):
            wide = [values.astype(np.float64) for values in (result, array)]
            np.testing.assert_allclose(*wide, rtol=tolerance, atol=tolerance)
        else:
            np.testing.assert_array_equal(result, array)

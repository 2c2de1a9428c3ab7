"""Graphs of every kind compile, and compute what JAX does on the CPU."""

from __future__ import annotations

import json

import pytest
from graph_runs import relative_error, run_program, write_zoo_graph
from graph_zoo_other import OTHER_GRAPHS
from graph_zoo_text import TEXT_GRAPHS

from spikequant.compiler import FLOAT, CompileOptions, compile_model

GRAPHS = {**TEXT_GRAPHS, **OTHER_GRAPHS}


@pytest.mark.parametrize("name", GRAPHS)
def test_float(name, tmp_path):
    graph = GRAPHS[name]
    source, weights = write_zoo_graph(graph, tmp_path)
    compile_model(source, tmp_path / "out", CompileOptions(FLOAT, weights=weights))
    expected = graph.expected()
    one, two = (run_program(tmp_path / "out", graph.arrays(), threads) for threads in (1, 2))
    for first, second, reference in zip(one, two, expected, strict=True):
        assert first.tobytes() == second.tobytes()
        assert relative_error(first, reference) <= graph.tolerance


def test_compile_time_is_reported(tmp_path):
    source, weights = write_zoo_graph(GRAPHS["neox"], tmp_path)
    compile_model(source, tmp_path / "out", CompileOptions(FLOAT, weights=weights))
    assert json.loads((tmp_path / "out" / "compile.json").read_text())["seconds"] < 60

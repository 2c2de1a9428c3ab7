"""Programs of every family of transformers with all folds: integers but for named islands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from graph_runs import run_program
from graph_zoo_families import FAMILY_GRAPHS
from test_equality import assert_equal_runs
from test_fold import compile_zoo
from test_zoo import GRAPHS, signal_to_noise

FAMILIES = {**GRAPHS, **FAMILY_GRAPHS}
# What stays real outside named islands. Position tables: angles or lengths that are an input,
# masks that are an input of numbers; encode and movement: an image, which is an input of reals.
LEFT = {
    "gpt2": set(),
    "t5": {"position tables"},
    "qwen": set(),
    "vit": {"encode", "movement"},
    "bert": {"position tables"},
    "phi": {"position tables"},
    "opt": {"real weights"},
    "neox": set(),
    "gemma3": set(),
    "alibi": set(),
    "encoder": {"position tables"},
    "cross_attention": set(),
}
QUICK = ("gpt2", "t5", "qwen", "vit")
DECIBEL = 8


def inputs_of(name: str) -> dict[str, np.ndarray]:
    return {f"arg{i}": array for i, array in enumerate(FAMILIES[name].arrays())}


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in LEFT]
)
def test_islands(name: str, tmp_path: Path):
    """No decode outside named islands; reference, one and two threads agree on all integers."""
    program, report = compile_zoo(name, tmp_path)
    others = {entry["name"] for entry in report["islands"] if not entry["named"]}
    assert others <= LEFT[name]
    assert report["decodes"] == 0
    kinds = {entry["name"]: entry for entry in report["islands"]}
    assert {"norm row", "final logits"} <= kinds.keys()
    # One number per row: the least row has 64 channels.
    assert kinds["norm row"]["real_operations"] < report["integer_accumulations"] / 64
    assert_equal_runs(program, "main", inputs_of(name), tmp_path)
    graph = FAMILIES[name]
    for result, expected in zip(
        run_program(program, graph.arrays()), graph.expected(), strict=True
    ):
        assert signal_to_noise(result, expected) > DECIBEL


@pytest.mark.slow
@pytest.mark.parametrize("name", LEFT)
def test_portable(name: str, tmp_path: Path):
    program, _ = compile_zoo(name, tmp_path, isa="portable")
    assert assert_equal_runs(program, "main", inputs_of(name), tmp_path) > 0

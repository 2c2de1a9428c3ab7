"""The compiled folder's C interface as Python sees it: arrays, states, errors."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from tiny_chat import CONTEXTS, TINY

from spikequant import SpikeQuantError
from spikequant.native import NativeModel


@pytest.fixture(scope="module")
def model(float_program):
    return NativeModel(float_program)


@pytest.fixture
def copy(float_program, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(float_program, tmp_path / "copy")


def decode_inputs(graph, token=3):
    return {"tokens": np.array([token], np.int32), "start": np.array(0, np.int32)} | (
        graph.new_state()
    )


def test_description_of_arrays(model):
    graph = model.graph(f"decode_{CONTEXTS[0]}")
    described = {spec.name: (spec.dtype.name, spec.shape) for spec in graph.arguments}
    k_shape = (TINY.kv_heads, TINY.head_width, CONTEXTS[0])
    assert described["tokens"] == ("int32", (1,))
    assert described["start"] == ("int32", ())
    assert described["k_cache.1"] == ("float32", k_shape)
    assert [spec.name for spec in graph.states] == [
        *(f"k_cache.{i}" for i in range(TINY.layers)),
        *(f"v_cache.{i}" for i in range(TINY.layers)),
    ]
    assert graph.results[0].shape == (TINY.vocabulary,)


def test_state_is_updated_in_place(model):
    graph = model.graph(f"decode_{CONTEXTS[0]}")
    inputs = decode_inputs(graph)
    logits, *states = graph.run(inputs)
    assert states[0] is inputs["k_cache.0"]
    assert np.any(inputs["k_cache.0"][:, :, 0])
    assert not np.any(inputs["k_cache.0"][:, :, 1:])
    assert np.isfinite(logits).all()


def test_same_results_in_a_moved_folder(model, copy):
    graph = model.graph(f"decode_{CONTEXTS[0]}")
    moved = NativeModel(copy).graph(graph.name)
    first, second = graph.run(decode_inputs(graph))[0], moved.run(decode_inputs(moved))[0]
    np.testing.assert_array_equal(first, second)


def changed(inputs, **changes):
    return {name: value for name, value in (inputs | changes).items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": None}, "'tokens' is missing"),
        ({"tokens": np.array([3])}, r"'tokens': expected int32 \[1\], got int64 \[1\]"),
        ({"tokens": np.zeros(2, np.int32)}, r"expected int32 \[1\], got int32 \[2\]"),
        ({"start": np.zeros(1, np.int32)}, r"'start': expected int32 \[\], got int32 \[1\]"),
        ({"k_cache.0": np.zeros((16, 6, 2), np.float32).T}, "one contiguous array"),
        ({"k_cache.0": np.broadcast_to(np.float32(0), (2, 6, 16))}, "one contiguous array"),
    ],
    ids=["missing", "dtype", "shape", "rank", "strided_state", "read_only_state"],
)
def test_error_arguments(model, changes, message):
    graph = model.graph(f"decode_{CONTEXTS[0]}")
    with pytest.raises(SpikeQuantError, match=message):
        graph.run(changed(decode_inputs(graph), **changes))


def test_error_no_thread(model):
    graph = model.graph(f"decode_{CONTEXTS[0]}")
    with pytest.raises(SpikeQuantError, match="fewer than one thread"):
        graph.run(decode_inputs(graph), threads=0)


def test_error_unknown_graph(model):
    with pytest.raises(SpikeQuantError, match="no graph 'encode': it has prefill_16, "):
        model.graph("encode")


def damage_bytes(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def remove(name):
    return lambda folder: (folder / name).unlink()


def overwrite(name, text):
    return lambda folder: (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove("model.json"), "not a compiled model .model.json: No such file"),
        (remove("compile.json"), "not a compiled model .compile.json"),
        (remove("model.so"), "model.so: cannot be loaded"),
        (remove("weights.sqw"), "weights.sqw: cannot be mapped"),
        (overwrite("model.json", "{"), "model.json: damaged"),
        (overwrite("model.json", "[]"), "model.json: damaged: not an object"),
        (overwrite("model.so", "text" * 99), "model.so: cannot be loaded: .*invalid ELF"),
        (overwrite("weights.sqw", ""), "weights.sqw: cannot be mapped"),
        (overwrite("weights.sqw", "short"), "weights.sqw: 5 bytes where [0-9]+ were packed"),
        (lambda f: damage_bytes(f / "weights.sqw", 0), "weights file is not the one"),
        (lambda f: damage_bytes(f / "weights.sqw", 40), "weights file is not the one"),
    ],
)
def test_error_damaged_folder(copy, damage, message):
    damage(copy)
    with pytest.raises(SpikeQuantError, match=message):
        NativeModel(copy)


def test_error_some_other_library(copy):
    import _ctypes

    shutil.copy(_ctypes.__file__, copy / "model.so")
    with pytest.raises(SpikeQuantError, match="model.so: not a compiled model: it has no sq_"):
        NativeModel(copy)


def test_error_bundle_instead_of_compiled_model(tiny_bundle):
    with pytest.raises(SpikeQuantError, match="this is a bundle: compile it"):
        NativeModel(tiny_bundle)


def test_report_has_the_promised_keys(float_program, quantised_program):
    for folder in (float_program, quantised_program):
        report = json.loads((folder / "compile.json").read_text())
        missing = {"seconds", "peak_bytes", "sites", "decodes", "islands"} - set(report)
        assert not missing
        assert report["seconds"] > 0 and report["peak_bytes"] > 0

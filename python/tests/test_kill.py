"""Killed at any moment, compile and calibrate leave nothing that a later step would accept."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from conftest import TEXT
from tiny_chat import CONTEXTS, TINY

from spikequant import bundle as bundle_format
from spikequant import cli
from spikequant.importer import import_bundle_graph
from spikequant.native import NativeModel
from spikequant.toolchain import find_tool

GRAPH = f"score_{CONTEXTS[1]}"


def start(words) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "spikequant.cli", *map(str, words)]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, env=environment, **pipes)


def measure(words, output) -> float:
    begin = time.perf_counter()
    assert start(words).wait() == 0
    assert output.exists()
    return time.perf_counter() - begin


def is_whole_program(folder) -> bool:
    return len(NativeModel(folder).graph(GRAPH).results) == 1 + 2 * TINY.layers


def is_whole_calibration(file) -> bool:
    """As the next step sees it: merging reads and checks all of it."""
    merged = file.with_name("merged")
    return cli.main(["calibrate", "--merge", str(file), "-o", str(merged)]) == 0


def is_whole_graph(file) -> bool:
    return file.read_text().rstrip().endswith(")") and "return" in file.read_text()


def is_whole_bundle(folder) -> bool:
    graphs = bundle_format.read_model(folder)["graphs"]
    return len(graphs) == 3 and all((folder / graph["file"]).exists() for graph in graphs)


def commands(bundle, folder):
    text = ["--text", TEXT / "calibration.txt", "--tokens", 80, "--context", CONTEXTS[1]]
    text += ["--sensitivity", "none"]
    program, calibration = folder / "program", folder / "calibration"
    compile_ = ["compile", bundle, "--float", "--graphs", GRAPH, "-o", program]
    calibrate = ["calibrate", bundle, *text, "-o", calibration]
    graph, model = folder / "graph.mlir", folder / "bundle"
    import_ = ["import", next((bundle / "graphs").glob(f"{GRAPH}.*")), "-o", graph]
    export = ["export", bundle.parent / "tiny.gguf", "--context", 16, "--chunk", 8, "-o", model]
    return {
        "compile": (compile_, program, is_whole_program),
        "calibrate": (calibrate, calibration, is_whole_calibration),
        "import": (import_, graph, is_whole_graph),
        "export": (export, model, is_whole_bundle),
    }


def kill_at_random_moments(words, output, is_whole, rounds: int, seed: int) -> None:
    """The first rounds on no output, the others over a whole one."""
    duration = measure(words, output)
    moments = random.Random(seed)
    for round_ in range(rounds):
        had_output = round_ >= rounds // 2
        if not had_output:
            subprocess.run(["rm", "-rf", output], check=True)
        elif not output.exists():
            measure(words, output)
        process = start(words)
        time.sleep(moments.uniform(0.1, 1.05) * duration)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert output.exists() or not had_output, "the old output went away"
        assert not output.exists() or is_whole(output)
    # The next run clears up what the killed ones left, and works.
    measure(words, output)
    assert is_whole(output)
    assert not [path for path in output.parent.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("name", ["compile", "calibrate"])
def test_kill(name, tiny_bundle, tmp_path):
    kill_at_random_moments(*commands(tiny_bundle, tmp_path)[name], rounds=4, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["compile", "calibrate", "import", "export"])
def test_kill_often(name, tiny_bundle, tmp_path):
    kill_at_random_moments(*commands(tiny_bundle, tmp_path)[name], rounds=40, seed=2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_stopped_tool_cleans_up(number, tiny_bundle, tmp_path):
    """sq-compile alone, stopped when it has begun to write."""
    graph = import_bundle_graph(tiny_bundle, GRAPH, tmp_path / "graph.mlir")
    words = [graph, "--float", "--weights", tiny_bundle / "weights.safetensors"]
    process = subprocess.Popen(
        [find_tool("sq-compile"), *words, "-o", tmp_path / "out"], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("out.*/quantized.mlir")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait() == 130
    assert list(tmp_path.iterdir()) == [graph]


def test_terminated_run_cleans_up(tiny_bundle, tmp_path):
    words, output, _ = commands(tiny_bundle, tmp_path)["compile"]
    process = start(words)
    deadline = time.monotonic() + 60
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.terminate()
    assert process.wait() == 128 + signal.SIGTERM
    assert not list(tmp_path.iterdir())
    assert not output.exists()

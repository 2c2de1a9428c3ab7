"""The arithmetic of benchmarks: quartiles, ratios within rounds, whose perplexity is shown."""

import csv
import importlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from spikequant.bundle import read_model
from spikequant.export import export_gguf

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """Imports a script of benchmarks/ as it is when it runs by itself."""
    monkeypatch.syspath_prepend(str(FOLDER))
    names = ("report", "run", "kernels", "rivals", "growth")
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module
    for name in names:
        sys.modules.pop(name, None)


def test_quartiles_lie_between_samples(benchmark):
    found = benchmark("report").quartiles([4.0, 1.0, 2.0, 3.0])
    assert list(found.values()) == [1.0, 1.75, 2.5, 3.25, 4.0]


def test_csv(benchmark, tmp_path):
    report = benchmark("report")
    report.write_csv(tmp_path / "a" / "rows.csv", [{"x": 1, "y": "b"}, {"x": 2, "y": "c"}])
    with (tmp_path / "a" / "rows.csv").open() as file:
        assert list(csv.DictReader(file)) == [{"x": "1", "y": "b"}, {"x": "2", "y": "c"}]


def test_picture(benchmark, tmp_path):
    pytest.importorskip("matplotlib")  # `make bench` installs it
    report = benchmark("report")
    report.plot_boxes(tmp_path / "boxes.png", {"one": {"a": [1.0, 2.0]}}, "ratio")
    assert (tmp_path / "boxes.png").read_bytes().startswith(b"\x89PNG")


def test_ratios_are_taken_within_a_round(benchmark):
    run = benchmark("run")
    samples = [
        run.Sample(number, 1, system, "decode 64", 64, wall, wall / 2)
        for number, (own, other) in enumerate([(1.0, 3.0), (2.0, 4.0)])
        for system, wall in ((run.OURS, own), (run.SHIPPED, other))
    ]
    samples += [run.Sample(n, 2, run.OURS, "decode 64", 64, 0.5, 1.0) for n in range(2)]
    rounds = run.Rounds(samples)
    assert rounds.ratios(1, "decode 64", run.SHIPPED, "wall") == [3.0, 2.0]
    assert rounds.speedups("decode 64", 2) == [2.0, 4.0]


def test_perplexity_is_that_of_the_measured_folder(benchmark, tmp_path, monkeypatch):
    run = benchmark("run")
    program, demo = tmp_path / "rtn-w4a4", tmp_path / "demo.json"
    program.mkdir()
    (program / "compile.json").write_text("{}")
    rows = {"RTN W4A4": {"perplexity": 40.0, "windows": 8}, "SpikeQuant": {"perplexity": 30.0}}
    demo.write_text(json.dumps({"programs": rows}))
    assert run.evaluation(program, 2) == {"perplexity": 40.0, "windows": 8}

    # Compiled anew: the demo's figure is another program's.
    os.utime(program / "compile.json", (demo.stat().st_mtime + 10,) * 2)

    def evaluate(command, **_):
        Path(command[-1]).write_text(json.dumps({"perplexity": 50.0, "islands": []}))

    monkeypatch.setattr(run.subprocess, "run", evaluate)
    assert run.evaluation(program, 2) == {"perplexity": 50.0}


def test_shares_of_limits_and_rivals(benchmark):
    kernels = benchmark("kernels")

    def sample(system, case, cpu, operations, bytes_=0.0):
        return kernels.Sample(1, system, case, cpu, operations, bytes_)

    rounds = kernels.Rounds(
        [
            sample("peak", "", 1e-6, 400.0),
            sample("read", "1 from memory, g32", 1e-3, 0.0, 30.0),
            sample("SpikeQuant", "128, g32", 2e-6, 300.0, 1.0),
            sample("SpikeQuant", "1 from memory, g32", 2e-6, 10.0, 27.0),
            sample("library", "call", 1e-6, 0.0),
            sample("library", "w4 g32, 128", 8e-6, 1.0),
            sample("library", "w4 g32, 128, net", 7e-6, 1.0),
        ]
    )
    assert rounds.limits() == {"M = 128, g32": [75.0], "M = 1 from memory, g32": [90.0]}
    ratios = rounds.rivals()["M = 128"]
    names = ("w4 g32, 128", "w4 g32, 128, net")
    assert [ratios[f"library {name}, ours g32"] for name in names] == [
        [pytest.approx(4.0)],
        [pytest.approx(3.5)],
    ]


def test_codes_are_packed_low_first(benchmark):
    pack = benchmark("rivals").pack
    codes = np.array([[1, 2], [15, 0]], np.uint8)
    assert pack(codes, 4).tolist() == [0x21, 0x0F]
    assert pack(codes, 8).tolist() == [1, 2, 15, 0]


def test_made_up_models_export(benchmark, tmp_path):
    """benchmarks/growth.py: the vocabulary spells every byte once; the file is a llama."""
    growth = benchmark("growth")
    tokens = growth.vocabulary(300)
    assert len(tokens) == len(set(tokens)) == 300
    assert {"!", "\u0120", "\u0143", "ab"} <= set(tokens)
    growth.write_model(tmp_path / "m.gguf", growth.Shape(2, 64, 4, 2, 96, 300), 32)
    exported = export_gguf(tmp_path / "m.gguf", tmp_path / "bundle", (32,), 16)
    entries = read_model(exported)["graphs"][0]["arguments"]
    weights = {entry["name"]: entry["shape"] for entry in entries if entry["kind"] == "weight"}
    assert weights["blk.1.ffn_down"] == [96, 64]

"""How long graphs take to compile, stage by stage, and how that grows with the layers.

    python benchmarks/compile_time.py [--layers 2,6,12,24] [--zoo] [--quantised] [--csv FILE]
        [--bundle FOLDER --calibration FILE]

A GPT-2-size graph (768 wide, 12 heads, vocabulary 50257, 128 tokens) with random weights,
exported by JAX, with --zoo the graphs of python/tests, and with --bundle an exported language
model, its weights rounded to nearest: all graphs, and one prompt and one token graph. The times
of processors are shown beside those of the clock: on a machine that does other work only the
former mean something.
Every compilation is a process of its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table
from safetensors.numpy import save_file

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "python" / "tests"))

from graph_zoo import ZooGraph, attend, causal, layer_norm, linear, split_heads  # noqa: E402

SILENT = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
WIDTH, HEADS, VOCABULARY, LENGTH = 768, 12, 50257, 128


def gpt2(layers: int) -> ZooGraph:
    """GPT-2 small with `layers` layers: learned positions, GELU, tied head."""

    def model(p, tokens):
        table = p("wte", VOCABULARY, WIDTH, scale=0.02)
        x = table[tokens] + p("wpe", LENGTH, WIDTH, scale=0.02)
        for i in range(layers):
            y = layer_norm(p, x, f"h{i}.ln1")
            q, k, v = jnp.split(linear(p, y, f"h{i}.attn", 3 * WIDTH, bias=True), 3, axis=-1)
            heads = (split_heads(part, HEADS) for part in (q, k, v))
            x = x + linear(p, attend(*heads, causal(LENGTH)), f"h{i}.proj", WIDTH, bias=True)
            y = jax.nn.gelu(linear(p, layer_norm(p, x, f"h{i}.ln2"), f"h{i}.up", 4 * WIDTH, True))
            x = x + linear(p, y, f"h{i}.down", WIDTH, bias=True)
        return layer_norm(p, x, "ln_f") @ table.T

    return ZooGraph(model, inputs=((LENGTH,),), ints={0: VOCABULARY})


def zoo() -> dict[str, ZooGraph]:
    from graph_zoo_other import OTHER_GRAPHS
    from graph_zoo_sites import SITE_GRAPHS
    from graph_zoo_text import TEXT_GRAPHS

    return {**TEXT_GRAPHS, **OTHER_GRAPHS, **SITE_GRAPHS}


def spikequant(*words) -> tuple[float, float]:
    """Runs the command; seconds of the clock and of processors."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "spikequant.cli", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(command, check=True, env=environment, **SILENT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, cpu


def measure(name: str, graph: ZooGraph, quantised: bool) -> dict | None:
    """One row: totals include Python's start. None where there is nothing to quantise."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "g.mlir").write_text(graph.text())
        words = [work / "g.mlir"]
        if graph.weights:
            save_file(graph.keyed_weights(), work / "g.safetensors")
            words += ["--weights", work / "g.safetensors"]
        how = ["--float"]
        if quantised:
            inputs = {f"arg{i}": np.stack([a]) for i, a in enumerate(graph.arrays(1))}
            np.savez(work / "batch.npz", **inputs)
            spikequant("check", *words, "--json", work / "check.json")
            if not json.loads((work / "check.json").read_text())["sites"]:
                return None
            spikequant("calibrate", *words, "--inputs", work / "batch.npz", "-o", work / "calib")
            how = ["--calibration", work / "calib"]
        return compiling(name, "quantised" if quantised else "float", work, *words, *how)


def measure_bundle(bundle: Path, calibration: Path) -> list[dict]:
    """All graphs of a language model, and those of its smallest cache that `run` needs."""
    graphs = json.loads((bundle / "model.json").read_text())["graphs"]
    names = [graph["name"] for graph in graphs]
    pair = [next(n for n in names if n.startswith(role)) for role in ("prefill", "decode")]
    how = ["--calibration", calibration, "--rounding", "nearest"]
    rows = []
    for label, chosen in (("all graphs", names), (" ".join(pair), pair)):
        with tempfile.TemporaryDirectory() as folder:
            words = [bundle, "--graphs", ",".join(chosen), *how]
            rows.append(compiling(label, "quantised", Path(folder), *words))
    return rows


def compiling(name: str, program: str, work: Path, *words) -> dict:
    """One row: the command compiles into a folder in `work`."""
    seconds, cpu = spikequant("compile", *words, "-o", work / "out")
    report = json.loads((work / "out" / "compile.json").read_text())
    library = (work / "out" / "model.so").stat().st_size
    stages = {f"{stage} cpu": value for stage, value in report["stages_cpu"].items()}
    return {
        "graph": name,
        "program": program,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "peak_megabytes": report["peak_bytes"] / 1e6,
        "library_kilobytes": library / 1e3,
        "import": report["import_seconds"],
        **stages,
    }


def show(rows: list[dict]) -> None:
    keys = list(rows[0])[:7]
    table = Table(*keys, *(["slowest stages (processor)"]))
    for row in rows:
        stages = sorted(list(row)[7:], key=lambda key: -row[key])[:4]
        slowest = ", ".join(f"{key.removesuffix(' cpu')} {row[key]:.2f}" for key in stages)
        values = (row[key] for key in keys)
        table.add_row(*(f"{v:.2f}" if isinstance(v, float) else v for v in values), slowest)
    Console(width=160).print(table)


def write_csv(path: Path, rows: list[dict]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", default="2,6,12,24")
    parser.add_argument("--zoo", action="store_true", help="the graphs of the tests as well")
    parser.add_argument("--quantised", action="store_true", help="the quantised programs as well")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--bundle", type=Path, help="an exported language model as well")
    parser.add_argument("--calibration", type=Path, help="the bundle's")
    options = parser.parse_args()
    if bool(options.bundle) != bool(options.calibration):
        parser.error("--bundle and --calibration go together")
    layers = [int(count) for count in options.layers.split(",") if count]
    graphs = {f"gpt2 {count} layers": gpt2(count) for count in layers}
    graphs |= zoo() if options.zoo else {}
    rows = measure_bundle(options.bundle, options.calibration) if options.bundle else []
    for name, graph in graphs.items():
        for quantised in (False, True) if options.quantised else (False,):
            row = measure(name, graph, quantised)
            if not row:
                continue
            rows.append(row)
            print(name, row["program"], f"{row['seconds']:.1f} s", file=sys.stderr)
            if options.csv:
                write_csv(options.csv, rows)
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors", file=sys.stderr)
    show(rows)


if __name__ == "__main__":
    main()

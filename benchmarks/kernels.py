"""Generated integrate code against the processor's limits and against other libraries.

    python benchmarks/kernels.py [--rounds 5] [--rivals onnxruntime,openvino] [--out FOLDER]

Compiles graphs of N = 1536, K = 576 with weights of 4 bits and runs their `model.so` through the C
interface (benchmarks/kernels, Google Benchmark). Every round measures, in turn, all of them, dot
products on registers, reading the weights, and each library of --rivals; ratios are taken
within a round, of processor time, on one thread. Writes kernels.csv, kernels.json and kernels.png.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from report import plot_boxes, quartiles, spread, write_csv
from rich.console import Console
from rich.table import Table
from safetensors.numpy import save_file

from spikequant.toolchain import build_folder

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "out" / "benchmarks"
N, K = 1536, 576
GROUPS = {"per row": 0, "g32": 32}
# Rows and products of one input. Of one product with one row the call is a good part; two
# products with 128 rows leave their results in the second-level cache, as in a model; 256
# matrices (117 MB or more) come from memory.
SHAPES = {"1": (1, 1), "128": (128, 2), "1 from memory": (1, 256)}


@dataclass
class Sample:
    """Seconds of the processor for one product of [rows, K] and [K, N]."""

    round: int
    system: str
    case: str
    cpu: float
    operations_per_second: float
    bytes_per_second: float


def spikequant(*words) -> None:
    command = [sys.executable, "-m", "spikequant.cli", *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def compile_graphs(folder: Path) -> list[Path]:
    """One compiled folder for each shape and group, named `case, group`."""
    programs = []
    random = np.random.default_rng(0)
    for shape, (rows, count) in SHAPES.items():
        graph, weights = folder / "graph.mlir", folder / "graph.safetensors"
        inputs, calibration = folder / "inputs.npz", folder / "calibration.json"
        types = [jax.ShapeDtypeStruct((rows, K), jnp.float32)]
        types += [jax.ShapeDtypeStruct((K, N), jnp.float32)] * count
        products = jax.jit(lambda x, *weights: tuple(x @ w for w in weights))
        graph.write_text(products.lower(*types).as_text())
        arrays = (random.standard_normal((K, N), np.float32) for _ in range(count))
        save_file({f"arg{i + 1}": array for i, array in enumerate(arrays)}, weights)
        np.savez(inputs, arg0=random.standard_normal((4, rows, K), np.float32))
        source = (graph, "--weights", weights)
        spikequant("calibrate", *source, "--inputs", inputs, "--sensitivity", "none",
                   "-o", calibration)  # fmt: skip
        for name, group in GROUPS.items():
            programs.append(folder / f"{shape}, {name}")
            spikequant("compile", *source, "--calibration", calibration, "--head-bits", 4,
                       "--group", group, "--rounding", "nearest", "-o", programs[-1])  # fmt: skip
    return programs


def build_program() -> Path:
    build = build_folder()
    command = ["ninja", "-C", str(build), "SpikeQuantBenchmarks"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return build / "bin" / "SpikeQuantBenchmarks"


def measure_own(program: Path, folders: list[Path], number: int) -> list[Sample]:
    """One round of the C++ program: integrate of each folder and the limits."""
    command = [program, *folders, "--benchmark_format=json", "--benchmark_min_time=0.1"]
    command += ["--benchmark_filter=peak|integrate|read/.*memory"]
    command += ["--benchmark_enable_random_interleaving=true"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    text = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ).stdout
    samples = []
    for run in json.loads(text)["benchmarks"]:
        system, _, case = run["name"].removesuffix("/process_time").partition("/")
        system = "SpikeQuant" if system == "integrate" else system
        each = run["cpu_time"] * 1e-9 / run.get("products", 1)
        rates = run.get("operations", 0.0), run.get("bytes", 0.0)
        samples.append(Sample(number, system, case, each, *rates))
    return sorted(samples, key=lambda sample: (sample.system, sample.case))


class Rival:
    """A process of benchmarks/rivals.py."""

    def __init__(self, name: str):
        self.name = name
        command = [sys.executable, str(HERE / "rivals.py"), name]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL, **pipes)
        self.cases = self.ask("list")

    def ask(self, what: str):
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            needed = HERE.parent / "python" / "requirements-rivals.txt"
            raise SystemExit(f"{self.name} stopped at {what!r}: is {needed} installed?")
        return json.loads(line)

    def measure(self, number: int) -> list[Sample]:
        """Also `case, net`: without what a call of a trivial operation costs."""
        seconds = {case: self.ask(case)["cpu"] for case in self.cases}
        call = seconds.pop("call")
        samples = [Sample(number, self.name, "call", call, 0.0, 0.0)]
        for case, cpu in seconds.items():
            operations = 2.0 * N * K * int(case.split(", ")[-1])
            samples.append(Sample(number, self.name, case, cpu, operations / cpu, 0.0))
            net = max(cpu - call, 1e-9)
            samples.append(Sample(number, self.name, case + ", net", net, operations / net, 0.0))
        return samples

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


class Rounds:
    """Samples by system and case, and ratios within rounds."""

    def __init__(self, samples: list[Sample]):
        self.by_name: dict[tuple[str, str], list[Sample]] = {}
        for sample in samples:
            self.by_name.setdefault((sample.system, sample.case), []).append(sample)

    def limits(self) -> dict[str, list[float]]:
        """Per cent of the limit: of the peak with 128 rows, of reading from memory."""
        result = {}
        for (system, case), own in self.by_name.items():
            shape = case.split(", ")[0]
            if system != "SpikeQuant" or shape == "1":
                continue
            memory = shape.endswith("memory")
            limit = self.by_name.get(("read", case) if memory else ("peak", ""), [])
            key = "bytes_per_second" if memory else "operations_per_second"
            pairs = zip(own, limit, strict=False)
            shares = [100 * getattr(a, key) / getattr(b, key) for a, b in pairs]
            if shares:
                result[f"M = {case}"] = shares
        return result

    def rivals(self) -> dict[str, dict[str, list[float]]]:
        """Times as long as ours, by number of rows; `g32` against our groups of 32."""
        result: dict[str, dict[str, list[float]]] = {}
        for (system, case), other in self.by_name.items():
            if system in ("SpikeQuant", "peak", "read") or case == "call":
                continue
            rows = case.removesuffix(", net").split(", ")[-1]
            group = "g32" if "NBits" in case or "g32" in case else "per row"
            own = self.by_name["SpikeQuant", f"{rows}, {group}"]
            ratios = [a.cpu / b.cpu for a, b in zip(other, own, strict=True)]
            result.setdefault(f"M = {rows}", {})[f"{system} {case}, ours {group}"] = ratios
        return result


def print_tables(rounds: Rounds) -> None:
    table = Table("system", "case", "us, processor", "G operations/s", "GB/s")
    for (system, case), own in rounds.by_name.items():
        rates = (
            [s.operations_per_second / 1e9 for s in own],
            [s.bytes_per_second / 1e9 for s in own],
        )
        shown = (spread(rate) if any(rate) else "" for rate in rates)
        table.add_row(system, case, spread([s.cpu * 1e6 for s in own]), *shown)
    Console(width=140).print(table)
    table = Table("integrate", "% of the limit: median (quartiles)")
    for case, shares in rounds.limits().items():
        table.add_row(case, spread(shares))
    Console(width=140).print(table)
    table = Table("rows", "library", "times as long as ours: median (quartiles)")
    for rows, ratios in rounds.rivals().items():
        for name, values in ratios.items():
            table.add_row(rows, name, spread(values))
    Console(width=140).print(table)


def summary(rounds: Rounds) -> dict:
    return {
        "shape": {"N": N, "K": K},
        "processor_microseconds": {
            f"{system} {case}".strip(): quartiles([s.cpu * 1e6 for s in own])
            for (system, case), own in rounds.by_name.items()
        },
        "percent_of_limit": {case: quartiles(v) for case, v in rounds.limits().items()},
        "times_as_long": {
            rows: {name: quartiles(v) for name, v in ratios.items()}
            for rows, ratios in rounds.rivals().items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rivals", default="onnxruntime,openvino", help="empty: none")
    parser.add_argument("--programs", type=Path, help="keep or reuse the compiled graphs here")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    program = build_program()
    samples = []
    with tempfile.TemporaryDirectory() as folder:
        kept = options.programs
        folders = sorted(kept.glob("*, *")) if kept and kept.exists() else []
        if not folders:
            (kept or Path(folder)).mkdir(parents=True, exist_ok=True)
            folders = compile_graphs(kept or Path(folder))
        rivals = [Rival(name) for name in options.rivals.split(",") if name]
        for number in range(options.rounds + 1):  # The first one warms up.
            found = measure_own(program, folders, number)
            for rival in rivals:
                found += rival.measure(number)
            samples += found if number else []
        for rival in rivals:
            rival.close()
    rounds = Rounds(samples)
    write_csv(options.out / "kernels.csv", samples)
    (options.out / "kernels.json").write_text(json.dumps(summary(rounds), indent=1))
    panels = {"% of the processor's limit": rounds.limits()}
    panels |= {f"{rows}, times as long as ours": v for rows, v in rounds.rivals().items()}
    plot_boxes(options.out / "kernels.png", panels, "processor time, one thread")
    print_tables(rounds)
    print(f"every sample: {options.out / 'kernels.csv'}")


if __name__ == "__main__":
    main()

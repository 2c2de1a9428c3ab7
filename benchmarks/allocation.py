"""Time and memory of choosing steps and bits for a model of 7 billion weights.

    python benchmarks/allocation.py [--layers 32]

Statistics are made up: 8192 rows per channel, normal values whose scale differs by channel, and one
site in four with rare large values. The tool reads the calibration file and quantises a graph that
has the model's sites; both are in the time.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from spikequant.toolchain import find_tool

WIDTH, INNER, ROWS = 4096, 11008, 8192
SITES = (("attn_q", WIDTH, 3 * WIDTH), ("attn_output", WIDTH, WIDTH))
SITES += (("ffn_gate", WIDTH, 2 * INNER), ("ffn_down", INNER, WIDTH))
DIFFERENT = 256  # channels; a site repeats them


def channel(scale: float, heavy: bool, generator: np.random.Generator) -> dict:
    """One channel's statistics (docs/Calibration.md)."""
    x = (generator.normal(size=ROWS) * scale).astype(np.float32)
    if heavy:
        x[:: ROWS // 16] *= 50
    pattern = np.abs(x).view(np.uint32) >> 20
    bins = np.clip(pattern.astype(np.int64) - ((127 - 24) * 8 - 1), 0, 385)
    counts = np.bincount(bins, minlength=386)
    runs, last = [], -2
    for index in np.flatnonzero(counts):
        runs.append(f"{' ' if runs else ''}{index}:" if index != last + 1 else ",")
        runs[-1] += str(counts[index])
        last = index
    q = np.round(x.astype(np.float64) * 2**20).astype(object)
    return {
        "bins": "".join(runs),
        "max": float(np.abs(x).max()),
        "squares": str(int((q * q).sum())),
        "sum": str(int(q.sum())),
    }


def write_calibration(path: Path, layers: int) -> None:
    generator = np.random.default_rng(0)
    with path.open("w", encoding="utf-8") as file:
        constants = (
            '"bins_per_octave":8,"min_exponent":-24,"max_exponent":24,"sum_fraction_bits":20'
        )
        file.write(f'{{"format":"spikequant-calibration","version":2,{constants},"sites":[')
        lines = {}
        for name, _, _ in SITES:
            scales = np.exp(generator.normal(size=DIFFERENT))
            heavy = name == "ffn_down"
            lines[name] = [json.dumps(channel(s, heavy, generator)) for s in scales]
        for index in range(layers * len(SITES)):
            name, channels, _ = SITES[index % len(SITES)]
            site = json.dumps(f"blk.{index // len(SITES)}.{name}.in")
            units = int(generator.exponential(1e-6) * 2**60) + 1
            measured = f'"sensitivity":{{"rows":1,"sum":"{units}"}}'
            file.write(f'{"," if index else ""}{{"name":{site},"rows":{ROWS},{measured},')
            kinds = lines[name]
            file.write('"channels":[\n')
            file.write(",\n".join(kinds[c % DIFFERENT] for c in range(channels)) + "]}")
        file.write("]}\n")


def graph(layers: int) -> str:
    arguments, body = ["%x: tensor<1x4096xf32>, %h: tensor<1x11008xf32>"], []
    for layer in range(layers):
        for name, k, n in SITES:
            key, value = f"blk.{layer}.{name}", f"{name}{layer}"
            weight = f'tensor<{k}x{n}xf32> {{spikequant.weight = "{key}"}}'
            arguments.append(f"%w{value}: {weight}, %o{value}: tensor<1x{n}xf32>")
            # An own value for each site: what is encoded once has one name.
            source = "%x" if k == WIDTH else "%h"
            body.append(f"%i{value} = arith.mulf {source}, {source} : tensor<1x{k}xf32>")
            body.append(f"%e{value} = arith.addf %i{value}, {source} : tensor<1x{k}xf32>")
            types = f"tensor<1x{k}xf32>, tensor<{k}x{n}xf32>"
            operands = f"ins(%e{value}, %w{value} : {types}) outs(%o{value} : tensor<1x{n}xf32>)"
            body.append(f"%r{value} = linalg.matmul {operands} -> tensor<1x{n}xf32>")
    results = [
        (f"%r{name}{i}", f"tensor<1x{n}xf32>") for i in range(layers) for name, _, n in SITES
    ]
    names, types = (", ".join(part) for part in zip(*results, strict=True))
    text = f"func.func @main({', '.join(arguments)}) -> ({types}) {{\n"
    return text + "\n".join(body) + f"\nreturn {names} : {types}\n}}\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--rule", default="budget")
    options = parser.parse_args()
    layers = options.layers
    with tempfile.TemporaryDirectory() as folder:
        calibration, source = Path(folder) / "calib.json", Path(folder) / "graph.mlir"
        write_calibration(calibration, layers)
        source.write_text(graph(layers), encoding="utf-8")
        start = time.time()
        option = f"-spikequant-quantize=calibration={calibration} rule={options.rule}"
        command = [find_tool("sq-opt"), source, option, "-mlir-timing", "-o", "/dev/null"]
        subprocess.run(command, check=True)
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(f"calibration file: {calibration.stat().st_size / 1e6:.0f} MB")
        print(f"{time.time() - start:.1f} s, of processor {usage.ru_utime + usage.ru_stime:.1f} s")
        print(f"peak memory {usage.ru_maxrss / 1e6:.1f} GB")


if __name__ == "__main__":
    main()

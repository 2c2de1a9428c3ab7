"""The encoder as files that `spikequant` takes, and its compiled programs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from safetensors.numpy import save_file

from spikequant.native import NativeModel

from . import model
from .sentences import Packed

# Arguments of the graph that are not weights: tokens, places, owners.
_INPUTS = 3
# Tokens of a row and sentences in it.
LENGTH, MOST = 256, 16


@dataclass(frozen=True)
class Exported:
    """StableHLO, weights under argN, and what the arguments are called."""

    graph: Path
    weights: Path
    names: list[str]

    def weight_name(self, argument: str) -> str:
        """layer.0.output.dense for arg20, and for what is derived from it (arg20.in)."""
        number, _, rest = argument.removeprefix("arg").partition(".")
        name = self.names[int(number) - _INPUTS]
        return f"{name}.{rest}" if rest else name


def export(folder: Path, out: Path) -> Exported:
    """Writes out.mlir and out.safetensors for one row of sentences."""
    config, weights = model.load_model(folder)
    names = sorted(weights)

    def main(tokens, places, owners, *arrays):
        w = dict(zip(names, arrays, strict=True))
        return model.embed(config, tokens, places, owners, MOST, w)

    shape = jax.ShapeDtypeStruct((1, LENGTH), np.int32)
    arrays = [weights[name] for name in names]
    lowered = jax.jit(main, keep_unused=True).lower(shape, shape, shape, *arrays)
    exported = Exported(out.with_suffix(".mlir"), out.with_suffix(".safetensors"), names)
    out.parent.mkdir(parents=True, exist_ok=True)
    exported.graph.write_text(lowered.as_text(), encoding="utf-8")
    save_file({f"arg{_INPUTS + i}": a for i, a in enumerate(arrays)}, exported.weights)
    return exported


def save_batches(path: Path, packed: Packed) -> Path:
    """Calibration inputs."""
    np.savez(path, **{f"arg{i}": array[:, None] for i, array in enumerate(packed.arrays())})
    return path


@dataclass
class Run:
    """Embeddings [N, D], and the bits per value that encoding them took (None: a float program)."""

    embeddings: np.ndarray
    activation_bits: float | None
    stored_bits: float | None
    salient: dict[str, float]  # share of a site's values


def run(program: Path, packed: Packed, threads: int) -> Run:
    """A compiled folder on all sentences."""
    native = NativeModel(program)
    graph = next(iter(native.graphs.values()))
    names = [spec.name for spec in graph.arguments[:_INPUTS]]
    rows = [
        graph.run(dict(zip(names, (a[None] for a in row), strict=True)), threads)[0][0]
        for row in zip(*packed.arrays(), strict=True)
    ]
    embeddings = np.stack(rows)[tuple(packed.where.T)]
    sites = json.loads((program / "compile.json").read_text("utf-8")).get("encode_sites") or []
    if not sites:
        return Run(embeddings, None, None, {})
    counts = dict(zip(graph.sites, graph.salient.tolist(), strict=False))
    values = np.array([site["channels"] for site in sites], float)
    bits = np.array([site["mean_bits"] for site in sites], float)
    salient = np.array([counts.get(site["site"], 0) for site in sites])
    salient = salient / (packed.tokens.size * values)
    shares = {site["site"]: s for site, s in zip(sites, salient.tolist(), strict=True)}
    sent, stored = (np.average(bits + e * salient, weights=values) for e in (32, 16))
    return Run(embeddings, float(sent), float(stored), shares)

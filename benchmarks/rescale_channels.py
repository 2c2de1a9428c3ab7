"""Takes a Llama bundle off the grid that its file was rounded to.

Writes an equivalent bundle: random factors go into the norms' weights, the columns of v and
the columns of up, and are undone in the rows of the next matrix. The float program computes
the same function (up to f32 rounding), but no group of weights lies on a 4-bit grid any more,
as in a model that was never quantised.

  python benchmarks/rescale_channels.py model.bundle offgrid.bundle --low 0.93 --high 1.07
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from spikequant import bundle


def rescale(weights: dict[str, np.ndarray], sizes: dict, low: float, high: float, seed: int):
    """Changes the arrays in place. Linear layers are stored [inputs, outputs]."""
    random = np.random.default_rng(seed)

    def factors(count: int) -> np.ndarray:
        return random.uniform(low, high, count)

    def scale(name: str, by: np.ndarray) -> None:
        weights[name] = (weights[name].astype(np.float64) * by).astype(np.float32)

    head, groups = sizes["head_width"], sizes["heads"] // sizes["kv_heads"]
    for layer in range(sizes["layers"]):
        prefix = f"blk.{layer}."
        for norm, followers in (
            ("attn_norm", ("attn_q", "attn_k", "attn_v")),
            ("ffn_norm", ("ffn_gate", "ffn_up")),
        ):
            by = factors(sizes["width"])
            scale(prefix + norm, by)
            for name in followers:
                scale(prefix + name, 1 / by[:, None])
        by = factors(sizes["kv_heads"] * head)
        scale(prefix + "attn_v", by)
        if prefix + "attn_v.bias" in weights:
            scale(prefix + "attn_v.bias", by)
        # Every value head is read by `groups` query heads in a row.
        shared = np.repeat(by.reshape(-1, head), groups, axis=0).reshape(-1)
        scale(prefix + "attn_output", 1 / shared[:, None])
        by = factors(sizes["feed_forward"])
        scale(prefix + "ffn_up", by)
        scale(prefix + "ffn_down", 1 / by[:, None])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, metavar="BUNDLE")
    parser.add_argument("output", type=Path, metavar="OUT")
    parser.add_argument("--low", type=float, default=0.93)
    parser.add_argument("--high", type=float, default=1.07)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    model = bundle.read_model(options.source)
    weights = load_file(options.source / model["weights"])
    rescale(weights, model["hyperparameters"], options.low, options.high, options.seed)
    with bundle.replacing_bundle(options.output) as fresh:
        shutil.copytree(options.source, fresh, dirs_exist_ok=True)
        save_file(weights, fresh / model["weights"])


if __name__ == "__main__":
    main()

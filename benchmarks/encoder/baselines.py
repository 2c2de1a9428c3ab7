"""Other ways of quantising, on the same graph in JAX: 4-bit activations with a scale per token."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.accuracy import hadamard
from benchmarks.accuracy.methods import round_nearest
from benchmarks.accuracy.quantisers import SCALE_BITS, rotate, round_groups

from . import model
from .graph import MOST
from .sentences import Packed

GROUP = 32
_ROWS = 8


def quantise_weights(weights: Mapping[str, np.ndarray], rotated: bool) -> dict[str, np.ndarray]:
    """The linear weights of the layers on 16 levels per 32 inputs; rotated with their inputs."""
    result = dict(weights)
    for key in weights:
        if key.startswith("layer.") and weights[key].ndim == 2:
            w = weights[key].astype(np.float64)
            w = w @ hadamard.product(hadamard.factors(w.shape[1])) if rotated else w
            # round_nearest takes [inputs, outputs] and rounds what belongs to layers.
            rounded = round_nearest({"blk.w": np.ascontiguousarray(w.T, np.float32)}, 4, GROUP)
            result[key] = rounded["blk.w"].T
    return result


def run(
    config: model.Config,
    weights: Mapping[str, np.ndarray],
    packed: Packed,
    bits: int | None,
    rotated: bool = False,
    clip: float = 1.0,
) -> np.ndarray:
    """Embeddings [N, D]. Every input of a linear layer is rotated, if wanted, and rounded to `bits`
    with the scale clip max|x| / L of its token; None: not rounded."""

    def hook(x: jax.Array, _site: str) -> jax.Array:
        rows = x.reshape(-1, x.shape[-1])
        rows = rotate(rows, hadamard.factors(x.shape[-1])) if rotated else rows
        rows = rows if bits is None else round_groups(rows, bits, x.shape[-1], clip)
        return rows.reshape(x.shape)

    w = {key: jnp.asarray(value) for key, value in weights.items()}
    embed = jax.jit(lambda t, p, o: model.embed(config, t, p, o, MOST, w, hook))
    rows = len(packed.tokens)
    # Rows are repeated so that all calls have one shape.
    chosen = np.arange(-(-rows // _ROWS) * _ROWS) % rows
    parts = [
        np.asarray(embed(*(array[part] for array in packed.arrays())))
        for part in chosen.reshape(-1, _ROWS)
    ]
    return np.concatenate(parts)[:rows][tuple(packed.where.T)]


def mean_bits(config: model.Config, bits: int) -> float:
    """Per value, with the tokens' scales."""
    widths = [config.width] * 3 + [4 * config.width]
    return bits + SCALE_BITS * len(widths) / sum(widths)

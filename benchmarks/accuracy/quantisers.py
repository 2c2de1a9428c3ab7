"""What is done to the input of a linear layer, as JAX functions of x [T, K].

Each returns the value that the real number stands for ("fake quantisation") and how many values
were salient. Arrays are data, everything else is part of the compiled function.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# Bits of a real scale that is stored with the values.
SCALE_BITS = 16
# Bits of a salient count: sent with its address, and stored behind an escape code.
EVENT_BITS, STORED_EVENT_BITS = 32, 16
_COUNT_LIMIT = 32767


class Part(NamedTuple):
    """Channels that share their bits; one scale per token and `group` of them."""

    channels: int
    bits: int
    group: int
    clipped: bool = True


def largest_count(bits: int) -> int:
    return 2 ** (bits - 1) - 1


def round_groups(x: jax.Array, bits: int, group: int, clip: jax.Array | float) -> jax.Array:
    """Symmetric rounding of each group of a row: s = clip max|x| / L, n in [-L - 1, L]."""
    rows, channels = x.shape
    padded = jnp.pad(x, ((0, 0), (0, -channels % group))).reshape(rows, -1, group)
    limit = largest_count(bits)
    step = clip * jnp.max(jnp.abs(padded), axis=2, keepdims=True) / limit
    step = jnp.where(step > 0, step, 1)
    counts = jnp.clip(jnp.round(padded / step), -limit - 1, limit)
    return (counts * step).reshape(rows, -1)[:, :channels]


@partial(jax.tree_util.register_dataclass, data_fields=["clip", "order"], meta_fields=["parts"])
@dataclass(frozen=True)
class Dynamic:
    """Scales found at run time. `order` [K] puts the channels of a part next to each other."""

    parts: tuple[Part, ...]
    clip: jax.Array
    order: jax.Array | None = None

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = x if self.order is None else x[:, self.order]
        pieces, start = [], 0
        for part in self.parts:
            piece = x[:, start : start + part.channels]
            clip = self.clip if part.clipped else 1.0
            pieces.append(round_groups(piece, part.bits, part.group, clip))
            start += part.channels
        result = jnp.concatenate(pieces, axis=1)
        if self.order is not None:
            result = result[:, jnp.argsort(self.order)]
        return result, jnp.int32(0)

    def bits(self) -> float:
        """Mean per value, scales included."""
        scales = sum(-(-part.channels // part.group) for part in self.parts)
        counts = sum(part.channels * part.bits for part in self.parts)
        return (counts + SCALE_BITS * scales) / sum(part.channels for part in self.parts)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["step", "channel_bits"],
    meta_fields=["tolerance", "per_token", "limit"],
)
@dataclass(frozen=True)
class Encode:
    """Counts of a fixed step; those that leave their channel's window are salient.

    docs/spec.md, `encode`. `per_token`: the step is multiplied by the token's median of |x|.
    `limit` below 32767 clips salient counts.
    """

    step: jax.Array
    channel_bits: jax.Array
    tolerance: int = 1
    per_token: bool = False
    limit: int = _COUNT_LIMIT

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        scale = token_scale(x) if self.per_token else jnp.float32(1)
        counts = jnp.floor(x / scale * (np.float32(1) / self.step) + np.float32(0.5))
        counts = jnp.clip(counts, -self.limit, self.limit)
        window = jnp.where(self.channel_bits < 2, 0, 2.0 ** (self.channel_bits - 1) - 1)
        salient = jnp.abs(counts) > window + self.tolerance
        counts = jnp.where(salient, counts, jnp.clip(counts, -window, window))
        return counts * self.step * scale, jnp.sum(salient, dtype=jnp.int32)

    def bits(self) -> float:
        """Mean per value, without events."""
        scale = SCALE_BITS / len(self.channel_bits) if self.per_token else 0
        return float(np.mean(np.asarray(self.channel_bits, np.float64))) + scale


def token_scale(x: jax.Array) -> jax.Array:
    """Median of |x| of each row, [T, 1]; a row that is mostly zero has scale 1."""
    median = jnp.median(jnp.abs(x), axis=1, keepdims=True)
    return jnp.where(median > 0, median, 1)


@partial(jax.tree_util.register_dataclass, data_fields=["inner", "factors"], meta_fields=[])
@dataclass(frozen=True)
class Rotated:
    """Rotates at run time; the layer's weights are rotated the same way."""

    inner: Dynamic | Encode | None
    factors: tuple[jax.Array, ...]

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        rotated = rotate(x, self.factors)
        return (rotated, jnp.int32(0)) if self.inner is None else self.inner(rotated)

    def bits(self) -> float:
        return self.inner.bits()


@partial(jax.tree_util.register_dataclass, data_fields=["rest", "kept"], meta_fields=[])
@dataclass(frozen=True)
class KeptAndRotated:
    """Channels `kept` in 8 bits with a scale per token; the others, with zeros in the place of
    those, are rotated, rounded and rotated back, so that the layer's weights stay as they are."""

    rest: Rotated
    kept: jax.Array

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        kept = x[:, self.kept]
        rounded, salient = self.rest(x.at[:, self.kept].set(0))
        back = rotate(rounded, tuple(factor.T for factor in self.rest.factors))
        return back.at[:, self.kept].set(round_groups(kept, 8, kept.shape[1], 1.0)), salient

    def bits(self) -> float:
        channels, kept = self.rest.inner.parts[0].channels, len(self.kept)
        return self.rest.bits() + (8 * kept + SCALE_BITS) / channels


def rotate(x: jax.Array, factors: tuple[jax.Array, ...]) -> jax.Array:
    """x [T, K] times the Kronecker product of the factors."""
    shape = x.shape
    y = x.reshape(shape[0], *(factor.shape[0] for factor in factors))
    for axis, factor in enumerate(factors, start=1):
        y = jnp.moveaxis(jnp.tensordot(y, factor, axes=(axis, 0)), -1, axis)
    return y.reshape(shape)


@partial(
    jax.tree_util.register_dataclass, data_fields=["query", "key", "value"], meta_fields=["levels"]
)
@dataclass(frozen=True)
class Attention:
    """Products of activations on counts: one static step per key/value head [Hkv] for queries,
    keys and values (8 bits), and softmax numerators exp(score - max) in `levels` steps."""

    query: jax.Array
    key: jax.Array
    value: jax.Array
    levels: int = 255

    def scores(self, query: jax.Array, keys: jax.Array) -> tuple[jax.Array, jax.Array]:
        return _static(query, self.query), _static(keys, self.key)

    def mix(self, probabilities: jax.Array, values: jax.Array) -> tuple[jax.Array, jax.Array]:
        peak = jnp.max(probabilities, axis=-1, keepdims=True)
        numerators = jnp.round(probabilities / peak * self.levels)
        return numerators / jnp.sum(numerators, axis=-1, keepdims=True), _static(values, self.value)


def _static(x: jax.Array, step: jax.Array) -> jax.Array:
    """x [Hkv, ..] in 8-bit counts of its head's step."""
    step = step.reshape(-1, *([1] * (x.ndim - 1)))
    return jnp.clip(jnp.round(x / step), -127, 127) * step

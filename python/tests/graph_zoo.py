"""Small graphs of every kind that people export, built in JAX with random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np


class Parameters:
    """Makes weights when a model first asks for them; hands them out by name."""

    def __init__(self, dtype: str = "float32", arrays: dict | None = None):
        self.dtype = dtype
        self.arrays = {} if arrays is None else arrays
        self._random = np.random.default_rng(11)

    def __call__(self, name: str, *shape: int, scale: float | None = None, one: bool = False):
        """Random [.., K, N], each column of length about 1; with `one`, values near 1."""
        if name not in self.arrays:
            fan_in = shape[-2] if len(shape) > 1 else 100
            spread = scale or fan_in**-0.5
            values = one + spread * self._random.standard_normal(shape)
            self.arrays[name] = np.asarray(values, jnp.dtype(self.dtype))
        return jnp.asarray(self.arrays[name])


@dataclass(frozen=True)
class ZooGraph:
    """`model(parameters, *inputs)` returns an array or a tuple of arrays.

    `ints`: upper bound of each input of integers, by its number.
    """

    model: Callable
    inputs: tuple[tuple[int, ...], ...]
    ints: dict[int, int] = field(default_factory=dict)
    dtype: str = "float32"
    donated: tuple[int, ...] = ()
    tolerance: float = 1e-4

    def arrays(self, seed: int = 0) -> list[np.ndarray]:
        """The inputs."""
        random = np.random.default_rng(seed)
        return [
            random.integers(0, self.ints[i], shape).astype(np.int32)
            if i in self.ints
            else random.standard_normal(shape).astype(jnp.dtype(self.dtype))
            for i, shape in enumerate(self.inputs)
        ]

    @cached_property
    def weights(self) -> dict[str, np.ndarray]:
        parameters = Parameters(self.dtype)
        jax.eval_shape(lambda *inputs: self.model(parameters, *inputs), *self.arrays())
        return parameters.arrays

    @property
    def function(self) -> Callable:
        """Of the inputs, then the weights."""
        names = list(self.weights)

        def flat(*arguments):
            count = len(self.inputs)
            given = dict(zip(names, arguments[count:], strict=True))
            return self.model(Parameters(self.dtype, given), *arguments[:count])

        return flat

    @property
    def arguments(self) -> list[np.ndarray]:
        return self.arrays() + list(self.weights.values())

    @cached_property
    def jitted(self):
        return jax.jit(self.function, donate_argnums=self.donated, keep_unused=True)

    def text(self) -> str:
        module = self.jitted.lower(*self.arguments).compiler_ir("stablehlo")
        return module.operation.get_asm(enable_debug_info=True)

    def keyed_weights(self) -> dict[str, np.ndarray]:
        first = len(self.inputs)
        return {f"arg{first + i}": array for i, array in enumerate(self.weights.values())}

    def expected(self, seed: int = 0) -> list[np.ndarray]:
        """By JAX on the CPU."""
        results = self.jitted(*self.arrays(seed), *self.weights.values())
        return [np.asarray(array) for array in jax.tree_util.tree_leaves(results)]


# Parts


def linear(p, x, name: str, size: int, bias: bool = False):
    y = x @ p(name, x.shape[-1], size)
    return y + p(f"{name}.b", size) if bias else y


def layer_norm(p, x, name: str):
    mean = x.mean(-1, keepdims=True)
    y = (x - mean) * jax.lax.rsqrt(x.var(-1, keepdims=True) + 1e-5)
    return y * p(f"{name}.g", x.shape[-1], one=True) + p(f"{name}.b", x.shape[-1])


def rms_norm(p, x, name: str):
    y = x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-6)
    return y * p(f"{name}.g", x.shape[-1], one=True)


def split_heads(x, heads: int):
    """[.., T, H D] -> [.., H, T, D]"""
    return jnp.swapaxes(x.reshape(*x.shape[:-1], heads, -1), -2, -3)


def join_heads(x):
    x = jnp.swapaxes(x, -2, -3)
    return x.reshape(*x.shape[:-2], -1)


def attend(q, k, v, mask=None, cap: float | None = None):
    scores = jnp.einsum("...qd,...kd->...qk", q, k) / np.sqrt(q.shape[-1]).astype(q.dtype)
    if cap:
        scores = cap * jnp.tanh(scores / cap)
    if mask is not None:
        scores = jnp.where(mask, scores, jnp.asarray(-1e4, scores.dtype))
    return join_heads(jax.nn.softmax(scores, axis=-1) @ v)


def causal(size: int):
    return jnp.tril(jnp.ones((size, size), bool))


def rotate(x, positions, part: int | None = None):
    """Rotary embedding of the first `part` values of each head; x [.., T, D]."""
    part = part or x.shape[-1]
    frequency = 100.0 ** -(jnp.arange(0, part, 2) / part)
    angle = positions[:, None] * frequency
    cos, sin = jnp.cos(angle).astype(x.dtype), jnp.sin(angle).astype(x.dtype)
    first, second, rest = x[..., : part // 2], x[..., part // 2 : part], x[..., part:]
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin, rest], -1)


def embed(p, tokens, vocabulary: int, hidden: int):
    return p("embedding", vocabulary, hidden, scale=0.3)[tokens]

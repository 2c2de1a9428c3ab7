"""Random graphs over the operations: a seed gives a function and its arguments."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_SIZES = (0, 1, 2, 3, 5, 7, 16, 17, 33)
_FLOATS = ("float32", "float32", "float32", "float64", "float16", "bfloat16")
_INTEGERS = ("int32", "int8", "int16", "int64", "uint8", "uint32")


class RandomGraph:
    """Applies random operations to a pool of values; everything follows from the seed.

    Values are kept small, so that errors stay near one rounding: floats pass through tanh where
    they might grow. With `weights`, contractions with weight arguments are among the operations,
    and all values are of f32.
    """

    def __init__(self, seed: int, weights: bool = False, steps: int = 12):
        random = np.random.default_rng(seed)
        self.seed, self.weights, self.steps = seed, weights, steps
        self.arrays = [self._input(random) for _ in range(random.integers(1, 4))]
        self.weight_numbers: list[int] = []
        if weights:
            for _ in range(2):
                self.weight_numbers.append(len(self.arrays))
                matrix = random.standard_normal((32, 32)) / 6
                self.arrays.append(matrix.astype(np.float32))

    def _input(self, random: np.random.Generator) -> np.ndarray:
        if self.weights:
            return random.standard_normal((int(random.integers(1, 6)), 32)).astype(np.float32)
        shape = tuple(int(n) for n in random.choice(_SIZES, random.integers(0, 4)))
        if random.random() < 0.7:
            dtype = jnp.dtype(str(random.choice(_FLOATS)))
            return random.uniform(-1, 1, shape).astype(dtype)
        dtype = np.dtype(str(random.choice(_INTEGERS)))
        return random.integers(0, 8, shape).astype(dtype)

    def function(self, *arguments):
        """All values that were made last, as results."""
        random = np.random.default_rng([self.seed, 1])
        pool = [a for i, a in enumerate(arguments) if i not in self.weight_numbers]
        matrices = [arguments[i] for i in self.weight_numbers]
        for step in range(self.steps):
            x = pool[random.integers(len(pool))]
            if matrices and (step % 4 == 1 or step == 0):
                pool.append(_contract_with(random, x, matrices))
                continue
            operation = _OPERATIONS[random.integers(len(_OPERATIONS))]
            pool.append(operation(random, x, pool))
        return [value for value in pool[-6:] if value is not None]


def _is_float(x) -> bool:
    return jnp.issubdtype(x.dtype, jnp.floating)


def _contract_with(random, x, matrices):
    matrix = matrices[random.integers(len(matrices))]
    if x.ndim == 0 or x.shape[-1] != 32 or x.dtype != jnp.float32:
        x = jnp.resize(x.astype(jnp.float32), (3, 32))
    return jnp.tanh(x @ (matrix if random.random() < 0.7 else matrix.T))


def _unary(random, x, pool):
    if not _is_float(x):
        return (lax.bitwise_not, lax.sign, lax.population_count)[random.integers(3)](x)
    functions = (jnp.tanh, jnp.sin, lax.neg, jnp.abs, lax.logistic, lax.erf, jnp.floor, lax.cbrt)
    return functions[random.integers(len(functions))](x)


def _binary(random, x, pool):
    other = pool[random.integers(len(pool))].astype(x.dtype)
    if other.size == 0 or x.size == 0:
        return x
    other = jnp.resize(other, x.shape)
    functions = (jnp.minimum, jnp.maximum, lax.add, lax.sub, lax.mul)
    result = functions[random.integers(len(functions))](x, other)
    return jnp.tanh(result) if _is_float(x) else result


def _select(random, x, pool):
    return jnp.where(x > x.dtype.type(0), x, -x if x.dtype.kind != "u" else x)


def _convert(random, x, pool):
    return x.astype("float32" if random.random() < 0.5 else "int32")


def _reduce(random, x, pool):
    if x.ndim == 0:
        return x
    axis = int(random.integers(x.ndim))
    if x.shape[axis] == 0:
        return jnp.sum(x, axis, dtype=x.dtype)
    functions = (jnp.max, jnp.min, jnp.sum, jnp.mean if _is_float(x) else jnp.prod)
    result = functions[random.integers(4)](x, axis).astype(x.dtype)
    return jnp.tanh(result / x.shape[axis]) if _is_float(x) else result


def _arg(random, x, pool):
    if x.ndim == 0 or 0 in x.shape:
        return x
    return jnp.argmax(jnp.round(x * 4) if _is_float(x) else x, int(random.integers(x.ndim)))


def _reshape(random, x, pool):
    return x.reshape(-1) if random.random() < 0.5 else x[None]


def _transpose(random, x, pool):
    return jnp.transpose(x, tuple(int(i) for i in random.permutation(x.ndim)))


def _slice(random, x, pool):
    if x.ndim == 0:
        return x
    start = int(random.integers(0, x.shape[0] + 1))
    return x[start :: int(random.integers(1, 3))]


def _dynamic(random, x, pool):
    if x.ndim == 0 or x.shape[0] < 2:
        return x
    index = jnp.sum(x[:1] > 0).astype(jnp.int32) - int(random.integers(0, 3))
    part = lax.dynamic_slice_in_dim(x, index, x.shape[0] // 2)
    return lax.dynamic_update_slice_in_dim(x, part, index + 1, 0)


def _concatenate(random, x, pool):
    return x if x.ndim == 0 else jnp.concatenate([x, x[:1], x[::-1]], 0)[: max(1, x.shape[0])]


def _pad(random, x, pool):
    config = [(int(random.integers(-1, 3)), int(random.integers(0, 2)), 0) for _ in x.shape]
    config = [c if n > 1 else (0, 0, 0) for c, n in zip(config, x.shape, strict=True)]
    return lax.pad(x, jnp.zeros((), x.dtype), config)


def _gather(random, x, pool):
    if x.ndim == 0 or x.shape[0] == 0:
        return x
    indices = random.integers(-1, x.shape[0] + 1, int(random.choice(_SIZES[:5])))
    return jnp.take(x, jnp.asarray(indices, jnp.int32), axis=0, mode="clip")


def _scatter(random, x, pool):
    if x.ndim == 0 or x.shape[0] == 0:
        return x
    indices = jnp.asarray(random.integers(0, x.shape[0] + 1, 3), jnp.int32)
    updated = x.at[indices].max(x[:1], mode="drop")
    return updated.at[indices[:1]].set(x[-1:], mode="drop")


def _sort(random, x, pool):
    return x if x.ndim == 0 else lax.sort(x, dimension=int(random.integers(x.ndim)))


def _cumulative(random, x, pool):
    return x if x.ndim == 0 else lax.cummax(x, int(random.integers(x.ndim)))


def _dot(random, x, pool):
    if x.ndim < 2 or not _is_float(x):
        return x
    result = jnp.einsum("...ab,...cb->...ac", x, x)
    return jnp.tanh(result / max(1, x.shape[-1]))[..., :8]


def _while(random, x, pool):
    limit = int(random.integers(0, 4))

    def step(carry):
        i, value = carry
        return i + 1, (jnp.tanh(value) if _is_float(value) else value ^ i.astype(value.dtype))

    return lax.while_loop(lambda carry: carry[0] < limit, step, (jnp.int32(0), x))[1]


def _cond(random, x, pool):
    flag = jnp.sum(x > x.dtype.type(0)) > int(random.integers(0, 3))
    return lax.cond(flag, lambda v: v + v.dtype.type(1), lambda v: v * v.dtype.type(0), x)


def _scan(random, x, pool):
    if x.ndim == 0 or not _is_float(x):
        return x

    def step(carry, row):
        carry = jnp.tanh(carry + row)
        return carry, carry

    return lax.scan(step, jnp.zeros(x.shape[1:], x.dtype), x)[1]


_OPERATIONS = (
    _unary,
    _binary,
    _select,
    _convert,
    _reduce,
    _arg,
    _reshape,
    _transpose,
    _slice,
    _dynamic,
    _concatenate,
    _pad,
    _gather,
    _scatter,
    _sort,
    _cumulative,
    _dot,
    _while,
    _cond,
    _scan,
)


def lower(graph: RandomGraph):
    """With 64-bit types enabled."""
    return jax.jit(graph.function, keep_unused=True).lower(*graph.arrays)

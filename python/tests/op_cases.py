"""Every operation in every element type: one graph per group of operations and type."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax import lax

FLOATS = ("float32", "float16", "bfloat16", "float64")
SIGNED = ("int8", "int16", "int32", "int64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
BOOL = ("bool",)
ALL = FLOATS + SIGNED + UNSIGNED + BOOL
NUMBERS = FLOATS + SIGNED + UNSIGNED

# An odd shape, one without elements and one of rank 0.
SHAPES = ((3, 7), (0, 5), ())


def values(dtype: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Small numbers of both signs where there are signs; never zero."""
    random = np.random.default_rng(seed)
    kind = jnp.dtype(dtype)
    if dtype == "bool":
        return random.integers(0, 2, shape).astype(bool)
    if dtype in FLOATS:
        return np.asarray(random.uniform(0.2, 2.5, shape) * random.choice([-1, 1], shape), kind)
    low = 1 if dtype in UNSIGNED else -9
    drawn = np.asarray(random.integers(low, 10, shape))
    return np.where(drawn == 0, 3, drawn).astype(kind)


_UNARY_FLOAT = {
    "exp": lax.exp,
    "exp2": jnp.exp2,
    "expm1": lax.expm1,
    "tanh": lax.tanh,
    "logistic": lax.logistic,
    "sin": lax.sin,
    "cos": lax.cos,
    "tan": lax.tan,
    "floor": lax.floor,
    "ceil": lax.ceil,
    "round_even": lambda x: lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN),
    "round_away": lambda x: lax.round(x, lax.RoundingMethod.AWAY_FROM_ZERO),
    "log": lambda x: lax.log(lax.abs(x)),
    "log1p": lambda x: lax.log1p(lax.abs(x)),
    "sqrt": lambda x: lax.sqrt(lax.abs(x)),
    "rsqrt": lambda x: lax.rsqrt(lax.abs(x)),
    "cbrt": lax.cbrt,
    "erf": lax.erf,
    "erfc": lax.erfc,
    "is_finite": lax.is_finite,
    "atan2": lambda x: lax.atan2(x, x + 1),
    "pow": lambda x: lax.pow(lax.abs(x), x),
    "asin": lambda x: lax.asin(x / 4),
    "acos": lambda x: lax.acos(x / 4),
    "atan": lax.atan,
    "sinh": lax.sinh,
    "cosh": lax.cosh,
    "asinh": lax.asinh,
    "atanh": lambda x: lax.atanh(x / 4),
    "erf_inv": lambda x: lax.erf_inv(x / 4),
    "lgamma": lambda x: lax.lgamma(lax.abs(x)),
    "digamma": lambda x: lax.digamma(lax.abs(x)),
    "reduce_precision": lambda x: lax.reduce_precision(x, 5, 3),
    "nextafter": lambda x: lax.nextafter(x, x + 1),
}
_UNARY = {
    "neg": (lax.neg, NUMBERS),
    "abs": (lax.abs, FLOATS + SIGNED),
    "sign": (lax.sign, NUMBERS),
    "not": (lax.bitwise_not, SIGNED + UNSIGNED + BOOL),
    "popcnt": (lax.population_count, SIGNED + UNSIGNED),
    "clz": (lax.clz, SIGNED + UNSIGNED),
    "integer_pow": (lambda x: x**3, NUMBERS),
    "square": (lax.square, NUMBERS),
}
_BINARY = {
    "add": (lax.add, NUMBERS),
    "sub": (lax.sub, NUMBERS),
    "mul": (lax.mul, NUMBERS),
    "div": (lax.div, NUMBERS),
    "rem": (lax.rem, NUMBERS),
    "max": (lax.max, ALL),
    "min": (lax.min, ALL),
    "and": (lax.bitwise_and, SIGNED + UNSIGNED + BOOL),
    "or": (lax.bitwise_or, SIGNED + UNSIGNED + BOOL),
    "xor": (lax.bitwise_xor, SIGNED + UNSIGNED + BOOL),
    "shl": (lambda x, y: lax.shift_left(x, y & 15), SIGNED + UNSIGNED),
    "shr": (lambda x, y: lax.shift_right_logical(x, y & 15), SIGNED + UNSIGNED),
    "sar": (lambda x, y: lax.shift_right_arithmetic(x, y & 15), SIGNED + UNSIGNED),
    "eq": (lax.eq, ALL),
    "ne": (lax.ne, ALL),
    "lt": (lax.lt, ALL),
    "ge": (lax.ge, ALL),
    "select": (lambda x, y: lax.select(x < y, x, y), ALL),
    "clamp": (lambda x, y: lax.clamp(lax.min(x, y), y, lax.max(x, y)), NUMBERS),
    "nested": (lambda x, y: jnp.where(x > y, x - y, x + y), NUMBERS),
}


def unary(dtype: str) -> dict[str, Callable]:
    chosen = {name: f for name, (f, types) in _UNARY.items() if dtype in types}
    return chosen | (_UNARY_FLOAT if dtype in FLOATS else {})


def binary(dtype: str) -> dict[str, Callable]:
    return {name: f for name, (f, types) in _BINARY.items() if dtype in types}


def conversions(dtype: str) -> dict[str, Callable]:
    """To every type of which the value is defined."""
    return {
        f"to_{other}": (lambda x, other=other: x.astype(other))
        for other in ALL
        if other != dtype and not (other in UNSIGNED and dtype in FLOATS + SIGNED)
    }


def shaping(dtype: str) -> dict[str, Callable]:
    """Of [3, 7]."""
    zero = jnp.zeros((), dtype)
    return {
        "transpose": lambda x: x.T,
        "reshape": lambda x: x.reshape(7, 1, 3),
        "flat": lambda x: x.reshape(-1)[:1].reshape(()),
        "slice": lambda x: x[1:, 1:6:2],
        "empty_slice": lambda x: x[3:],
        "reverse": lambda x: lax.rev(x, (0, 1)),
        "broadcast": lambda x: jnp.broadcast_to(x[:, None], (3, 2, 7)),
        "pad": lambda x: lax.pad(x, zero, ((1, 2, 0), (-1, 1, 2))),
        "concatenate": lambda x: jnp.concatenate([x, x[:0], x[1:2]], 0),
        "dynamic_slice": lambda x: lax.dynamic_slice(x, (jnp.int32(5), jnp.int32(-2)), (2, 3)),
        "dynamic_update": lambda x: lax.dynamic_update_slice(
            x, x[:2, :2], (jnp.int32(5), jnp.int32(1))
        ),
        "iota": lambda x: lax.broadcasted_iota(x.dtype, (2, 5), 1) if x.dtype != bool else x,
        "take": lambda x: jnp.take(x, jnp.array([2, 0, 9]), axis=0, mode="clip"),
        "gather": lambda x: x[jnp.array([1, -1]), jnp.array([6, 2])],
        "gather_empty": lambda x: x[jnp.zeros((0,), jnp.int32)],
        "tile": lambda x: jnp.tile(x, (2, 1)),
        "roll": lambda x: jnp.roll(x, 2, 1),
    }


def reductions(dtype: str) -> dict[str, Callable]:
    """Of [3, 7]."""
    chosen = {
        "max": lambda x: x.max(0),
        "min": lambda x: x.min(),
        "any": lambda x: jnp.any(x > x[0]),
    }
    chosen["all"] = lambda x: jnp.all(x >= x.min())
    chosen["sort"] = lambda x: lax.sort(x, dimension=1)
    chosen["sort_pairs"] = lambda x: lax.sort((x.T, x[::-1].T), num_keys=1, dimension=0)
    if dtype == "bool":
        return chosen
    return chosen | {
        "sum": lambda x: x.sum(1),
        "sum_all": lambda x: x.sum(),
        "sum_empty": lambda x: x[:0].sum(0),
        "prod": lambda x: x.prod(0),
        "argmax": lambda x: jnp.argmax(x, 1),
        "argmin": lambda x: jnp.argmin(x, 0),
        "cumsum": lambda x: jnp.cumsum(x, 1),
        "cumprod": lambda x: jnp.cumprod(x, 0),
        "cummax": lambda x: lax.cummax(x, 1),
        "top_k": lambda x: lax.top_k(x, 3),
        "pool": lambda x: lax.reduce_window(
            x, jnp.zeros((), x.dtype), lax.add, (2, 3), (1, 2), ((1, 0), (0, 2))
        ),
        "dot": lambda x: x @ x.T,
        "dot_vector": lambda x: x @ x[0],
        "dot_scalar": lambda x: x[0] @ x[0],
        "dot_batch": lambda x: jnp.einsum("abc,bcd->bad", x[None], x.reshape(3, 7, 1)),
        "outer": lambda x: jnp.tensordot(x[0], x[:, 0], 0),
        "conv": lambda x: lax.conv_general_dilated(
            x[None], x[:2, :, None], (1,), [(1, 0)], dimension_numbers=("NWC", "WIO", "NWC")
        ),
    }


def scattering(dtype: str) -> dict[str, Callable]:
    """Of [3, 7]."""
    where = jnp.array([2, 0, 2, 5])
    chosen = {
        "set": lambda x: x.at[where].set(x[0], mode="drop"),
        "point": lambda x: x.at[1, 3].set(x[0, 0]),
        "points": lambda x: x.at[where, where].set(x[0, :4], mode="drop"),
    }
    if dtype == "bool":
        return chosen
    return chosen | {
        "add": lambda x: x.at[where].add(x[:1], mode="drop"),
        "mul": lambda x: x.at[:, where].mul(2),
        "min": lambda x: x.at[where].min(x[1], mode="drop"),
        "window": lambda x: x.at[1:, 2:5].add(x[:2, :3]),
    }


def empty_shaping(dtype: str) -> dict[str, Callable]:
    """Of arrays without elements and of rank 0."""
    zero = np.zeros((), jnp.dtype(dtype))
    return {
        "transpose": lambda x: x.T,
        "reshape": lambda x: x.reshape((*x.shape, 1)),
        "slice": lambda x: lax.slice(x, (0,) * x.ndim, x.shape),
        "reverse": lambda x: lax.rev(x, tuple(range(x.ndim))),
        "broadcast": lambda x: jnp.broadcast_to(x, (2, *x.shape)),
        "pad": lambda x: lax.pad(x, zero, [(1, 2, 0)] * x.ndim),
        "concatenate": lambda x: jnp.concatenate([x[None], x[None]]),
        # Of rank 0 StableHLO's own printer writes what its parser does not read.
        "dynamic_slice": lambda x: lax.dynamic_slice_in_dim(x[None], 3, 1),
        "dynamic_update": lambda x: lax.dynamic_update_index_in_dim(x[None], x, -1, 0),
        "gather": lambda x: x[None][jnp.array([0, 0, -1])],
        "gather_nothing": lambda x: x[None][jnp.zeros((0,), jnp.int32)],
        "set": lambda x: x[None].at[jnp.array([0, 7])].set(x, mode="drop"),
        "set_all": lambda x: x.at[...].set(zero),
        "sort": lambda x: lax.sort(x[None], dimension=0),
        "while": lambda x: lax.fori_loop(0, 3, lambda _, y: lax.rev(y, tuple(range(y.ndim))), x),
        "cond": lambda x: lax.cond(x.size > 0, lambda y: y, lambda y: y[...], x),
    }


def empty_sums(dtype: str) -> dict[str, Callable]:
    """Of arrays without elements and of rank 0."""
    if dtype == "bool":
        return {"any": lambda x: x.any(), "all": lambda x: x.all()}
    zero = np.zeros((), jnp.dtype(dtype))
    return {
        "sum": lambda x: x.sum(),
        "sum_rows": lambda x: x[None].sum(0),
        "prod": lambda x: x.prod(),
        "max": lambda x: x[None].max(0),
        "cumsum": lambda x: jnp.cumsum(x[None], 0),
        "pool": lambda x: lax.reduce_window(
            x[None], zero, lax.add, (1,) * (x.ndim + 1), (1,) * (x.ndim + 1), "VALID"
        ),
        "add": lambda x: x[None].at[jnp.array([0, 0])].add(x),
        "dot": lambda x: jnp.tensordot(x, x, x.ndim),
        "outer": lambda x: jnp.tensordot(x, x, 0),
        "dot_batch": lambda x: lax.dot_general(x[None], x[None], (((), ()), ((0,), (0,)))),
        "conv": lambda x: lax.conv_general_dilated(
            x.reshape((*x.shape, 1) if x.ndim else (1, 1, 1)),
            jnp.ones((2, 1, 3), dtype),
            (1,),
            [(1, 0)],
            dimension_numbers=("NWC", "WIO", "NWC"),
        ),
    }


GROUPS = {
    "unary": (unary, ALL, SHAPES),
    "binary": (binary, ALL, SHAPES),
    "conversions": (conversions, ALL, SHAPES),
    "shaping": (shaping, ALL, SHAPES[:1]),
    "reductions": (reductions, ALL, SHAPES[:1]),
    "scattering": (scattering, ALL, SHAPES[:1]),
    "empty_shaping": (empty_shaping, ALL, SHAPES[1:]),
    "empty_sums": (empty_sums, ALL, SHAPES[1:]),
}


def arguments(group: str, dtype: str) -> list[np.ndarray]:
    """Per shape the operands of the group's functions."""
    count = 2 if group == "binary" else 1
    shapes = [shape for shape in GROUPS[group][2] for _ in range(count)]
    return [values(dtype, shape, i) for i, shape in enumerate(shapes)]


def graph(group: str, dtype: str, only: list[str] | None = None) -> Callable:
    """All functions of the group on all shapes; results as a dictionary of names."""
    functions = GROUPS[group][0](dtype)
    count = 2 if group == "binary" else 1

    def run(*operands):
        results = {}
        for name, function in functions.items():
            if only is None or name in only:
                for i, shape in enumerate(GROUPS[group][2]):
                    result = function(*operands[i * count : (i + 1) * count])
                    results[f"{name}{list(shape)}"] = result
        return results

    return run

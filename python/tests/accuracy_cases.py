"""Functions of real numbers: ranges, references and error limits in ulp."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import lax
from scipy import special


@dataclass(frozen=True)
class Function:
    """`reference` works in a wider type; arguments lie in `low` to `high`.

    `limits` are in ulp of the result for f64, f32, f16 and bf16.
    """

    compiled: Callable
    reference: Callable
    low: float
    high: float
    limits: tuple[float, float, float, float]


def _of(f: Callable, g: Callable, low: float, high: float, *limits: float) -> Function:
    """`limits` of f64, f32 and the narrow types (in f32 and rounded once: 0.51)."""
    f64, f32, narrow = (*limits, 0.51)[:3]
    return Function(f, g, low, high, (f64, f32, narrow, narrow))


FUNCTIONS = {
    "exp": _of(lax.exp, np.exp, -80, 80, 1, 1),
    "expm1": _of(lax.expm1, np.expm1, -20, 80, 3, 1.5),
    "log": _of(lax.log, np.log, 1e-30, 1e30, 1, 1),
    "log1p": _of(lax.log1p, np.log1p, -0.999, 2, 3, 1),
    "tanh": _of(lax.tanh, np.tanh, -20, 20, 2.5, 1.5),
    "sin": _of(lax.sin, np.sin, -1e4, 1e4, 1, 1.5),
    "cos": _of(lax.cos, np.cos, -1e4, 1e4, 1, 1.5),
    "sqrt": _of(lax.sqrt, np.sqrt, 0, 1e30, 0.5, 0.5),
    "rsqrt": _of(lax.rsqrt, lambda x: 1 / np.sqrt(x), 1e-30, 1e30, 1.5, 1.5),
    "cbrt": _of(lax.cbrt, np.cbrt, -1e30, 1e30, 4, 0.51),
    "atan": _of(lax.atan, np.arctan, -1e4, 1e4, 1, 1),
    # Formulas that StableHLO or CHLO prescribe, each step rounded in the type itself.
    "tan": _of(lax.tan, np.tan, -1.5, 1.5, 3, 4, 2.5),
    "logistic": _of(lax.logistic, lambda x: 1 / (1 + np.exp(-x)), -60, 60, 3, 3, 3),
    "asin": _of(lax.asin, np.arcsin, -1, 1, 3, 3, 2.5),
    "acos": _of(lax.acos, np.arccos, -1, 1, 3, 3, 2.5),
    "sinh": _of(lax.sinh, np.sinh, -80, 80, 40, 40),
    "cosh": _of(lax.cosh, np.cosh, -80, 80, 40, 40),
    "asinh": _of(lax.asinh, np.arcsinh, -1e10, 1e10, 4, 4, 2.5),
    "acosh": _of(lax.acosh, np.arccosh, 1, 1e10, 4, 4, 2.5),
    "atanh": _of(lax.atanh, np.arctanh, -0.999, 0.999, 4, 4, 2.5),
    "erf": _of(lax.erf, special.erf, -4, 4, 2, 8),
    "erfc": _of(lax.erfc, special.erfc, -4, 9, 2, 100),
    "erf_inv": _of(lax.erf_inv, special.erfinv, -0.999, 0.999, 10, 10),
    "lgamma": _of(lax.lgamma, special.gammaln, 3, 100, 50, 50),
    "digamma": _of(lax.digamma, special.digamma, 2, 100, 50, 50),
}
_DOUBLE_REFERENCES = ("erf", "erfc", "erf_inv", "lgamma", "digamma")

DTYPES = ("float64", "float32", "float16", "bfloat16")


def arguments(name: str, dtype: str, count: int) -> np.ndarray:
    """Evenly spread and logarithmically spread values of both signs, in range."""
    function = FUNCTIONS[name]
    kind = jnp.dtype(dtype)
    random = np.random.default_rng(len(name))
    high = min(function.high, float(jnp.finfo(kind).max))
    low = max(function.low, -high)
    even = random.uniform(low, high, count // 2)
    scale = max(abs(low), abs(high))
    spread = scale * 10.0 ** random.uniform(-8, 0, count) * random.choice([-1, 1], count)
    values = np.concatenate([even, spread[(spread >= low) & (spread <= high)]])
    values = values.astype(kind)
    wide = values.astype(np.float64)
    return values[(wide >= low) & (wide <= high)]


def expected(name: str, values: np.ndarray) -> np.ndarray:
    """Of f64 arguments in the processor's extended type; SciPy's functions have f64 at most."""
    wide = np.longdouble if values.dtype == np.float64 else np.float64
    if name in _DOUBLE_REFERENCES:
        wide = np.float64
    with np.errstate(all="ignore"):
        return FUNCTIONS[name].reference(values.astype(wide))


def largest_error(result: np.ndarray, exact: np.ndarray) -> float:
    """In ulp of the exact result, where that is normal and finite in the result's type."""
    info = jnp.finfo(result.dtype)
    size = np.abs(exact)
    kept = (size >= float(info.tiny)) & (size <= float(info.max))
    _, exponent = np.frexp(exact[kept])
    ulp = np.ldexp(np.longdouble(1), exponent - 1 - info.nmant)
    return float(np.max(np.abs(result[kept].astype(np.longdouble) - exact[kept]) / ulp))

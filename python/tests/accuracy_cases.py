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


def _near(f: Callable, g: Callable, low: float, high: float, f64: float, f32: float) -> Function:
    """Narrow types are computed in f32 and rounded once more."""
    return Function(f, g, low, high, (f64, f32, 0.51, 0.51))


FUNCTIONS = {
    "exp": _near(lax.exp, np.exp, -80, 80, 1, 1),
    "exp2": _near(jnp.exp2, np.exp2, -100, 100, 1, 1),
    "expm1": _near(lax.expm1, np.expm1, -20, 80, 1, 1.5),
    "log": _near(lax.log, np.log, 1e-30, 1e30, 1, 1),
    "log1p": _near(lax.log1p, np.log1p, -0.999, 1e10, 1, 1),
    "tanh": _near(lax.tanh, np.tanh, -20, 20, 1.5, 1.5),
    "sin": _near(lax.sin, np.sin, -1e4, 1e4, 1, 1.5),
    "cos": _near(lax.cos, np.cos, -1e4, 1e4, 1, 1.5),
    "tan": _near(lax.tan, np.tan, -1.5, 1.5, 3, 4),
    "sqrt": _near(lax.sqrt, np.sqrt, 0, 1e30, 0.5, 0.5),
    "rsqrt": _near(lax.rsqrt, lambda x: 1 / np.sqrt(x), 1e-30, 1e30, 1.5, 1.5),
    "cbrt": _near(lax.cbrt, np.cbrt, -1e30, 1e30, 1, 1),
    "logistic": _near(lax.logistic, lambda x: 1 / (1 + np.exp(-x)), -60, 60, 3, 3),
    "atan": _near(lax.atan, np.arctan, -1e4, 1e4, 1, 2),
    "asin": _near(lax.asin, np.arcsin, -1, 1, 3, 3),
    "acos": _near(lax.acos, np.arccos, -1, 1, 3, 3),
    "sinh": _near(lax.sinh, np.sinh, -80, 80, 4, 4),
    "cosh": _near(lax.cosh, np.cosh, -80, 80, 4, 4),
    "asinh": _near(lax.asinh, np.arcsinh, -1e10, 1e10, 4, 4),
    "acosh": _near(lax.acosh, np.arccosh, 1, 1e10, 4, 4),
    "atanh": _near(lax.atanh, np.arctanh, -0.999, 0.999, 4, 4),
    "erf": _near(lax.erf, special.erf, -4, 4, 2, 1),
    "erfc": _near(lax.erfc, special.erfc, -4, 9, 4, 8),
    "erf_inv": _near(lax.erf_inv, special.erfinv, -0.999, 0.999, 8, 8),
    "lgamma": _near(lax.lgamma, special.gammaln, 3, 100, 8, 8),
    "digamma": _near(lax.digamma, special.digamma, 2, 100, 8, 8),
}
_EXACT_REFERENCES = ("erf", "erfc", "erf_inv", "lgamma", "digamma")

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
    """Of f64 arguments in the processor's extended type, where there is a reference in it."""
    wide = np.longdouble if values.dtype == np.float64 else np.float64
    if name in _EXACT_REFERENCES:
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

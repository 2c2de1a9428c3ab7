"""Small graphs exported with JAX: text, inputs and weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxlib.mlir import ir
from stablehlo_eval import evaluate

from spikequant.importer import make_context, parse


@dataclass(frozen=True)
class GraphCase:
    """`arrays` are all arguments; those numbered in `weights` are weights."""

    function: Callable
    shapes: list[tuple[int, ...]]
    weights: tuple[int, ...] = ()
    donated: tuple[int, ...] = ()
    dtypes: dict[int, str] = field(default_factory=dict)

    def arrays(self, seed: int = 0) -> list[np.ndarray]:
        random = np.random.default_rng(seed)
        return [
            random.standard_normal(shape).astype(np.float32)
            if i not in self.dtypes
            else random.integers(0, 5, shape).astype(self.dtypes[i])
            for i, shape in enumerate(self.shapes)
        ]

    def text(self) -> str:
        specs = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in self.arrays()]
        return jax.jit(self.function, donate_argnums=self.donated).lower(*specs).as_text()

    def expected(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """By jaxlib's interpreter."""
        context = make_context()
        with context, ir.Location.unknown(context):
            return evaluate(parse(self.text().encode(), "case", context), arrays)


# Larger than what stays in the program as a constant.
_CONSTANT = np.random.default_rng(7).standard_normal((160, 128)).astype(np.float32)


def _layer(x, up, bias, down):
    return jax.nn.gelu(x @ up + bias) @ down


CASES = {
    "layer": GraphCase(_layer, [(5, 24), (24, 40), (40,), (40, 9)], weights=(1, 3)),
    "no_weights": GraphCase(_layer, [(5, 24), (24, 40), (40,), (40, 9)]),
    "constant_weight": GraphCase(lambda x: x @ jnp.asarray(_CONSTANT), [(3, 160)]),
    "transposed_weight": GraphCase(lambda w, x: x @ w.T, [(9, 32), (4, 32)], weights=(0,)),
    "one_by_one": GraphCase(lambda x, w: jnp.tanh(x @ w), [(1, 1), (1, 1)], weights=(1,)),
    "vector": GraphCase(lambda x, w: x @ w, [(33,), (33, 17)], weights=(1,)),
    "two_results": GraphCase(
        lambda x, w: (x @ w, jnp.sum(x, axis=1)), [(4, 19), (19, 6)], weights=(1,)
    ),
    "softmax": GraphCase(lambda x: jax.nn.softmax(x, axis=-1), [(6, 37)]),
    "gather": GraphCase(lambda i, w: w[i], [(4,), (5, 8)], weights=(1,), dtypes={0: "int32"}),
    "state": GraphCase(lambda x, s: (x @ s, s + x.T @ x), [(2, 12), (12, 12)], donated=(1,)),
}

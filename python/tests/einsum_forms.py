"""Random contractions whose weights reach them in random ways."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax.numpy as jnp
import numpy as np
from jax import lax

# Two values that 4-bit codes, and counts of 4 bits, hold exactly.
WEIGHTS, ACTIVATIONS = (-7.0, 8.0), (-7.0, 7.0)


@dataclass
class Form:
    """`equation` of an activation and a weight; `reach` brings the stored weight to its operand."""

    equation: str
    weight_first: bool
    activation: tuple[int, ...]
    stored: tuple[int, ...]
    steps: list[tuple] = field(default_factory=list)
    # How many numbers choose matrices, and from how many; () is a scalar.
    chosen: tuple[int, ...] | None = None
    matrices: int = 0

    def describe(self) -> str:
        return f"{self.equation} stored {self.stored} {self.steps} chosen {self.chosen}"

    def __call__(self, x, weight, numbers):
        for name, *arguments in self.steps:
            if name == "choose":
                weight = weight[numbers]
            elif name == "slice":
                weight = lax.slice_in_dim(weight, arguments[0], arguments[1], axis=arguments[2])
            elif name == "loop":
                weight = lax.dynamic_index_in_dim(weight, numbers, 0, keepdims=False)
            else:
                weight = getattr(jnp, name)(weight, *arguments)
        operands = (weight, x) if self.weight_first else (x, weight)
        return jnp.einsum(self.equation, *operands, precision="highest")

    def arrays(self, random: np.random.Generator) -> list[np.ndarray]:
        numbers = random.integers(0, max(self.matrices, 1), self.chosen or ())
        return [
            random.choice(ACTIVATIONS, self.activation).astype(np.float32),
            random.choice(WEIGHTS, self.stored).astype(np.float32),
            numbers.astype(np.int32),
        ]


def random_form(random: np.random.Generator) -> Form:
    """With at least 8 channels and one output."""

    def dims(least: int, most: int, names: str, sizes: list[int]) -> dict[str, int]:
        count = int(random.integers(least, most + 1))
        return {name: int(random.choice(sizes)) for name in names[:count]}

    batch, rows = dims(0, 1, "ef", [1, 3, 4]), dims(0, 2, "mt", [1, 2, 5])
    outputs = dims(1, 2, "ng", [1, 3, 17])
    channels = [{"k": 40}, {"k": 9}, {"k": 3, "l": 8}, {"k": 2, "l": 5, "i": 4}][random.integers(4)]
    size = {**batch, **rows, **outputs, **channels}

    def order(*groups) -> list[str]:
        return list(random.permutation([name for group in groups for name in group]))

    x, w = order(batch, rows, channels), order(batch, outputs, channels)
    if random.integers(3) == 0:
        x = [*batch, *rows, *channels]  # as they come most often
    result = order(batch, rows, outputs)
    form = Form("", bool(random.integers(2)), tuple(size[i] for i in x), tuple(size[i] for i in w))
    operands = ["".join(w), "".join(x)] if form.weight_first else ["".join(x), "".join(w)]
    form.equation = f"{','.join(operands)}->{''.join(result)}"
    _add_steps(form, random)
    _add_choice(form, w, batch, random)
    return form


def _add_steps(form: Form, random: np.random.Generator) -> None:
    """From the operand back to what is stored."""
    for _ in range(int(random.integers(3))):
        shape = form.stored
        kind = random.integers(3)
        if kind == 0:
            axes = random.permutation(len(shape))
            form.steps.insert(0, ("transpose", tuple(int(i) for i in axes)))
            form.stored = tuple(shape[i] for i in np.argsort(axes))
        elif kind == 1 and len(shape) > 1:
            form.steps.insert(0, ("reshape", shape))
            at = int(random.integers(len(shape) - 1))
            form.stored = (*shape[:at], shape[at] * shape[at + 1], *shape[at + 2 :])
        elif kind == 2:
            axis = int(random.integers(len(shape)))
            before, after = (int(i) for i in random.integers(0, 4, 2))
            begin, end = before, before + shape[axis]
            form.steps.insert(0, ("slice", begin, end, axis))
            form.stored = tuple(
                s + (before + after if i == axis else 0) for i, s in enumerate(shape)
            )


def _add_choice(form: Form, w: list[str], batch: dict, random: np.random.Generator) -> None:
    """A stack of weights, and a number or an array of them."""
    kind = random.integers(4)
    if kind == 0:
        form.matrices = 5
        form.chosen = ()
        form.stored = (5, *form.stored)
        form.steps.insert(0, ("loop",))
    elif kind == 1 and batch and not form.steps:
        # The batch is gathered: it comes first in what is stored.
        (name,) = batch
        axis = w.index(name)
        rest = form.stored[:axis] + form.stored[axis + 1 :]
        form.matrices = 6
        form.chosen = (form.stored[axis],)
        form.stored = (6, *rest)
        form.steps = [("choose",), ("moveaxis", 0, axis)]

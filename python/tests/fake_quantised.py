"""A graph in JAX, evaluated operation by operation, with quantised products done by NumPy.

The usual "fake quantisation": what goes into a quantised product is replaced by step times count,
the weight by s_w (m u + c), and the product is an ordinary one. All else is JAX's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jax.extend import core
from quantised_sites import Encoding, QuantisedSites

# A weight stays one weight through these.
_VIEWS = {"transpose", "reshape", "slice", "squeeze", "broadcast_in_dim", "convert_element_type"}
_VIEWS |= {"copy"}


@dataclass
class Value:
    """`quantised`: the weight of that key as its codes say, in the same form as `real`."""

    real: np.ndarray
    key: str | None = None
    quantised: np.ndarray | None = None


class FakeQuantised:
    """Evaluates a jaxpr whose arguments `weights` (key by argument number) may be quantised."""

    def __init__(self, sites: QuantisedSites):
        self._sites = sites
        self._order: dict[str, list[int]] = {}  # products of each weight, by equation
        self.products = 0

    def run(self, function, arguments: Sequence[np.ndarray], first_weight: int) -> list:
        closed = jax.make_jaxpr(function)(*arguments)
        values = []
        for number, array in enumerate(arguments):
            key = f"arg{number}" if number >= first_weight else None
            values.append(self._argument(np.asarray(array), key))
        return [np.asarray(v.real) for v in self._evaluate(closed, values)]

    def _argument(self, array: np.ndarray, key: str | None) -> Value:
        symbols = [symbol for _, symbol in self._sites.dots.get(key, [])]
        symbols += [self._sites.lookups[key]] if key in self._sites.lookups else []
        if not symbols:
            return Value(array)
        weight = self._sites.weight(symbols[0])
        assert weight.shape == array.shape, (key, weight.shape, array.shape)
        return Value(array, key, weight.astype(np.float32))

    def _evaluate(self, closed: core.ClosedJaxpr, arguments: list[Value]) -> list[Value]:
        jaxpr = closed.jaxpr
        values = dict(zip(jaxpr.invars, arguments, strict=True))
        values |= {v: Value(c) for v, c in zip(jaxpr.constvars, closed.consts, strict=True)}

        def read(atom) -> Value:
            return Value(atom.val) if isinstance(atom, core.Literal) else values[atom]

        for equation in jaxpr.eqns:
            results = self._apply(equation, [read(atom) for atom in equation.invars])
            values |= dict(zip(equation.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _apply(self, equation, inputs: list[Value]) -> list[Value]:
        name, parameters = equation.primitive.name, equation.params
        if control := getattr(self, f"_{name}", None):
            return control(equation, inputs)
        for key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
            if isinstance(parameters.get(key), core.ClosedJaxpr):
                return self._evaluate(parameters[key], inputs)
        if name in _VIEWS and inputs[0].key:
            weight = inputs[0]
            real, quantised = (
                equation.primitive.bind(x, **parameters) for x in (weight.real, weight.quantised)
            )
            return [Value(real, weight.key, quantised)]
        return self._bind(equation, [value.real for value in inputs])

    def _bind(self, equation, inputs: list) -> list[Value]:
        results = equation.primitive.bind(*inputs, **equation.params)
        return [Value(r) for r in (results if equation.primitive.multiple_results else [results])]

    # Operations that have a method of their name

    def _gather(self, equation, inputs: list[Value]) -> list[Value]:
        rows = inputs[0].quantised if inputs[0].key in self._sites.lookups else inputs[0].real
        rows = np.asarray(rows).astype(inputs[0].real.dtype)
        return self._bind(equation, [rows, *(value.real for value in inputs[1:])])

    def _dot_general(self, equation, inputs: list[Value]) -> list[Value]:
        for place in (1, 0):
            if inputs[place].key in self._sites.dots:
                result = self._product(equation, inputs, place)
                return [Value(result.astype(equation.outvars[0].aval.dtype))]
        return self._bind(equation, [value.real for value in inputs])

    def _product(self, equation, inputs: list[Value], place: int) -> np.ndarray:
        weight, x = inputs[place], np.asarray(inputs[1 - place].real)
        contracting, batch = equation.params["dimension_numbers"]
        assert not batch[0], "a weight with a batch"
        w_dims, x_dims = contracting[place], contracting[1 - place]
        encoding = self._encoding(equation, weight.key)
        # Input channels in the order of the weight's dimensions.
        order = np.argsort(w_dims)
        w = np.moveaxis(np.asarray(weight.quantised), np.array(w_dims)[order], range(len(w_dims)))
        behind = range(-len(x_dims), 0)
        x = np.moveaxis(x.astype(np.float32), np.array(x_dims)[order], behind)
        channels = int(np.prod(w.shape[: len(w_dims)]))
        free_x, free_w = x.shape[: x.ndim - len(x_dims)], w.shape[len(w_dims) :]
        steps = encoding.counts(x.reshape(-1, channels)) * np.float64(encoding.step)
        y = (steps @ w.reshape(channels, -1).astype(np.float64)).reshape(*free_x, *free_w)
        self.products += 1
        return y if place == 1 else np.moveaxis(y, range(len(free_x)), range(-len(free_x), 0))

    def _encoding(self, equation, key: str) -> Encoding:
        """The first product of a weight in the graph is the first one in the program."""
        order = self._order.setdefault(key, [])
        if id(equation) not in order:
            order.append(id(equation))
        return self._sites.dots[key][
            min(order.index(id(equation)), len(self._sites.dots[key]) - 1)
        ][0]

    def _cond(self, equation, inputs: list[Value]) -> list[Value]:
        branches = equation.params["branches"]
        chosen = int(np.clip(np.asarray(inputs[0].real), 0, len(branches) - 1))
        return self._evaluate(branches[chosen], inputs[1:])

    def _while(self, equation, inputs: list[Value]) -> list[Value]:
        parameters = equation.params
        ends = np.cumsum([parameters["cond_nconsts"], parameters["body_nconsts"]])
        condition, body, carry = inputs[: ends[0]], inputs[ends[0] : ends[1]], inputs[ends[1] :]
        while bool(self._evaluate(parameters["cond_jaxpr"], [*condition, *carry])[0].real):
            carry = self._evaluate(parameters["body_jaxpr"], [*body, *carry])
        return carry

    def _scan(self, equation, inputs: list[Value]) -> list[Value]:
        parameters = equation.params
        ends = np.cumsum([parameters["num_consts"], parameters["num_carry"]])
        constants, carry, stacked = inputs[: ends[0]], inputs[ends[0] : ends[1]], inputs[ends[1] :]
        indices = range(parameters["length"])
        rows: list[list] = []
        for index in reversed(indices) if parameters["reverse"] else indices:
            parts = [Value(value.real[index]) for value in stacked]
            results = self._evaluate(parameters["jaxpr"], [*constants, *carry, *parts])
            carry, shown = results[: len(carry)], results[len(carry) :]
            rows.append([np.asarray(value.real) for value in shown])
        rows = rows[::-1] if parameters["reverse"] else rows
        return [*carry, *(Value(np.stack(column)) for column in zip(*rows, strict=True))]

"""Runs StableHLO text in jaxlib's interpreter (which is not ours), and bundle graphs with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo
from safetensors.numpy import load_file

from spikequant import bundle
from spikequant.importer import make_context, parse


def evaluate(module: ir.Module, arguments: list[np.ndarray]) -> list[np.ndarray]:
    """`module`'s context must be entered."""
    attributes = [_attribute(argument) for argument in arguments]
    return [_array(result) for result in stablehlo.eval_module(module, attributes)]


def _attribute(array: np.ndarray) -> ir.Attribute:
    array = np.array(array, order="C")
    element = {"float32": ir.F32Type.get, "int32": lambda: ir.IntegerType.get_signless(32)}
    type_ = ir.RankedTensorType.get(array.shape, element[array.dtype.name]())
    return ir.DenseElementsAttr.get(array, type=type_)


def _array(attribute: ir.Attribute) -> np.ndarray:
    """Shaped as the attribute says, also where it is a splat."""
    shape = ir.RankedTensorType(attribute.type).shape
    return np.array(ir.DenseElementsAttr(attribute)).reshape(shape)


class BundleRunner:
    """Runs a bundle's graphs; holds the cache between calls. The cache starts full of garbage."""

    def __init__(self, folder: Path, context: int, run=None):
        self.folder, self.context = folder, context
        self.model = bundle.read_model(folder)
        self.weights = load_file(folder / self.model["weights"])
        self.run = run or self._interpret
        random = np.random.default_rng(1)
        arguments = self.graph("decode")["arguments"]
        self.states = [
            100 * random.standard_normal(argument["shape"]).astype(np.float32)
            for argument in arguments
            if argument["kind"] == "state"
        ]

    def graph(self, role: str) -> dict:
        return bundle.find_graph(self.model, f"{role}_{self.context}")

    def call(self, role: str, tokens: list[int], start: int) -> np.ndarray:
        """Logits; shorter chunks are padded with token 1."""
        graph = self.graph(role)
        padded = list(tokens) + [1] * (graph["tokens"] - len(tokens))
        inputs = {"tokens": padded, "start": start, "count": len(tokens)}
        states = iter(self.states)
        arguments = []
        for argument in graph["arguments"]:
            if argument["kind"] == "input":
                arguments.append(np.array(inputs[argument["name"]], np.int32))
            elif argument["kind"] == "weight":
                arguments.append(self.weights[argument["weight"]])
            else:
                arguments.append(next(states))
        logits, *self.states = self.run(graph, arguments)
        return logits

    def _interpret(self, graph: dict, arguments: list[np.ndarray]) -> list[np.ndarray]:
        context = make_context()
        with context, ir.Location.unknown(context):
            data = (self.folder / graph["file"]).read_bytes()
            return evaluate(parse(data, graph["file"], context), arguments)

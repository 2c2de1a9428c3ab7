"""Runs StableHLO text in jaxlib's interpreter (which is not ours), and bundle graphs with it."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
from jax._src import xla_bridge
from jaxlib import xla_client
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo
from safetensors.numpy import load_file

from spikequant import bundle
from spikequant.importer import make_context, parse


def evaluate(module: ir.Module, arguments: list[np.ndarray]) -> list[np.ndarray]:
    """Results of the function main; `module`'s context must be entered."""
    types = ir.FunctionType(_main(module).attributes["function_type"].value).inputs
    attributes = [_attribute(*pair) for pair in zip(arguments, types, strict=True)]
    return [_array(result) for result in stablehlo.eval_module(module, attributes)]


def evaluate_text(text: str, arguments: list[np.ndarray]) -> list[np.ndarray]:
    context = make_context()
    with context, ir.Location.unknown(context):
        return evaluate(parse(text.encode(), "text", context), arguments)


def evaluate_with_xla(text: str, arguments: list[np.ndarray]) -> list[np.ndarray]:
    """For what the interpreter does not know, or cannot show (bf16)."""
    client = xla_bridge.get_backend("cpu")
    devices = xla_client.DeviceList(tuple(client.local_devices()[:1]))
    program = client.compile_and_load(text, devices, xla_client.CompileOptions())
    with jax.enable_x64(True):
        arrays = [jax.device_put(np.array(argument, order="C")) for argument in arguments]
    results = program.execute_sharded(arrays).disassemble_into_single_device_arrays()
    return [np.asarray(result) for (result,) in results]


def argument_types(text: str) -> list[tuple[str, tuple[int, ...]]]:
    """The element types (as MLIR writes them) and the shapes of main's arguments."""
    context = make_context()
    with context, ir.Location.unknown(context):
        main = _main(parse(text.encode(), "text", context))
        types = ir.FunctionType(main.attributes["function_type"].value).inputs
        return [(str(type_.element_type), tuple(type_.shape)) for type_ in types]


def _main(module: ir.Module) -> ir.Operation:
    functions = [op.operation for op in module.body.operations]
    return next(op for op in functions if op.attributes["sym_name"].value == "main")


def _attribute(array: np.ndarray, type_: ir.RankedTensorType) -> ir.Attribute:
    array = np.array(array, order="C")
    if array.dtype == bool:
        packed = np.packbits(array, bitorder="little")
        return ir.DenseElementsAttr.get(packed, type=type_.element_type, shape=array.shape)
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

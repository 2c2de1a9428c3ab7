"""What cannot be compiled: every such operation, its place and the way out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jaxlib.mlir import ir

from .errors import SpikeQuantError

# Dialects of a graph once it has become linalg.
_LINALG_DIALECTS = ("builtin", "func", "linalg", "arith", "math", "tensor", "scf", "affine")
_INTEGER_WIDTHS = (1, 8, 16, 32, 64)

_RANDOM = "draw random numbers outside and pass them as an argument"
_DEVICES = "export the model for one device"
_OUTSIDE = "pass what it receives as an argument and what it sends as a result"
_SOLVERS = "do this step outside, or export the model without it"
_HINTS = {
    **dict.fromkeys(("stablehlo.rng", "stablehlo.rng_bit_generator"), _RANDOM),
    **dict.fromkeys(
        (
            "stablehlo.all_gather",
            "stablehlo.all_reduce",
            "stablehlo.all_to_all",
            "stablehlo.collective_broadcast",
            "stablehlo.collective_permute",
            "stablehlo.cross-replica-sum",
            "stablehlo.reduce_scatter",
        ),
        _DEVICES,
    ),
    **dict.fromkeys(
        ("stablehlo.infeed", "stablehlo.outfeed", "stablehlo.recv", "stablehlo.send"), _OUTSIDE
    ),
    **dict.fromkeys(
        ("stablehlo.fft", "stablehlo.cholesky", "stablehlo.triangular_solve"), _SOLVERS
    ),
    "stablehlo.custom_call": "export the model without this kernel of another compiler",
    "stablehlo.set_dimension_size": "export the model with fixed sizes, and mask",
    "stablehlo.uniform_quantize": "export the real model: quantisation is done here",
    "stablehlo.uniform_dequantize": "export the real model: quantisation is done here",
}
_OTHERWISE = "export the model without it"
_SIZES = "its size is not known when compiling: make it a constant, or choose sizes with --shape"


@dataclass(frozen=True)
class UnsupportedOperation:
    """`form` is the operation in generic form, without its regions; `hint` is the way out."""

    name: str
    location: str
    form: str
    hint: str


class UnsupportedOperationsError(SpikeQuantError):
    """The graph has operations that cannot become linalg."""

    def __init__(self, source: str, operations: Sequence[UnsupportedOperation]):
        self.operations = list(operations)
        lines = "\n".join(
            f"  {op.name}: {op.location}\n    {op.form}\n    hint: {op.hint}" for op in operations
        )
        super().__init__(
            f"{source}: {len(self.operations)} operation(s) cannot be compiled:\n{lines}"
        )


def check_admitted(module: ir.Module, source: str) -> None:
    """Raises UnsupportedOperationsError if a value has an element type that is not compiled or a
    size that is not known, or for operations that never are (some have a legalisation that is
    not what they mean: random numbers that are none).
    """
    left = []
    for operation in _operations(module):
        if operation.name in _HINTS:
            left.append(_describe(operation, source, _HINTS[operation.name]))
        elif type_ := next(filter(None, map(_foreign_element, _values(operation))), None):
            hint = f"its elements are {type_}: {_type_hint(type_)}"
            left.append(_describe(operation, source, hint))
    left = left or _unknown_sizes(module, source)
    if left:
        raise UnsupportedOperationsError(source, left)


def check_one_device(module: ir.Module, source: str) -> None:
    """Raises UnsupportedOperationsError for parts that several devices share out. Before any pass:
    passes remove the meshes that these refer to.
    """
    parts = [op for op in _operations(module) if op.name == "sdy.manual_computation"]
    if parts:
        hint = "export the model for one device"
        raise UnsupportedOperationsError(source, [_describe(op, source, hint) for op in parts])


def check_legalised(module: ir.Module, source: str) -> None:
    """Raises UnsupportedOperationsError if an operation did not become linalg."""
    left = []
    for operation in _operations(module):
        is_known = operation.name.split(".")[0] in _LINALG_DIALECTS
        if not is_known and operation.name != "stablehlo.return":
            left.append(_describe(operation, source, _hint(operation)))
    if left:
        raise UnsupportedOperationsError(source, left)


def _unknown_sizes(module: ir.Module, source: str) -> list[UnsupportedOperation]:
    """The first operation whose size is not known; others follow from it."""
    for operation in _operations(module):
        if any(_is_dynamic(result) for result in operation.results):
            return [_describe(operation, source, _SIZES)]
    return []


def _operations(module: ir.Module) -> Iterator[ir.Operation]:
    """An operation comes before those inside it."""
    found: list[ir.Operation] = []

    def visit(operation: ir.Operation) -> ir.WalkResult:
        found.append(operation)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit, ir.WalkOrder.PRE_ORDER)
    return iter(found)


def _values(operation: ir.Operation) -> Iterator[ir.Value]:
    yield from operation.results
    if operation.name == "func.func":
        for block in operation.regions[0].blocks:
            yield from block.arguments


def _foreign_element(value: ir.Value) -> ir.Type | None:
    type_ = value.type
    if not isinstance(type_, ir.RankedTensorType):
        return None
    element = type_.element_type
    if isinstance(element, ir.IntegerType):
        return None if element.width in _INTEGER_WIDTHS else element
    is_known = isinstance(element, (ir.F64Type, ir.F32Type, ir.F16Type, ir.BF16Type, ir.IndexType))
    return None if is_known else element


def _type_hint(element: ir.Type) -> str:
    if isinstance(element, ir.ComplexType):
        return "write it with the real and the imaginary part apart"
    if isinstance(element, ir.IntegerType):
        return "convert it to i8 before the model is exported"
    if isinstance(element, ir.FloatType):
        return "convert it to f32, f16 or bf16 before the model is exported"
    return "export the real model: quantisation is done here"


def _is_dynamic(value: ir.Value) -> bool:
    return isinstance(value.type, ir.ShapedType) and not (
        value.type.has_rank and value.type.has_static_shape
    )


def _hint(operation: ir.Operation) -> str:
    if operation.name in _HINTS:
        return _HINTS[operation.name]
    values = (*operation.operands, *operation.results)
    is_dynamic = any(map(_is_dynamic, values)) or "dynamic" in operation.name
    return _SIZES if is_dynamic else _OTHERWISE


def _describe(operation: ir.Operation, source: str, hint: str) -> UnsupportedOperation:
    form = operation.get_asm(print_generic_op_form=True, skip_regions=True)
    return UnsupportedOperation(operation.name, _place(operation.location, source), form, hint)


def _place(location: ir.Location, source: str) -> str:
    """The name in the model and the innermost line of it, not the whole stack of calls.

    Operations of a text without locations are placed in that text, which is called "-".
    """
    text = str(location).removeprefix("loc(").removesuffix(")")
    name = re.match(r'"([^"]+)"(?!:)', text)
    line = re.search(r'"([^"]*)":(\d+:\d+)', text)
    if not line:
        return name[1] if name else text
    place = f"{source if line[1] == '-' else line[1]}:{line[2]}"
    return f"{name[1]} at {place}" if name else place

"""Graphs of unknown sizes -> graphs of the sizes that the user names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from jaxlib.mlir import ir, passmanager

from .errors import SpikeQuantError
from .operations import find

Shapes = Mapping[int, Sequence[int]]

_REFINE = (
    "builtin.module(inline,stablehlo-refine-arguments{{types={types}}},stablehlo-refine-shapes,"
    "func.func(stablehlo-canonicalize-dynamism))"
)

# Twice: what becomes static makes other sizes known.
_RESOLVE = (
    "builtin.module(stablehlo-refine-shapes,func.func(stablehlo-canonicalize-dynamism),"
    "stablehlo-refine-shapes,func.func(stablehlo-canonicalize-dynamism),canonicalize,cse)"
)
_DYNAMIC_OPERATIONS = tuple(
    f"stablehlo.{name}"
    for name in (
        "dynamic_broadcast_in_dim",
        "dynamic_conv",
        "dynamic_gather",
        "dynamic_iota",
        "dynamic_pad",
        "dynamic_reshape",
        "get_dimension_size",
        "real_dynamic_slice",
    )
)


def parse_shapes(words: Sequence[str]) -> dict[int, tuple[int, ...]]:
    """["arg0=1x32"] -> {0: (1, 32)}; "arg1=" is rank 0."""
    shapes = {}
    for word in words:
        match = re.fullmatch(r"arg(\d+)=((?:\d+(?:x\d+)*)?)", word)
        if not match:
            raise SpikeQuantError(f"--shape {word}: write argument and sizes, as in arg0=1x32")
        shapes[int(match[1])] = tuple(int(size) for size in match[2].split("x") if size)
    return shapes


def specialise(module: ir.Module, function: ir.Operation, shapes: Shapes, source: str) -> None:
    """Gives the arguments of the entry function static shapes, and what follows from them."""
    types = [argument.type for argument in function.regions[0].blocks[0].arguments]
    if unknown := [f"arg{i}" for i in shapes if i >= len(types)]:
        raise SpikeQuantError(
            f"{source}: --shape {', '.join(unknown)}: the graph has {len(types)} arguments"
        )
    wanted = [_refined(i, type_, shapes.get(i), source) for i, type_ in enumerate(types)]
    if wanted == types:
        return
    try:
        pipeline = _REFINE.format(types=",".join(map(str, wanted)))
        passmanager.PassManager.parse(pipeline).run(module.operation)
    except ir.MLIRError as error:
        raise SpikeQuantError(f"{source}: does not fit the given shapes: {error}") from error
    _check_assertions(module, source)


def resolve_sizes(module: ir.Module, function: ir.Operation) -> None:
    """Makes static what only depends on constants, in a module of one function.

    Before: %1 = dynamic_reshape %x, dense<[6]> : (tensor<2x3xf32>, tensor<1xi64>) -> tensor<?xf32>
    After:  %1 = reshape %x : (tensor<2x3xf32>) -> tensor<6xf32>
    What stays unknown is left for the check of what cannot be compiled.
    """
    if not find(module.operation, *_DYNAMIC_OPERATIONS):
        return
    name = function.attributes["sym_name"]
    function.attributes["sym_name"] = ir.StringAttr.get("main")  # what the passes look for
    silence = module.context.attach_diagnostic_handler(lambda _: True)
    try:
        passmanager.PassManager.parse(_RESOLVE).run(module.operation)
    except ir.MLIRError:
        pass
    finally:
        silence.detach()
        function.attributes["sym_name"] = name


def _refined(number: int, type_: ir.Type, shape: Sequence[int] | None, source: str) -> ir.Type:
    if not isinstance(type_, ir.RankedTensorType):
        return type_
    tensor = type_
    if shape is None and tensor.has_static_shape:
        return type_
    if shape is None:
        raise SpikeQuantError(
            f"{source}: arg{number} is {tensor}, of unknown size: choose one, as in "
            f"--shape arg{number}={_example(tensor)}"
        )
    sizes = [None if tensor.is_dynamic_dim(i) else tensor.shape[i] for i in range(tensor.rank)]
    fits = len(shape) == tensor.rank and all(
        a in (None, b) for a, b in zip(sizes, shape, strict=True)
    )
    if not fits:
        given = "x".join(map(str, shape))
        raise SpikeQuantError(f"{source}: --shape arg{number}={given} does not fit {tensor}")
    return ir.RankedTensorType.get(list(shape), tensor.element_type)


def _example(tensor: ir.RankedTensorType) -> str:
    sizes = [32 if tensor.is_dynamic_dim(i) else tensor.shape[i] for i in range(tensor.rank)]
    return "x".join(map(str, sizes))


def _check_assertions(module: ir.Module, source: str) -> None:
    """JAX's exports check their sizes by custom calls, whose operands are constants by now."""
    for operation in find(module.operation, "stablehlo.custom_call"):
        if ir.StringAttr(operation.attributes["call_target_name"]).value != "shape_assertion":
            continue
        if not _is_true(operation.operands[0]):
            message = ir.StringAttr(operation.attributes["error_message"]).value
            raise SpikeQuantError(f"{source}: does not fit the given shapes: {message}")
        operation.erase()


def _is_true(value: ir.Value) -> bool:
    owner = value.owner
    if isinstance(owner, ir.Block) or owner.name != "stablehlo.constant":
        return False
    return bool(np.all(np.array(ir.DenseElementsAttr(owner.attributes["value"]))))

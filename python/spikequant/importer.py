"""StableHLO (text or portable artifact) -> linalg text, through jaxlib's MLIR passes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from jaxlib.mlir import ir, passmanager
from jaxlib.mlir._mlir_libs import _jax_mlir_ext
from jaxlib.mlir.dialects import chlo, sdy, stablehlo

from . import bundle
from .artifacts import MAGIC, check_source
from .errors import SpikeQuantError
from .function_attributes import (
    Attributes,
    donated_arguments,
    merge,
    name_by_number,
    set_attributes,
    strip_foreign_attributes,
)
from .jax_export import unwrap
from .linalg_scalars import inline_scalars
from .outputs import replacing_file
from .stablehlo_contractions import rewrite_narrow_contractions
from .stablehlo_control import rewrite_control_flow
from .stablehlo_custom_calls import rewrite_custom_calls
from .stablehlo_empty import rewrite_empty
from .stablehlo_norms import rewrite_norms
from .stablehlo_resources import rewrite_unsigned_resources
from .stablehlo_rewrites import (
    RecursiveCallError,
    inline_calls,
    rewrite_concatenate,
    rewrite_index_select,
    rewrite_trivial_reductions,
)
from .stablehlo_scatter import rewrite_scatter
from .stablehlo_select_scatter import rewrite_select_and_scatter
from .stablehlo_shapes import Shapes, resolve_sizes, specialise
from .stablehlo_sharding import remove_shardings
from .stablehlo_sort import rewrite_sort
from .stablehlo_support import (
    UnsupportedOperation,
    UnsupportedOperationsError,
    check_admitted,
    check_legalised,
    check_one_device,
)
from .stablehlo_unsigned import rewrite_signature, unsigned_marks
from .stablehlo_wrappers import rewrite_composites, rewrite_wrappers
from .weight_keys import WeightFile

__all__ = [
    "UnsupportedOperation",
    "UnsupportedOperationsError",
    "import_bundle_graph",
    "import_graph",
    "import_text",
    "make_context",
    "parse",
]

_PREPARE = "builtin.module(symbol-dce,func.func(chlo-legalize-to-stablehlo),canonicalize,cse)"
_LEGALISE = "builtin.module(stablehlo-legalize-to-linalg,canonicalize,cse)"
_CLEAN = "builtin.module(canonicalize,cse)"
# What the legalisation leaves alone or does badly, in this order.
_REWRITES = (
    rewrite_unsigned_resources,
    rewrite_norms,
    rewrite_empty,
    rewrite_trivial_reductions,
    rewrite_narrow_contractions,
    rewrite_control_flow,
    rewrite_sort,
    rewrite_scatter,
    rewrite_select_and_scatter,
    rewrite_index_select,
    rewrite_concatenate,
)


def import_graph(
    src: str | Path,
    out: str | Path,
    name: str | None = None,
    argument_attributes: Sequence[Attributes] | None = None,
    result_attributes: Sequence[Attributes] | None = None,
    number_arguments: bool = False,
    shapes: Shapes | None = None,
    weights: str | Path | None = None,
) -> Path:
    """Reads the StableHLO file `src`, writes linalg text (with locations) to `out`.

    The public function `main` (or the only public one) is renamed to `name`. `argument_attributes`
    holds one mapping per argument (trailing ones may be left out), `result_attributes` one per
    result; a string becomes a string attribute, an int an i64 one. JAX's donated arguments are
    state. `number_arguments` names the arguments that are no weights arg0, arg1, ..
    `shapes` are those of arguments of unknown size, by number. Keys argN of the safetensors file
    `weights` make arguments weights.
    Raises SpikeQuantError; then `out` is not touched.
    """
    src, out = Path(src), Path(out)
    try:
        data = src.read_bytes()
    except OSError as error:
        raise SpikeQuantError(f"{src}: cannot be read: {error.strerror}") from error
    try:
        text = import_text(
            data,
            str(src),
            name,
            argument_attributes,
            result_attributes,
            number_arguments,
            shapes,
            weights,
        )
    except RuntimeError as error:  # jaxlib's, for names that are no text
        raise SpikeQuantError(f"{src}: damaged: export it again ({error})") from error
    with replacing_file(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return out


def import_bundle_graph(folder: str | Path, graph_name: str, out: str | Path) -> Path:
    """Imports one graph of a bundle, with its weights and state marked."""
    graph = bundle.find_graph(bundle.read_model(folder), graph_name)
    return import_graph(
        Path(folder) / graph["file"],
        out,
        graph_name,
        bundle.argument_attributes(graph),
        bundle.result_attributes(graph),
    )


def import_text(
    data: bytes,
    source: str,
    name: str | None = None,
    argument_attributes: Sequence[Attributes] | None = None,
    result_attributes: Sequence[Attributes] | None = None,
    number_arguments: bool = False,
    shapes: Shapes | None = None,
    weights: str | Path | None = None,
) -> str:
    """As `import_graph`, on the file's contents; `source` is what messages call it."""
    weight_file = WeightFile(weights) if weights is not None else None
    context = make_context()
    with context, ir.Location.unknown(context):
        module = parse(unwrap(data, source), source, context)
        function = _entry(module, source)
        attributes = merge(donated_arguments(function), argument_attributes or [])
        specialise(module, function, shapes or {}, source)
        types = [argument.type for argument in function.regions[0].blocks[0].arguments]
        if weight_file:
            attributes = merge(attributes, weight_file.argument_attributes(types, source))
        if number_arguments:
            attributes = name_by_number(attributes, len(types))
        rewrite_composites(module)
        rewrite_custom_calls(module)
        _inline(module, function, source)
        remove_shardings(module)
        check_one_device(module, source)
        rewrite_wrappers(module)
        _run(_PREPARE, module, source)
        resolve_sizes(module, function)
        check_admitted(module, source)
        marks, result_marks = unsigned_marks(function)
        attributes = merge(attributes, marks)
        result_attributes = merge(result_attributes or [], result_marks)
        rewrite_signature(function)
        for rewrite in _REWRITES:
            rewrite(module)
        if name:
            _rename(function, name)
        _run(_LEGALISE, module, source)
        inline_scalars(module)
        _run(_CLEAN, module, source)
        check_legalised(module, source)
        strip_foreign_attributes(module, function)
        arguments = function.regions[0].blocks[0].arguments
        results = ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value).results
        set_attributes(function, "arg_attrs", attributes, len(arguments), source)
        set_attributes(function, "res_attrs", result_attributes, len(results), source)
        return _place_in_file(module.operation.get_asm(enable_debug_info=True), source)


def make_context() -> ir.Context:
    """A context that knows StableHLO and its passes."""
    registry = ir.DialectRegistry()
    _jax_mlir_ext.register_dialects(registry)
    context = ir.Context()
    context.append_dialect_registry(registry)
    context.load_all_available_dialects()
    stablehlo.register_dialect(context)
    chlo.register_dialect(context)
    sdy.register_dialect(context)
    stablehlo.register_stablehlo_passes()
    context.allow_unregistered_dialects = True
    return context


def parse(data: bytes, source: str, context: ir.Context) -> ir.Module:
    """Portable artifact, MLIR bytecode or text -> verified module."""
    check_source(data, source)
    try:
        return read_module(data, context)
    except (ir.MLIRError, ValueError) as error:
        raise SpikeQuantError(f"{source}: not a StableHLO module: {error}") from error


def read_module(data: bytes, context: ir.Context) -> ir.Module:
    """As `parse`, but raises what jaxlib raises."""
    with context, ir.Location.unknown(context):
        if data.startswith(MAGIC):
            module = _parse_artifact(data, context)
            if module:
                return module
        return ir.Module.parse(data, context)


def _parse_artifact(data: bytes, context: ir.Context) -> ir.Module | None:
    """None if `data` is other bytecode; the complaint about that is kept from the terminal."""
    silence = context.attach_diagnostic_handler(lambda _: True)
    try:
        return stablehlo.deserialize_portable_artifact(context, data)
    except (ir.MLIRError, ValueError):
        return None
    finally:
        silence.detach()


def _inline(module: ir.Module, function: ir.Operation, source: str) -> None:
    try:
        inline_calls(module, function)
    except RecursiveCallError as error:
        raise SpikeQuantError(
            f"{source}: function '{error}' calls itself, which cannot be compiled"
        ) from error
    except ValueError as error:
        raise SpikeQuantError(f"{source}: a call cannot be inlined: {error}") from error


def _run(pipeline: str, module: ir.Module, source: str) -> None:
    try:
        passmanager.PassManager.parse(pipeline).run(module.operation)
    except ir.MLIRError as error:
        raise SpikeQuantError(f"{source}: cannot be lowered: {error}") from error


def _entry(module: ir.Module, source: str) -> ir.Operation:
    public = []
    for operation in module.body.operations:
        operation = operation.operation
        if operation.name != "func.func":
            continue
        attributes = operation.attributes
        if "sym_visibility" not in attributes or _text(attributes["sym_visibility"]) == "public":
            public.append(operation)
    named_main = [op for op in public if _text(op.attributes["sym_name"]) == "main"]
    entries = named_main or public
    if len(entries) != 1:
        names = ", ".join(_text(op.attributes["sym_name"]) for op in public) or "it is empty"
        raise SpikeQuantError(
            f"{source}: has {len(public)} public functions ({names}) and none is called 'main': "
            "name the one to compile so, or make the others private"
        )
    for operation in public:
        if operation != entries[0]:
            operation.attributes["sym_visibility"] = ir.StringAttr.get("private")
    return entries[0]


def _text(attribute: ir.Attribute) -> str:
    return ir.StringAttr(attribute).value


def _rename(function: ir.Operation, name: str) -> None:
    function.attributes["sym_name"] = ir.StringAttr.get(name)
    function.attributes["sym_visibility"] = ir.StringAttr.get("public")


def _place_in_file(text: str, source: str) -> str:
    """What has no location of its own is placed in the file; the parser calls that "-"."""
    name = json.dumps(source, ensure_ascii=False)
    return re.sub(r'"-":(?=\d+:\d)', lambda _: f"{name}:", text)

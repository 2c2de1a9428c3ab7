"""StableHLO (text or portable artifact) -> linalg text, through jaxlib's MLIR passes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxlib.mlir import ir, passmanager
from jaxlib.mlir._mlir_libs import _jax_mlir_ext
from jaxlib.mlir.dialects import chlo, stablehlo

from . import bundle
from .errors import SpikeQuantError
from .outputs import replacing_file
from .linalg_scalars import inline_scalars
from .stablehlo_contractions import rewrite_narrow_contractions
from .stablehlo_control import rewrite_control_flow
from .stablehlo_empty import rewrite_empty
from .stablehlo_scatter import rewrite_scatter
from .stablehlo_sort import rewrite_sort
from .stablehlo_unsigned import rewrite_signature
from .stablehlo_rewrites import RecursiveCallError, inline_calls, rewrite_concatenate

_PREPARE = "builtin.module(symbol-dce,func.func(chlo-legalize-to-stablehlo),canonicalize,cse)"
_LEGALISE = "builtin.module(stablehlo-legalize-to-linalg,canonicalize,cse)"
_CLEAN = "builtin.module(canonicalize,cse)"
# What the legalisation leaves alone or does badly, in this order.
_REWRITES = (
    rewrite_empty,
    rewrite_narrow_contractions,
    rewrite_control_flow,
    rewrite_sort,
    rewrite_scatter,
    rewrite_concatenate,
)
_FOREIGN_DIALECTS = ("stablehlo", "chlo", "mhlo", "vhlo", "sdy")
_BYTECODE_MAGIC = b"ML\xefR"

Attributes = Mapping[str, str | int]


@dataclass(frozen=True)
class UnsupportedOperation:
    """`form` is the operation in generic form, without its regions."""

    name: str
    location: str
    form: str


class UnsupportedOperationsError(SpikeQuantError):
    """The graph has operations that cannot become linalg."""

    def __init__(self, source: str, operations: Sequence[UnsupportedOperation]):
        self.operations = list(operations)
        lines = "\n".join(f"  {op.name}: {op.location}\n    {op.form}" for op in operations)
        super().__init__(
            f"{source}: {len(self.operations)} operation(s) cannot be compiled yet; export the "
            f"model without them:\n{lines}"
        )


def import_graph(
    src: str | Path,
    out: str | Path,
    name: str | None = None,
    argument_attributes: Sequence[Attributes] | None = None,
    result_attributes: Sequence[Attributes] | None = None,
    number_arguments: bool = False,
) -> Path:
    """Reads the StableHLO file `src`, writes linalg text (with locations) to `out`.

    The public function `main` (or the only public one) is renamed to `name`. `argument_attributes`
    holds one mapping per argument (trailing ones may be left out), `result_attributes` one per
    result; a string becomes a string attribute, an int an i64 one. JAX's donated arguments are
    state. `number_arguments` names the arguments that are no weights arg0, arg1, ..
    Raises SpikeQuantError; then `out` is not touched.
    """
    src, out = Path(src), Path(out)
    try:
        data = src.read_bytes()
    except OSError as error:
        raise SpikeQuantError(f"{src}: cannot be read: {error.strerror}") from error
    text = import_text(
        data, str(src), name, argument_attributes, result_attributes, number_arguments
    )
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
) -> str:
    """As `import_graph`, on the file's contents; `source` is what messages call it."""
    context = make_context()
    with context, ir.Location.unknown(context):
        module = parse(data, source, context)
        function = _entry(module, source)
        attributes = _merge(_donated_arguments(function), argument_attributes or [])
        if number_arguments:
            arguments = function.regions[0].blocks[0].arguments
            attributes = _number_arguments(attributes, len(arguments))
        _inline(module, function, source)
        _run(_PREPARE, module, source)
        rewrite_signature(function)
        for rewrite in _REWRITES:
            rewrite(module)
        if name:
            _rename(function, name)
        _run(_LEGALISE, module, source)
        inline_scalars(module)
        _run(_CLEAN, module, source)
        _check_supported(module, source)
        _strip_foreign_attributes(module, function)
        arguments = function.regions[0].blocks[0].arguments
        results = ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value).results
        _set_attributes(function, "arg_attrs", attributes, len(arguments), source)
        _set_attributes(function, "res_attrs", result_attributes, len(results), source)
        return module.operation.get_asm(enable_debug_info=True)


def make_context() -> ir.Context:
    """A context that knows StableHLO and its passes."""
    registry = ir.DialectRegistry()
    _jax_mlir_ext.register_dialects(registry)
    context = ir.Context()
    context.append_dialect_registry(registry)
    context.load_all_available_dialects()
    stablehlo.register_dialect(context)
    chlo.register_dialect(context)
    stablehlo.register_stablehlo_passes()
    context.allow_unregistered_dialects = True
    return context


def parse(data: bytes, source: str, context: ir.Context) -> ir.Module:
    """Portable artifact, MLIR bytecode or text -> verified module."""
    try:
        if data.startswith(_BYTECODE_MAGIC):
            module = _parse_artifact(data, context)
            if module:
                return module
        return ir.Module.parse(data, context)
    except (ir.MLIRError, ValueError) as error:
        raise SpikeQuantError(f"{source}: not a StableHLO module: {error}") from error


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
        raise SpikeQuantError(
            f"{source}: has {len(public)} public functions and none is called 'main'"
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


def _donated_arguments(function: ir.Operation) -> list[Attributes]:
    """JAX marks donated arguments with the result that takes their place: that is state."""
    if "arg_attrs" not in function.attributes:
        return []
    rows = [ir.DictAttr(row) for row in ir.ArrayAttr(function.attributes["arg_attrs"])]
    key = "tf.aliasing_output"
    return [
        {"spikequant.state": ir.IntegerAttr(row[key]).value} if key in row else {} for row in rows
    ]


def _merge(first: Sequence[Attributes], second: Sequence[Attributes]) -> list[Attributes]:
    return [{**a, **b} for a, b in itertools.zip_longest(first, second, fillvalue={})]


def _number_arguments(attributes: Sequence[Attributes], count: int) -> list[Attributes]:
    names = [{"spikequant.name": f"arg{i}"} for i in range(count)]
    named = _merge(names, attributes)
    for row in named:
        if "spikequant.weight" in row:
            row.pop("spikequant.name", None)
    return named


def _strip_foreign_attributes(module: ir.Module, function: ir.Operation) -> None:
    """Removes what JAX and StableHLO hang on modules and results: MLIR does not know it."""
    for name in list(module.operation.attributes):
        del module.operation.attributes[name]
    if "res_attrs" in function.attributes:
        del function.attributes["res_attrs"]


def _set_attributes(
    function: ir.Operation,
    key: str,
    attributes: Sequence[Attributes] | None,
    count: int,
    source: str,
) -> None:
    """Sets the attributes of the arguments ("arg_attrs") or results ("res_attrs")."""
    given = list(attributes or [])
    if len(given) > count:
        what = "arguments" if key == "arg_attrs" else "results"
        raise SpikeQuantError(
            f"{source}: the function has {count} {what}, not {len(given)} as described"
        )
    i64 = ir.IntegerType.get_signless(64)

    def convert(value: str | int) -> ir.Attribute:
        if isinstance(value, str):
            return ir.StringAttr.get(value)
        return ir.IntegerAttr.get(i64, value)

    rows = [{k: convert(v) for k, v in row.items()} for row in given]
    rows += [{}] * (count - len(given))
    function.attributes[key] = ir.ArrayAttr.get([ir.DictAttr.get(row) for row in rows])


def _check_supported(module: ir.Module, source: str) -> None:
    left: list[UnsupportedOperation] = []

    def visit(operation: ir.Operation) -> ir.WalkResult:
        is_foreign = operation.name.split(".")[0] in _FOREIGN_DIALECTS
        if is_foreign and operation.name != "stablehlo.return":
            left.append(_describe(operation, source))
        return ir.WalkResult.ADVANCE

    # Pre-order: an operation comes before those inside it.
    module.operation.walk(visit, ir.WalkOrder.PRE_ORDER)
    if left:
        raise UnsupportedOperationsError(source, left)


def _describe(operation: ir.Operation, source: str) -> UnsupportedOperation:
    form = operation.get_asm(print_generic_op_form=True, skip_regions=True)
    return UnsupportedOperation(operation.name, _place(operation.location, source), form)


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

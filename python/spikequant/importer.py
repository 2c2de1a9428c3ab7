"""StableHLO (text or portable artifact) -> linalg text, through jaxlib's MLIR passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxlib.mlir import ir, passmanager
from jaxlib.mlir._mlir_libs import _jax_mlir_ext
from jaxlib.mlir.dialects import chlo, stablehlo

from . import bundle
from .errors import SpikeQuantError
from .stablehlo_rewrites import rewrite_concatenate

_PREPARE = "builtin.module(inline,symbol-dce,func.func(chlo-legalize-to-stablehlo),canonicalize,cse)"
_LEGALISE = "builtin.module(stablehlo-legalize-to-linalg,canonicalize,cse)"
_BYTECODE_MAGIC = b"ML\xefR"

Attributes = Mapping[str, str | int]


class UnsupportedOperationsError(SpikeQuantError):
    """The graph has operations that cannot become linalg. `operations`: (name, location) pairs."""

    def __init__(self, source: str, operations: list[tuple[str, str]]):
        self.operations = operations
        lines = "\n".join(f"  {name} at {location}" for name, location in operations)
        super().__init__(
            f"{source}: {len(operations)} operations are not supported; export the model without "
            f"them:\n{lines}"
        )


def import_graph(
    src: str | Path,
    out: str | Path,
    name: str | None = None,
    argument_attributes: Sequence[Attributes] | None = None,
) -> Path:
    """Reads the StableHLO file `src`, writes linalg text (with locations) to `out`.

    The public function `main` (or the only public one) is renamed to `name`. `argument_attributes`
    holds one mapping per argument; a string becomes a string attribute, an int an i64 one.
    Raises SpikeQuantError; then `out` is not touched.
    """
    src, out = Path(src), Path(out)
    try:
        data = src.read_bytes()
    except OSError as error:
        raise SpikeQuantError(f"{src}: cannot be read: {error.strerror}") from error
    text = import_text(data, str(src), name, argument_attributes)
    with bundle.replacing_file(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return out


def import_bundle_graph(folder: str | Path, graph_name: str, out: str | Path) -> Path:
    """Imports one graph of a bundle, with its weights and state marked."""
    graph = bundle.find_graph(bundle.read_model(folder), graph_name)
    attributes = bundle.argument_attributes(graph)
    return import_graph(Path(folder) / graph["file"], out, graph_name, attributes)


def import_text(
    data: bytes,
    source: str,
    name: str | None = None,
    argument_attributes: Sequence[Attributes] | None = None,
) -> str:
    """As `import_graph`, on the file's contents; `source` is what messages call it."""
    context = make_context()
    with context, ir.Location.unknown(context):
        module = parse(data, source, context)
        function = _entry(module, source)
        _run(_PREPARE, module, source)
        rewrite_concatenate(module)
        if name:
            _rename(function, name)
        _run(_LEGALISE, module, source)
        _check_supported(module, source)
        _strip_foreign_attributes(module, function)
        _set_attributes(function, argument_attributes or [], source)
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
    """Portable artifact, MLIR bytecode or text -> module."""
    try:
        if data.startswith(_BYTECODE_MAGIC):
            return stablehlo.deserialize_portable_artifact(context, data)
        return ir.Module.parse(data, context)
    except (ir.MLIRError, ValueError, UnicodeDecodeError) as error:
        raise SpikeQuantError(f"{source}: not a StableHLO module: {error}") from error


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
    for operation in public:
        if _text(operation.attributes["sym_name"]) == "main":
            return operation
    if len(public) == 1:
        return public[0]
    raise SpikeQuantError(f"{source}: has {len(public)} public functions and none is called 'main'")


def _text(attribute: ir.Attribute) -> str:
    return ir.StringAttr(attribute).value


def _rename(function: ir.Operation, name: str) -> None:
    function.attributes["sym_name"] = ir.StringAttr.get(name)
    function.attributes["sym_visibility"] = ir.StringAttr.get("public")


def _strip_foreign_attributes(module: ir.Module, function: ir.Operation) -> None:
    """Removes what JAX and StableHLO hang on modules and results: MLIR does not know it."""
    for name in list(module.operation.attributes):
        del module.operation.attributes[name]
    if "res_attrs" in function.attributes:
        del function.attributes["res_attrs"]


def _set_attributes(function: ir.Operation, attributes: Sequence[Attributes], source: str) -> None:
    count = len(function.regions[0].blocks[0].arguments)
    if attributes and len(attributes) != count:
        raise SpikeQuantError(f"{source}: {len(attributes)} arguments described, but it has {count}")
    i64 = ir.IntegerType.get_signless(64)

    def convert(value: str | int) -> ir.Attribute:
        return ir.StringAttr.get(value) if isinstance(value, str) else ir.IntegerAttr.get(i64, value)

    rows = [{k: convert(v) for k, v in row.items()} for row in attributes or [{}] * count]
    function.attributes["arg_attrs"] = ir.ArrayAttr.get([ir.DictAttr.get(row) for row in rows])


def _check_supported(module: ir.Module, source: str) -> None:
    left: list[tuple[str, str]] = []

    def visit(operation: ir.Operation) -> ir.WalkResult:
        if operation.name.split(".")[0] in ("stablehlo", "chlo", "mhlo", "vhlo", "sdy"):
            left.append((operation.name, str(operation.location)))
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    if left:
        raise UnsupportedOperationsError(source, left)

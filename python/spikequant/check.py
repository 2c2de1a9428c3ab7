"""`spikequant check`: what of a graph can be compiled and what will be quantised, and why not."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from . import bundle
from .errors import SpikeQuantError
from .importer import UnsupportedOperationsError, import_bundle_graph, import_graph
from .stablehlo_shapes import Shapes
from .toolchain import run_tool

_PASSES = ("--spikequant-weights-to-symbols", "--spikequant-name-sites")
_CATEGORY = "spikequant-name-sites"


@dataclass(frozen=True)
class Finding:
    """A contraction that was taken as a site or left real, and where it is."""

    taken: bool
    text: str
    location: str | None


def check(
    source: str | Path, weights: str | Path | None = None, shapes: Shapes | None = None
) -> dict:
    """`unsupported` operations and contractions (`sites` and `left`), each with its `graphs`.

    Graphs of a bundle that differ in the context only are checked once.
    """
    source = Path(source)
    unsupported: list[dict] = []
    graphs_of: dict[Finding, list[str]] = {}
    with tempfile.TemporaryDirectory() as work:
        for name in _graph_names(source):
            file = Path(work) / f"{name}.mlir"
            try:
                _import(source, name, file, weights, shapes)
            except UnsupportedOperationsError as error:
                unsupported += [{"graph": name, **asdict(op)} for op in error.operations]
                continue
            for finding in _find_sites(file):
                graphs_of.setdefault(finding, []).append(name)
    return {
        "source": str(source),
        "unsupported": unsupported,
        "sites": _entries(graphs_of, taken=True),
        "left": _entries(graphs_of, taken=False),
    }


def _entries(graphs_of: dict[Finding, list[str]], taken: bool) -> list[dict]:
    return [
        {"graphs": graphs, "text": finding.text, "location": finding.location}
        for finding, graphs in graphs_of.items()
        if finding.taken == taken
    ]


def _graph_names(source: Path) -> list[str]:
    if not source.is_dir():
        return ["main"]
    by_role = {}
    for graph in bundle.read_model(source)["graphs"]:
        by_role.setdefault(graph["role"], graph["name"])
    return list(by_role.values())


def _import(
    source: Path, name: str, file: Path, weights: str | Path | None, shapes: Shapes | None
) -> None:
    if source.is_dir():
        import_bundle_graph(source, name, file)
    else:
        import_graph(source, file, "main", number_arguments=True, shapes=shapes, weights=weights)


def _find_sites(file: Path) -> list[Finding]:
    remarks = file.with_suffix(".yaml")
    options = [f"--remarks-filter={_CATEGORY}", "--remark-format=yaml"]
    options += [f"--remarks-output-file={remarks}", "-o", "/dev/null"]
    run_tool("sq-opt", [file, *_PASSES, *options])
    try:
        documents = list(yaml.load_all(remarks.read_text(encoding="utf-8"), _RemarkLoader))
    except (OSError, yaml.YAMLError) as error:
        raise SpikeQuantError(f"sq-opt's remarks cannot be read: {error}") from error
    return [_finding(document) for document in documents if document]


class _RemarkLoader(yaml.SafeLoader):
    """The kind of a remark is its YAML tag."""


def _load_remark(loader: yaml.SafeLoader, kind: str, node: yaml.MappingNode) -> dict:
    return {"Kind": kind, **loader.construct_mapping(node, deep=True)}


_RemarkLoader.add_multi_constructor("!", _load_remark)


def _finding(remark: dict) -> Finding:
    parts = [str(value) for entry in remark.get("Args", []) for value in entry.values()]
    return Finding(remark["Kind"] == "Passed", " ".join(parts), _location(remark))


def _location(remark: dict) -> str | None:
    place = remark.get("DebugLoc") or {}
    if not place.get("Line"):
        # Where the exporter names operations only.
        return place["File"] if place.get("File", "<unknown file>") != "<unknown file>" else None
    return f"{place['File']}:{place['Line']}:{place.get('Column', 0)}"

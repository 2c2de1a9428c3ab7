"""spikequant import: StableHLO to linalg."""

from __future__ import annotations

from pathlib import Path

from .arguments import add_output, add_shapes

NAME = "import"
HELP = "a StableHLO graph to linalg text"
DESCRIPTION = """\
Lowers a StableHLO module (text, bytecode, a portable artifact or what jax.export
serialises) to linalg on tensors, with locations. Operations that have no such form are
listed with their locations.

Example:
  spikequant import model.stablehlo.mlir -o model.linalg.mlir"""


def add_arguments(parser) -> None:
    parser.add_argument("graph", type=Path, metavar="GRAPH")
    add_output(parser, "the linalg module, a .mlir file")
    add_shapes(parser)
    parser.add_argument("--name", default="main", help="name of the function (default: main)")


def run(options) -> None:
    from ..importer import import_graph
    from ..stablehlo_shapes import parse_shapes

    shapes = parse_shapes(options.shape)
    import_graph(options.graph, options.output, options.name, shapes=shapes)

"""spikequant check: what can be compiled, what will be quantised, and why not."""

from __future__ import annotations

from pathlib import Path

from ..errors import SpikeQuantError
from .arguments import add_json, add_shapes, add_weights

NAME = "check"
HELP = "what of a graph is unsupported, what will be quantised, and why; or whether OUT is whole"
DESCRIPTION = """\
Imports a StableHLO graph, or one graph of each role of a bundle, and lists
  - operations that cannot be compiled, with their locations and a way out;
  - the sites: contractions of activations with constant weights, which are quantised;
  - contractions that stay real, with the reason.
Exit code 1 if something is unsupported.

Of a compiled folder: whether this processor can run it and its weights are undamaged.

Examples:
  spikequant check model.mlir --weights model.safetensors
  spikequant check model.sq"""


def add_arguments(parser) -> None:
    parser.add_argument("source", type=Path, metavar="BUNDLE|GRAPH|OUT")
    add_weights(parser)
    add_shapes(parser)
    add_json(parser)


def run(options) -> dict:
    from ..check import check
    from ..native import is_compiled
    from ..stablehlo_shapes import parse_shapes

    if is_compiled(options.source):
        return _check_program(options.source)
    result = check(options.source, options.weights, parse_shapes(options.shape))
    for entry in result["unsupported"]:
        print(f"{entry['graph']}: unsupported: {entry['name']} at {entry['location']}")
        print(f"  hint: {entry['hint']}")
    for key, title in (("sites", "quantised"), ("left", "stays real")):
        for entry in result[key]:
            place = f" ({entry['location']})" if entry["location"] else ""
            print(f"{', '.join(entry['graphs'])}: {title}: {entry['text']}{place}")
    count = {key: len(result[key]) for key in ("sites", "left", "unsupported")}
    print(
        f"{count['sites']} sites will be quantised, {count['left']} contractions stay real, "
        f"{count['unsupported']} operations are unsupported"
    )
    if result["unsupported"]:
        raise SpikeQuantError(f"{options.source}: cannot be compiled, see above")
    return result


def _check_program(folder: Path) -> dict:
    from ..native import NativeModel

    model = NativeModel(folder)
    print(f"{folder}: whole, and this processor runs it: {', '.join(model.graphs)}")
    return {"program": str(folder), "graphs": list(model.graphs)}

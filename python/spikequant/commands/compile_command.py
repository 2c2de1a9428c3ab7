"""spikequant compile: a bundle or graph to native code."""

from __future__ import annotations

import sys
from pathlib import Path

from ..progress import progress_bar
from .arguments import add_json, add_output, positive

NAME = "compile"
HELP = "quantises and compiles a bundle or a graph to a folder that runs"
DESCRIPTION = """\
Chooses steps and bits from the calibration, rounds and packs the weights, and writes a
relocatable folder: model.so (docs/CABI.md), weights.sqw, model.json, tokenizer.json."""


def add_arguments(parser) -> None:
    parser.add_argument("source", type=Path, metavar="BUNDLE|GRAPH")
    add_output(parser, "the compiled folder")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="weights argN of a graph")
    parser.add_argument("--calibration", type=Path, metavar="FILE")
    parser.add_argument("--float", action="store_true", help="compile without quantisation")
    parser.add_argument(
        "--method",
        choices=["spike", "rtn"],
        default="spike",
        help="rtn: round to nearest with a step per token, the usual baseline",
    )
    parser.add_argument(
        "--bits", type=float, default=4.25, metavar="B", help="mean activation bits (default 4.25)"
    )
    parser.add_argument("--weight-bits", type=positive, default=4, metavar="B", help="default: 4")
    parser.add_argument("--group", type=int, default=32, metavar="G", help="0: whole rows")
    parser.add_argument("--head-bits", type=positive, default=8, metavar="B", help="default: 8")
    parser.add_argument("--target", choices=["cpu"], default="cpu")
    parser.add_argument("--isa", choices=["auto", "vnni", "portable"], default="auto")
    parser.add_argument("--mcpu", default="native", help="as clang's -mcpu (default: native)")
    parser.add_argument("--graphs", metavar="NAME,NAME", help="only these graphs of the bundle")
    parser.add_argument(
        "--taps", action="store_true", help="show every count and membrane to the host"
    )
    add_json(parser)


def run(options) -> dict:
    from ..compiler import CompileOptions, compile_model

    settings = CompileOptions(
        method="float" if options.float else options.method,
        calibration=options.calibration,
        weights=options.weights,
        bits=options.bits,
        weight_bits=options.weight_bits,
        group=options.group,
        head_bits=options.head_bits,
        isa=options.isa,
        mcpu=options.mcpu,
        taps=options.taps,
        graphs=options.graphs.split(",") if options.graphs else None,
    )
    with progress_bar("compile") as report:
        result = compile_model(options.source, options.output, settings, report)
    print(f"{options.output}: compiled in {result['seconds']:.1f} s", file=sys.stderr)
    return result

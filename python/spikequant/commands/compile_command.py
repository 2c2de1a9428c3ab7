"""spikequant compile: a bundle or graph to native code."""

from __future__ import annotations

import sys
from pathlib import Path

from ..progress import progress_bar
from .arguments import add_json, add_output, add_shapes, add_weights, real, whole

NAME = "compile"
HELP = "quantises and compiles a bundle or a graph to a folder that runs"
DESCRIPTION = """\
Chooses steps and bits from the calibration, rounds and packs the weights, and writes a
relocatable folder: model.so (docs/CABI.md), weights.sqw, model.json, tokenizer.json.

Examples:
  spikequant compile model.bundle --calibration model.calib.json --bits 4.25 -o model.sq
  spikequant compile model.bundle --float -o model.float
  spikequant compile graph.mlir --weights graph.safetensors --float -o graph.float"""


def add_arguments(parser) -> None:
    parser.add_argument("source", type=Path, metavar="BUNDLE|GRAPH")
    add_output(parser, "the compiled folder")
    add_weights(parser)
    add_shapes(parser)
    parser.add_argument(
        "--calibration", type=Path, metavar="CALIB", help="made by 'spikequant calibrate'"
    )
    parser.add_argument(
        "--float", action="store_true", help="no quantisation: the baseline for everything"
    )
    parser.add_argument(
        "--method",
        choices=["spike", "rtn"],
        default="spike",
        help="rtn: round to nearest with a step per token, the usual baseline (no calibration)",
    )
    parser.add_argument(
        "--bits",
        type=real(1, 16),
        default=4.25,
        metavar="B",
        help="mean activation bits, salient events included (default: 4.25)",
    )
    parser.add_argument(
        "--weight-bits", type=whole(2, 8), default=4, metavar="B", help="default: 4"
    )
    parser.add_argument(
        "--group",
        type=whole(0),
        default=32,
        metavar="G",
        help="input channels that share a multiplier and an offset; 0: all (default: 32)",
    )
    parser.add_argument(
        "--head-bits",
        type=whole(2, 8),
        default=8,
        metavar="B",
        help="weight bits of the embedding and the head (default: 8)",
    )
    parser.add_argument(
        "--rounding",
        choices=["auto", "nearest", "second-order"],
        default="auto",
        help="of weights; second-order has the least error of the outputs and needs "
        "'calibrate --gram' (default: second-order where that was given)",
    )
    parser.add_argument(
        "--no-fold",
        action="store_true",
        help="leave scales where the graph has them, not in the next threshold",
    )
    parser.add_argument("--target", choices=["cpu"], default="cpu", help="default: cpu")
    _add_code_arguments(parser)
    add_json(parser)


def _add_code_arguments(parser) -> None:
    parser.add_argument(
        "--isa",
        choices=["auto", "vnni", "portable"],
        default="auto",
        help="instructions of the integer products; results are the same (default: auto)",
    )
    parser.add_argument(
        "--mcpu", default="native", metavar="CPU", help="as clang's -mcpu (default: native)"
    )
    parser.add_argument("--graphs", metavar="NAME,NAME", help="only these graphs of the bundle")
    parser.add_argument(
        "--taps", action="store_true", help="show every count and membrane to 'run --record'"
    )
    parser.add_argument(
        "--profile", action="store_true", help="measure each kernel for 'bench --profile'"
    )


def run(options) -> dict:
    from ..compiler import CompileOptions, compile_model
    from ..stablehlo_shapes import parse_shapes

    settings = CompileOptions(
        method="float" if options.float else options.method,
        calibration=options.calibration,
        weights=options.weights,
        bits=options.bits,
        weight_bits=options.weight_bits,
        group=options.group,
        head_bits=options.head_bits,
        rounding=options.rounding,
        fold=not options.no_fold,
        isa=options.isa,
        mcpu=options.mcpu,
        taps=options.taps,
        profile=options.profile,
        graphs=options.graphs.split(",") if options.graphs else None,
        shapes=parse_shapes(options.shape),
    )
    with progress_bar("compile") as report:
        result = compile_model(options.source, options.output, settings, report)
    print(f"{options.output}: compiled in {result['seconds']:.1f} s", file=sys.stderr)
    return result

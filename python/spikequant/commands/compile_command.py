"""spikequant compile: a bundle or graph to native code."""

from __future__ import annotations

import sys
from pathlib import Path

from ..errors import SpikeQuantError
from ..progress import progress_bar
from ..targets import TARGETS
from .arguments import (
    add_json,
    add_output,
    add_rotate,
    add_shapes,
    add_weights,
    positive,
    real,
    whole,
)

NAME = "compile"
HELP = "quantises and compiles a bundle or a graph to a folder that runs"
DESCRIPTION = """\
Chooses steps and bits from the calibration, rounds and packs the weights, and writes a
relocatable folder: model.so (docs/CABI.md), weights.sqw, model.json, tokenizer.json.
With --target json, nir or sanafe: the layers that --select names as a spiking network, with
its stimulus, expected outputs and a report (docs/Neuromorphic.md).

Examples:
  spikequant compile model.bundle --calibration model.calib.json --bits 4.25 -o model.sq
  spikequant compile model.bundle --float -o model.float
  spikequant compile graph.mlir --weights graph.safetensors --float -o graph.float
  spikequant compile model.bundle --calibration model.calib.json --target nir \\
    --select 'blk.0.ffn_down[0:64,0:64]' -o tile.nir"""


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
        "--allocation",
        choices=["budget", "mad", "percentile"],
        default="budget",
        help="where steps come from: least predicted loss for --bits (default), or the plain "
        "rules median |x| x factor / 7 and percentile of |x| / 7, which meet no budget",
    )
    parser.add_argument(
        "--budget-by",
        choices=["values", "macs"],
        default="values",
        help="what --bits is a mean over: encoded values, or the multiply-accumulates that they "
        "drive (default: values)",
    )
    parser.add_argument(
        "--mad-factor", type=real(0.01, 1000), default=3.5, metavar="K", help="default: 3.5"
    )
    parser.add_argument(
        "--percentile", type=real(0.001, 0.999), default=0.95, metavar="P", help="default: 0.95"
    )
    parser.add_argument(
        "--weight-bits", type=whole(2, 8), default=4, metavar="B", help="default: 4"
    )
    parser.add_argument(
        "--weight-budget",
        type=real(2, 16),
        metavar="B",
        help="mean stored bits per weight of the layers, multipliers, offsets and scales included: "
        "each gets the bits and groups that serve it best, instead of --weight-bits and --group "
        "(which take 4.55 for 576 inputs by default)",
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
        "--attention-bits",
        type=int,
        choices=[0, *range(2, 9)],
        default=8,
        metavar="B",
        help="of the counts in products of two activations, such as queries with keys; "
        "0: they stay real (default: 8)",
    )
    parser.add_argument(
        "--cache-bits",
        type=int,
        choices=range(2, 9),
        metavar="B",
        help="of the counts that the key-value cache holds; below 8 with a step for each head and "
        "channel, up to 4 two in a byte (default: as --attention-bits)",
    )
    parser.add_argument(
        "--rounding",
        choices=["auto", "nearest", "second-order"],
        default="auto",
        help="of weights; second-order has the least error of the outputs and needs "
        "'calibrate --gram'; auto: second-order where that was given, else nearest with errors "
        "weighted by the inputs' squares (default: auto)",
    )
    add_rotate(parser)
    parser.add_argument(
        "--no-fold",
        action="store_true",
        help="leave scales where the graph has them, not in the next threshold",
    )
    parser.add_argument(
        "--real-activations",
        action="store_true",
        help="leave functions between matrices as real numbers, not integer tables",
    )
    parser.add_argument(
        "--no-centres",
        action="store_true",
        help="put the windows of all channels around 0, also of skewed ones",
    )
    parser.add_argument(
        "--fine-centres",
        action="store_true",
        help="search the centre of each channel's window in eighths of a step",
    )
    parser.add_argument(
        "--real-residual",
        action="store_true",
        help="leave the residual stream and the norms real, not fixed point",
    )
    parser.add_argument(
        "--real-softmax",
        action="store_true",
        help="leave masks and exponents of attention as real numbers, not integers",
    )
    parser.add_argument(
        "--real-rotations",
        action="store_true",
        help="leave rotary embeddings and divided rows as real numbers, not integers",
    )
    _add_code_arguments(parser)
    _add_select_arguments(parser)
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


def _add_select_arguments(parser) -> None:
    group = parser.add_argument_group(
        "neuromorphic targets",
        "Layers of the quantised graph as a spiking network, driven by the calibration's inputs.",
    )
    group.add_argument("--target", choices=["cpu", *TARGETS], default="cpu", help="default: cpu")
    group.add_argument(
        "--select",
        action="append",
        metavar="SITE[rows,columns],..",
        help="a layer by its weight's name, or a chain of layers with nothing but biases, scales "
        "and ReLU between them; ranges as in blk.0.ffn_down[0:64,0:64]; repeated: several networks",
    )
    group.add_argument("--code", choices=["count", "ladder", "gated"], help="of the spikes")
    group.add_argument(
        "--rows", type=positive, metavar="N", help="real inputs of the network (default: 100)"
    )
    group.add_argument("--text", type=Path, metavar="FILE", help="instead of the calibration's")
    group.add_argument("--inputs", type=Path, metavar="NPZ", help="instead of the calibration's")
    group.add_argument(
        "--output-bits", type=whole(2, 8), metavar="B", help="of the last layer (default: 4)"
    )
    group.add_argument(
        "--output-step",
        type=real(1e-30, 1e30),
        metavar="S",
        help="of the last layer (default: least error on its inputs)",
    )
    group.add_argument(
        "--target-model", type=Path, metavar="JSON", help="refuse what does not fit this chip"
    )


_SELECT_ONLY = ("code", "rows", "text", "inputs", "output_bits", "output_step", "target_model")


def run(options) -> dict:
    settings = _settings(options)
    if options.target != "cpu":
        return _run_select(options, settings)
    given = [name for name in ("select", *_SELECT_ONLY) if getattr(options, name) is not None]
    if given:
        flags = ", ".join("--" + name.replace("_", "-") for name in given)
        raise SpikeQuantError(f"{flags}: for --target json, nir or sanafe")
    from ..compiler import compile_model

    with progress_bar("compile") as report:
        result = compile_model(options.source, options.output, settings, report)
    print(f"{options.output}: compiled in {result['seconds']:.1f} s", file=sys.stderr)
    return result


def _run_select(options, settings) -> dict:
    from ..neuromorphic_compile import SelectOptions, compile_selection, summarise, title
    from .figures import print_figures

    if not options.select:
        raise SpikeQuantError(
            f"--target {options.target} needs --select SITE: 'spikequant check' lists the sites"
        )
    given = {name: getattr(options, name) for name in _SELECT_ONLY}
    chosen = {name: value for name, value in given.items() if value is not None}
    select = SelectOptions(options.target, options.select, **chosen)
    with progress_bar("compile") as report:
        result = compile_selection(options.source, options.output, settings, select, report)
    for network in result["networks"]:
        print_figures(summarise(network), title(network))
    return result


def _settings(options):
    from ..compiler import CompileOptions
    from ..stablehlo_shapes import parse_shapes

    return CompileOptions(
        method="float" if options.float else options.method,
        calibration=options.calibration,
        weights=options.weights,
        bits=options.bits,
        allocation=options.allocation,
        budget_by=options.budget_by,
        mad_factor=options.mad_factor,
        percentile=options.percentile,
        weight_bits=options.weight_bits,
        weight_budget=options.weight_budget,
        group=options.group,
        head_bits=options.head_bits,
        attention_bits=options.attention_bits,
        cache_bits=options.cache_bits or 0,
        rounding=options.rounding,
        rotate=options.rotate,
        fold=not options.no_fold,
        centres=not options.no_centres,
        fine_centres=options.fine_centres,
        real_activations=options.real_activations,
        real_residual=options.real_residual,
        real_softmax=options.real_softmax,
        real_rotations=options.real_rotations,
        isa=options.isa,
        mcpu=options.mcpu,
        taps=options.taps,
        profile=options.profile,
        graphs=options.graphs.split(",") if options.graphs else None,
        shapes=parse_shapes(options.shape),
    )

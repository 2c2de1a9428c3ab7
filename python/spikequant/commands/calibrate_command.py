"""spikequant calibrate: statistics of the values that will be encoded."""

from __future__ import annotations

from pathlib import Path

from ..errors import SpikeQuantError
from ..progress import progress_bar
from .arguments import (
    add_json,
    add_output,
    add_rotate,
    add_shapes,
    add_threads,
    add_weights,
    positive,
    real,
    whole,
)

NAME = "calibrate"
HELP = "collects the statistics from which steps and bits are chosen"
DESCRIPTION = """\
Runs the float program over text (a bundle) or recorded inputs (a graph) and saves, for
each value that will be encoded, a mergeable histogram per channel. Steps and bits are
chosen from it by 'spikequant compile', so one calibration serves any number of bits.
Calibrate on other text than you evaluate on.

Examples:
  spikequant calibrate model.bundle --text calibration.txt -o model.calib.json
  spikequant calibrate graph.mlir --inputs batch.npz -o graph.calib.json
  spikequant calibrate --merge part1.json part2.json -o all.json"""


def add_arguments(parser) -> None:
    parser.add_argument("source", type=Path, nargs="?", metavar="BUNDLE|GRAPH")
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--text", type=Path, metavar="FILE", help="text to run over (UTF-8)")
    given.add_argument(
        "--inputs", type=Path, metavar="NPZ", help="arrays argN, each with a leading batch axis"
    )
    given.add_argument(
        "--merge", type=Path, nargs="+", metavar="CALIB", help="add up calibration files"
    )
    add_output(parser, "the calibration file")
    add_weights(parser)
    add_shapes(parser)
    parser.add_argument(
        "--tokens", type=positive, default=8192, metavar="N", help="of the text (default: 8192)"
    )
    parser.add_argument(
        "--context",
        type=positive,
        default=1024,
        metavar="N",
        help="tokens per window, one of the bundle's contexts (default: 1024, or the largest)",
    )
    parser.add_argument(
        "--gram",
        action="store_true",
        help="also collect X^T X of every site, into CALIB.gram: 'spikequant compile' then rounds "
        "weights for the least error of the outputs (4 channels^2 bytes for each site)",
    )
    parser.add_argument(
        "--sensitivity",
        choices=("auto", "none", "finite", "fisher"),
        default="auto",
        help="how it is measured what an error at each site does to the loss: by rounding one site "
        "at a time (finite), by gradients (fisher: bundles only), or not (default: fisher for "
        "bundles, finite for graphs)",
    )
    parser.add_argument(
        "--jobs",
        type=whole(1, 256),
        default=1,
        metavar="N",
        help="processes that share the text and the threads; results do not depend on it "
        "(default: 1)",
    )
    parser.add_argument(
        "--bits",
        type=real(0.5, 8),
        default=4.25,
        metavar="B",
        help="for which it is checked that the text is enough: with B bits per value on it, how "
        "many on the last eighth of the windows, held out? (default: 4.25)",
    )
    add_rotate(parser)
    add_threads(parser)
    add_json(parser)


def run(options) -> dict | None:
    if options.merge:
        from ..collector import merge

        if options.source is not None:
            raise SpikeQuantError("--merge adds up files: leave out the bundle or graph")
        return merge(options.merge, options.output)
    if options.source is None:
        raise SpikeQuantError("name the bundle or the graph to calibrate")
    if bool(options.text) != options.source.is_dir() and options.source.exists():
        raise SpikeQuantError("a bundle needs --text, a graph --inputs")
    settings = _calibration_options(options)
    with progress_bar("calibrate") as report:
        (_run_text if options.text else _run_inputs)(options, settings, report)
    return settings.report


def _run_text(options, settings, report) -> None:
    from ..calibrate import calibrate_text

    calibrate_text(
        options.source,
        options.text,
        options.output,
        options.tokens,
        options.context,
        progress=report,
        options=settings,
    )


def _run_inputs(options, settings, report) -> None:
    from ..calibrate import calibrate_inputs
    from ..stablehlo_shapes import parse_shapes

    calibrate_inputs(
        options.source,
        options.weights,
        options.inputs,
        options.output,
        progress=report,
        shapes=parse_shapes(options.shape),
        options=settings,
    )


def _calibration_options(options):
    from ..calibrate import CalibrationOptions

    return CalibrationOptions(
        options.threads,
        options.jobs,
        options.gram,
        options.sensitivity,
        options.bits,
        rotate=options.rotate,
    )

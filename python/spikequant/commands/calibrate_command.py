"""spikequant calibrate: statistics of the values that will be encoded."""

from __future__ import annotations

from pathlib import Path

from ..errors import SpikeQuantError
from ..progress import progress_bar
from .arguments import add_output, add_threads, positive

NAME = "calibrate"
HELP = "collects the statistics from which steps and bits are chosen"
DESCRIPTION = """\
Runs the float program over text (a bundle) or recorded inputs (a graph) and saves, for
each value that will be encoded, a mergeable histogram per channel. Calibrate on other
text than you evaluate on."""


def add_arguments(parser) -> None:
    parser.add_argument("source", type=Path, nargs="?", metavar="BUNDLE|GRAPH")
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--text", type=Path, metavar="FILE", help="text to run over")
    given.add_argument(
        "--inputs", type=Path, metavar="NPZ", help="arrays argN with a leading batch axis"
    )
    given.add_argument(
        "--merge", type=Path, nargs="+", metavar="CALIB", help="add up calibration files"
    )
    add_output(parser, "the calibration file")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="weights argN of a graph")
    parser.add_argument("--tokens", type=positive, default=8192, metavar="N", help="default: 8192")
    parser.add_argument("--context", type=positive, default=1024, metavar="N", help="default: 1024")
    add_threads(parser)


def run(options) -> None:
    from ..calibrate import calibrate_inputs, calibrate_text, merge

    if options.merge:
        merge(options.merge, options.output)
        return
    if options.source is None:
        raise SpikeQuantError("name the bundle or the graph to calibrate")
    with progress_bar("calibrate") as report:
        if options.text:
            calibrate_text(
                options.source,
                options.text,
                options.output,
                options.tokens,
                options.context,
                options.threads,
                report,
            )
        else:
            calibrate_inputs(
                options.source,
                options.weights,
                options.inputs,
                options.output,
                options.threads,
                report,
            )

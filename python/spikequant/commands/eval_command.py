"""spikequant eval: perplexity beside the float program's."""

from __future__ import annotations

from pathlib import Path

from ..progress import progress_bar
from .arguments import add_json, add_threads, positive, whole
from .figures import print_figures

NAME = "eval"
HELP = "perplexity over windows of text, beside the float program's"
DESCRIPTION = """\
Mean over whole windows, each scored from an empty cache. The ratio's standard error is
that of the paired difference by window; activation bits are measured on this text, with
everything frozen by calibration. The float program is compiled once and kept in the
cache folder (~/.cache/spikequant), unless --float names one.

Example:
  spikequant eval model.sq --text test.txt --windows 8 --json figures.json

Several programs of one model are scored together, so that the float program runs once;
their figures then stand under "programs" in the JSON file, by folder name."""


def add_arguments(parser) -> None:
    parser.add_argument("program", type=Path, nargs="+", metavar="OUT", help="a compiled model")
    parser.add_argument("--text", type=Path, required=True, metavar="FILE", help="UTF-8 text")
    parser.add_argument(
        "--context", type=whole(2), default=1024, metavar="N", help="tokens (default: 1024)"
    )
    parser.add_argument("--windows", type=positive, default=8, metavar="N", help="default: 8")
    parser.add_argument("--float", type=Path, metavar="OUT", help="the float program, if compiled")
    add_threads(parser)
    add_json(parser)


def run(options) -> dict:
    from ..perplexity import evaluate_all

    with progress_bar("eval") as report:
        results = evaluate_all(
            options.program,
            options.text,
            options.context,
            options.windows,
            options.threads,
            options.float,
            report,
        )
    for program, result in zip(options.program, results, strict=True):
        print_figures(result, program.name if len(results) > 1 else None)
    if len(results) == 1:
        return results[0]
    names = [program.name for program in options.program]
    return {"programs": dict(zip(names, results, strict=True))}

"""spikequant eval: perplexity beside the float program's."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from ..progress import progress_bar
from .arguments import add_json, add_threads, positive

NAME = "eval"
HELP = "perplexity over windows of text, beside the float program's"
DESCRIPTION = """\
Mean over whole windows, each scored from an empty cache. The ratio's standard error is
that of the paired difference by window; activation bits are measured on this text, with
everything frozen by calibration."""


def add_arguments(parser) -> None:
    parser.add_argument("program", type=Path, metavar="OUT")
    parser.add_argument("--text", type=Path, required=True, metavar="FILE")
    parser.add_argument("--context", type=positive, default=1024, metavar="N")
    parser.add_argument("--windows", type=positive, default=8, metavar="N")
    parser.add_argument("--float", type=Path, metavar="OUT", help="the float program, if compiled")
    add_threads(parser)
    add_json(parser)


def run(options) -> dict:
    from ..perplexity import evaluate

    with progress_bar("eval") as report:
        result = evaluate(
            options.program,
            options.text,
            options.context,
            options.windows,
            options.threads,
            options.float,
            report,
        )
    print_figures(result)
    return result


def print_figures(result: dict) -> None:
    table = Table("figure", "value")
    for key, value in result.items():
        if value is not None and not isinstance(value, list):
            shown = f"{value:.4f}" if isinstance(value, float) else str(value)
            table.add_row(key, shown)
    Console().print(table)

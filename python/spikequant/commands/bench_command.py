"""spikequant bench: speed, memory, load time."""

from __future__ import annotations

from pathlib import Path

from ..progress import progress_bar
from .arguments import add_json, add_threads, integer_list, positive

NAME = "bench"
HELP = "prefill and decode speed, memory and load time"
DESCRIPTION = """\
Median of three runs each, wall time. Memory is the process's resident set, the Python
interpreter and the mapped weights included."""


def add_arguments(parser) -> None:
    parser.add_argument("program", type=Path, metavar="OUT")
    parser.add_argument("--prompt-lengths", type=integer_list, default=[128, 512], metavar="N,N")
    parser.add_argument("--decode-tokens", type=positive, default=64, metavar="N")
    add_threads(parser)
    add_json(parser)


def run(options) -> dict:
    from ..bench import measure
    from .eval_command import print_figures

    with progress_bar("bench") as report:
        result = measure(
            options.program, options.threads, options.prompt_lengths, options.decode_tokens, report
        )
    flat = {f"prefill {k} tokens/s": v for k, v in result["prefill_tokens_per_second"].items()}
    print_figures({**flat, **{k: v for k, v in result.items() if not isinstance(v, dict)}})
    return result

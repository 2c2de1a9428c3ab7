"""spikequant bench: speed, memory, load time."""

from __future__ import annotations

from pathlib import Path

from ..progress import progress_bar
from .arguments import add_json, add_threads, integer_list, positive
from .figures import print_figures

NAME = "bench"
HELP = "prefill and decode speed, memory and load time"
DESCRIPTION = """\
Median of three runs each, wall time. Memory is the process's resident set, the Python
interpreter and the mapped weights included.

Example:
  spikequant bench model.sq --threads 1 --prompt-lengths 128
  spikequant bench profiled.sq --profile              (made by 'spikequant compile --profile')"""


def add_arguments(parser) -> None:
    parser.add_argument("program", type=Path, metavar="OUT", help="a compiled model")
    parser.add_argument(
        "--prompt-lengths",
        type=integer_list,
        metavar="N,N",
        help="tokens per prompt (default: 128 and 512, if the context is that long)",
    )
    parser.add_argument(
        "--decode-tokens", type=positive, default=64, metavar="N", help="default: 64"
    )
    parser.add_argument(
        "--profile",
        action="store_true",
        help="time of each kernel instead, for one prompt of the first length and one token",
    )
    add_threads(parser)
    add_json(parser)


def run(options) -> dict:
    from ..bench import measure

    if options.profile:
        return _profile(options)
    with progress_bar("bench") as report:
        result = measure(
            options.program, options.threads, options.prompt_lengths, options.decode_tokens, report
        )
    speeds = result["prefill_tokens_per_second"].items()
    flat = {f"prefill_{length}_tokens_per_second": speed for length, speed in speeds}
    print_figures({**flat, **result})
    return result


def _profile(options) -> dict:
    from ..bench import profile

    length = (options.prompt_lengths or [128])[0]
    result = profile(options.program, options.threads, length, options.decode_tokens)
    for title, kernels in (
        (f"prefill of {length}", result["prefill_kernels"]),
        ("decode of one", result["decode_kernels"]),
    ):
        total = sum(kernel["milliseconds"] for kernel in kernels)
        print(f"{title}: {total:.3f} ms in kernels")
        for kernel in kernels:
            time, calls = kernel["milliseconds"], kernel["calls"]
            print(f"  {time:9.3f} ms {time / total:6.1%} {calls:6.0f} calls  {kernel['name']}")
    return result

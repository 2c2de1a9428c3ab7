"""spikequant run: a prompt or arrays through a compiled folder."""

from __future__ import annotations

import time
from pathlib import Path

from ..errors import SpikeQuantError
from .arguments import add_json, add_threads, positive

NAME = "run"
HELP = "runs a compiled model on a prompt, or a compiled graph on arrays"
DESCRIPTION = """\
With --prompt, continues a text (greedily); --chat puts the model's chat template around
it and stops at the end of the answer. With --inputs, runs one graph on arrays arg0,
arg1, .. of an .npz file and writes out0, out1, .. to --outputs."""


def add_arguments(parser) -> None:
    parser.add_argument("program", type=Path, metavar="OUT")
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--prompt", metavar="TEXT")
    given.add_argument("--inputs", type=Path, metavar="NPZ")
    parser.add_argument("--chat", action="store_true", help="use the model's chat template")
    parser.add_argument("--max-tokens", type=positive, default=128, metavar="N")
    parser.add_argument("--outputs", type=Path, metavar="NPZ")
    parser.add_argument("--graph", help="which graph to run on --inputs, if there are several")
    parser.add_argument(
        "--record", type=Path, metavar="NPZ", help="what a program compiled with --taps shows"
    )
    add_threads(parser)
    add_json(parser)


def run(options) -> dict | None:
    if options.prompt is not None:
        return _run_prompt(options)
    from ..arrays import run_arrays

    if options.outputs is None:
        raise SpikeQuantError("--inputs needs --outputs FILE.npz")
    run_arrays(
        options.program,
        options.inputs,
        options.outputs,
        options.graph,
        options.threads,
        options.record,
    )
    return None


def _run_prompt(options) -> dict:
    from ..chat import Chat
    from ..session import Session

    chat = Chat(Session(options.program, options.threads))
    encode = chat.encode_turn if options.chat else chat.encode
    tokens = encode(options.prompt) if options.prompt else []
    start, text = time.perf_counter(), ""
    for piece in chat.answer(tokens, options.max_tokens):
        print(piece, end="", flush=True)
        text += piece
    print()
    seconds = time.perf_counter() - start
    return {"prompt_tokens": len(tokens), "text": text, "seconds": seconds}

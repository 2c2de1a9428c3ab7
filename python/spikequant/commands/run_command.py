"""spikequant run: a prompt, a conversation or arrays through a compiled folder."""

from __future__ import annotations

import time
from pathlib import Path

from ..errors import SpikeQuantError
from .arguments import add_json, add_threads, positive

NAME = "run"
HELP = "runs a compiled model on a prompt, or a compiled graph on arrays"
DESCRIPTION = """\
With --prompt, continues a text (greedily); --chat puts the model's chat template around
it and stops at the end of the answer. --chat alone is a conversation in the terminal.
With --inputs, runs one graph on arrays arg0, arg1, .. (or by name) of an .npz file and writes its
results out0, out1, .. to --outputs; state that is left out starts as zeros.
--save-state keeps tokens and cache behind the answer; a later --prompt with --load-state does
not compute again what both begin with, and gives the same answer as without.

Examples:
  spikequant run model.sq --prompt "Once upon a time" --max-tokens 40
  spikequant run model.sq --chat --prompt "What is a spiking neuron?"
  spikequant run model.sq --chat
  spikequant run model.sq --prompt "Long text .." --save-state text.state
  spikequant run model.sq --prompt "Long text .. and more" --load-state text.state
  spikequant run graph.sq --inputs in.npz --outputs out.npz"""


def add_arguments(parser) -> None:
    parser.add_argument("program", type=Path, metavar="OUT", help="a compiled model or graph")
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--prompt", metavar="TEXT")
    given.add_argument("--inputs", type=Path, metavar="NPZ")
    parser.add_argument("--chat", action="store_true", help="use the model's chat template")
    parser.add_argument(
        "--max-tokens", type=positive, metavar="N", help="of one answer (default: 128, chat: 512)"
    )
    parser.add_argument(
        "--load-state", type=Path, metavar="FILE", help="of --save-state: begin with its cache"
    )
    parser.add_argument(
        "--save-state", type=Path, metavar="FILE", help="keep the cache, in packed counts"
    )
    parser.add_argument("--outputs", type=Path, metavar="NPZ", help="where results go")
    parser.add_argument("--graph", metavar="NAME", help="for --inputs, if there are several")
    parser.add_argument(
        "--record", type=Path, metavar="NPZ", help="what a program compiled with --taps shows"
    )
    parser.add_argument(
        "--packed",
        action="store_true",
        help="record counts in the bits of their windows: a quarter of the size and less",
    )
    add_threads(parser)
    add_json(parser)


def run(options) -> dict | None:
    if options.prompt is not None:
        return _run_prompt(options)
    if options.inputs is not None:
        return _run_inputs(options)
    if options.chat:
        return _run_conversation(options)
    raise SpikeQuantError("say what to run on: --prompt TEXT, --chat, or --inputs FILE.npz")


def _run_inputs(options) -> None:
    from ..arrays import run_arrays

    if options.outputs is None:
        raise SpikeQuantError("--inputs needs --outputs FILE.npz")
    if options.chat:
        raise SpikeQuantError("--chat is for prompts: leave it out with --inputs")
    if options.load_state or options.save_state:
        raise SpikeQuantError("--load-state and --save-state are for --prompt")
    if options.packed and options.record is None:
        raise SpikeQuantError("--packed is for what --record FILE.npz saves")
    run_arrays(
        options.program,
        options.inputs,
        options.outputs,
        options.graph,
        options.threads,
        options.record,
        options.packed,
    )


def _open_chat(options):
    from ..chat import Chat
    from ..session import Session

    if options.outputs or options.graph or options.record or options.packed:
        raise SpikeQuantError("--outputs, --graph, --record and --packed are for --inputs")
    return Chat(Session(options.program, options.threads))


def _run_prompt(options) -> dict:
    chat = _open_chat(options)
    if not options.prompt:
        raise SpikeQuantError("the prompt is empty: give some text")
    if options.chat:
        tokens = chat.encode_messages([{"role": "user", "content": options.prompt}])
    else:
        tokens = chat.encode(options.prompt)
    from ..conversation import show_answer

    if options.load_state is not None:
        chat.session.restore(options.load_state)
    kept = chat.count_kept(tokens)
    start = time.perf_counter()
    text = show_answer(chat, tokens, options.max_tokens or (512 if options.chat else 128))
    saved = None if options.save_state is None else chat.session.save(options.save_state)
    return {
        "prompt_tokens": len(tokens),
        "reused_tokens": kept,
        "state_bytes": saved,
        "answer_tokens": chat.session.position - len(tokens),
        "text": text,
        "stopped": chat.session.stopped,
        "seconds": time.perf_counter() - start,
    }


def _run_conversation(options) -> None:
    from ..conversation import converse

    if options.load_state or options.save_state:
        raise SpikeQuantError("--load-state and --save-state are for --prompt")
    converse(_open_chat(options), options.max_tokens or 512)

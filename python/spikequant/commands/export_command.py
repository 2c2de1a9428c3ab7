"""spikequant export: GGUF to a bundle."""

from __future__ import annotations

from pathlib import Path

from ..progress import progress_bar
from .arguments import add_output, integer_list, positive

NAME = "export"
HELP = "a GGUF model to a bundle of StableHLO graphs, weights and tokenizer"
DESCRIPTION = """\
Builds the model of a GGUF file (architecture llama) in JAX and exports it: for each
context length a prefill, a scoring and a decode graph, with the key-value cache as
state and the weights as arguments (docs/Bundle.md).

Example:
  spikequant export SmolLM2-135M-Instruct.gguf -o smollm2.bundle"""


def add_arguments(parser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL.gguf")
    add_output(parser, "the bundle, a folder")
    parser.add_argument(
        "--context",
        type=integer_list,
        default=[256, 1024],
        metavar="N,N",
        help="cache lengths; a conversation moves to the next one as it grows (default: 256,1024)",
    )
    parser.add_argument(
        "--chunk", type=positive, default=128, metavar="N", help="tokens per prefill call"
    )


def run(options) -> None:
    from ..export import export_gguf

    with progress_bar("export") as report:
        export_gguf(options.model, options.output, options.context, options.chunk, report)

"""The `spikequant` command."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from .errors import SpikeQuantError

_DESCRIPTION = """\
Compiles large language models to spiking-integer programs and runs them.

A first session:
  spikequant export MODEL.gguf -o model.bundle
  spikequant calibrate model.bundle --text calibration.txt -o model.calib.json
  spikequant compile model.bundle --calibration model.calib.json -o model.sq
  spikequant run model.sq --chat --prompt "What is a spiking neuron?"
  spikequant eval model.sq --text test.txt

Any StableHLO graph, as JAX and PyTorch export it (docs/Graphs.md):
  spikequant check graph.mlir --weights graph.safetensors
  spikequant compile graph.mlir --weights graph.safetensors --float -o graph.float
  spikequant run graph.float --inputs in.npz --outputs out.npz

Every command explains itself: spikequant COMMAND --help.
"""
_TRACE = "SPIKEQUANT_TRACE"


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 only if the whole job was done; 2 for a wrong command line."""
    options = _parser().parse_args(arguments)
    _stops.clear()
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGINT, _terminate)
    try:
        result = options.run(options)
        if getattr(options, "json", None) and result is not None:
            _write_json(options.json, result)
        sys.stdout.flush()
    except SpikeQuantError as error:
        return _fail(options, str(error), 1)
    except KeyboardInterrupt:
        return _fail(options, "interrupted", 130)
    except BrokenPipeError:
        # The reader has gone; keep the interpreter from complaining at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if os.environ.get(_TRACE):
            raise
        message = f"internal error: {type(error).__name__}: {error} ({_TRACE}=1 shows where)"
        return _fail(options, message, 1)
    return 0


# Signals that asked for an end. C++ code that calls Python turns the exception into an error of its
# own, so the exception alone would not tell.
_stops: list[int] = []


def _fail(options: argparse.Namespace, message: str, code: int) -> int:
    if _stops:
        message, code = "interrupted", 128 + _stops[0]
    print(f"spikequant {options.command}: error: {message}", file=sys.stderr)
    return code


def _terminate(number: int, _frame) -> None:
    """An orderly end: temporary files go."""
    _stops.append(number)
    raise KeyboardInterrupt


def _write_json(path: Path, result: dict) -> None:
    from .bundle import write_json
    from .outputs import replacing_file

    with replacing_file(path) as temporary:
        write_json(temporary, result)


def _parser() -> argparse.ArgumentParser:
    from . import commands

    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "spikequant", description=_DESCRIPTION, formatter_class=formatter
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in commands.ALL:
        sub = subparsers.add_parser(
            command.NAME,
            help=command.HELP,
            description=command.DESCRIPTION,
            formatter_class=formatter,
        )
        command.add_arguments(sub)
        sub.set_defaults(run=command.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())

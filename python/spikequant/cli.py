"""The `spikequant` command."""

from __future__ import annotations

import argparse
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
"""


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        result = options.run(options)
        if getattr(options, "json", None) and result is not None:
            _write_json(options.json, result)
    except SpikeQuantError as error:
        print(f"spikequant {options.command}: error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:
        print(f"spikequant {options.command}: interrupted", file=sys.stderr)
        return 130
    return 0


def _write_json(path: Path, result: dict) -> None:
    from .bundle import replacing_file, write_json

    try:
        with replacing_file(path) as temporary:
            write_json(temporary, result)
    except OSError as error:
        raise SpikeQuantError(f"{path}: cannot be written: {error}") from error


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

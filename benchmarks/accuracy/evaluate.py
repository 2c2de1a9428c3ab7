"""Figures of a model on windows of text, its bits, and the search for a method's constants."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from . import metrics
from .cache import cached, digest, read_json, source_digest, write_json
from .graph import READERS, SITES, Model
from .methods import Method
from .program import BITS, Program
from .quantisers import EVENT_BITS, STORED_EVENT_BITS
from .workshop import Workshop

CODE = ("graph", "quantisers", "metrics", "methods", "observed", "packed", "transforms", "program")
Report = Callable[[str], None]


def reference_hidden(workshop: Workshop, tokens: np.ndarray) -> np.ndarray:
    """The float model's last hidden values [T, D] on one window, kept on disk."""
    key = digest(workshop.key, tokens.tolist(), source_digest("graph"))

    def make(path: Path) -> None:
        evaluator = workshop.evaluator(workshop.config, len(tokens))
        hidden, _, _ = evaluator.run(workshop.reference, tokens[None])
        with path.open("wb") as file:
            np.save(file, np.asarray(hidden[0]))

    return np.load(cached(workshop.folder / "hidden" / f"{key}.npy", make))


def expected(workshop: Workshop, tokens: np.ndarray) -> list[metrics.Expected]:
    """What the float model says on one window; kept until another window is asked for, so that
    methods which take turns share it."""
    key = ("expected", tokens.tobytes())
    graph = workshop.evaluator(workshop.config, len(tokens)).graph

    def make() -> list[metrics.Expected]:
        hidden = reference_hidden(workshop, tokens)
        return metrics.expectations(graph, workshop.reference, hidden, tokens)

    return workshop.expectations.get(key, make)


def run_window(workshop: Workshop, model: Model | Program, tokens: np.ndarray) -> dict:
    """metrics.window_figures and what `bit_figures` needs."""
    run = _run_program if isinstance(model, Program) else _run_model
    figures = run(workshop, model, tokens)
    return {key: float(value) for key, value in figures.items()}


def _run_program(workshop: Workshop, program: Program, tokens: np.ndarray) -> dict:
    chunks, bits = program.score(tokens, metrics.ROWS)
    return {**metrics.window_figures(expected(workshop, tokens), chunks, tokens), **bits()}


def _run_model(workshop: Workshop, model: Model, tokens: np.ndarray) -> dict:
    """With the salient counts: of values, and weighted by fan-out."""
    evaluator = workshop.evaluator(model.config, len(tokens))
    hidden, _, counts = evaluator.run(model, tokens[None])
    counts["head"] = 0

    def logits():
        for rows, _ in metrics.parts(tokens):
            part, salient = metrics.head(evaluator.graph)(
                hidden[0][rows], model.weights, model.head
            )
            counts["head"] += int(salient)
            yield part

    figures = metrics.window_figures(expected(workshop, tokens), logits(), tokens)
    widths = fan_outs(model)
    figures["salient"] = sum(counts.values())
    figures["salient_by_macs"] = sum(n * widths[site][1] for site, n in counts.items())
    return figures


def fan_outs(model: Model) -> dict[str, tuple[int, int]]:
    """Site -> channels, and outputs that each of its values drives."""
    result = {}
    for layer in range(model.config.layers):
        for site in SITES:
            matrices = [model.weights[f"blk.{layer}.{name}"] for name in READERS[site]]
            outputs = sum(matrix.shape[1] for matrix in matrices)
            result[f"blk.{layer}.{site}"] = (matrices[0].shape[0], outputs)
    result["head"] = (model.config.width, model.config.vocabulary)
    return result


def static_bits(model: Model) -> tuple[float, float]:
    """Mean bits of the encoded values without events: of values, and weighted by fan-out."""
    widths = fan_outs(model)
    quantisers = {
        f"blk.{i}.{site}": layer[site] for i, layer in enumerate(model.layers) for site in SITES
    }
    quantisers["head"] = model.head
    bits, values, macs = np.array(
        [(q.bits(), widths[s][0], widths[s][0] * widths[s][1]) for s, q in quantisers.items()]
    ).T
    return float(np.average(bits, weights=values)), float(np.average(bits, weights=macs))


def bit_figures(description: dict, windows: list[dict]) -> dict:
    """Activation and stored bits, events included, as measured on the windows."""
    if "values" not in description:  # a program has counted them itself
        return {key: float(np.mean([w[key] for w in windows])) for key in BITS}
    rows = len(windows) * description["context"]
    share = sum(w["salient"] for w in windows) / (rows * description["values"])
    by_macs = sum(w["salient_by_macs"] for w in windows) / (rows * description["macs"])
    bits, bits_by_macs = description["static_bits"], description["static_bits_by_macs"]
    return {
        "activation_bits": bits + EVENT_BITS * share,
        "activation_bits_by_macs": bits_by_macs + EVENT_BITS * by_macs,
        "stored_bits": bits + STORED_EVENT_BITS * share,
        "salient_share": share,
    }


def describe(model: Model | Program, context: int) -> dict:
    """What `bit_figures` needs to know of a model."""
    if isinstance(model, Program):
        return {"weight_bits": model.weight_bits}
    bits, by_macs = static_bits(model)
    widths = fan_outs(model).values()
    return {
        "static_bits": bits,
        "static_bits_by_macs": by_macs,
        "values": sum(channels for channels, _ in widths),
        "macs": sum(channels * outputs for channels, outputs in widths),
        "context": context,
        "weight_bits": model.weight_bits,
    }


def tune(workshop: Workshop, method: Method, report: Report) -> dict[str, float]:
    """Constants of least KL to the float model on held-out calibration text, one after another.

    Candidates are tried in their order as long as they get better (KL has one minimum). A budget is
    corrected once by what its bits cost there beyond the nominal ones.
    """
    windows = workshop.tuning_windows[: None if method.has_budget else 1]
    constants = {name: values[0] for name, values in method.search.items()}
    seen = _Trials(workshop, method, windows, report)
    for name, candidates in method.search.items():
        if len(candidates) > 1:
            constants[name] = _descend(
                candidates, lambda c, name=name: seen.trial({**constants, name: c})["kl"]
            )
    if method.has_budget:
        constants["budget"] = seen.budget(method.nominal_bits)
    return constants


def _descend(candidates: tuple, measure: Callable[[float], float]) -> float:
    best, least = candidates[0], float("inf")
    for candidate in candidates:
        value = measure(candidate)
        if value > least:
            break
        best, least = candidate, value
    return best


class _Trials:
    """Each one is kept, so that an interrupted search goes on."""

    def __init__(self, workshop: Workshop, method: Method, windows: np.ndarray, report: Report):
        self.workshop, self.method, self.windows = workshop, method, windows
        self.report = report
        key = digest(workshop.identity, method.name, windows.tolist(), source_digest(*CODE))
        self.path = workshop.folder / "trials" / f"{method.name}-{key}.json"
        self.known = read_json(self.path)

    def budget(self, nominal: float) -> float:
        """What costs the nominal bits on held-out text, and three standard errors and the margin
        less."""
        found = self.trial({"budget": nominal})
        excess = found["activation_bits"] - nominal + 3 * found["bits_error"]
        return round(nominal - max(excess, 0) - self.workshop.settings.margin, 3)

    def trial(self, constants: dict[str, float]) -> dict:
        name = " ".join(f"{k}={v}" for k, v in constants.items())
        if name not in self.known:
            model = self.method.build(self.workshop, constants, True)
            results = [run_window(self.workshop, model, window) for window in self.windows]
            description = describe(model, self.windows.shape[1])
            kl = float(np.mean([r["kl"] for r in results]))
            bits = [bit_figures(description, [r])["activation_bits"] for r in results]
            error = metrics.standard_error(np.array(bits)) if len(bits) > 1 else 0.0
            figures = {"kl": kl, "bits_error": error, **bit_figures(description, results)}
            self.known[name] = figures
            write_json(self.path, self.known)
            self.report(f"{self.method.name} {name}: KL {kl:.4f}")
        return self.known[name]


def say(text: str) -> None:
    """Progress, on standard error, with the time of day."""
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)

"""Makes what methods need from one bundle, once: statistics, equivalent bundles, compiled folders.

All rounding of weights is the compiler's own (second-order, docs/PackedWeights.md), for every
method, with the Gram matrices of the inputs that the method's layers see.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import jax
import numpy as np
from safetensors.numpy import load_file, save_file

from spikequant import bundle, export
from spikequant.calibrate import AUTO, CalibrationOptions, calibrate_text
from spikequant.collector import gram_path
from spikequant.compiler import CompileOptions, compile_model
from spikequant.llama_graphs import LlamaConfig
from spikequant.native import COMPILE
from spikequant.text import read_windows
from spikequant.toolchain import find_tool

from . import histograms, observed, quantisers, transforms
from .cache import cached, digest, source_digest
from .graph import SITES, Evaluator, Model
from .metrics import evaluator
from .settings import Settings

# The residual stream is rotated in the weights, or the inputs of all layers when they are there.
FOLDED, ONLINE = "folded", "online"


@dataclass(frozen=True)
class Variant:
    """An equivalent float model: inputs smoothed with `alpha`, or rotated (FOLDED or ONLINE).
    `per_token`: inputs are divided by the token's median before they are observed."""

    alpha: float | None = None
    rotation: str | None = None
    per_token: bool = False

    @property
    def is_plain(self) -> bool:
        return self == Variant()

    def config(self, original: LlamaConfig) -> LlamaConfig:
        """A folded rotation takes the head off the embedding."""
        return replace(original, tied_head=False) if self.rotation == FOLDED else original

    def factors(self, config: LlamaConfig) -> dict[str, tuple[np.ndarray, ...]]:
        """Of the rotations at run time, by site."""
        if self.rotation is None:
            return {}
        sites = transforms.ROTATED_SITES if self.rotation == FOLDED else SITES
        return transforms.online_factors(config, sites)


class Latest:
    """One value: that of the key which was asked for last."""

    def __init__(self):
        self._kept: tuple | None = None

    def get(self, key: object, make: Callable):
        if self._kept is None or self._kept[0] != key:
            self._kept = None  # frees the memory first
            self._kept = (key, make())
        return self._kept[1]


class Workshop:
    """Everything is kept in `folder` under the hash of what made it."""

    def __init__(self, source: Path, folder: Path, settings: Settings):
        self.source, self.folder, self.settings = source, folder, settings
        self.description = bundle.read_model(source)
        sizes = self.description["hyperparameters"]
        self.config = LlamaConfig(**{f.name: sizes[f.name] for f in fields(LlamaConfig)})
        self.max_context = max(self.description["contexts"])
        self.key = digest(source / bundle.MODEL, source / self.description["weights"])
        # The product calibrates in windows that fill a context of the bundle.
        self.calibration_context = self.max_context
        text = settings.calibration_text
        self._calibration_key = [self.key, text, settings.tokens, self.calibration_context]
        self._weights, self.expectations = Latest(), Latest()
        # All that a method's constants and weights depend on.
        self.identity = [self._calibration_key, Path(find_tool("sq-compile"))]

    @functools.cached_property
    def weights(self) -> dict[str, np.ndarray]:
        return load_file(self.source / self.description["weights"])

    @functools.cached_property
    def reference(self) -> Model:
        return Model(self.config, self.weights).on_device()

    def keep(self, key: object, make: Callable[[], tuple]) -> tuple:
        """The result of `make()`, as long as the key stays the same: trials share their weights."""
        return self._weights.get(key, make)

    def evaluator(self, config: LlamaConfig, tokens: int) -> Evaluator:
        return evaluator(config, tokens, tokens)

    @functools.cached_property
    def figures(self) -> dict[str, np.ndarray]:
        """observed.observe on the calibration text."""
        key = digest(self._calibration_key, source_digest("observed", "graph"))
        path = self.folder / "figures" / f"{key}.npz"
        return dict(np.load(cached(path, self._observe)))

    def _observe(self, path: Path) -> None:
        windows = self._calibration_windows()
        evaluator = self.evaluator(self.config, windows.shape[1])
        with path.open("wb") as file:
            np.savez(file, **observed.observe(evaluator, self.reference, windows))

    def _calibration_windows(self) -> np.ndarray:
        size, text = self.calibration_context, self.settings.calibration_text
        return read_windows(self.source, text, size, -(-self.settings.tokens // size))

    @functools.cached_property
    def tuning_windows(self) -> np.ndarray:
        """Calibration text that no statistics have seen."""
        size = self.settings.context
        first = -(-self.settings.tokens // size)
        count = first + self.settings.tuning_windows
        return read_windows(self.source, self.settings.calibration_text, size, count)[first:]

    @functools.cached_property
    def plain_steps(self) -> dict[str, float]:
        """The paper's rule with 2.5 % salient values, from the plain calibration."""
        return histograms.plain_steps(self.calibration(Variant()), salient=0.025)

    def smoothing(self, alpha: float) -> dict[str, np.ndarray]:
        inputs = {k.removesuffix(".max"): v for k, v in self.figures.items() if ".max" in k}
        return transforms.smoothing_factors(inputs, self.weights, self.config, alpha)

    def real_weights(self, variant: Variant) -> tuple[dict[str, np.ndarray], LlamaConfig]:
        """Of an equivalent model, not rounded."""
        if variant.rotation == FOLDED:
            return transforms.rotate_model(self.weights, self.config, seed=1)
        if variant.rotation == ONLINE:
            return transforms.rotate_inputs(self.weights, self.config), self.config
        if variant.alpha is not None:
            factors = self.smoothing(variant.alpha)
            return transforms.scale_inputs(self.weights, self.config, factors), self.config
        return self.weights, self.config

    def calibration(self, variant: Variant) -> Path:
        """The calibration file, with its Gram file beside it."""
        code = source_digest("observed", "graph", "transforms", "hadamard", "quantisers")
        tools = None if variant.is_plain else code
        key = digest(self._calibration_key, asdict(variant), tools)
        path = self.folder / "calibrations" / f"{key}.json"
        if not path.exists() or not gram_path(path).exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._calibrate(variant, path)
        return path

    def _calibrate(self, variant: Variant, path: Path) -> None:
        settings = self.settings
        if variant.is_plain:
            # As `spikequant calibrate --gram` does it.
            options = CalibrationOptions(threads=2, grams=True, sensitivity=AUTO)
            text, context = settings.calibration_text, self.calibration_context
            calibrate_text(self.source, text, path, settings.tokens, context, options=options)
            return
        weights, config = self.real_weights(variant)
        model = Model(config, weights, self.online_rotations(variant, config)).on_device()
        windows = self._calibration_windows()
        evaluator = self.evaluator(config, windows.shape[1])
        rotations = variant.factors(config)

        def view(site: str, x: jax.Array) -> jax.Array:
            if site in rotations:
                x = quantisers.rotate(x, rotations[site])
            return x / quantisers.token_scale(x) if variant.per_token else x

        observed.collect(evaluator, model, windows, view, path, True)

    def online_rotations(self, variant: Variant, config: LlamaConfig) -> list[dict]:
        """The layers' quantisers of a float model."""
        factors = variant.factors(config)
        return [{s: quantisers.Rotated(None, f) for s, f in factors.items()}] * config.layers

    def bundle(self, variant: Variant) -> Path:
        """A bundle of one score graph, with the variant's weights."""
        if variant.alpha is None and variant.rotation is None:
            return self.source
        code = source_digest("transforms", "hadamard")
        key = digest(self._calibration_key, variant.alpha, variant.rotation, code)
        path = self.folder / "bundles" / key
        if not (path / bundle.MODEL).exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write_bundle(variant, path)
        return path

    def _write_bundle(self, variant: Variant, path: Path) -> None:
        weights, config = self.real_weights(variant)
        context, chunk = self.max_context, self.description["chunk"]
        with bundle.replacing_bundle(path) as fresh:
            (fresh / bundle.GRAPHS).mkdir()
            graph = export._write_graph(fresh, config, "score", context, chunk, [context])
            save_file(weights, fresh / bundle.WEIGHTS)
            shutil.copy(self.source / bundle.TOKENIZER, fresh / bundle.TOKENIZER)
            sizes = {**self.description["hyperparameters"], **asdict(config)}
            description = {**self.description, "hyperparameters": sizes, "graphs": [graph]}
            description |= {"contexts": [context], "weights": bundle.WEIGHTS}
            bundle.write_json(fresh / bundle.MODEL, description)

    def compiled(self, variant: Variant, bits: float, **options) -> Path:
        """`options`: of CompileOptions; the score graph alone unless `graphs` says otherwise."""
        calibration = self.calibration(variant)
        options = {"graphs": [f"score_{self.max_context}"], **options}
        if not variant.is_plain:  # attention products have no statistics then, and are not used
            options["attention_bits"] = 0
        key = digest(self.key, calibration, bits, options, Path(find_tool("sq-compile")))
        path = self.folder / "compiled" / key
        if not (path / COMPILE).exists():
            choices = CompileOptions(calibration=calibration, bits=bits, **options)
            compile_model(self.bundle(variant), path, choices)
        return path

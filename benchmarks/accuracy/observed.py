"""What the float model's activations look like on calibration text."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from spikequant import llama_graphs
from spikequant.collector import Collector

from .graph import READERS, SITES, Evaluator, Model
from .transforms import config_width

View = Callable[[str, jax.Array], jax.Array]


def observe(evaluator: Evaluator, model: Model, windows: np.ndarray) -> dict[str, np.ndarray]:
    """Per site "blk.0.attn_q": `.max` |x| and `.square` (mean) per channel, `.saliency`.

    Saliency is SpikeLLM's (Xing et al. 2024) for activations: the mean over tokens of
    x_j (x W W^T)_j, half the first-order change of |x W|^2. `blk.0.query`, `.key`: largest
    magnitude per key/value head [Hkv]; `.value`: per head and channel [Hkv, E].
    """
    totals: dict[str, np.ndarray] = {}
    for window in windows:
        for layer, seen in enumerate(evaluator.observe(model, window[None])):
            prefix = f"blk.{layer}."
            for site in SITES:
                weights = [model.weights[prefix + name] for name in READERS[site]]
                _add_site(totals, prefix + site, seen[site][0], weights, len(windows))
            (query, keys), (_, values) = seen["qk"], seen["pv"]
            for name, array, axes in (
                ("query", query, (0, 2, 3)),
                ("key", keys, (0, 2, 3)),
                ("value", values, (0, 2)),
            ):
                _larger(totals, prefix + name, jnp.max(jnp.abs(array), axis=axes))
    return totals


def _add_site(totals, site: str, x: jax.Array, weights: list[jax.Array], windows: int) -> None:
    largest, square, saliency = _site_figures(x, weights)
    _larger(totals, site + ".max", largest)
    for name, value in ((".square", square), (".saliency", saliency)):
        totals[site + name] = totals.get(site + name, 0) + np.asarray(value, np.float64) / windows


@jax.jit
def _site_figures(x, weights):
    back = sum((x @ w) @ w.T for w in weights)
    return jnp.max(jnp.abs(x), axis=0), jnp.mean(x * x, axis=0), jnp.mean(x * back, axis=0)


def _larger(totals, key: str, value: jax.Array) -> None:
    value = np.asarray(value)
    totals[key] = np.maximum(totals[key], value) if key in totals else value


def collect(
    evaluator: Evaluator,
    model: Model,
    windows: np.ndarray,
    view: View,
    out: Path,
    grams: bool,
) -> None:
    """A calibration file (and its Gram file) of `view(site, input)` instead of the inputs."""
    config = model.config
    head = "token_embd" if config.tied_head else "output"
    names = [f"blk.{i}.{site}.in" for i in range(config.layers) for site in SITES]
    channels = [config_width(config, site) for _ in range(config.layers) for site in SITES]
    collector = Collector([*names, f"{head}.in"], [*channels, config.width], grams)
    for window in windows:
        index = 0
        for seen in evaluator.observe(model, window[None]):
            for site in SITES:
                _hand_over(collector, index, view(site, seen[site][0]))
                index += 1
        normed = _norm(seen["hidden"][0], model.weights["output_norm"], config.norm_epsilon)
        _hand_over(collector, index, view("head", normed))
    collector.save(out)


def _norm(x: jax.Array, weight: jax.Array, epsilon: float) -> jax.Array:
    return llama_graphs._rms_norm(x, weight, epsilon)


def _hand_over(collector: Collector, site: int, x: jax.Array) -> None:
    array = np.ascontiguousarray(x, np.float32)
    shape = (ctypes.c_int64 * 2)(*array.shape)
    observer = collector.observer
    observer.function(observer.user, site, array.ctypes.data, 0, 2, shape)


def attention_steps(
    figures: Mapping[str, np.ndarray], layer: int, value_factors: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """8-bit steps per key/value head; values may have been divided by factors [Hkv, E]."""
    prefix = f"blk.{layer}."
    values = figures[prefix + "value"]
    if value_factors is not None:
        values = values / value_factors
    largest = (figures[prefix + "query"], figures[prefix + "key"], values.max(axis=1))
    steps = [np.where(m > 0, m, 1).astype(np.float32) / 127 for m in largest]
    return dict(zip(("query", "key", "value"), steps, strict=True))

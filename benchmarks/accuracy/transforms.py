"""Equivalent float models: channels rescaled, and the residual stream rotated.

Linear weights are [inputs, outputs]. Nothing here rounds; sums are in double precision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from spikequant.llama_graphs import LlamaConfig

from . import hadamard
from .graph import READERS, SITES

Weights = dict[str, np.ndarray]
# Inputs that are rotated at run time: no rotation can be folded through what makes them.
ROTATED_SITES = ("attn_output", "ffn_down")


def scale_inputs(
    weights: Mapping[str, np.ndarray], config: LlamaConfig, factors: Mapping[str, np.ndarray]
) -> Weights:
    """Divides the input of each site by its factors, {"blk.0.attn_q": [K], ..}.

    The division is folded into the norm, the columns of v or the columns of up; the rows of the
    site's readers are multiplied. The factors of attn_output must agree for all query heads that
    share a value head.
    """
    result = dict(weights)

    def scale(key: str, by: np.ndarray) -> None:
        if key in result:
            result[key] = (result[key].astype(np.float64) * by).astype(np.float32)

    for site, factor in factors.items():
        prefix, name = site.rsplit(".", 1)
        factor = np.asarray(factor, np.float64)
        if name == "attn_output":
            heads = factor.reshape(config.kv_heads, -1, config.head_width)
            if not (heads == heads[:, :1]).all():
                raise ValueError(f"{site}: query heads that share values need equal factors")
            for key in ("attn_v", "attn_v.bias"):
                scale(f"{prefix}.{key}", 1 / heads[:, 0].reshape(-1))
        else:
            source = {"attn_q": "attn_norm", "ffn_gate": "ffn_norm", "ffn_down": "ffn_up"}[name]
            scale(f"{prefix}.{source}", 1 / factor)
        for reader in READERS[name]:
            scale(f"{prefix}.{reader}", factor[:, None])
    return result


def smoothing_factors(
    inputs: Mapping[str, np.ndarray],
    weights: Mapping[str, np.ndarray],
    config: LlamaConfig,
    alpha: float,
) -> dict[str, np.ndarray]:
    """SmoothQuant (Xiao et al. 2022): s_j = max|x_j|^alpha / max|W_j|^(1 - alpha).

    `inputs`: largest |x| per channel of each site. Value heads shared by several query heads take
    the largest of both. Channels that are always zero keep 1.
    """
    factors = {}
    for site, largest in inputs.items():
        prefix, name = site.rsplit(".", 1)
        rows = np.max([np.abs(weights[f"{prefix}.{r}"]).max(1) for r in READERS[name]], axis=0)
        largest = np.asarray(largest, np.float64)
        if name == "attn_output":
            largest, rows = (_share(a, config) for a in (largest, rows))
        usable = (largest > 0) & (rows > 0)
        safe = np.where(usable, largest, 1) ** alpha / np.where(usable, rows, 1) ** (1 - alpha)
        factors[site] = np.where(usable, safe, 1.0)
    return factors


def _share(values: np.ndarray, config: LlamaConfig) -> np.ndarray:
    heads = values.reshape(config.kv_heads, -1, config.head_width)
    return np.broadcast_to(heads.max(axis=1, keepdims=True), heads.shape).reshape(-1)


def rotate_model(
    weights: Mapping[str, np.ndarray], config: LlamaConfig, seed: int
) -> tuple[Weights, LlamaConfig]:
    """QuaRot (Ashkboos et al. 2024): the residual stream times a randomised Hadamard matrix Q.

    Norm weights go into the next matrices (the norm itself commutes with Q), so the head leaves
    the embedding. Rows of attn_output and ffn_down are rotated by `online_factors`, whose inputs
    the graph has to rotate when it runs.
    """
    turn = hadamard.randomised(config.width, seed)
    result = dict(weights)

    def put(key: str, value: np.ndarray) -> None:
        result[key] = np.ascontiguousarray(value, np.float32)

    put("token_embd", weights["token_embd"].astype(np.float64) @ turn)
    for layer in range(config.layers):
        prefix = f"blk.{layer}."
        for site, norm in (("attn_q", "attn_norm"), ("ffn_gate", "ffn_norm")):
            for reader in READERS[site]:
                folded = weights[prefix + norm][:, None] * weights[prefix + reader].astype(float)
                put(prefix + reader, turn.T @ folded)
            put(prefix + norm, np.ones(config.width))
        for name in ROTATED_SITES:
            matrix = weights[prefix + name].astype(np.float64)
            inner = hadamard.product(hadamard.factors(len(matrix)))
            put(prefix + name, inner.T @ matrix @ turn)
    head = weights["token_embd"].T if config.tied_head else weights["output"]
    put("output", turn.T @ (weights["output_norm"][:, None] * head.astype(np.float64)))
    put("output_norm", np.ones(config.width))
    return result, replace(config, tied_head=False)


def rotate_inputs(weights: Mapping[str, np.ndarray], config: LlamaConfig) -> Weights:
    """Rows of every layer rotated by `online_factors(config, SITES)`; the rest stays."""
    result = dict(weights)
    for site, parts in online_factors(config, SITES).items():
        inner = hadamard.product(parts)
        for layer in range(config.layers):
            for reader in READERS[site]:
                key = f"blk.{layer}.{reader}"
                result[key] = np.ascontiguousarray(inner.T @ weights[key], np.float32)
    return result


def online_factors(
    config: LlamaConfig, sites: Sequence[str] = ROTATED_SITES
) -> dict[str, tuple[np.ndarray, ...]]:
    """Site -> factors of the rotation of its input."""
    return {site: hadamard.factors(config_width(config, site)) for site in sites}


def config_width(config: LlamaConfig, site: str) -> int:
    """Channels of a site's input."""
    widths = {"attn_output": config.heads * config.head_width, "ffn_down": config.feed_forward}
    return widths.get(site, config.width)

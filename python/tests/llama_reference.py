"""The llama architecture once more: NumPy, f64, no cache, straight from GGUF's own layouts.

Nothing is shared with the exporter: weights stay [N, K], RoPE turns neighbouring channels (2i,
2i + 1) as GGUF's row order of q and k wants, heads are a loop, attention is a full triangle.
"""

from __future__ import annotations

import numpy as np
from tiny_gguf import TinyLlama


def logits(tiny: TinyLlama, tokens: list[int]) -> np.ndarray:
    """[tokens, vocabulary] in f64."""
    tensors = {name: array.astype(np.float64) for name, array in tiny.tensors().items()}
    x = tensors["token_embd.weight"][tokens]
    for layer in range(tiny.layers):

        def linear(name: str, value: np.ndarray, layer: int = layer) -> np.ndarray:
            bias = tensors.get(f"blk.{layer}.{name}.bias", 0.0)
            return value @ tensors[f"blk.{layer}.{name}.weight"].T + bias

        normed = _norm(x, tensors[f"blk.{layer}.attn_norm.weight"], tiny.epsilon)
        q, k, v = (linear(name, normed) for name in ("attn_q", "attn_k", "attn_v"))
        x = x + linear("attn_output", _attention(tiny, q, k, v, tensors.get("rope_freqs.weight")))
        normed = _norm(x, tensors[f"blk.{layer}.ffn_norm.weight"], tiny.epsilon)
        gate = linear("ffn_gate", normed)
        x = x + linear("ffn_down", gate / (1 + np.exp(-gate)) * linear("ffn_up", normed))
    head = tensors["token_embd.weight" if tiny.tied else "output.weight"]
    return _norm(x, tensors["output_norm.weight"], tiny.epsilon) @ head.T


def _norm(x: np.ndarray, weight: np.ndarray, epsilon: float) -> np.ndarray:
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + epsilon) * weight


def _attention(tiny: TinyLlama, q, k, v, factors) -> np.ndarray:
    size, group = tiny.head_width, tiny.heads // tiny.kv_heads
    outputs = []
    for head in range(tiny.heads):
        shared = head // group
        q_head = _rope(tiny, q[:, head * size : (head + 1) * size], factors)
        k_head = _rope(tiny, k[:, shared * size : (shared + 1) * size], factors)
        scores = q_head @ k_head.T / np.sqrt(size)
        scores[np.triu_indices(len(scores), 1)] = -np.inf
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        outputs.append(weights @ v[:, shared * size : (shared + 1) * size])
    return np.concatenate(outputs, axis=1)


def _rope(tiny: TinyLlama, x: np.ndarray, factors) -> np.ndarray:
    turned = np.empty_like(x)
    for position in range(x.shape[0]):
        for pair in range(tiny.head_width // 2):
            angle = position / tiny.rope_base ** (2 * pair / tiny.head_width)
            if factors is not None:
                angle /= factors[pair]
            even, odd = x[position, 2 * pair], x[position, 2 * pair + 1]
            turned[position, 2 * pair] = even * np.cos(angle) - odd * np.sin(angle)
            turned[position, 2 * pair + 1] = even * np.sin(angle) + odd * np.cos(angle)
    return turned

"""The llama architecture as JAX programs, written so that their StableHLO stays simple.

Every linear layer is one plain 2-D `dot`, grouped-query attention is two batched matrix products,
the KV cache is updated in place by `dynamic_update_slice`, and everything is f32. Shapes:

    T  tokens per call (the chunk, or 1)      D  model width          F  feed-forward width
    H  query heads, Hkv key/value heads       E  width of one head    G = H / Hkv
    C  cache length (the bucket)              V  vocabulary           L  layers

State per layer: `k_cache` [Hkv, E, C], transposed so that q k^T reads contiguously along C, and
`v_cache` [Hkv, C, E]. The caller guarantees start + T <= C.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import numpy as np
from jax import lax

# What a masked score becomes. Finite, so that no -inf or NaN reaches the exponential; every row
# has at least one visible position, so exp(MASKED - max) is exactly 0.
MASKED = np.float32(-1e30)

Weights = Mapping[str, jax.Array]


@dataclass(frozen=True)
class LlamaConfig:
    """Hyperparameters that decide the shape and the constants of the graphs."""

    layers: int
    width: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_width: int
    vocabulary: int
    norm_epsilon: float
    tied_head: bool
    attention_bias: bool = False

    def weight_shapes(self, max_context: int) -> OrderedDict[str, tuple[int, ...]]:
        """Weight key -> shape, in argument order. Linear weights are [K, N] for `x @ W`."""
        q_width, kv_width = self.heads * self.head_width, self.kv_heads * self.head_width
        linear = {
            "attn_q": (self.width, q_width),
            "attn_k": (self.width, kv_width),
            "attn_v": (self.width, kv_width),
            "attn_output": (q_width, self.width),
            "ffn_gate": (self.width, self.feed_forward),
            "ffn_up": (self.width, self.feed_forward),
            "ffn_down": (self.feed_forward, self.width),
        }
        shapes: OrderedDict[str, tuple[int, ...]] = OrderedDict()
        shapes["token_embd"] = (self.vocabulary, self.width)
        shapes["rope.cos"] = shapes["rope.sin"] = (max_context, self.head_width // 2)
        for layer in range(self.layers):
            prefix = f"blk.{layer}."
            shapes[prefix + "attn_norm"] = (self.width,)
            for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
                shapes[prefix + name] = linear[name]
                if self.attention_bias:
                    shapes[prefix + name + ".bias"] = linear[name][1:]
            shapes[prefix + "ffn_norm"] = (self.width,)
            for name in ("ffn_gate", "ffn_up", "ffn_down"):
                shapes[prefix + name] = linear[name]
        shapes["output_norm"] = (self.width,)
        if not self.tied_head:
            shapes["output"] = (self.width, self.vocabulary)
        return shapes


def _rms_norm(x: jax.Array, weight: jax.Array, epsilon: float) -> jax.Array:
    """x [T, D] -> x / sqrt(mean(x^2) + eps) * weight."""
    mean_square = lax.reduce_sum(x * x, axes=(1,)) / np.float32(x.shape[1])
    scale = lax.rsqrt(mean_square + np.float32(epsilon))
    normed = x * lax.broadcast_in_dim(scale, x.shape, (0,))
    return normed * lax.broadcast_in_dim(weight, x.shape, (1,))


def _rotate(x: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
    """RoPE of x [T, heads, E]; pair i is channels (i, i + E/2). cos, sin: [T, E/2]."""
    half = x.shape[2] // 2
    low, high = x[:, :, :half], x[:, :, half:]
    cos = lax.broadcast_in_dim(cos, low.shape, (0, 2))
    sin = lax.broadcast_in_dim(sin, low.shape, (0, 2))
    return lax.concatenate([low * cos - high * sin, high * cos + low * sin], dimension=2)


def _softmax(scores: jax.Array) -> jax.Array:
    """Over the last dimension, in max / exp / sum form."""
    dims = tuple(range(scores.ndim - 1))
    peak = lax.reduce_max(scores, axes=(scores.ndim - 1,))
    exponentials = lax.exp(scores - lax.broadcast_in_dim(peak, scores.shape, dims))
    total = lax.reduce_sum(exponentials, axes=(scores.ndim - 1,))
    return exponentials / lax.broadcast_in_dim(total, scores.shape, dims)


def _batch_dot(a: jax.Array, b: jax.Array) -> jax.Array:
    """[B, M, K] x [B, K, N] -> [B, M, N]."""
    return lax.dot_general(a, b, (((2,), (1,)), ((0,), (0,))))


def _slice_rows(x: jax.Array, row: jax.Array, size: tuple[int, int]) -> jax.Array:
    return lax.dynamic_slice(x, (row, np.int32(0)), size, allow_negative_indices=False)


def _update(x: jax.Array, piece: jax.Array, offsets: tuple) -> jax.Array:
    return lax.dynamic_update_slice(x, piece, offsets, allow_negative_indices=False)


class LlamaGraph:
    """Traces one graph. `context` is the cache length C of its bucket."""

    def __init__(self, config: LlamaConfig, context: int, tokens: int):
        self.config, self.context, self.tokens = config, context, tokens

    def prefill(self, tokens, start, count, weights, k_cache, v_cache):
        """Chunk of which the first `count` tokens count -> logits [V] of token count - 1."""
        x, k_cache, v_cache = self._body(tokens, start, weights, k_cache, v_cache)
        last = _slice_rows(x, count - np.int32(1), (1, x.shape[1]))
        return self._head(last, weights).reshape(-1), k_cache, v_cache

    def score(self, tokens, start, count, weights, k_cache, v_cache):
        """Chunk -> logits [T, V]; rows from `count` on are meaningless."""
        x, k_cache, v_cache = self._body(tokens, start, weights, k_cache, v_cache)
        return self._head(x, weights), k_cache, v_cache

    def decode(self, tokens, start, weights, k_cache, v_cache):
        """One token -> logits [V]."""
        x, k_cache, v_cache = self._body(tokens, start, weights, k_cache, v_cache)
        return self._head(x, weights).reshape(-1), k_cache, v_cache

    def _body(self, tokens, start, weights, k_cache, v_cache):
        x = self._embed(tokens, weights["token_embd"])
        size = (self.tokens, self.config.head_width // 2)
        cos = _slice_rows(weights["rope.cos"], start, size)
        sin = _slice_rows(weights["rope.sin"], start, size)
        visible = self._visible(start)
        keys, values = [], []
        for layer in range(self.config.layers):
            with jax.named_scope(f"blk.{layer}"):
                prefix = f"blk.{layer}."
                w = {k[len(prefix) :]: v for k, v in weights.items() if k.startswith(prefix)}
                attended, key, value = self._attention(
                    x, w, (cos, sin), start, visible, k_cache[layer], v_cache[layer]
                )
                x = x + attended
                x = x + self._feed_forward(x, w)
            keys.append(key)
            values.append(value)
        return x, keys, values

    def _embed(self, tokens, table):
        """Rows of the table. StableHLO's gather clamps ids into the table."""
        with jax.named_scope("token_embd"):
            return lax.gather(
                table,
                tokens.reshape(-1, 1),
                lax.GatherDimensionNumbers((1,), (0,), (0,)),
                slice_sizes=(1, table.shape[1]),
                mode=lax.GatherScatterMode.PROMISE_IN_BOUNDS,
            )

    def _visible(self, start):
        """[Hkv, G T, C] of booleans: row g T + t sees positions 0 .. start + t."""
        config = self.config
        group = config.heads // config.kv_heads
        shape = (config.kv_heads, group * self.tokens, self.context)
        token = lax.broadcasted_iota(np.int32, (group, self.tokens), 1).reshape(-1)
        position = lax.broadcast_in_dim(token + start, shape, (1,))
        column = lax.broadcast_in_dim(lax.iota(np.int32, self.context), shape, (2,))
        return column <= position

    def _attention(self, x, w, rope, start, visible, k_cache, v_cache):
        config, tokens = self.config, self.tokens
        kv_heads, head_width = config.kv_heads, config.head_width
        group = config.heads // kv_heads
        zero = np.int32(0)
        normed = _rms_norm(x, w["attn_norm"], config.norm_epsilon)
        query = self._linear(normed, w, "attn_q").reshape(tokens, config.heads, head_width)
        key = self._linear(normed, w, "attn_k").reshape(tokens, kv_heads, head_width)
        value = self._linear(normed, w, "attn_v").reshape(tokens, kv_heads, head_width)
        key = lax.transpose(_rotate(key, *rope), (1, 2, 0))
        value = lax.transpose(value, (1, 0, 2))
        k_cache = _update(k_cache, key, (zero, zero, start))
        v_cache = _update(v_cache, value, (zero, start, zero))
        query = _rotate(query, *rope).reshape(tokens, kv_heads, group, head_width)
        query = lax.transpose(query, (1, 2, 0, 3)).reshape(kv_heads, group * tokens, head_width)
        mixed = self._attend(query, visible, k_cache, v_cache)
        mixed = mixed.reshape(kv_heads, group, tokens, head_width)
        mixed = lax.transpose(mixed, (2, 0, 1, 3)).reshape(tokens, config.heads * head_width)
        return self._linear(mixed, w, "attn_output"), k_cache, v_cache

    def _attend(self, query, visible, keys, values):
        """query [Hkv, R, E], visible [Hkv, R, C] -> mixed values [Hkv, R, E]."""
        scale = np.float32(1 / math.sqrt(self.config.head_width))
        with jax.named_scope("attn_qk"):
            scores = self._product("qk", query, keys) * scale
            scores = lax.select(visible, scores, lax.full_like(scores, MASKED))
        with jax.named_scope("attn_pv"):
            return self._product("pv", _softmax(scores), values)

    def _feed_forward(self, x, w):
        normed = _rms_norm(x, w["ffn_norm"], self.config.norm_epsilon)
        gate = self._linear(normed, w, "ffn_gate")
        up = self._linear(normed, w, "ffn_up")
        activated = gate / (np.float32(1) + lax.exp(-gate)) * up
        return self._linear(activated, w, "ffn_down")

    def _head(self, x, weights):
        x = _rms_norm(x, weights["output_norm"], self.config.norm_epsilon)
        with jax.named_scope("output"):
            if self.config.tied_head:
                return lax.dot_general(x, weights["token_embd"], (((1,), (1,)), ((), ())))
            return lax.dot(x, weights["output"])

    @staticmethod
    def _product(kind, a, b):
        """Of activations: "qk" or "pv" (the kind is for those who trace the graph otherwise)."""
        return _batch_dot(a, b)

    @staticmethod
    def _linear(x, w, name):
        with jax.named_scope(name):
            y = lax.dot(x, w[name])
            if name + ".bias" in w:
                y = y + lax.broadcast_in_dim(w[name + ".bias"], y.shape, (1,))
            return y

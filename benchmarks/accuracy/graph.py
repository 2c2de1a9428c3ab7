"""The exported Llama graph, run in JAX with a hook around every product.

The layers are traced from `spikequant.llama_graphs`, the code that exports them; only the loop
over the layers is here, so that one layer is compiled for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from spikequant import llama_graphs
from spikequant.llama_graphs import LlamaConfig, LlamaGraph

# Encode site of each linear layer: the first reader of the value gives it its name.
SITE_OF = {
    "attn_q": "attn_q",
    "attn_k": "attn_q",
    "attn_v": "attn_q",
    "attn_output": "attn_output",
    "ffn_gate": "ffn_gate",
    "ffn_up": "ffn_gate",
    "ffn_down": "ffn_down",
}
SITES = ("attn_q", "attn_output", "ffn_gate", "ffn_down")
READERS = {site: [name for name, s in SITE_OF.items() if s == site] for site in SITES}
HEAD = "head"
_BLOCK = 128  # queries


@dataclass
class Model:
    """Weights by key, and quantisers: one mapping per layer (SITES, "attention"), and HEAD's."""

    config: LlamaConfig
    weights: Mapping[str, np.ndarray]
    layers: list[dict] = field(default_factory=list)
    head: object = None
    weight_bits: float = 32.0  # of the linear layers, as stored

    def on_device(self) -> Model:
        weights = {key: jnp.asarray(value) for key, value in self.weights.items()}
        return Model(self.config, weights, self.layers, self.head, self.weight_bits)


class HookedGraph(LlamaGraph):
    """`quantisers` apply while a layer is traced; what they see can be handed out."""

    def layer(self, x, w, quantisers, rope, start, k_cache, v_cache, mode="later"):
        """One layer on x [T, D] -> x, caches, salient counts by site, values seen.

        `mode`: "start" if `start` is 0 (keys that come later need not be looked at), "later", or
        "observe" to hand out the values.
        """
        self._quantisers, self._done, self._seen = quantisers, {}, {}
        self._in_blocks = mode == "start" and self.tokens % _BLOCK == 0
        visible = self._visible(start)
        attended, key, value = self._attention(x, w, rope, start, visible, k_cache, v_cache)
        x = x + attended
        x = x + self._feed_forward(x, w)
        counts = {site: count for site, (_, count) in self._done.items()}
        return x, key, value, counts, ({**self._seen, "hidden": x} if mode == "observe" else {})

    def head(self, x, weights, quantiser):
        """Logits [T, V] of x, and salient counts."""
        normed = llama_graphs._rms_norm(x, weights["output_norm"], self.config.norm_epsilon)
        normed, count = (normed, jnp.int32(0)) if quantiser is None else quantiser(normed)
        if self.config.tied_head:
            return lax.dot_general(normed, weights["token_embd"], (((1,), (1,)), ((), ()))), count
        return lax.dot(normed, weights["output"]), count

    def _linear(self, x, w, name):
        site = SITE_OF[name]
        if site not in self._done:
            self._seen[site] = x
            quantiser = self._quantisers.get(site)
            self._done[site] = (x, jnp.int32(0)) if quantiser is None else quantiser(x)
        return LlamaGraph._linear(self._done[site][0], w, name)

    def _attend(self, query, visible, keys, values):
        """Queries in blocks, each with the keys up to its own end: the others are masked."""
        tokens, (heads, rows, width) = self.tokens, query.shape
        if not self._in_blocks:
            return super()._attend(query, visible, keys, values)
        query = query.reshape(heads, -1, tokens, width)
        pieces = []
        for first in range(0, tokens, _BLOCK):
            stop = first + _BLOCK
            block = query[:, :, first:stop].reshape(heads, -1, width)
            seen = _seen_by(block.shape, first, stop)
            mixed = super()._attend(block, seen, keys[:, :, :stop], values[:, :stop])
            pieces.append(mixed.reshape(heads, -1, _BLOCK, width))
        return jnp.concatenate(pieces, axis=2).reshape(heads, rows, width)

    def _product(self, kind, a, b):
        self._seen[kind] = (a, b)
        attention = self._quantisers.get("attention")
        if attention is not None:
            a, b = (attention.scores if kind == "qk" else attention.mix)(a, b)
        return LlamaGraph._product(kind, a, b)


def _seen_by(shape, first, stop):
    """Of queries `first` on [Hkv, G B, E] and keys before `stop`."""
    shape = (*shape[:2], stop)
    position = lax.broadcasted_iota(np.int32, shape, 1) % (stop - first) + first
    return lax.broadcasted_iota(np.int32, shape, 2) <= position


class Evaluator:
    """Runs models of one shape on batches of token sequences of one length."""

    def __init__(self, config: LlamaConfig, context: int, tokens: int):
        self.graph = HookedGraph(config, context, tokens)
        self._layer = {mode: self._batched(mode) for mode in ("start", "later", "observe")}
        self._embed = jax.jit(jax.vmap(self.graph._embed, in_axes=(0, None)))

    def _batched(self, mode: str):
        axes = (0, None, None, None, None, 0, 0)
        return jax.jit(jax.vmap(lambda *a: self.graph.layer(*a, mode=mode), in_axes=axes))

    def run(self, model: Model, tokens: np.ndarray, start: int = 0, caches=None):
        """tokens [B, T] -> hidden [B, T, D], caches, salient counts {site: array}."""
        totals: dict[str, jax.Array] = {}
        x, new = None, []
        mode = "start" if caches is None else "later"
        for layer, step in enumerate(self._steps(model, tokens, start, caches, mode)):
            x, key, value, counts, _ = step
            new.append((key, value))
            totals.update({f"blk.{layer}.{s}": jnp.sum(c) for s, c in counts.items()})
        return x, new, {site: int(count) for site, count in totals.items()}

    def observe(self, model: Model, tokens: np.ndarray) -> Iterator[dict]:
        """Per layer, what `Model.layers` would be applied to: sites, "qk" and "pv" operands; and
        "hidden", what the layer gives."""
        for step in self._steps(model, tokens, 0, None, "observe"):
            yield step[4]

    def _steps(self, model: Model, tokens, start, caches, mode):
        config = self.graph.config
        x = self._embed(jnp.asarray(tokens, jnp.int32), model.weights["token_embd"])
        rows = slice(start, start + tokens.shape[1])
        rope = (model.weights["rope.cos"][rows], model.weights["rope.sin"][rows])
        empty = self._empty_caches(len(tokens))
        for layer in range(config.layers):
            prefix = f"blk.{layer}."
            weights = model.weights.items()
            w = {k[len(prefix) :]: v for k, v in weights if k.startswith(prefix)}
            quantisers = model.layers[layer] if model.layers else {}
            cache = empty if caches is None else caches[layer]
            step = self._layer[mode](x, w, quantisers, rope, np.int32(start), *cache)
            x = step[0]
            yield step

    def _empty_caches(self, batch: int):
        config, context = self.graph.config, self.graph.context
        return (
            jnp.zeros((batch, config.kv_heads, config.head_width, context), jnp.float32),
            jnp.zeros((batch, config.kv_heads, context, config.head_width), jnp.float32),
        )

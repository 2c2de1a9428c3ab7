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

    def layer(self, x, w, quantisers, rope, start, k_cache, v_cache, observe=False):
        """One layer on x [T, D] -> x, caches, salient counts by site, values seen."""
        self._quantisers, self._done, self._seen = quantisers, {}, {}
        visible = self._visible(start)
        attended, key, value = self._attention(x, w, rope, start, visible, k_cache, v_cache)
        x = x + attended
        x = x + self._feed_forward(x, w)
        counts = {site: count for site, (_, count) in self._done.items()}
        return x, key, value, counts, ({**self._seen, "hidden": x} if observe else {})

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

    def _product(self, kind, a, b):
        self._seen[kind] = (a, b)
        attention = self._quantisers.get("attention")
        if attention is not None:
            a, b = (attention.scores if kind == "qk" else attention.mix)(a, b)
        return LlamaGraph._product(kind, a, b)


class Evaluator:
    """Runs models of one shape on batches of token sequences of one length."""

    def __init__(self, config: LlamaConfig, context: int, tokens: int):
        self.graph = HookedGraph(config, context, tokens)
        axes = (0, None, None, None, None, 0, 0)
        batched = {
            observe: jax.vmap(
                lambda *a, observe=observe: self.graph.layer(*a, observe=observe), in_axes=axes
            )
            for observe in (False, True)
        }
        self._layer = {observe: jax.jit(f) for observe, f in batched.items()}
        self._embed = jax.jit(jax.vmap(self.graph._embed, in_axes=(0, None)))

    def run(self, model: Model, tokens: np.ndarray, start: int = 0, caches=None):
        """tokens [B, T] -> hidden [B, T, D], caches, salient counts {site: array}."""
        totals: dict[str, jax.Array] = {}
        x, new = None, []
        for layer, step in enumerate(self._steps(model, tokens, start, caches, False)):
            x, key, value, counts, _ = step
            new.append((key, value))
            totals.update({f"blk.{layer}.{s}": jnp.sum(c) for s, c in counts.items()})
        return x, new, {site: int(count) for site, count in totals.items()}

    def observe(self, model: Model, tokens: np.ndarray) -> Iterator[dict]:
        """Per layer, what `Model.layers` would be applied to: sites, "qk" and "pv" operands; and
        "hidden", what the layer gives."""
        for step in self._steps(model, tokens, 0, None, True):
            yield step[4]

    def _steps(self, model: Model, tokens, start, caches, observe):
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
            step = self._layer[observe](x, w, quantisers, rope, np.int32(start), *cache)
            x = step[0]
            yield step

    def _empty_caches(self, batch: int):
        config, context = self.graph.config, self.graph.context
        return (
            jnp.zeros((batch, config.kv_heads, config.head_width, context), jnp.float32),
            jnp.zeros((batch, config.kv_heads, context, config.head_width), jnp.float32),
        )

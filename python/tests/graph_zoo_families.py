"""Further families of transformers, for what folding leaves real in each."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from graph_zoo import (
    ZooGraph,
    attend,
    causal,
    embed,
    join_heads,
    layer_norm,
    linear,
    rms_norm,
    rotate,
    split_heads,
)
from graph_zoo_text import gemma


def vit(p, image):
    """Patches, a class token, learnt positions; the class token's row is the result."""
    patch, hidden = 4, 72
    batch, side, _, colours = image.shape
    count = side // patch
    x = image.reshape(batch, count, patch, count, patch, colours).swapaxes(2, 3)
    x = linear(p, x.reshape(batch, count * count, -1), "patch", hidden, bias=True)
    token = jnp.broadcast_to(p("class", 1, 1, hidden), (batch, 1, hidden))
    x = jnp.concatenate([token, x], axis=1) + p("positions", count * count + 1, hidden)
    for i in range(2):
        y = layer_norm(p, x, f"{i}.ln1")
        q, k, v = (split_heads(linear(p, y, f"{i}.{n}", hidden, bias=True), 3) for n in "qkv")
        x = x + linear(p, attend(q, k, v), f"{i}.out", hidden, bias=True)
        y = jax.nn.gelu(linear(p, layer_norm(p, x, f"{i}.ln2"), f"{i}.up", 4 * hidden, bias=True))
        x = x + linear(p, y, f"{i}.down", hidden, bias=True)
    return linear(p, layer_norm(p, x, "ln")[:, 0], "head", 10, bias=True)


def _relative_bias(p, name: str, rows: int, columns: int, heads: int):
    """[heads, rows, columns], from buckets that grow with the logarithm of the distance."""
    distance = jnp.arange(columns)[None] - jnp.arange(rows)[:, None]
    size = jnp.abs(distance)
    ratio = jnp.log(jnp.maximum(size, 1).astype(jnp.float32) / 4) / jnp.log(16.0 / 4)
    far = jnp.minimum(4 + (ratio * 4).astype(jnp.int32), 7)
    bucket = jnp.where(size < 4, size, far) + 8 * (distance > 0)
    return jnp.moveaxis(p(name, 16, heads, scale=1.0)[bucket], -1, 0)


def _biased_attention(p, y, memory, name: str, bias, mask):
    """Scores are not scaled; the mask is added, as a number of each element."""
    q = split_heads(linear(p, y, f"{name}.q", 64), 4)
    k, v = (split_heads(linear(p, memory, f"{name}.{n}", 64), 4) for n in "kv")
    scores = jnp.einsum("bhqd,bhkd->bhqk", q * 0.25, k)
    scores = scores + (bias if mask is None else bias + (1.0 - mask) * -1e9)
    y = join_heads(jax.nn.softmax(scores, axis=-1) @ v)
    return linear(p, y, f"{name}.o", 72)


def t5(p, source, valid, target):
    """Encoder and decoder; relative positions are a bias of the scores."""
    table = p("embedding", 257, 72, scale=0.3)
    mask = valid[:, None, None, :].astype(jnp.float32)
    x = table[source]
    length = source.shape[1]
    bias = _relative_bias(p, "e.bias", length, length, 4)
    x = x + _biased_attention(p, *[rms_norm(p, x, "e.n1")] * 2, "e.self", bias, mask)
    y = jax.nn.relu(linear(p, rms_norm(p, x, "e.n2"), "e.up", 136))
    memory = rms_norm(p, x + linear(p, y, "e.down", 72), "e.n")
    x = table[target]
    length = target.shape[1]
    bias = _relative_bias(p, "d.bias", length, length, 4)
    hidden = causal(length).astype(jnp.float32)[None, None]
    x = x + _biased_attention(p, *[rms_norm(p, x, "d.n1")] * 2, "d.self", bias, hidden)
    x = x + _biased_attention(p, rms_norm(p, x, "d.n2"), memory, "d.cross", 0.0, mask)
    y = jax.nn.gelu(linear(p, rms_norm(p, x, "d.n3"), "d.gate", 136))
    y = y * linear(p, rms_norm(p, x, "d.n3"), "d.up", 136)
    return rms_norm(p, x + linear(p, y, "d.down", 72), "d.n") @ table.T


def bert(p, tokens, types, mask):
    """Norms behind the sums; the mask is an input of integers, added in its full size."""
    size, hidden = tokens.shape[-1], 72
    x = embed(p, tokens, 257, hidden) + p("positions", 40, hidden)[:size]
    x = layer_norm(p, x + p("types", 2, hidden)[types], "ln0")
    hides = (1.0 - mask.astype(jnp.float32)) * jnp.finfo(jnp.float32).min
    for i in range(2):
        q, k, v = (split_heads(linear(p, x, f"{i}.{n}", hidden, bias=True), 3) for n in "qkv")
        scores = jnp.einsum("bhqd,bhkd->bhqk", q, k) / jnp.sqrt(24.0) + hides[:, None, None]
        y = join_heads(jax.nn.softmax(scores, axis=-1) @ v)
        x = layer_norm(p, x + linear(p, y, f"{i}.out", hidden, bias=True), f"{i}.ln1")
        y = jax.nn.gelu(linear(p, x, f"{i}.up", 136, bias=True), approximate=False)
        x = layer_norm(p, x + linear(p, y, f"{i}.down", hidden, bias=True), f"{i}.ln2")
    return jnp.tanh(linear(p, x[:, 0], "pool", hidden, bias=True))


def phi(p, tokens, positions):
    """One norm for both branches, part of each head turns, positions are an input."""
    hidden = 64
    x = embed(p, tokens, 257, hidden)
    for i in range(2):
        y = layer_norm(p, x, f"{i}.ln")
        q, k, v = (split_heads(linear(p, y, f"{i}.{n}", hidden, bias=True), 2) for n in "qkv")
        q, k = rotate(q, positions, 16), rotate(k, positions, 16)
        y = jax.nn.gelu(linear(p, y, f"{i}.up", 4 * hidden, bias=True))
        y = linear(p, y, f"{i}.down", hidden, bias=True)
        x = x + linear(p, attend(q, k, v, causal(len(tokens))), f"{i}.o", hidden, bias=True) + y
    return linear(p, layer_norm(p, x, "ln"), "head", 257, bias=True)


def gemma3(p, tokens):
    """Norms of q and k where gemma has soft caps."""
    return gemma(p, tokens, capped=False, normed=True)


def alibi(p, tokens):
    """Distances times slopes of the heads are added to the scores."""
    size, hidden, heads = tokens.shape[-1], 64, 4
    x = layer_norm(p, embed(p, tokens, 257, hidden), "ln0")
    slopes = 2.0 ** -jnp.arange(1, heads + 1, dtype=jnp.float32)
    bias = slopes[:, None, None] * (jnp.arange(size)[None] - jnp.arange(size)[:, None])
    bias = jnp.where(causal(size), bias, -jnp.inf)
    y = layer_norm(p, x, "ln1")
    q, k, v = (split_heads(linear(p, y, n, hidden, bias=True), heads) for n in "qkv")
    scores = q @ jnp.swapaxes(k, -1, -2) * 0.25 + bias
    x = x + linear(p, join_heads(jax.nn.softmax(scores, -1) @ v), "out", hidden, bias=True)
    y = jax.nn.gelu(linear(p, layer_norm(p, x, "ln2"), "up", 136, bias=True))
    return (
        layer_norm(p, x + linear(p, y, "down", hidden, bias=True), "ln")
        @ p("embedding", 257, hidden).T
    )


FAMILY_GRAPHS = {
    "vit": ZooGraph(vit, ((2, 12, 12, 3),)),
    "t5": ZooGraph(t5, ((2, 11), (2, 11), (2, 7)), {0: 257, 1: 2, 2: 257}),
    "bert": ZooGraph(bert, ((2, 13), (2, 13), (2, 13)), {0: 257, 1: 2, 2: 2}),
    "phi": ZooGraph(phi, ((9,), (9,)), {0: 257, 1: 40}),
    "gemma3": ZooGraph(gemma3, ((9,),), {0: 257}),
    "alibi": ZooGraph(alibi, ((2, 9),), {0: 257}),
}

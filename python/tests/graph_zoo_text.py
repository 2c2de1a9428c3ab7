"""Graphs like those of well-known language models (none of their weights)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from graph_zoo import (
    ZooGraph,
    attend,
    causal,
    embed,
    layer_norm,
    linear,
    rms_norm,
    rotate,
    split_heads,
)


def gpt2(p, tokens):
    """Fused qkv, learnt positions, tied embedding."""
    size, hidden, heads = tokens.shape[-1], 72, 3
    x = embed(p, tokens, 257, hidden) + p("positions", 40, hidden)[:size]
    for i in range(2):
        qkv = linear(p, layer_norm(p, x, f"{i}.ln1"), f"{i}.qkv", 3 * hidden, bias=True)
        q, k, v = (split_heads(part, heads) for part in jnp.split(qkv, 3, axis=-1))
        x = x + linear(p, attend(q, k, v, causal(size)), f"{i}.out", hidden, bias=True)
        y = jax.nn.gelu(linear(p, layer_norm(p, x, f"{i}.ln2"), f"{i}.up", 4 * hidden, bias=True))
        x = x + linear(p, y, f"{i}.down", hidden, bias=True)
    return layer_norm(p, x, "ln") @ p("embedding", 257, hidden).T


def opt(p, tokens):
    """ReLU, positions with an offset of 2, separate biased projections, attention mask of -inf."""
    size, hidden = tokens.shape[-1], 64
    positions = jnp.cumsum(jnp.ones_like(tokens), axis=-1) + 1
    x = embed(p, tokens, 257, hidden) + p("positions", 40, hidden)[positions]
    y = layer_norm(p, x, "ln1")
    q, k, v = (split_heads(linear(p, y, n, hidden, bias=True), 4) for n in ("q", "k", "v"))
    scores = q @ jnp.swapaxes(k, -1, -2) * (hidden // 4) ** -0.5
    scores = scores + jnp.where(causal(size), 0, jnp.finfo(x.dtype).min).astype(x.dtype)
    y = jnp.swapaxes(jax.nn.softmax(scores, -1) @ v, -2, -3).reshape(*x.shape)
    x = x + linear(p, y, "out", hidden, bias=True)
    y = linear(p, jax.nn.relu(linear(p, layer_norm(p, x, "ln2"), "up", 256, True)), "down", hidden)
    return layer_norm(p, x + y, "ln") @ p("embedding", 257, hidden).T


def neox(p, tokens):
    """Parallel residual, rotary embedding of a quarter of each head, exact gelu."""
    size, hidden = tokens.shape[-1], 136
    x = embed(p, tokens, 257, hidden)
    for i in range(2):
        y = layer_norm(p, x, f"{i}.ln1")
        qkv = linear(p, y, f"{i}.qkv", 3 * hidden, bias=True).reshape(size, 2, 3 * 68)
        q, k, v = jnp.split(jnp.swapaxes(qkv, 0, 1), 3, axis=-1)
        q, k = (rotate(value, jnp.arange(size), 16) for value in (q, k))
        attention = linear(p, attend(q, k, v, causal(size)), f"{i}.out", hidden, bias=True)
        y = linear(p, layer_norm(p, x, f"{i}.ln2"), f"{i}.up", 2 * hidden, bias=True)
        y = jax.nn.gelu(y, approximate=False)
        x = x + attention + linear(p, y, f"{i}.down", hidden, bias=True)
    return linear(p, layer_norm(p, x, "ln"), "head", 257)


def gemma(p, tokens, capped=True, normed=False):
    """Scaled embedding, four norms, soft caps, grouped heads, gated gelu, sliding window."""
    size, hidden = tokens.shape[-1], 72
    x = embed(p, tokens, 257, hidden) * jnp.sqrt(jnp.asarray(hidden, p.dtype))
    place = jnp.arange(size)
    mask = causal(size) & (place[:, None] - place < 4)
    for i in range(2):
        y = rms_norm(p, x, f"{i}.n1")
        q = split_heads(linear(p, y, f"{i}.q", 64), 4)
        k, v = (split_heads(linear(p, y, f"{i}.{n}", 16), 1) for n in "kv")
        if normed:
            q, k = rms_norm(p, q, f"{i}.qn"), rms_norm(p, k, f"{i}.kn")
        q, k = rotate(q, place), rotate(k, place)
        y = linear(p, attend(q, k, v, mask, cap=50.0 if capped else None), f"{i}.o", hidden)
        x = x + rms_norm(p, y, f"{i}.n2")
        y = rms_norm(p, x, f"{i}.n3")
        y = jax.nn.gelu(linear(p, y, f"{i}.gate", 160)) * linear(p, y, f"{i}.up", 160)
        x = x + rms_norm(p, linear(p, y, f"{i}.down", hidden), f"{i}.n4")
    logits = rms_norm(p, x, "n") @ p("embedding", 257, hidden).T
    return 30.0 * jnp.tanh(logits / 30.0) if capped else logits


def qwen(p, tokens):
    """Norm of q and k, biases, grouped heads by repetition, a batch."""
    size, hidden = tokens.shape[-1], 96
    x = embed(p, tokens, 257, hidden)
    for i in range(2):
        y = rms_norm(p, x, f"{i}.n1")
        q = split_heads(linear(p, y, f"{i}.q", 96, bias=True), 6)
        k, v = (split_heads(linear(p, y, f"{i}.{n}", 32, bias=True), 2) for n in "kv")
        q, k = rms_norm(p, q, f"{i}.qn"), rms_norm(p, k, f"{i}.kn")
        q, k = rotate(q, jnp.arange(size)), rotate(k, jnp.arange(size))
        k, v = (jnp.repeat(value, 3, axis=-3) for value in (k, v))
        x = x + linear(p, attend(q, k, v, causal(size)), f"{i}.o", hidden)
        y = rms_norm(p, x, f"{i}.n2")
        y = jax.nn.silu(linear(p, y, f"{i}.gate", 136)) * linear(p, y, f"{i}.up", 136)
        x = x + linear(p, y, f"{i}.down", hidden)
    return linear(p, rms_norm(p, x, "n")[..., -1, :], "head", 257)


def encoder(p, tokens, lengths):
    """Bidirectional with a padding mask, token types, pooling."""
    size, hidden = tokens.shape[-1], 72
    valid = jnp.arange(size) <= lengths[:, None]
    x = embed(p, tokens, 257, hidden) + p("positions", 40, hidden)[:size] + p("types", 2, hidden)[0]
    x = layer_norm(p, x, "ln0")
    q, k, v = (split_heads(linear(p, x, n, hidden, bias=True), 3) for n in ("q", "k", "v"))
    y = attend(q, k, v, valid[:, None, None, :])
    x = layer_norm(p, x + linear(p, y, "out", hidden, bias=True), "ln1")
    y = linear(p, jax.nn.gelu(linear(p, x, "up", 136)), "down", hidden)
    x = layer_norm(p, x + y, "ln2")
    mean = jnp.sum(jnp.where(valid[..., None], x, 0), 1) / (lengths[:, None] + 1)
    return jnp.tanh(linear(p, x[:, 0], "pool", hidden, bias=True)), mean


def cross_attention(p, source, target):
    """Encoder-decoder: the decoder reads the encoder's values."""
    hidden = 72
    table = p("embedding", 257, hidden, scale=0.3)
    memory = layer_norm(p, table[source], "enc")
    x = table[target]
    q = split_heads(linear(p, layer_norm(p, x, "ln1"), "q", hidden), 3)
    k, v = (split_heads(linear(p, memory, n, hidden), 3) for n in ("k", "v"))
    x = x + linear(p, attend(q, k, v), "out", hidden)
    y = linear(p, jax.nn.relu(linear(p, layer_norm(p, x, "ln2"), "up", 136)), "down", hidden)
    return layer_norm(p, x + y, "ln") @ table.T


def experts(p, tokens):
    """Top-2 routing; the chosen experts' matrices are gathered."""
    hidden, count = 72, 5
    x = embed(p, tokens, 257, hidden)
    y = rms_norm(p, x, "n")
    values, chosen = jax.lax.top_k(linear(p, y, "router", count), 2)
    gates = jax.nn.softmax(values, axis=-1)
    up = p("experts.up", count, hidden, 96)[chosen]
    down = p("experts.down", count, 96, hidden)[chosen]
    inner = jax.nn.silu(jnp.einsum("td,tkdf->tkf", y, up))
    mixed = jnp.einsum("tkf,tkfd,tk->td", inner, down, gates)
    return linear(p, rms_norm(p, x + mixed, "n2"), "head", 257), chosen


def experts_dense(p, tokens):
    """Every expert computes; a one-hot mask of the top 2 selects."""
    hidden, count = 72, 5
    x = embed(p, tokens, 257, hidden)
    y = rms_norm(p, x, "n")
    values, chosen = jax.lax.top_k(linear(p, y, "router", count), 2)
    weights = jax.nn.softmax(values, axis=-1)[..., None] * jax.nn.one_hot(chosen, count)
    inner = jax.nn.silu(jnp.einsum("td,edf->etf", y, p("experts.up", count, hidden, 96)))
    outputs = jnp.einsum("etf,efd->etd", inner, p("experts.down", count, 96, hidden))
    return linear(p, x + jnp.einsum("etd,te->td", outputs, weights.sum(1)), "head", 257)


def _decode_layer(p, token, hidden):
    x = embed(p, token, 257, hidden)
    y = rms_norm(p, x, "n1")
    return x, (split_heads(linear(p, y, n, hidden), 3) for n in ("q", "k", "v"))


def decode_update(p, token, position, keys, values):
    """One token; the cache is written with dynamic-update-slice."""
    x, (q, k, v) = _decode_layer(p, token, 72)
    keys = jax.lax.dynamic_update_slice(keys, k, (0, position, 0))
    values = jax.lax.dynamic_update_slice(values, v, (0, position, 0))
    x = x + linear(p, attend(q, keys, values, jnp.arange(keys.shape[1]) <= position), "o", 72)
    return linear(p, rms_norm(p, x, "n2"), "head", 257), keys, values


def decode_scatter(p, token, position, keys, values):
    """One token per row of a batch, each at a place of its own: scattered."""
    x = embed(p, token, 257, 72)
    y = rms_norm(p, x, "n1")
    q, k, v = (linear(p, y, n, 72).reshape(-1, 3, 24) for n in ("q", "k", "v"))
    rows = jnp.arange(token.shape[0])
    keys = keys.at[rows, :, position].set(k)
    values = values.at[rows, :, position].set(v)
    mask = (jnp.arange(keys.shape[2]) <= position[:, None])[:, None, None]
    y = attend(q[:, :, None], keys, values, mask)[:, 0]
    return linear(p, rms_norm(p, x + linear(p, y, "o", 72), "n2"), "head", 257), keys, values


_CACHE = (3, 16, 24)
TEXT_GRAPHS = {
    "gpt2": ZooGraph(gpt2, ((3, 31),), {0: 257}),
    "gpt2_one_token": ZooGraph(gpt2, ((1, 1),), {0: 257}),
    "opt": ZooGraph(opt, ((2, 9),), {0: 257}),
    "neox": ZooGraph(neox, ((31,),), {0: 257}),
    "gemma": ZooGraph(gemma, ((9,),), {0: 257}),
    "qwen": ZooGraph(qwen, ((3, 7),), {0: 257}),
    "encoder": ZooGraph(encoder, ((3, 13), (3,)), {0: 257, 1: 12}),
    "cross_attention": ZooGraph(cross_attention, ((3, 11), (3, 5)), {0: 257, 1: 257}),
    "experts": ZooGraph(experts, ((7,),), {0: 257}),
    "experts_dense": ZooGraph(experts_dense, ((7,),), {0: 257}),
    "decode_update": ZooGraph(
        decode_update, ((1,), (), _CACHE, _CACHE), {0: 257, 1: 16}, donated=(2, 3)
    ),
    "decode_scatter": ZooGraph(
        decode_scatter, ((3,), (3,), (3, *_CACHE), (3, *_CACHE)), {0: 257, 1: 16}, donated=(2, 3)
    ),
    "gpt2_f16": ZooGraph(gpt2, ((2, 5),), {0: 257}, dtype="float16", tolerance=2e-3),
    "gemma_bf16": ZooGraph(gemma, ((5,),), {0: 257}, dtype="bfloat16", tolerance=2e-2),
}

"""Graphs whose weights reach their contraction in every way that exporters know."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from graph_zoo import ZooGraph, causal, layer_norm, linear, rms_norm
from jax import lax


def flax_attention(p, x):
    """As Flax's MultiHeadDotProductAttention: kernels [D, H, Dh] and [H, Dh, D]."""
    size, heads, width = x.shape[-1], 3, 24
    y = layer_norm(p, x, "ln")
    q, k, v = (
        jnp.einsum("btd,dhk->bthk", y, p(name, size, heads, width, scale=size**-0.5))
        + p(f"{name}.b", heads, width)
        for name in ("query", "key", "value")
    )
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(width).astype(x.dtype)
    scores = jnp.where(causal(x.shape[1]), scores, -1e4)
    mixed = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores, axis=-1), v)
    return x + jnp.einsum("bthk,hkd->btd", mixed, p("out", heads, width, size, scale=0.1))


def _block(x, weights):
    """A residual block; weights w [D, F], v [F, D], gain [D]."""
    y = x * lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-6) * weights["gain"]
    return x + jax.nn.silu(y @ weights["w"]) @ weights["v"]


def _stack(p, layers: int, size: int, inner: int):
    return {
        "gain": p("gain", layers, size, one=True),
        "w": p("w", layers, size, inner),
        "v": p("v", layers, inner, size),
    }


def stacked_layers(p, x):
    """lax.scan over stacked layers, as Flax's nn.scan."""
    stack = _stack(p, 4, x.shape[-1], 72)
    y, _ = lax.scan(lambda x, weights: (_block(x, weights), None), x, stack)
    return linear(p, y, "head", 41)


def looped_layers(p, x):
    """fori_loop over stacked layers, backwards, and a use of one layer outside."""
    stack = _stack(p, 3, x.shape[-1], 40)

    def body(i, x):
        return _block(
            x, jax.tree.map(lambda w: lax.dynamic_index_in_dim(w, 2 - i, 0, False), stack)
        )

    return lax.fori_loop(0, 3, body, x) @ stack["w"][1]


def gathered_experts(p, x):
    """Mixture of experts: the two best experts' matrices are gathered per token."""
    count, size, inner = 5, x.shape[-1], 40
    y = rms_norm(p, x, "n")
    gates, chosen = lax.top_k(jax.nn.softmax(linear(p, y, "router", count)), 2)
    up, gate, down = (
        p(name, count, *shape)[chosen]
        for name, shape in [("up", (size, inner)), ("gate", (size, inner)), ("down", (inner, size))]
    )
    inner = jnp.einsum("td,tkdf->tkf", y, up) * jax.nn.silu(jnp.einsum("td,tkdf->tkf", y, gate))
    return x + jnp.einsum("tkf,tkfd,tk->td", inner, down, gates)


def layered_experts(p, x):
    """A scan over layers of experts that are gathered per token: two numbers choose a matrix."""
    count, layers, size, width = 3, 2, x.shape[-1], 24
    stack = {
        "router": p("router", layers, size, count),
        "up": p("up", layers, count, size, width),
        "down": p("down", layers, count, width, size),
    }

    def layer(x, weights):
        y = x * lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-6)
        scores = jax.nn.softmax(y @ weights["router"])
        gates, chosen = scores.max(-1), jnp.argmax(scores, axis=-1)
        inner = jax.nn.silu(jnp.einsum("td,tdf->tf", y, weights["up"][chosen]))
        return x + gates[:, None] * jnp.einsum("tf,tfd->td", inner, weights["down"][chosen]), None

    return lax.scan(layer, x, stack)[0]


def dispatched_experts(p, x):
    """Mixture of experts: one-hot dispatch and combine, every expert a batch of its tokens."""
    count, size, inner = 4, x.shape[-1], 40
    y = rms_norm(p, x, "n")
    scores = jax.nn.softmax(linear(p, y, "router", count))
    chosen = jnp.argmax(scores, axis=-1)
    onehot = jax.nn.one_hot(chosen, count, dtype=x.dtype)
    place = (jnp.cumsum(onehot, axis=0) - 1) * onehot
    dispatch = (
        onehot[..., None] * jax.nn.one_hot(place.sum(-1).astype(int), 8, dtype=x.dtype)[:, None, :]
    )
    batches = jnp.einsum("tec,td->ecd", dispatch, y)
    inner = jax.nn.gelu(jnp.einsum("ecd,edf->ecf", batches, p("up", count, size, inner)))
    outputs = jnp.einsum("ecf,efd->ecd", inner, p("down", count, 40, size))
    return x + jnp.einsum("tec,ecd->td", dispatch * scores.max(-1)[:, None, None], outputs)


def split_projection(p, x):
    """One matrix for q, k and v, cut before it is used; a matrix that is read transposed."""
    size = x.shape[-1]
    fused = p("qkv", size, 3 * size)
    q, k, v = (layer_norm(p, x, "ln") @ part for part in jnp.split(fused, 3, axis=1))
    scores = jax.nn.softmax(q @ k.T / np.sqrt(size).astype(x.dtype), axis=-1)
    return (scores @ v) @ p("out", size, size).T + x @ p("blocks", 2, 3, size, 8)[1, 2] @ p(
        "back", 8, size
    )


def channels_first(p, x):
    """Activations [B, C, T]: the contracted dimension is not the last; several at once."""
    y = jnp.einsum("bct,co->bot", x, p("point", x.shape[1], 48))
    y = jnp.einsum("oi,bit->tbo", p("turned", 40, 48), jax.nn.gelu(y))
    return jnp.einsum("tbo,tobz->z", y, p("all", x.shape[2], 40, x.shape[0], 17))


def constants(p, x):
    """Weights that are constants of the graph, small ones too."""
    random = np.random.default_rng(5)
    w = random.standard_normal((x.shape[-1], 48)).astype(x.dtype) * 0.2
    v = random.standard_normal((48, 3, 8)).astype(x.dtype) * 0.2
    tiny = random.standard_normal((3, 3)).astype(x.dtype)
    y = jnp.einsum("tf,fhd->thd", jax.nn.gelu(x @ w), v)
    return jnp.einsum("thd,hg->tgd", y, tiny)


def broadcast_weight(p, x):
    """A matrix repeated for every batch, as PyTorch's matmul lowers it."""
    w = jnp.broadcast_to(p("w", x.shape[-1], 56)[None], (x.shape[0], x.shape[-1], 56))
    y = lax.dot_general(x, w, (((2,), (1,)), ((0,), (0,))))
    narrow = p("narrow", 56, 24).astype(jnp.bfloat16).astype(x.dtype)
    return jax.nn.gelu(y) @ narrow


def mixed_precision(p, x):
    """As Flax with param_dtype f32 and dtype bf16: weights are rounded before each use."""

    def dense(x, name: str, size: int):
        weight, bias = p(name, x.shape[-1], size), p(f"{name}.b", size)
        return x.astype(jnp.bfloat16) @ weight.astype(jnp.bfloat16) + bias.astype(jnp.bfloat16)

    y = jax.nn.gelu(dense(layer_norm(p, x, "ln"), "up", 96))
    return x + dense(y, "down", x.shape[-1]).astype(x.dtype)


def patches(p, image):
    """Patch embedding of a vision transformer, channels first as PyTorch; a grouped convolution."""
    y = lax.conv_general_dilated(
        image, p("patch", 48, 3, 4, 4, scale=0.15), (4, 4), "VALID",
        dimension_numbers=("NCHW", "OIHW", "NCHW"),
    )  # fmt: skip
    grouped = p("grouped", 3, 3, 16, 48, scale=0.1)
    y = lax.conv_general_dilated(
        jnp.moveaxis(jax.nn.gelu(y), 1, -1), grouped, (1, 1), "SAME", feature_group_count=3,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip
    return linear(p, y.reshape(y.shape[0], -1, y.shape[-1]), "head", 11)


SITE_GRAPHS = {
    "flax_attention": ZooGraph(flax_attention, ((2, 7, 72),)),
    "stacked_layers": ZooGraph(stacked_layers, ((5, 40),)),
    "looped_layers": ZooGraph(looped_layers, ((40,),)),
    "gathered_experts": ZooGraph(gathered_experts, ((6, 40),)),
    "layered_experts": ZooGraph(layered_experts, ((4, 40),)),
    "dispatched_experts": ZooGraph(dispatched_experts, ((8, 40),)),
    "split_projection": ZooGraph(split_projection, ((5, 40),)),
    "split_f16": ZooGraph(split_projection, ((5, 40),), dtype="float16", tolerance=2e-3),
    "channels_first": ZooGraph(channels_first, ((2, 24, 5),)),
    "constants": ZooGraph(constants, ((5, 24),)),
    "constants_bf16": ZooGraph(constants, ((5, 24),), dtype="bfloat16", tolerance=2e-2),
    "patches": ZooGraph(patches, ((2, 3, 12, 8),)),
    "mixed_precision": ZooGraph(mixed_precision, ((5, 40),), tolerance=2e-2),
    "broadcast_weight": ZooGraph(broadcast_weight, ((3, 5, 40),)),
}

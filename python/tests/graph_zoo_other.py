"""Graphs of other kinds: recurrent, state-space, mixing, convolution, sampling."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from graph_zoo import ZooGraph, embed, layer_norm, linear, rms_norm
from jax import lax


def recurrent(p, tokens):
    """A gated recurrent unit over the sequence: scan, which is a while loop."""
    hidden = 72
    x = embed(p, tokens, 257, hidden)
    inner = linear(p, x, "wx", 3 * hidden, bias=True)
    weight = p("wh", hidden, 3 * hidden)

    def step(state, row):
        r, z, n = jnp.split(row, 3)
        hr, hz, hn = jnp.split(state @ weight, 3)
        r, z = jax.nn.sigmoid(r + hr), jax.nn.sigmoid(z + hz)
        state = (1 - z) * jnp.tanh(n + r * hn) + z * state
        return state, state

    last, states = lax.scan(step, jnp.zeros(hidden, x.dtype), inner)
    return linear(p, states, "head", 257), last


def halting(p, x):
    """A while loop that ends when the values say so; a branch inside."""
    weight = p("w", 24, 24)

    def body(state):
        count, y = state
        y = lax.cond(count % 2 == 0, lambda v: jnp.tanh(v @ weight), lambda v: v * 0.9, y)
        return count + 1, y

    return lax.while_loop(lambda s: (s[0] < 9) & (jnp.abs(s[1]).max() > 0.3), body, (0, x))


def switched(p, x, which):
    """Each input takes one of three branches, with weights of their own."""

    def branch(name, function):
        return lambda x: linear(p, function(linear(p, x, f"{name}.up", 56)), f"{name}.down", 40)

    branches = [branch("relu", jax.nn.relu), branch("tanh", jnp.tanh), branch("abs", jnp.abs)]
    return linear(p, x + lax.switch(which[0], branches, x), "head", 24)


def selective_scan(p, tokens):
    """Mamba-like: causal depthwise convolution, input-dependent steps, a scan over time."""
    hidden, state = 40, 8
    x = embed(p, tokens, 257, hidden)
    y = linear(p, rms_norm(p, x, "n"), "in", 2 * hidden)
    y, gate = jnp.split(y, 2, axis=-1)
    kernel = p("conv", 4, 1, hidden)
    y = lax.conv_general_dilated(
        y[None], kernel, (1,), [(3, 0)], feature_group_count=hidden,
        dimension_numbers=("NWC", "WIO", "NWC"),
    )[0]  # fmt: skip
    y = jax.nn.silu(y)
    step = jax.nn.softplus(linear(p, y, "dt", hidden, bias=True))
    b, c = linear(p, y, "b", state), linear(p, y, "c", state)
    decay = jnp.exp(-step[..., None] * jnp.exp(p("a", hidden, state)))
    drive = (step * y)[..., None] * b[:, None, :]

    def advance(h, now):
        h = now[0] * h + now[1]
        return h, h @ now[2]

    _, out = lax.scan(advance, jnp.zeros((hidden, state), x.dtype), (decay, drive, c))
    out = (out + y * p("d", hidden)) * jax.nn.silu(gate)
    return linear(p, x + linear(p, out, "out", hidden), "head", 257)


def parallel_scan(p, x):
    """A linear recurrence by associative scan: slices, pads and concatenations."""
    decay = jax.nn.sigmoid(linear(p, x, "decay", x.shape[-1]))

    def combine(a, b):
        return a[0] * b[0], b[0] * a[1] + b[1]

    return lax.associative_scan(combine, (decay, x))[1]


def mixer(p, x):
    """Token mixing and channel mixing; a different matrix per group: batched dots."""
    for i in range(2):
        y = jnp.swapaxes(layer_norm(p, x, f"{i}.ln1"), -1, -2)
        y = linear(p, jax.nn.gelu(linear(p, y, f"{i}.t1", 24)), f"{i}.t2", x.shape[-2])
        x = x + jnp.swapaxes(y, -1, -2)
        groups = layer_norm(p, x, f"{i}.ln2").reshape(*x.shape[:-1], 4, -1)
        y = jnp.einsum("btgd,gdf->btgf", groups, p(f"{i}.c1", 4, groups.shape[-1], 40))
        y = jnp.einsum("btgf,gfd->btgd", jax.nn.gelu(y), p(f"{i}.c2", 4, 40, groups.shape[-1]))
        x = x + y.reshape(x.shape)
    return x


def conv_stem(p, x):
    """Two causal convolutions, the second with a stride, then a pooled class."""
    y = x
    for i, (stride, size) in enumerate([(1, 40), (2, 24)]):
        y = lax.conv_general_dilated(
            y, p(f"k{i}", 3, y.shape[-1], size, scale=0.2), (stride,), [(2, 0)],
            dimension_numbers=("NWC", "WIO", "NWC"),
        )  # fmt: skip
        y = jax.nn.gelu(y + p(f"b{i}", size))
    y = lax.reduce_window(y, -jnp.inf, lax.max, (1, 2, 1), (1, 2, 1), "VALID")
    return linear(p, y.mean(1), "head", 11)


def linear_attention(p, x):
    """Products of products: keys with values first, with a kernel's features; retention."""
    q, k = (jax.nn.elu(x @ p(name, 40, 24)) + 1 for name in "qk")
    v = x @ p("v", 40, 24)
    linear = q @ (k.T @ v) / (q @ k.sum(0))[:, None]
    steps = jnp.arange(x.shape[0])
    decay = jnp.tril(0.9 ** (steps[:, None] - steps))
    return linear @ p("out", 24, 40), (decay * (q @ k.T)) @ v @ p("last", 24, 40)


def sampler(p, logits):
    """What decoders do with logits: sort, cumulative sum, arg max, top-p mask."""
    order = jnp.argsort(-logits, axis=-1)
    ordered = jnp.take_along_axis(logits, order, axis=-1)
    mass = jnp.cumsum(jax.nn.softmax(ordered, axis=-1), axis=-1)
    kept = jnp.where(mass < 0.9, ordered, -1e4)
    restored = jnp.zeros_like(kept).at[jnp.arange(kept.shape[0])[:, None], order].set(kept)
    return jnp.argmax(logits, axis=-1), restored, jnp.sort(logits, axis=0)


def counts(p, tokens):
    """Histogram by scatter-add, reversed and clipped."""
    histogram = jnp.zeros(17, jnp.int32).at[tokens].add(1)
    flags = jnp.zeros((5,), bool).at[tokens % 5].set(True)
    return histogram[::-1], jnp.clip(histogram, 1, 2), flags, (histogram > 1).sum()


def scalars(p, x, y):
    """Rank 0 and empty arrays."""
    empty = jnp.concatenate([x[:0], x[:0] * 2])
    return y * 2 + jnp.sum(empty), jnp.where(y > 0, x.sum(), y), empty, x[:0] @ x[:0].T


OTHER_GRAPHS = {
    "recurrent": ZooGraph(recurrent, ((11,),), {0: 257}),
    "halting": ZooGraph(halting, ((3, 24),)),
    "switched": ZooGraph(switched, ((5, 40), (1,)), {1: 3}),
    "selective_scan": ZooGraph(selective_scan, ((9,),), {0: 257}),
    "parallel_scan": ZooGraph(parallel_scan, ((13, 24),)),
    "mixer": ZooGraph(mixer, ((3, 13, 72),)),
    "conv_stem": ZooGraph(conv_stem, ((3, 17, 12),)),
    "linear_attention": ZooGraph(linear_attention, ((9, 40),)),
    "sampler": ZooGraph(sampler, ((3, 257),)),
    "counts": ZooGraph(counts, ((31,),), {0: 17}),
    "scalars": ZooGraph(scalars, ((3, 5), ())),
}

"""The quantisers of benchmarks/accuracy against plain NumPy readings of their formulas."""

from __future__ import annotations

from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.accuracy import hadamard, histograms, metrics, program, transforms
from benchmarks.accuracy.methods import round_nearest
from benchmarks.accuracy.quantisers import (
    Attention,
    Dynamic,
    Encode,
    KeptAndRotated,
    Part,
    Rotated,
    rotate,
)

RANDOM = np.random.default_rng(3)
# Rows with an outlier, a row of zeros and ordinary ones; 20 channels in groups of 8: 8, 8, 4.
X = RANDOM.standard_normal((6, 20)).astype(np.float32)
X[1, 3], X[2] = 40, 0


def rtn(row, bits: int, clip: float) -> list[float]:
    """One group of one token."""
    limit = 2 ** (bits - 1) - 1
    step = clip * max(abs(float(v)) for v in row) / limit
    if step == 0:
        return [0.0] * len(row)
    return [step * min(max(round(float(v) / step), -limit - 1), limit) for v in row]


@pytest.mark.parametrize("bits", [3, 4, 5, 8])
@pytest.mark.parametrize("clip", [1.0, 0.7])
def test_rtn_per_token(bits, clip):
    quantised, salient = Dynamic((Part(20, bits, 20),), np.float32(clip))(X)
    expected = [rtn(row, bits, clip) for row in X]
    np.testing.assert_allclose(quantised, expected, rtol=1e-5, atol=1e-6)
    assert salient == 0


def test_rtn_in_groups():
    quantised, _ = Dynamic((Part(20, 4, 8),), np.float32(0.9))(X)
    expected = [sum((rtn(row[i : i + 8], 4, 0.9) for i in (0, 8, 16)), []) for row in X]
    np.testing.assert_allclose(quantised, expected, rtol=1e-5, atol=1e-6)


def test_rtn_bits_count_scales():
    assert Dynamic((Part(20, 4, 20),), 1.0).bits() == 4 + 16 / 20
    assert Dynamic((Part(20, 4, 8),), 1.0).bits() == 4 + 3 * 16 / 20


def test_atom_keeps_the_largest_channels_at_8_bits():
    order = np.argsort((X**2).mean(axis=0))
    parts = (Part(17, 4, 8), Part(3, 8, 3, False))
    quantiser = Dynamic(parts, np.float32(0.8), order)
    quantised, _ = quantiser(X)
    expected = np.zeros_like(X)
    for row, out in zip(X, expected, strict=True):
        for start in (0, 8, 16):
            group = order[start : min(start + 8, 17)]
            out[group] = rtn(row[group], 4, 0.8)
        out[order[17:]] = rtn(row[order[17:]], 8, 1.0)
    np.testing.assert_allclose(quantised, expected, rtol=1e-5, atol=1e-6)
    assert quantiser.bits() == (17 * 4 + 3 * 8 + 16 * (3 + 1)) / 20


def test_spikellm_gives_salient_channels_more_steps():
    order = RANDOM.permutation(20)
    quantised, _ = Dynamic((Part(18, 4, 18), Part(2, 6, 2)), np.float32(1), order)(X)
    for row, out in zip(X, np.asarray(quantised), strict=True):
        np.testing.assert_allclose(out[order[:18]], rtn(row[order[:18]], 4, 1), atol=1e-5)
        np.testing.assert_allclose(out[order[18:]], rtn(row[order[18:]], 6, 1), atol=1e-5)


def test_kept_channels_are_not_rotated():
    kept, factors = np.array([3, 7]), hadamard.factors(20)
    inner = Dynamic((Part(20, 4, 8),), np.float32(0.9))
    quantiser = KeptAndRotated(Rotated(inner, factors), kept)
    quantised, _ = quantiser(jnp.asarray(X))
    rest = X.copy()
    rest[:, kept] = 0
    turned = rest @ hadamard.product(factors)
    rounded = [sum((rtn(row[i : i + 8], 4, 0.9) for i in (0, 8, 16)), []) for row in turned]
    expected = np.array(rounded) @ hadamard.product(factors).T
    expected[:, kept] = [rtn(row, 8, 1.0) for row in X[:, kept]]
    np.testing.assert_allclose(quantised, expected, rtol=1e-4, atol=1e-4)
    assert quantiser.bits() == pytest.approx((20 * 4 + 3 * 16 + 2 * 8 + 16) / 20)


@pytest.mark.parametrize("tolerance", [0, 1])
def test_encode_in_fractions(tolerance):
    """A step of a power of two: every float operation is exact, ties included."""
    step = 0.25
    x = np.arange(-40, 41, dtype=np.float32)[None] * np.float32(step / 4)
    x = np.concatenate([x, np.float32([[1e6, -1e6, *[0.0] * 79]])])
    bits = np.array([0, 1, 2, 3, 4, 8] * 13 + [0, 2, 4], np.float32)
    quantised, salient = Encode(np.float32(step), bits, tolerance)(x)
    expected, count = np.zeros(x.shape), 0
    for t, j in np.ndindex(x.shape):
        n = (Fraction(float(x[t, j])) / Fraction(step) + Fraction(1, 2)).__floor__()
        n = min(max(n, -32767), 32767)
        window = 2 ** (int(bits[j]) - 1) - 1 if bits[j] >= 2 else 0
        if abs(n) > window + tolerance:
            count += 1
        else:
            n = min(max(n, -window), window)
        expected[t, j] = n * step
    np.testing.assert_array_equal(quantised, expected)
    assert int(salient) == count


def test_encode_limit_clips_salient_counts():
    quantised, salient = Encode(np.float32(1), np.float32([4, 4]), 0, limit=127)(
        np.float32([[300, -300], [7, 8]])
    )
    np.testing.assert_array_equal(quantised, [[127, -127], [7, 8]])
    assert int(salient) == 3


def test_encode_per_token_follows_the_median():
    bits = np.full(20, 4, np.float32)
    quantised, _ = Encode(np.float32(0.3), bits, 1, per_token=True)(X)
    for row, out in zip(X, np.asarray(quantised), strict=True):
        scale = float(np.median(np.abs(row))) or 1.0
        alone, _ = Encode(np.float32(0.3), bits, 1)((row / np.float32(scale))[None])
        np.testing.assert_allclose(out, np.asarray(alone)[0] * scale, rtol=1e-6)


def test_attention_on_counts():
    query = RANDOM.standard_normal((2, 6, 4)).astype(np.float32)
    values = RANDOM.standard_normal((2, 5, 4)).astype(np.float32)
    scores = RANDOM.standard_normal((2, 6, 5)) * 3
    numerators = np.exp(scores - scores.max(axis=2, keepdims=True))
    probabilities = (numerators / numerators.sum(axis=2, keepdims=True)).astype(np.float32)
    steps = np.float32([0.01, 0.03])
    attention = Attention(steps, steps, steps)
    rounded, _ = attention.scores(query, query)
    expected = np.clip(np.rint(query / steps[:, None, None]), -127, 127) * steps[:, None, None]
    np.testing.assert_allclose(rounded, expected, rtol=1e-6)
    mixed, _ = attention.mix(probabilities, values)
    counts = np.rint(numerators * 255)
    np.testing.assert_allclose(mixed, counts / counts.sum(axis=2, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 12, 64, 576, 1536, 20, 13])
def test_rotations_are_orthogonal(size):
    factors = hadamard.factors(size)
    matrix = hadamard.product(factors)
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(size), atol=2e-6)
    if size not in (20, 13):
        np.testing.assert_allclose(np.abs(matrix), 1 / np.sqrt(size), rtol=1e-6)
    x = RANDOM.standard_normal((3, size)).astype(np.float32)
    np.testing.assert_allclose(rotate(x, factors), x @ matrix, atol=1e-5)
    turn = hadamard.randomised(size, seed=1)
    np.testing.assert_allclose(turn.T @ turn, np.eye(size), atol=1e-6)


def test_smoothing_factors():
    """One layer of two value heads, each read by two query heads of width 3."""
    from spikequant.llama_graphs import LlamaConfig

    config = LlamaConfig(1, 12, 8, 4, 2, 3, 10, 1e-5, True)
    shapes = config.weight_shapes(4)
    weights = {k: RANDOM.standard_normal(s).astype(np.float32) for k, s in shapes.items()}
    largest = {f"blk.0.{s}": RANDOM.uniform(0.1, 9, 12) for s in ("attn_q", "attn_output")}
    largest["blk.0.attn_q"][4] = 0
    factors = transforms.smoothing_factors(largest, weights, config, 0.7)
    for j in range(12):
        rows = [np.abs(weights[f"blk.0.attn_{n}"][j]).max() for n in "qkv"]
        x = largest["blk.0.attn_q"][j]
        expected = x**0.7 / max(rows) ** 0.3 if x else 1
        assert factors["blk.0.attn_q"][j] == pytest.approx(expected)
        shared = [j, j + 3] if j % 6 < 3 else [j - 3, j]
        x = max(largest["blk.0.attn_output"][i] for i in shared)
        w = max(np.abs(weights["blk.0.attn_output"][i]).max() for i in shared)
        assert factors["blk.0.attn_output"][j] == pytest.approx(x**0.7 / w**0.3)


def test_round_nearest_has_16_levels_between_the_ends():
    w = RANDOM.standard_normal((40, 3)).astype(np.float32)
    rounded = round_nearest({"blk.0.attn_q": w, "attn_norm": w[:, 0]}, group=32)
    np.testing.assert_array_equal(rounded["attn_norm"], w[:, 0])
    for rows in (slice(0, 32), slice(32, 40)):
        for column in range(3):
            group, out = w[rows, column], rounded["blk.0.attn_q"][rows, column]
            levels = np.linspace(group.min(), group.max(), 16)
            nearest = np.abs(group[:, None] - levels).min(axis=1)
            np.testing.assert_allclose(np.abs(group - out), nearest, atol=1e-6)


def test_plain_rule_from_histograms(tmp_path):
    """Against the values themselves; bins are an eighth of an octave wide."""
    import json

    values = {
        "blk.0.a.in": RANDOM.laplace(size=(4000, 5)),
        "blk.1.a.in": RANDOM.standard_cauchy((4000, 2)),
    }
    edges = histograms.edges()
    sites = []
    for name, x in values.items():
        counts = [np.histogram(np.abs(column), edges)[0] for column in x.T]
        channels = [{"bins": "0:" + ",".join(map(str, c))} for c in counts]
        sites.append({"name": name, "channels": channels})
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps({"sites": sites}))
    steps = histograms.plain_steps(path, salient=0.025)
    medians = {name: np.median(np.abs(x)) for name, x in values.items()}
    factors = [7 * steps[name] / medians[name] for name in values]
    assert factors[0] == pytest.approx(factors[1], rel=0.02)
    salient = sum((np.abs(x) >= 7.5 * steps[n]).sum() for n, x in values.items())
    assert salient / 28000 == pytest.approx(0.025, rel=0.05)


def test_paired_statistics():
    windows = [
        {"loss": a, "float_loss": b, "kl": 0.1, "agreement": 0.5} for a, b in ((3, 2), (2, 1.5))
    ]
    summary = metrics.summarise(windows)
    assert summary["ratio"] == pytest.approx(np.exp(0.75))
    # The differences are 1 and 0.5: standard error 0.25.
    assert summary["ratio_standard_error"] == pytest.approx(np.exp(0.75) * 0.25)
    ratio, error = metrics.paired(windows, [{"loss": 2.5}, {"loss": 2.0}])
    assert ratio == pytest.approx(np.exp(0.25))
    assert error == pytest.approx(np.exp(0.25) * 0.25)


def test_logits_are_compared_in_double_precision():
    """KL(float || model), losses and choices of each token, against their definitions."""
    float_logits, logits = RANDOM.normal(0, 5, (2, 4, 50)).astype(np.float32)
    following = np.array([0, 49, 7, 7])
    p, q = (np.exp(a) / np.exp(a).sum(1, keepdims=True) for a in np.float64([float_logits, logits]))
    found = metrics.compare(metrics.expect(float_logits, following), logits, following)
    rows = np.arange(4)
    losses = -np.log(q[rows, following]), -np.log(p[rows, following])
    divergence = (p * np.log(p / q)).sum(1)
    for have, want in zip(found, (*losses, divergence, p.argmax(1) == q.argmax(1)), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5)


def test_parts_of_a_window():
    (first, after), (second, last) = metrics.parts(np.arange(130))
    assert (first, second) == (slice(0, 128), slice(128, 256))
    assert after.tolist() == list(range(1, 129)) and last.tolist() == [129, 0]


def test_chunks_of_a_program_in_parts():
    chunks = iter(np.split(np.arange(20.0)[:, None], [7, 14]))
    found = list(program._in_parts(chunks, 8))
    assert [len(part) for part in found] == [8, 8, 4]
    np.testing.assert_array_equal(np.concatenate(found)[:, 0], np.arange(20.0))

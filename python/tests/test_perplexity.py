"""Perplexity of compiled tiny models against the NumPy llama, and the statistics by hand."""

from __future__ import annotations

import json
import math
import os

import numpy as np
import pytest
from conftest import TEXT
from llama_reference import logits as reference_logits
from tiny_chat import CONTEXTS, TINY

from spikequant import SpikeQuantError, cli, compiler
from spikequant.activation_bits import activation_bits
from spikequant.float_program import cached_float_program
from spikequant.perplexity import Losses, evaluate, summary
from spikequant.session import Session
from spikequant.text import load_tokenizer

TEST = TEXT / "test.txt"
WINDOWS = 3
KEYS = {
    "perplexity",
    "float_perplexity",
    "ratio",
    "ratio_standard_error",
    "kl",
    "windows",
    "context",
    "activation_bits",
    "activation_bits_by_macs",
    "stored_bits",
    "weight_bits",
    "islands",
}


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    logits = logits.astype(np.float64)
    logits = logits - logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def windows_of(folder, context: int) -> list[list[int]]:
    ids = load_tokenizer(folder).encode(TEST.read_text()[:4000], add_special_tokens=False).ids
    return [ids[i * context : (i + 1) * context] for i in range(WINDOWS)]


def loss(scores: np.ndarray, window: list[int]) -> float:
    return -np.mean([scores[i, token] for i, token in enumerate(window[1:])])


@pytest.mark.parametrize("context", [CONTEXTS[1], 21, CONTEXTS[0]])
def test_float_perplexity_equals_reference(float_program, context):
    windows = windows_of(float_program, context)
    losses = [loss(log_probabilities(reference_logits(TINY, w)), w) for w in windows]
    result = evaluate(float_program, TEST, context, WINDOWS)
    assert result["perplexity"] == pytest.approx(math.exp(np.mean(losses)), rel=1e-5)
    assert result["float_perplexity"] == result["perplexity"]
    assert (result["ratio"], result["kl"], result["windows"]) == (1, 0, WINDOWS)
    assert set(result) >= KEYS


def test_ratio_and_divergence(float_program, quantised_program):
    """From the sessions' own logits, window by window, in f64."""
    context = CONTEXTS[1]
    pairs, kl = [], []
    for window in windows_of(float_program, context):
        scores = []
        for program in (quantised_program, float_program):
            session = Session(program)
            scores.append(log_probabilities(np.concatenate(list(session.score(window)))))
        pairs.append([loss(score, window) for score in scores])
        kl.append((np.exp(scores[1]) * (scores[1] - scores[0])).sum(axis=1).mean())
    pairs = np.array(pairs)
    difference = pairs[:, 0] - pairs[:, 1]
    result = evaluate(quantised_program, TEST, context, WINDOWS, float_program=float_program)
    ratio = math.exp(difference.mean())
    error = ratio * math.sqrt(difference.var(ddof=1) / WINDOWS)
    assert result["perplexity"] == pytest.approx(math.exp(pairs[:, 0].mean()), rel=1e-5)
    assert result["ratio"] == pytest.approx(ratio, rel=1e-5)
    assert result["ratio_standard_error"] == pytest.approx(error, rel=1e-3)
    assert result["kl"] == pytest.approx(np.mean(kl), rel=1e-3, abs=1e-6)
    assert result["perplexity"] != result["float_perplexity"]


def test_summary_by_hand():
    losses = Losses(program=[1.5, 2.5], baseline=[1.0, 1.8], divergence=[0.25, 0.75])
    result = summary(losses)
    assert result["perplexity"] == pytest.approx(math.exp(2))
    assert result["float_perplexity"] == pytest.approx(math.exp(1.4))
    assert result["ratio"] == pytest.approx(math.exp(0.6))
    # Differences 0.5 and 0.7: standard deviation 0.1 sqrt 2, of the mean 0.1.
    assert result["ratio_standard_error"] == pytest.approx(0.1 * math.exp(0.6))
    assert result["kl"] == 0.5


def test_one_window_has_no_error():
    assert summary(Losses([1.0], [1.0]))["ratio_standard_error"] is None


class _Model:
    """What activation_bits reads of a session."""

    def __init__(self, sites, salient):
        self.compilation = {"encode_sites": sites}
        self.folder = "program"
        graph = type("Graph", (), {"sites": list(salient), "salient": list(salient.values())})
        self.graphs = {"a": graph}


class _Session:
    def __init__(self, sites, salient, rows):
        self.model, self.rows = _Model(sites, salient), rows


def test_activation_bits_by_hand():
    sites = [
        {"site": "a.in", "channels": 10, "mean_bits": 4.0, "fan_out": 30},
        {"site": "b.in", "channels": 30, "mean_bits": 2.0, "fan_out": 10},
    ]
    # 100 rows: 1000 and 3000 values; 1 % and 0.1 % of them are salient.
    result = activation_bits(_Session(sites, {"b.in": 3, "a.in": 10}, 100))
    first, second = 4 + 32 * 0.01, 2 + 32 * 0.001
    assert result["activation_bits"] == pytest.approx((10 * first + 30 * second) / 40)
    assert result["activation_bits_by_macs"] == pytest.approx((first + second) / 2)
    first, second = 4 + 16 * 0.01, 2 + 16 * 0.001
    assert result["stored_bits"] == pytest.approx((10 * first + 30 * second) / 40)
    assert result["salient_share"] == pytest.approx(13 / 4000)


def test_activation_bits_of_a_float_program_are_unknown():
    assert activation_bits(_Session([], {}, 5))["activation_bits"] is None


def test_error_damaged_report():
    with pytest.raises(SpikeQuantError, match="compile.json: damaged"):
        activation_bits(_Session([{"site": "a.in"}], {}, 5))


def test_command_compiles_the_float_program_itself(quantised_program, tmp_path, capsys):
    report = tmp_path / "eval.json"
    command = ["eval", str(quantised_program), "--text", str(TEST), "--json", str(report)]
    command += ["--context", str(CONTEXTS[1]), "--windows", "2"]
    assert cli.main(command) == 0
    result = json.loads(report.read_text())
    assert set(result) >= KEYS
    assert result["activation_bits"] > 1
    assert result["weight_bits"] >= 4
    assert "ratio" in capsys.readouterr().out


def test_float_program_is_made_once_and_again_when_the_bundle_changes(
    quantised_program, tiny_bundle, monkeypatch
):
    session, made = Session(quantised_program), []
    original = compiler.compile_model
    monkeypatch.setattr(
        compiler, "compile_model", lambda *words: made.append(words) or original(*words)
    )
    first = cached_float_program(session)
    made.clear()
    assert cached_float_program(session) == first
    assert not made
    model = tiny_bundle / "model.json"
    os.utime(model, (1, 1))
    assert cached_float_program(session) == first
    assert len(made) == 1
    assert [path.name for path in first.parent.glob("float-*")].count(first.name) == 1


def test_error_bundle_is_gone(quantised_program, monkeypatch):
    session = Session(quantised_program)
    monkeypatch.setitem(session.model.description, "bundle", "/nowhere")
    monkeypatch.setattr("spikequant.perplexity.Session", lambda *_: session)
    with pytest.raises(SpikeQuantError, match="bundle '/nowhere' is gone"):
        evaluate(quantised_program, TEST, CONTEXTS[1], 1)

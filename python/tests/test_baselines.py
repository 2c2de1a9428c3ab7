"""benchmarks/accuracy on the tiny model: the evaluator against compiled programs, and one run."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import TEXT
from tiny_chat import CONTEXTS

from benchmarks.accuracy import __main__ as command
from benchmarks.accuracy import evaluate, graph, observed, plots, results, transforms
from benchmarks.accuracy.graph import Evaluator, Model
from benchmarks.accuracy.quantisers import Attention, Rotated
from benchmarks.accuracy.settings import Settings
from benchmarks.accuracy.texts import make_questions
from benchmarks.accuracy.tie import compare, compiled_model
from benchmarks.accuracy.workshop import FOLDED, ONLINE, Variant, Workshop
from spikequant.compiler import CompileOptions, compile_model
from spikequant.session import Session
from spikequant.text import load_tokenizer

CONTEXT = CONTEXTS[1]
TOKENS = np.random.default_rng(1).integers(3, 250, CONTEXT).astype(np.int32)


@pytest.fixture(scope="module")
def workshop(tiny_bundle, tmp_path_factory) -> Workshop:
    settings = Settings(TEXT / "calibration.txt", tokens=200, context=CONTEXT)
    return Workshop(tiny_bundle, tmp_path_factory.mktemp("accuracy"), settings)


@pytest.fixture(scope="module")
def real_attention_program(tiny_bundle, calibration, tmp_path_factory) -> Path:
    """Attention and SiLU stay real, as in the evaluator's reading of a compiled folder."""
    folder = tmp_path_factory.mktemp("real") / "tiny.sq"
    real = {
        "attention_bits": 0,
        "centres": False,
        "real_activations": True,
        "real_residual": True,
        "real_rotations": True,
    }
    options = CompileOptions(calibration=calibration, bits=6, **real)
    compile_model(tiny_bundle, folder, options)
    return folder


def logits(model: Model, tokens: np.ndarray = TOKENS) -> np.ndarray:
    evaluator = Evaluator(model.config, CONTEXT, len(tokens))
    hidden, _, _ = evaluator.run(model.on_device(), tokens[None])
    return np.asarray(evaluator.graph.head(hidden[0], model.weights, model.head)[0])


def compiled_logits(folder: Path) -> np.ndarray:
    session = Session(folder)
    session.reset(CONTEXT)
    return np.concatenate(list(session.score(TOKENS)))


def test_float_logits_equal_the_compiled_program(workshop, float_program):
    expected = compiled_logits(float_program)
    np.testing.assert_allclose(logits(workshop.reference), expected, rtol=1e-4, atol=1e-4)


def test_our_steps_and_weights_give_the_compiled_program(workshop, real_attention_program):
    """A last bit of a real number may flip a count, and then all later tokens differ a little."""
    expected = compiled_logits(real_attention_program)
    found = logits(compiled_model(workshop, real_attention_program))
    same = np.isclose(found, expected, rtol=1e-4, atol=1e-4).all(axis=1)
    assert same[:8].all()
    assert same.mean() > 0.5
    np.testing.assert_allclose(found, expected, atol=0.25 * np.abs(expected).max())


def test_tie_reports_both(workshop, float_program, real_attention_program):
    """On the float program both are float: no divergence, every row equal."""
    (result,) = compare(workshop, float_program, TOKENS[None])
    assert result["equal_rows"] == CONTEXT
    for name in ("program", "evaluator"):
        assert result[name]["loss"] == pytest.approx(result[name]["float_loss"], abs=1e-5)
        assert result[name]["kl"] == pytest.approx(0, abs=1e-6)
    (result,) = compare(workshop, real_attention_program, TOKENS[None])
    assert result["program"]["loss"] == pytest.approx(result["evaluator"]["loss"], rel=0.05)
    assert result["program"]["kl"] > 1e-4


def test_salient_counts_equal_the_compiled_program(workshop, real_attention_program):
    model = compiled_model(workshop, real_attention_program).on_device()
    session = Session(real_attention_program)
    session.reset(CONTEXT)
    list(session.score(TOKENS))
    rows = session.rows
    graph = session.model.graph(f"score_{CONTEXT}")
    expected = dict(zip(graph.sites, graph.salient, strict=False))
    # The program also counts the rows that pad its chunks: those are computed as well.
    assert rows >= CONTEXT
    _, _, counts = Evaluator(model.config, CONTEXT, CONTEXT).run(model, TOKENS[None])
    for site, count in counts.items():
        assert count <= expected[f"{site}.in"] * 1.02 + 2


def test_attention_in_blocks_is_attention(workshop, monkeypatch):
    """Queries that look at no later keys give what a mask gives, on counts too."""
    quantisers = {"attention": Attention(*np.full((3, workshop.config.kv_heads), 0.01, np.float32))}
    layers = [quantisers] * workshop.config.layers
    model = Model(workshop.config, workshop.weights, layers).on_device()
    monkeypatch.setattr(graph, "_BLOCK", CONTEXT + 1)
    whole = logits(model)
    monkeypatch.setattr(graph, "_BLOCK", CONTEXT // 4)
    np.testing.assert_allclose(logits(model), whole, rtol=1e-4, atol=1e-4)
    assert np.abs(whole - logits(workshop.reference)).max() > 1e-3


def test_budget_pays_for_held_out_bits(monkeypatch):
    """What costs 0.1 bits too many, give or take 0.02, is given 0.16 fewer, and the margin."""
    found = {"activation_bits": 4.35, "bits_error": 0.02}
    monkeypatch.setattr(evaluate._Trials, "__init__", lambda self: None)
    monkeypatch.setattr(evaluate._Trials, "trial", lambda self, constants: found)
    trials = evaluate._Trials()
    trials.workshop = SimpleNamespace(settings=SimpleNamespace(margin=0.04))
    assert trials.budget(4.25) == pytest.approx(4.05)
    found["activation_bits"] = 4.1
    assert trials.budget(4.25) == pytest.approx(4.21)


@pytest.mark.parametrize("rotation", [FOLDED, ONLINE])
def test_rotated_model_is_equivalent(workshop, rotation):
    variant = Variant(rotation=rotation)
    weights, config = workshop.real_weights(variant)
    layers = workshop.online_rotations(variant, config)
    assert all(isinstance(q, Rotated) for q in layers[0].values())
    found = logits(Model(config, weights, layers))
    np.testing.assert_allclose(found, logits(workshop.reference), rtol=1e-3, atol=2e-3)
    # Without the online rotations it is another function: the test can fail.
    assert np.abs(logits(Model(config, weights)) - found).max() > 0.1


def test_smoothed_model_is_equivalent(workshop):
    weights, config = workshop.real_weights(Variant(alpha=0.6))
    assert np.abs(weights["blk.0.attn_norm"] / workshop.weights["blk.0.attn_norm"] - 1).max() > 0.1
    found = logits(Model(config, weights))
    np.testing.assert_allclose(found, logits(workshop.reference), rtol=1e-3, atol=1e-3)


def test_smoothing_refuses_unequal_factors_of_shared_values(workshop):
    width = workshop.config.heads * workshop.config.head_width
    factors = {"blk.0.attn_output": np.arange(1, 1 + width)}
    with pytest.raises(ValueError, match="share values"):
        transforms.scale_inputs(workshop.weights, workshop.config, factors)


def test_observed_saliency_is_its_formula(workshop):
    """x_j (x W W^T)_j over the tokens of one window, for the first layer's q, k and v."""
    evaluator = Evaluator(workshop.config, CONTEXT, CONTEXT)
    figures = observed.observe(evaluator, workshop.reference, TOKENS[None])
    embedded = workshop.weights["token_embd"][TOKENS].astype(np.float64)
    scale = np.sqrt((embedded**2).mean(axis=1, keepdims=True) + workshop.config.norm_epsilon)
    x = embedded / scale * workshop.weights["blk.0.attn_norm"]
    w = np.concatenate([workshop.weights[f"blk.0.attn_{n}"] for n in "qkv"], axis=1)
    expected = np.mean([row * (w @ (w.T @ row)) for row in x], axis=0)
    np.testing.assert_allclose(figures["blk.0.attn_q.saliency"], expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(figures["blk.0.attn_q.max"], np.abs(x).max(axis=0), rtol=1e-4)
    values = x @ workshop.weights["blk.0.attn_v"]
    largest = np.abs(values).max(axis=0).reshape(workshop.config.kv_heads, -1)
    np.testing.assert_allclose(figures["blk.0.value"], largest, rtol=1e-3)


def test_collected_statistics_are_the_products(workshop):
    """The same text through JAX and through the compiled observer: equal but for last bits."""
    product = json.loads(workshop.calibration(Variant()).read_text())
    # Operands of products have statistics too; those are the program's alone.
    product["sites"] = [s for s in product["sites"] if s["name"].endswith(".in")]
    path = workshop.folder / "collected.json"
    windows = workshop._calibration_windows()
    evaluator = workshop.evaluator(workshop.config, windows.shape[1])
    observed.collect(evaluator, workshop.reference, windows, lambda _, x: x, path, True)
    collected = json.loads(path.read_text())
    assert [s["name"] for s in collected["sites"]] == [s["name"] for s in product["sites"]]
    for ours, theirs in zip(collected["sites"], product["sites"], strict=True):
        # 40 tokens are three chunks of 16: the product sees 8 rows of each window twice.
        assert (ours["rows"], theirs["rows"]) == (windows.size, windows.size // 40 * 48)
        for a, b in zip(ours["channels"], theirs["channels"], strict=True):
            assert a["max"] == pytest.approx(b["max"], rel=1e-4)
            assert int(a["squares"]) < int(b["squares"])


def arguments(bundle: Path, folder: Path, **changes):
    options = {
        "bundle": bundle, "output": folder, "windows": 2, "context": CONTEXTS[0], "questions": 6,
        "methods": "smoothquant-4,quarot-4,paper,spike-5,program-5", "grid": "on",
        "calibration_tokens": 200, "tuning_windows": 1, "docs": False, "list": False,
        "report": False, "margin": 0.04,
    }  # fmt: skip
    return command.argparse.Namespace(**{**options, **changes})


def test_one_run_and_its_continuation(tiny_bundle, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(plots, "write_plots", lambda *_: drawn.append(1))
    command.run(arguments(tiny_bundle, tmp_path))
    with (tmp_path / "accuracy.csv").open() as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["smoothquant-4", "quarot-4", "paper", "spike-5", "program-5"]
    # After each of five groups, and at the end.
    assert len(drawn) == 6
    # 24 and 20 channels with a scale of 16 bits each; the head's input has 8 bits.
    values = 2 * (3 * 24 + 20) + 24
    bits = (2 * (3 * (24 * 4 + 16) + 20 * 4 + 16) + 24 * 8 + 16) / values
    assert float(rows["quarot-4"]["activation_bits"]) == pytest.approx(bits)
    assert abs(float(rows["spike-5"]["activation_bits"]) - 5) < 0.5
    for row in rows.values():
        expected = float(row["perplexity"]) / float(row["float_perplexity"])
        assert float(row["ratio"]) == pytest.approx(expected) != 1
        assert 0 < float(row["kl"]) < 5
    assert float(rows["paper"]["paper_bits"]) < float(rows["paper"]["activation_bits"])

    def forbidden(*_):
        raise AssertionError("computed again")

    # Everything is kept; one more window is all that a longer run computes.
    monkeypatch.setattr(results, "tune", forbidden)
    monkeypatch.setattr(Workshop, "compiled", forbidden)
    monkeypatch.setattr(results, "run_window", forbidden)
    command.run(arguments(tiny_bundle, tmp_path, methods="paper"))
    with (tmp_path / "accuracy.csv").open() as file:
        assert {row["method"]: row for row in csv.DictReader(file)} == rows
    windows = []
    monkeypatch.undo()
    monkeypatch.setattr(plots, "write_plots", lambda *_: None)
    monkeypatch.setattr(
        results, "run_window", lambda *a: windows.append(1) or evaluate.run_window(*a)
    )
    command.run(arguments(tiny_bundle, tmp_path, windows=3, methods="quarot-4"))
    assert len(windows) == 1


def test_questions(tiny_bundle, tmp_path):
    """The true continuation follows its context in the text, the others come later."""
    text = tmp_path / "text.txt"
    text.write_text("".join(f"{i:05}" for i in range(400)))
    asked = make_questions(tiny_bundle, text, 5, room=40)
    ids = load_tokenizer(tiny_bundle).encode(text.read_text(), add_special_tokens=False).ids
    assert asked.contexts.shape == (5, 28) and asked.continuations.shape == (5, 4, 12)
    for context, pieces, answer in zip(
        asked.contexts, asked.continuations, asked.answers, strict=True
    ):
        start = next(i for i in range(len(ids)) if ids[i : i + 28] == list(context))
        assert ids[start + 28 : start + 40] == list(pieces[answer])
        assert len({tuple(piece) for piece in pieces}) == 4


def test_unknown_method_is_named(capsys):
    with pytest.raises(SystemExit, match="no-such.*quarot-4"):
        command.choose_methods("no-such")


def test_plots_are_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    row = {
        "label": "RTN", "activation_bits": 4.0, "stored_bits": 4.0, "weight_bits": 4.8,
        "ratio": 1e4, "ratio_standard_error": 1.0, "windows": 4,
    }  # fmt: skip
    rows = [row, {**row, "label": "SpikeQuant", "ratio": 1.1, "ratio_standard_error": 0.01}]
    for path in plots.write_plots(tmp_path, "on", rows):
        assert path.read_bytes().startswith(b"\x89PNG")


def test_settings_are_part_of_the_identity(workshop):
    other = Workshop(workshop.source, workshop.folder, replace(workshop.settings, tokens=160))
    assert other.identity != workshop.identity

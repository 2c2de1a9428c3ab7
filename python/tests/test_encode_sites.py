"""What a program compiled with taps shows: counts are the definition's, reports add up."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from conftest import TEXT
from tiny_chat import CONTEXTS, TINY

from benchmarks.accuracy.packed import PackedFile
from spikequant.arrays import Recorder
from spikequant.compiler import CompileOptions, compile_model
from spikequant.session import Session

CONTEXT = CONTEXTS[1]


@pytest.fixture(scope="module")
def session(tmp_path_factory, tiny_bundle, calibration):
    folder = tmp_path_factory.mktemp("taps") / "program"
    options = CompileOptions(
        calibration=calibration,
        bits=4.5,
        graphs=[f"score_{CONTEXT}"],
        taps=True,
        centres=False,
        real_activations=True,
        real_rotations=True,
        real_residual=True,
    )
    compile_model(tiny_bundle, folder, options)
    return Session(folder)


@pytest.fixture(scope="module")
def shown(session):
    """Recorded arrays by name, of one window; and the salient counts of that window."""
    graph = session.model.graph(f"score_{CONTEXT}")
    recorder = Recorder(graph)
    session.observer = recorder.observer
    text = TEXT.joinpath("test.txt").read_bytes()[:CONTEXT]
    tokens = [3 + byte for byte in text]
    graph.salient[:] = 0
    session.reset()
    list(session.score(tokens))
    session.observer = None
    return recorder.arrays(), dict(zip(graph.sites, graph.salient.tolist(), strict=True))


def sites(session) -> list[dict]:
    return session.model.compilation["encode_sites"]


def raw_counts(session, site: dict, arrays: dict) -> np.ndarray:
    """floor((x q) r + 1/2), r = f32(a / step): row scales q and gains a are folded norms."""
    name, step = site["site"], np.float32(site["step"])
    x = arrays[name + ".x"]
    if name + ".row_scale" in arrays:
        x = x * arrays[name + ".row_scale"].reshape(-1, 1)
    program = session.model.folder
    text = (program / "quantized.mlir").read_text()
    gains = re.search(rf'gains = @(\S+), site = "{re.escape(name)}"', text)
    packed = PackedFile(program / "weights.sqw")
    a = packed.array(gains[1]) if gains else np.float32(1)
    return np.floor(x * (a / step) + np.float32(0.5)).astype(int)


def test_sites_are_the_model_s(session):
    # Per layer: q, k and v share an input, gate and up share one.
    names = [
        f"blk.{layer}.{name}.in"
        for layer in range(TINY.layers)
        for name in ("attn_q", "attn_output", "ffn_gate", "ffn_down")
    ]
    assert [site["site"] for site in sites(session)] == [*names, "token_embd.in"]
    assert session.model.compilation["sites"] == 7 * TINY.layers + 1
    by_name = {site["site"]: site for site in sites(session)}
    q_width, kv_width = TINY.heads * TINY.head_width, TINY.kv_heads * TINY.head_width
    assert by_name["blk.0.attn_q.in"]["fan_out"] == q_width + 2 * kv_width
    assert by_name["blk.0.ffn_gate.in"]["fan_out"] == 2 * TINY.feed_forward
    assert by_name["blk.0.ffn_down.in"]["channels"] == TINY.feed_forward


def test_counts_are_the_definition_s(session, shown):
    """Those of the formula, but where one step outside the window saturates."""
    arrays, _ = shown
    for site in sites(session):
        counts = arrays[site["site"] + ".counts"].astype(int)
        expected = raw_counts(session, site, arrays)
        moved = np.abs(expected) - np.abs(counts)
        assert set(np.unique(moved)) <= {0, 1}
        assert (np.sign(counts) == np.sign(expected))[counts != 0].all()
        # One step outside a channel's window: there the saturated counts are the window's end.
        for channel in np.nonzero(moved.any(axis=0))[0]:
            ends = np.abs(counts[moved[:, channel] == 1, channel])
            assert len(set(ends)) == 1
            assert (ends + 1 & ends == 0).all(), "not 2^(b-1) - 1"


def test_salient_counts_where_the_window_shows(session, shown):
    """In channels whose window is known from a saturated count, larger counts are the salient."""
    arrays, salient = shown
    for site in sites(session):
        counts = np.abs(arrays[site["site"] + ".counts"].astype(int))
        moved = np.abs(raw_counts(session, site, arrays)) > counts
        known = [c for c in range(counts.shape[1]) if moved[:, c].any()]
        window = np.array([counts[moved[:, c], c].max() for c in known])
        at_least = int((counts[:, known] > window).sum())
        assert at_least <= salient[site["site"]] <= counts.size
        if len(known) == counts.shape[1]:
            assert salient[site["site"]] == at_least
    assert sum(salient.values()) > 0


def test_report_is_json(session):
    json.dumps(session.model.compilation)

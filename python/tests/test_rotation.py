"""Rotated values: the float program stays the same, its attention values are multiplied by H."""

from pathlib import Path

import numpy as np
import pytest
import tiny_chat
from conftest import TEXT
from scipy.linalg import hadamard

from spikequant.arrays import Recorder
from spikequant.calibrate import CalibrationOptions, calibrate_text
from spikequant.compiler import FLOAT, OBSERVE, CompileOptions, compile_model
from spikequant.errors import SpikeQuantError
from spikequant.export import export_gguf
from spikequant.session import Session

TOKENS = list(range(1, 30))
WIDTH = 16  # of a head
SITE = "blk.{}.attn_output{}.in"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    """Heads whose width is a power of two; keys and values serve two query heads."""
    folder = tmp_path_factory.mktemp("rotation")
    gguf = tiny_chat.write_chat(folder / "heads.gguf", tiny_chat.TINY.but(head_width=WIDTH))
    return export_gguf(gguf, folder / "bundle", (40,), tiny_chat.CHUNK)


def compiled(bundle, folder, options):
    compile_model(bundle, folder, options)
    return folder


def run(folder, recorded=False):
    """Logits, and what was observed."""
    session = Session(folder)
    recorder = Recorder(session.model.graph(f"score_{session.contexts[0]}"))
    session.observer = recorder.observer if recorded else None
    return np.concatenate(list(session.score(TOKENS))), recorder.arrays()


def test_programs_agree_and_sites_see_rotated_heads(tmp_path, bundle):
    logits, seen = {}, {}
    for rotate in ("none", "values"):
        options = CompileOptions(OBSERVE, rotate=rotate, graphs=["score_40"])
        logits[rotate], seen[rotate] = run(compiled(bundle, tmp_path / rotate, options), True)
    expected = logits["none"]
    # Rotated weights are rounded to f32 once more.
    assert not np.array_equal(logits["values"], expected)
    np.testing.assert_allclose(logits["values"], expected, atol=3e-5 * np.abs(expected).max())
    matrix = hadamard(WIDTH) / np.sqrt(WIDTH)
    for layer in range(tiny_chat.TINY.layers):
        plain = seen["none"][SITE.format(layer, "")]
        rotated = seen["values"][SITE.format(layer, ".rotated")]
        aim = (plain.reshape(len(plain), -1, WIDTH) @ matrix).reshape(plain.shape)
        np.testing.assert_allclose(rotated, aim, atol=3e-5 * np.abs(plain).max())


def test_all_graphs_are_rotated(tmp_path, bundle):
    """Decoding reads the cache that prefilling wrote."""
    expected, found = (
        Session(compiled(bundle, tmp_path / rotate, CompileOptions(FLOAT, rotate=rotate)))
        for rotate in ("none", "values")
    )
    for tokens in (TOKENS[:16], [3], [7]):
        aim = expected.feed(tokens)
        np.testing.assert_allclose(found.feed(tokens), aim, atol=3e-5 * np.abs(aim).max())


def test_calibrations_belong_to_their_rotation(tmp_path, bundle):
    file, settings = tmp_path / "calib.json", CalibrationOptions(rotate="values", grams=True)
    text = TEXT / "calibration.txt"
    calibrate_text(bundle, text, file, tokens=200, context=40, options=settings)
    with pytest.raises(SpikeQuantError, match=r"attn_output\.in"):
        compiled(bundle, tmp_path / "plain", CompileOptions(calibration=file, bits=6))
    options = CompileOptions(calibration=file, bits=8, weight_bits=8, rotate="values")
    found, _ = run(compiled(bundle, tmp_path / "rotated", options))
    expected, _ = run(compiled(bundle, tmp_path / "float", CompileOptions(FLOAT)))
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.99

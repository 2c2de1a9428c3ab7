"""Caches of less than 8 bits: a step for each head and channel, two counts in a byte."""

from __future__ import annotations

import json

import numpy as np
import pytest
from test_equality import TEXT, assert_graphs_agree, compile_with_taps
from tokenizers import Tokenizer

from spikequant import bundle
from spikequant.compiler import CompileOptions, compile_model
from spikequant.session import Session


@pytest.mark.parametrize("fold", [True, False])
def test_reference_and_compiled_code_agree(tiny_bundle, calibration, tmp_path, fold):
    program = compile_with_taps(
        tiny_bundle, tmp_path / "program", calibration=calibration, bits=6, cache_bits=4, fold=fold
    )
    if fold:
        assert json.loads((program / "compile.json").read_text())["decodes"] == 0
    assert_graphs_agree(tiny_bundle, program, tmp_path)


def score(source, calibration, out, tokens, bits):
    options = CompileOptions(calibration=calibration, bits=8, weight_bits=8, cache_bits=bits)
    compile_model(source, out, options)
    session = Session(out)
    session.reset(40)
    scores = np.concatenate(list(session.score(tokens)))
    return scores, sum(array.nbytes for array in session._state.values())


def test_what_channels_are_multiplied_with_cancels(
    tiny_bundle, calibration, float_program, tmp_path
):
    """Steps per channel of 7 bits are about as fine as one of 8 bits for all."""
    tokenizer = Tokenizer.from_file(str(tiny_bundle / bundle.TOKENIZER))
    tokens = tokenizer.encode((TEXT / "test.txt").read_text()[:400]).ids[:40]
    real = Session(float_program)
    real.reset(40)
    expected = np.concatenate(list(real.score(tokens)))
    errors, sizes = {}, {}
    for bits in (4, 7, 8):
        scores, sizes[bits] = score(tiny_bundle, calibration, tmp_path / f"c{bits}", tokens, bits)
        errors[bits] = np.linalg.norm(scores - expected) / np.linalg.norm(expected)
    assert errors[8] < 0.2
    assert errors[7] < 1.5 * errors[8]
    assert errors[4] < 6 * errors[8]
    assert sizes[7] == sizes[8] == 2 * sizes[4]

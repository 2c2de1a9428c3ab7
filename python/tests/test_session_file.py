"""Saved sessions: they go on as if nothing had happened, and anything else is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from test_session import TOKENS

from spikequant import SpikeQuantError, cli
from spikequant.compiler import CompileOptions, compile_model
from spikequant.session import Session

HEADER = 16


@pytest.fixture(scope="session")
def short_cache_program(work, tiny_bundle, calibration):
    """Two counts of its cache share a byte."""
    options = CompileOptions(calibration=calibration, bits=6, cache_bits=4)
    compile_model(tiny_bundle, work / "tiny.c4.sq", options)
    return work / "tiny.c4.sq"


@pytest.fixture(scope="module", params=["float", "quantised", "short_cache"])
def program(request):
    return request.getfixturevalue(f"{request.param}_program")


@pytest.fixture
def saved(quantised_program, tmp_path):
    session = Session(quantised_program)
    session.feed(TOKENS[:20])
    session.save(tmp_path / "a.state")
    return tmp_path / "a.state"


@pytest.mark.parametrize("length", [0, 1, 11, 16, 25])
def test_a_restored_session_goes_on(program, tmp_path, length):
    session, other = Session(program), Session(program)
    if length:
        session.feed(TOKENS[:length])
    size = session.save(tmp_path / "s")
    assert size == (tmp_path / "s").stat().st_size
    other.feed(TOKENS[5:9])  # is forgotten
    other.restore(tmp_path / "s")
    assert other.history == TOKENS[:length]
    for token in TOKENS[length : length + 3]:
        np.testing.assert_array_equal(session.feed([token]), other.feed([token]))
    rest = TOKENS[length + 3 : length + 14]
    np.testing.assert_array_equal(session.feed(rest), other.feed(rest))


def test_what_was_rewound_is_not_saved(quantised_program, tmp_path):
    long, short = Session(quantised_program), Session(quantised_program)
    long.feed(TOKENS[:14])
    long.rewind(9)
    short.feed(TOKENS[:9])
    long.save(tmp_path / "long")
    short.save(tmp_path / "short")
    assert (tmp_path / "long").read_bytes() == (tmp_path / "short").read_bytes()


def test_counts_take_the_bits_of_their_channels(short_cache_program, tmp_path):
    """From the cache itself: each channel b bits and 16 for what is outside, the least sum."""
    session = Session(short_cache_program)
    session.feed(TOKENS[:25])
    rows = 0
    for array in session._state.values():
        assert array.dtype == np.int8
        axis = array.shape.index(session.context)
        wide = np.moveaxis(array, axis, 0)[:25].reshape(25, -1).astype(int)
        counts = np.concatenate([(wide << 28 & 0xFFFFFFFF).astype(np.uint32).view(np.int32) >> 28,
                                 wide >> 4], axis=1)  # fmt: skip
        assert np.abs(counts).max() <= 7
        costs = [[np.inf if b == 0 and np.any(counts[:, c]) else
                  25 * b + 16 * np.sum(np.abs(counts[:, c]) > max(0, 2 ** (b - 1) - 1 if b else 0))
                  for b in range(9)] for c in range(counts.shape[1])]  # fmt: skip
        rows += sum(min(cost) for cost in costs) / 8
    raw = sum(25 * array.size // session.context for array in session._state.values())
    size = session.save(tmp_path / "s")
    # Rows end at whole bytes; headers; woken counts may be listed instead.
    assert size >= 0.9 * rows
    assert size <= rows + len(session._state) * (25 + 200) + 1000
    assert rows <= raw


def refuse(program, file, text):
    session = Session(program)
    logits = session.feed(TOKENS[:3])
    with pytest.raises(SpikeQuantError, match=text):
        session.restore(file)
    assert session.history == TOKENS[:3]
    session.rewind(2)
    np.testing.assert_array_equal(session.feed(TOKENS[2:3]), logits)


def test_another_program_is_refused(float_program, saved):
    refuse(float_program, saved, "saved by another program")


def test_damage_is_refused(quantised_program, saved):
    content = saved.read_bytes()
    for size in (0, 7, 8, 15, HEADER, HEADER + 9, len(content) // 2, len(content) - 1):
        saved.write_bytes(content[:size])
        refuse(quantised_program, saved, "a.state: (not a saved session|damaged or truncated)")
    saved.write_bytes(content + b"\0")
    refuse(quantised_program, saved, "damaged or truncated")
    for place in (HEADER, len(content) // 2, len(content) - 1):
        changed = bytearray(content)
        changed[place] ^= 16
        saved.write_bytes(changed)
        refuse(quantised_program, saved, "damaged or truncated")
    refuse(quantised_program, saved.parent / "none", "cannot be read")


def test_arrays_that_do_not_fit_are_refused(quantised_program, saved, monkeypatch):
    """A file with a right checksum and wrong content."""
    from spikequant import session_file

    good = session_file.load_session(saved)
    name = next(iter(good.states))
    wrong = [
        {**good.states, name: good.states[name][:, :-1]},
        {**good.states, name: good.states[name].astype(np.float32)},
        {n: array for n, array in good.states.items() if n != name},
    ]
    for states in wrong:
        bad = session_file.SavedSession(good.program, good.tokens, states)
        session_file.save_session(saved, bad)
        refuse(quantised_program, saved, "damaged")
    for tokens in ([10**6], [0] * 1000):
        session_file.save_session(saved, session_file.SavedSession(good.program, tokens, {}))
        refuse(quantised_program, saved, "damaged")


def run(*arguments) -> int:
    return cli.main([str(argument) for argument in arguments])


def test_prompt_cache(quantised_program, tmp_path, capsys):
    def answer(prompt, *options):
        report = tmp_path / "run.json"
        limit = ["--max-tokens", 4, "--json", report]
        assert run("run", quantised_program, "--prompt", prompt, *limit, *options) == 0
        capsys.readouterr()
        return json.loads(report.read_text())

    state = tmp_path / "state"
    first = answer("the bees", "--save-state", state)
    assert first["state_bytes"] == state.stat().st_size
    assert first["reused_tokens"] == 0
    plain = answer("the bees fly")
    loaded = answer("the bees fly", "--load-state", state)
    assert loaded["text"] == plain["text"]
    assert loaded["reused_tokens"] == first["prompt_tokens"]  # th e _ b e e s
    assert answer("xyz", "--load-state", state)["reused_tokens"] == 0


def test_command_refuses(quantised_program, float_program, saved, tmp_path, capsys):
    asked = ["run", float_program, "--prompt", "a", "--max-tokens", 2]
    assert run(*asked, "--load-state", saved) != 0
    assert "saved by another program" in capsys.readouterr().err
    assert run(*asked, "--save-state", tmp_path) != 0
    assert run("run", quantised_program, "--chat", "--load-state", saved) != 0
    assert "are for --prompt" in capsys.readouterr().err
    shutil.copy(saved, tmp_path / "b")
    assert run("run", quantised_program, "--inputs", "x.npz", "--outputs", "y.npz",
               "--save-state", tmp_path / "b") != 0  # fmt: skip
    assert (tmp_path / "b").read_bytes() == saved.read_bytes()

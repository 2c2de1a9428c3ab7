"""Sessions of compiled tiny models: against a NumPy llama, and against themselves."""

from __future__ import annotations

import numpy as np
import pytest
from llama_reference import logits as reference_logits
from tiny_chat import CHUNK, CONTEXTS, TINY

from spikequant import SpikeQuantError
from spikequant.compiler import CompileOptions, compile_model
from spikequant.export import export_gguf
from spikequant.session import END, FULL, LIMIT, Session

LARGEST = CONTEXTS[-1]
TOKENS = np.random.default_rng(3).integers(0, TINY.vocabulary, LARGEST).tolist()


@pytest.fixture(scope="module")
def session(float_program):
    return Session(float_program)


@pytest.fixture(scope="module", params=["float", "quantised"])
def either(request):
    return Session(request.getfixturevalue(f"{request.param}_program"))


@pytest.fixture(scope="module")
def scored(either):
    """Logits after each token, from one call in the largest context."""
    either.reset(LARGEST)
    return np.concatenate(list(either.score(TOKENS)))


def feed_in_parts(session: Session, sizes: list[int]) -> list[tuple[int, np.ndarray]]:
    """(tokens taken, logits) after each part."""
    session.reset()
    results, position = [], 0
    for size in sizes:
        logits = session.feed(TOKENS[position : position + size])
        position += size
        results.append((position, logits))
    return results


def test_scores_equal_reference(session):
    session.reset()
    scores = np.concatenate(list(session.score(TOKENS)))
    expected = reference_logits(TINY, TOKENS)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


def test_scores_do_not_depend_on_context(either, scored):
    either.reset()
    assert either.context == CONTEXTS[0]
    few = TOKENS[: CONTEXTS[0]]
    np.testing.assert_array_equal(np.concatenate(list(either.score(few))), scored[: len(few)])


def test_short_and_long_contexts_round_alike(tiny_gguf_file, calibration, tmp_path):
    """Softmax numerators of 128 keys or more are rounded otherwise: then in all graphs."""
    bundle = export_gguf(tiny_gguf_file, tmp_path / "bundle", [32, 128], CHUNK)
    options = CompileOptions(calibration=calibration, bits=6)
    compile_model(bundle, tmp_path / "out", options)
    session = Session(tmp_path / "out")
    scores = []
    for context in session.contexts:
        session.reset(context)
        scores.append(np.concatenate(list(session.score(TOKENS[:32]))))
        assert session.context == context
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize(
    "sizes",
    [
        [1] * 18,  # decode only, and growth in decode
        [CHUNK, 1],  # a full chunk, then growth
        [CHUNK + 3],  # a prompt longer than a chunk
        [12, 20, 8],  # the last chunk has to start earlier
        [LARGEST],  # everything at once
        [9, 9, 9, 9, 4],
        [LARGEST - 1, 1],  # the last place
    ],
    ids=str,
)
def test_feeding_in_parts_equals_scoring(either, scored, sizes):
    """To the bit: chunks, single tokens and both contexts compute the same."""
    for position, logits in feed_in_parts(either, sizes):
        np.testing.assert_array_equal(logits, scored[position - 1])


def test_threads_do_not_change_bits(either, scored):
    for threads in (2, 3):
        other = Session(either.model, threads)
        other.reset(LARGEST)
        np.testing.assert_array_equal(np.concatenate(list(other.score(TOKENS))), scored)


def test_growth_keeps_the_cache(session):
    session.reset()
    session.feed(TOKENS[: CONTEXTS[0]])
    before = {name: array.copy() for name, array in session._state.items()}
    session.feed(TOKENS[CONTEXTS[0] : CONTEXTS[0] + 1])
    assert session.context == LARGEST
    for name, array in before.items():
        kept = session._state[name][tuple(slice(size) for size in array.shape)]
        np.testing.assert_array_equal(kept, array)


def test_rewind_forgets(session):
    session.reset()
    expected = session.feed(TOKENS[:7])
    session.feed(TOKENS[20:30])
    session.rewind(3)
    assert session.position == 3
    np.testing.assert_array_equal(session.feed(TOKENS[3:7]), expected)


def greedy(prompt: list[int], count: int) -> list[int]:
    tokens = list(prompt)
    for _ in range(count):
        tokens.append(int(reference_logits(TINY, tokens)[-1].argmax()))
    return tokens[len(prompt) :]


def test_generation_is_greedy(session):
    expected = greedy(TOKENS[:5], 14)
    session.reset()
    assert list(session.generate(TOKENS[:5], 14)) == expected
    assert session.stopped == LIMIT


def test_generation_ends_at_end_of_text(session):
    expected = greedy(TOKENS[:5], 14)
    end = expected[6]
    session.reset()
    assert list(session.generate(TOKENS[:5], 14, [end])) == expected[: expected.index(end)]
    assert session.stopped == END


def test_generation_stops_when_the_context_is_full(session):
    prompt = TOKENS[: LARGEST - 3]
    session.reset()
    # Three more fit; the fourth comes out of the last one and is not fed.
    assert list(session.generate(prompt, 100)) == greedy(prompt, 4)
    assert session.stopped == FULL
    assert session.room == 0


def test_prompt_that_fills_the_context_gives_one_token(session):
    session.reset()
    assert len(list(session.generate(TOKENS, 5))) == 1
    assert session.stopped == FULL


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([], "the prompt is empty"),
        ([0] * (LARGEST + 1), f"{LARGEST + 1} tokens do not fit the largest context of {LARGEST}"),
        ([TINY.vocabulary], f"0 to {TINY.vocabulary - 1}"),
        ([-1], f"0 to {TINY.vocabulary - 1}"),
        ([0.5], "whole numbers"),
        ([[1, 2]], "whole numbers"),
    ],
    ids=["empty", "too_long", "above", "negative", "fraction", "nested"],
)
def test_error_tokens(session, tokens, message):
    session.reset()
    with pytest.raises(SpikeQuantError, match=message):
        session.feed(tokens)
    assert session.position == 0


def test_error_full(session):
    session.reset()
    session.feed(TOKENS)
    with pytest.raises(SpikeQuantError, match="do not fit"):
        session.feed([1])

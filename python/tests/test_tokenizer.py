"""tokenizer.json built from GGUF metadata: splitting, merging, special tokens, settings."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer

from spikequant import SpikeQuantError
from spikequant.tokenizer import write_tokenizer

# Byte-level text: Ġ is a space, Ċ a newline.
TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool>"]
TOKENS += [*"abc123!", "Ġ", "Ċ", "Ã", "©", "ab", "Ġa", "Ġab", "abc", "12", "Ġ1"]
KINDS = [3, 3, 3, 4] + [1] * (len(TOKENS) - 4)
MERGES = ["a b", "Ġ a", "Ġ ab", "ab c", "1 2", "Ġ 1"]


def fields(**changes) -> dict:
    values = {
        "model": "gpt2",
        "pre": "smollm",
        "tokens": TOKENS,
        "token_type": KINDS,
        "merges": MERGES,
        "bos_token_id": 1,
        "eos_token_id": 2,
        **changes,
    }
    return {f"tokenizer.ggml.{k}": v for k, v in values.items() if v is not None}


def build(tmp_path, **changes):
    out = tmp_path / "tokenizer.json"
    size = len(changes.get("tokens", TOKENS))
    settings = write_tokenizer(fields(**changes), size, "m.gguf", out)
    return Tokenizer.from_file(str(out)), settings


def pieces(tokenizer: Tokenizer, text: str) -> list[str]:
    return tokenizer.encode(text).tokens


def test_merges_in_order(tmp_path):
    tokenizer, _ = build(tmp_path)
    assert pieces(tokenizer, "abc ab") == ["abc", "Ġab"]
    assert pieces(tokenizer, "bca") == ["b", "c", "a"]


def test_smollm_splits_digits_and_gpt2_does_not(tmp_path):
    """The merge "1 2" exists, but digits are alone; a space before a digit is alone, too."""
    assert pieces(build(tmp_path)[0], "a12 1") == ["a", "1", "2", "Ġ", "1"]
    assert pieces(build(tmp_path, pre="gpt-2")[0], "a12 1") == ["a", "12", "Ġ1"]


def test_special_tokens_are_whole_wherever_they_stand(tmp_path):
    tokenizer, _ = build(tmp_path)
    assert pieces(tokenizer, "ab<|im_end|>ab<tool>") == ["ab", "<|im_end|>", "ab", "<tool>"]
    ab = TOKENS.index("ab")
    assert tokenizer.decode([1, ab, 3, 2]) == "ab<tool>"  # user-defined is not skipped


def test_bytes_round_trip(tmp_path):
    tokenizer, _ = build(tmp_path)
    text = "ab é\nabc !"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_empty_text(tmp_path):
    assert build(tmp_path)[0].encode("").ids == []


def test_settings(tmp_path):
    _, settings = build(tmp_path)
    assert (settings.bos_id, settings.eos_id, settings.add_bos) == (1, 2, False)
    assert settings.end_ids == [2, 0]  # eos first, then <|endoftext|> by its name
    assert (settings.bos_text, settings.eos_text) == ("<|im_start|>", "<|im_end|>")


def test_bos_is_added_where_the_file_says_so(tmp_path):
    tokenizer, settings = build(tmp_path, add_bos_token=True)
    assert settings.add_bos
    assert pieces(tokenizer, "ab") == ["<|im_start|>", "ab"]
    assert tokenizer.encode("ab", add_special_tokens=False).tokens == ["ab"]


def test_llama3_adds_bos_by_default_and_groups_digits_by_three(tmp_path):
    tokenizer, settings = build(tmp_path, pre="llama-bpe")
    assert settings.add_bos
    plain = tokenizer.encode("12ab", add_special_tokens=False).tokens
    assert plain == ["12", "ab"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "llama"}, "tokenizer model 'llama' is not supported"),
        ({"pre": "martian"}, "pre-tokenizer 'martian' is not supported: .*smollm"),
        ({"merges": None}, "'tokenizer.ggml.merges' is missing"),
        ({"merges": ["ab"]}, "bad merge 'ab'"),
        ({"merges": ["z y"]}, "inconsistent tokenizer"),
        ({"eos_token_id": 99}, "eos token 99 is not in the vocabulary"),
        ({"tokens": None}, "'tokenizer.ggml.tokens' is missing"),
    ],
)
def test_errors(tmp_path, changes, message):
    with pytest.raises(SpikeQuantError, match=message):
        write_tokenizer(fields(**changes), len(TOKENS), "m.gguf", tmp_path / "t.json")
    assert not list(tmp_path.iterdir())


def test_error_vocabulary_and_embedding_differ(tmp_path):
    with pytest.raises(SpikeQuantError, match="but the embedding has 99 rows"):
        write_tokenizer(fields(), 99, "m.gguf", tmp_path / "t.json")

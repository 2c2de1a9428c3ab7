"""GGUF tokenizer metadata -> tokenizer.json of the `tokenizers` package, and chat settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors

from .errors import SpikeQuantError

# tokenizer.ggml.token_type values that are matched in the text before any splitting.
_CONTROL, _USER_DEFINED = 3, 4

# Tokens that end a text or a turn whatever the metadata says; matched by name, as there is no key.
_END_NAMES = ("<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "</s>")

_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class _Split:
    """How a text is cut before byte-pair merging."""

    single_digits: bool = False
    pattern: str | None = None  # None: the GPT-2 pattern
    ignore_merges: bool = False
    adds_bos: bool = False  # when the metadata does not say


_GPT2, _DIGITS = _Split(), _Split(single_digits=True)
_LLAMA_BPE = _Split(pattern=_LLAMA3, ignore_merges=True, adds_bos=True)
_SPLITS = {
    "gpt-2": _GPT2,
    "olmo": _GPT2,
    "mpt": _GPT2,
    "smollm": _DIGITS,
    "starcoder": _DIGITS,
    "refact": _DIGITS,
    "command-r": _DIGITS,
    "codeshell": _DIGITS,
    "llama-bpe": _LLAMA_BPE,
    "llama3": _LLAMA_BPE,
    "llama-v3": _LLAMA_BPE,
}


@dataclass(frozen=True)
class TokenizerSettings:
    """What a program needs to know about the tokenizer beside tokenizer.json."""

    add_bos: bool
    bos_id: int | None
    eos_id: int | None
    end_ids: list[int]
    chat_template: str | None
    bos_text: str = ""
    eos_text: str = ""


def write_tokenizer(fields: dict, vocabulary: int, source: str, out: Path) -> TokenizerSettings:
    """Writes tokenizer.json. `fields` is the GGUF metadata; `source` is the file's name."""
    tokens = _list(fields, "tokens", source)
    if len(tokens) != vocabulary:
        raise SpikeQuantError(
            f"{source}: {len(tokens)} tokens, but the embedding has {vocabulary} rows"
        )
    split = _split(fields, source)
    settings = _settings(fields, tokens, split, source)
    tokenizer = _byte_pair_tokenizer(fields, tokens, split, source)
    if settings.add_bos:
        bos = (settings.bos_text, settings.bos_id)
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos[0]} $A", pair=f"{bos[0]} $A {bos[0]} $B", special_tokens=[bos]
        )
    tokenizer.save(str(out))
    return settings


def _split(fields: dict, source: str) -> _Split:
    model = fields.get("tokenizer.ggml.model")
    if model != "gpt2":
        raise SpikeQuantError(
            f"{source}: tokenizer model '{model}' is not supported: only byte-pair ('gpt2') is"
        )
    name = fields.get("tokenizer.ggml.pre", "gpt-2")
    if name not in _SPLITS:
        raise SpikeQuantError(
            f"{source}: pre-tokenizer '{name}' is not supported: {', '.join(sorted(_SPLITS))} are"
        )
    return _SPLITS[name]


def _list(fields: dict, key: str, source: str) -> list:
    value = fields.get("tokenizer.ggml." + key)
    if not isinstance(value, list):
        raise SpikeQuantError(f"{source}: metadata key 'tokenizer.ggml.{key}' is missing")
    return value


def _byte_pair_tokenizer(fields: dict, tokens: list, split: _Split, source: str) -> Tokenizer:
    vocabulary = {token: index for index, token in enumerate(tokens)}
    merges = [_merge(text, source) for text in _list(fields, "merges", source)]
    try:
        model = models.BPE(vocabulary, merges, ignore_merges=split.ignore_merges)
    except Exception as error:  # the package raises plain Exception
        raise SpikeQuantError(f"{source}: inconsistent tokenizer: {error}") from error
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = _pre_tokenizer(split)
    tokenizer.decoder = decoders.ByteLevel()
    _add_special_tokens(tokenizer, tokens, _list(fields, "token_type", source))
    return tokenizer


def _merge(text: str, source: str) -> tuple[str, str]:
    left, space, right = text.partition(" ")
    if not space:
        raise SpikeQuantError(f"{source}: bad merge '{text}' in the tokenizer")
    return left, right


def _pre_tokenizer(split: _Split) -> pre_tokenizers.PreTokenizer:
    steps = []
    if split.single_digits:
        steps.append(pre_tokenizers.Digits(individual_digits=True))
    if split.pattern:
        steps.append(pre_tokenizers.Split(Regex(split.pattern), behavior="isolated"))
    use_gpt2_pattern = split.pattern is None
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_gpt2_pattern))
    return pre_tokenizers.Sequence(steps)


def _add_special_tokens(tokenizer: Tokenizer, tokens: list, kinds: list) -> None:
    for kind, special in ((_CONTROL, True), (_USER_DEFINED, False)):
        added = [
            AddedToken(token, normalized=False, special=special)
            for token, token_kind in zip(tokens, kinds, strict=False)
            if token_kind == kind
        ]
        (tokenizer.add_special_tokens if special else tokenizer.add_tokens)(added)


def _settings(fields: dict, tokens: list, split: _Split, source: str) -> TokenizerSettings:
    def token_id(name: str) -> int | None:
        value = fields.get(f"tokenizer.ggml.{name}_token_id")
        if value is not None and not 0 <= value < len(tokens):
            raise SpikeQuantError(f"{source}: {name} token {value} is not in the vocabulary")
        return value

    bos, eos = token_id("bos"), token_id("eos")
    ends = [value for value in (eos, token_id("eot"), token_id("eom")) if value is not None]
    index = {token: position for position, token in enumerate(tokens)}
    ends += [index[name] for name in _END_NAMES if name in index]
    add_bos = bool(fields.get("tokenizer.ggml.add_bos_token", split.adds_bos)) and bos is not None
    return TokenizerSettings(
        add_bos=add_bos,
        bos_id=bos,
        eos_id=eos,
        end_ids=list(dict.fromkeys(ends)),
        chat_template=fields.get("tokenizer.chat_template"),
        bos_text="" if bos is None else tokens[bos],
        eos_text="" if eos is None else tokens[eos],
    )

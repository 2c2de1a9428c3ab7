"""Exported graphs against an independent NumPy llama, and the bundle that holds them."""

from __future__ import annotations

import re

import numpy as np
import pytest
from jaxlib.mlir import ir
from llama_reference import logits as reference_logits
from safetensors.numpy import load_file
from stablehlo_eval import BundleRunner
from tiny_gguf import TinyLlama, write_gguf, write_tiny

from spikequant import SpikeQuantError, bundle, export
from spikequant.importer import make_context, parse

CONFIGS = {
    "tied_grouped": TinyLlama(),
    "untied_grouped": TinyLlama(tied=False, seed=1),
    "one_kv_head": TinyLlama(heads=3, kv_heads=1, head_width=2, layers=1, seed=2),
    "all_heads_own_kv": TinyLlama(heads=3, kv_heads=3, width=18, seed=3),
    "bias_and_rope_factors": TinyLlama(bias=True, rope_factors=True, seed=4),
}
CHUNK, CONTEXTS = 5, (7, 16)
TOKENS = [3, 36, 0, 7, 7, 19, 2, 11, 30, 5, 1, 22, 9]


@pytest.fixture(scope="module", params=list(CONFIGS))
def exported(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    tiny = CONFIGS[request.param]
    source = write_tiny(folder / "tiny.gguf", tiny)
    return tiny, export.export_gguf(source, folder / "out", CONTEXTS, CHUNK)


def assert_close(actual: np.ndarray, expected: np.ndarray) -> None:
    """f32 against f64: 2e-5 of the largest logit is some 100 roundings."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


def test_score_of_one_chunk(exported):
    tiny, folder = exported
    runner = BundleRunner(folder, 7)
    assert_close(runner.call("score", TOKENS[:CHUNK], 0), reference_logits(tiny, TOKENS[:CHUNK]))


def test_score_continues_at_an_offset(exported):
    tiny, folder = exported
    runner = BundleRunner(folder, 16)
    runner.call("score", TOKENS[:CHUNK], 0)
    expected = reference_logits(tiny, TOKENS[:10])[CHUNK:]
    assert_close(runner.call("score", TOKENS[CHUNK:10], CHUNK), expected)


def test_chunked_prefill_then_decode(exported):
    """Full chunk, short chunk (its padding must not be seen), then single tokens."""
    tiny, folder = exported
    expected = reference_logits(tiny, TOKENS)
    runner = BundleRunner(folder, 16)
    assert_close(runner.call("prefill", TOKENS[:5], 0), expected[4])
    assert_close(runner.call("prefill", TOKENS[5:8], 5), expected[7])
    for position in range(8, len(TOKENS)):
        assert_close(runner.call("decode", [TOKENS[position]], position), expected[position])


def test_decode_alone_from_an_empty_cache(exported):
    tiny, folder = exported
    expected = reference_logits(tiny, TOKENS[:7])
    runner = BundleRunner(folder, 7)
    for position in range(7):  # up to the last place of the cache
        assert_close(runner.call("decode", [TOKENS[position]], position), expected[position])


def test_description_matches_the_graphs(exported):
    tiny, folder = exported
    model = bundle.read_model(folder)
    assert [graph["name"] for graph in model["graphs"]] == [
        f"{role}_{context}" for context in CONTEXTS for role in ("prefill", "score", "decode")
    ]
    weights = load_file(folder / model["weights"])
    context = make_context()
    for graph in model["graphs"]:
        with context:
            module = parse((folder / graph["file"]).read_bytes(), graph["name"], context)
            (function,) = [op for op in module.body.operations if op.sym_name.value == "main"]
            described = [[value["shape"], value["dtype"]] for value in graph["arguments"]]
            assert [_shape(type_) for type_ in function.type.inputs] == described
            described = [[value["shape"], value["dtype"]] for value in graph["results"]]
            assert [_shape(type_) for type_ in function.type.results] == described
        for argument in graph["arguments"]:
            if argument["kind"] == "weight":
                assert list(weights[argument["weight"]].shape) == argument["shape"]
            if argument["kind"] == "state":
                assert graph["results"][argument["result"]]["name"] == argument["name"]
    assert ("output" in weights) == (not tiny.tied)
    used = {a["weight"] for a in model["graphs"][0]["arguments"] if a["kind"] == "weight"}
    assert used == set(weights)


def _shape(type_: ir.Type) -> list:
    tensor = ir.RankedTensorType(type_)
    return [list(tensor.shape), str(tensor.element_type)]


def test_weights_are_transposed_and_unpermuted(tmp_path):
    tiny = TinyLlama(heads=1, kv_heads=1, head_width=6)
    export.export_gguf(write_tiny(tmp_path / "m.gguf", tiny), tmp_path / "out", (4,), 2)
    weights, tensors = load_file(tmp_path / "out" / bundle.WEIGHTS), tiny.tensors()
    down = tensors["blk.1.ffn_down.weight"]
    np.testing.assert_array_equal(weights["blk.1.ffn_down"], down.T)
    # Neighbouring rows of the file (2i, 2i + 1) are rows i and i + 3 of the model.
    q = tensors["blk.0.attn_q.weight"][[0, 2, 4, 1, 3, 5]]
    np.testing.assert_array_equal(weights["blk.0.attn_q"], q.T)
    np.testing.assert_array_equal(weights["token_embd"], tensors["token_embd.weight"])


def test_same_file_gives_the_same_bundle(tmp_path):
    source = write_tiny(tmp_path / "m.gguf", TinyLlama(layers=1))
    for name in ("a", "b"):
        export.export_gguf(source, tmp_path / name, (4,), 2)
    first, second = tmp_path / "a", tmp_path / "b"
    names = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert len(names) == 6
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_locations_name_layers_and_no_folder_of_this_machine(exported):
    _, folder = exported
    text = (folder / "graphs" / "decode_7.stablehlo.mlir").read_text()
    assert "blk.0/attn_q/dot_general" in text
    assert "loc(\"weights['blk.0.attn_q']\")" in text
    assert not re.search(r'loc\("/', text)


def test_progress_is_monotone_and_complete(tmp_path):
    calls = []
    source = write_tiny(tmp_path / "m.gguf", TinyLlama(layers=1))
    export.export_gguf(source, tmp_path / "out", (4,), 2, progress=lambda *c: calls.append(c))
    done = [call[1] for call in calls]
    assert done == sorted(done) and calls[-1][1] == calls[-1][2]


# Bad input: one clear error, nothing left behind.


def assert_fails(tmp_path, source, message: str, **options) -> None:
    before = sorted(tmp_path.iterdir())
    options = {"contexts": (4,), "chunk": 2, **options}
    with pytest.raises(SpikeQuantError, match=message):
        export.export_gguf(source, tmp_path / "out", **options)
    assert sorted(tmp_path.iterdir()) == before


def test_error_no_such_file(tmp_path):
    assert_fails(tmp_path, tmp_path / "absent.gguf", "no such file")


def test_error_not_gguf(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"PK\x03\x04 something else")
    assert_fails(tmp_path, tmp_path / "x.gguf", "not a GGUF file")


def test_error_truncated_anywhere(tmp_path):
    """Cut in the header, the metadata, the tensor table and the data (which 12 bytes pad)."""
    whole = write_tiny(tmp_path / "m.gguf", TinyLlama(layers=1)).read_bytes()
    sizes = [4, 8, 23, 24, 40, 100, 500, 1000, 2000, len(whole) // 2, len(whole) - 13]
    for size in sizes:
        (tmp_path / "cut.gguf").write_bytes(whole[:size])
        assert_fails(tmp_path, tmp_path / "cut.gguf", "truncated or damaged|missing")


def test_error_other_architecture(tmp_path):
    tiny = TinyLlama(layers=1)
    source = write_tiny(tmp_path / "m.gguf", tiny, architecture="gemma")
    assert_fails(tmp_path, source, "architecture 'gemma' is not supported")


@pytest.mark.parametrize("name", ["blk.1.ffn_up.weight", "token_embd.weight", "output_norm.weight"])
def test_error_missing_tensor(tmp_path, name):
    tiny = TinyLlama()
    tensors = tiny.tensors()
    del tensors[name]
    source = write_gguf(tmp_path / "m.gguf", tensors, tiny.metadata())
    assert_fails(tmp_path, source, re.escape(name))


def test_error_unknown_tensor(tmp_path):
    tiny = TinyLlama()
    tensors = tiny.tensors() | {"blk.0.attn_q_norm.weight": np.ones(6, np.float32)}
    source = write_gguf(tmp_path / "m.gguf", tensors, tiny.metadata())
    assert_fails(tmp_path, source, "does not use: blk.0.attn_q_norm.weight")


def test_error_wrong_shape(tmp_path):
    tiny = TinyLlama()
    tensors = tiny.tensors()
    tensors["blk.0.ffn_up.weight"] = tensors["blk.0.ffn_up.weight"][:-1]
    source = write_gguf(tmp_path / "m.gguf", tensors, tiny.metadata())
    assert_fails(tmp_path, source, r"'blk.0.ffn_up' has shape \[13, 10\]")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("attention.head_count_kv", 3, "cannot share"),
        ("rope.dimension_count", 4, "must be equal"),
        ("expert_count", 8, "mixture-of-experts"),
    ],
)
def test_error_unsupported_hyperparameter(tmp_path, key, value, message):
    tiny = TinyLlama()
    metadata = tiny.metadata() | {key: value}
    source = write_gguf(tmp_path / "m.gguf", tiny.tensors(), metadata)
    assert_fails(tmp_path, source, message)


def test_error_missing_hyperparameter(tmp_path):
    tiny = TinyLlama()
    metadata = tiny.metadata()
    del metadata["block_count"]
    source = write_gguf(tmp_path / "m.gguf", tiny.tensors(), metadata)
    assert_fails(tmp_path, source, "'llama.block_count' is missing")


def test_error_context_shorter_than_the_chunk(tmp_path):
    source = write_tiny(tmp_path / "m.gguf", TinyLlama(layers=1))
    assert_fails(tmp_path, source, "at least one chunk", contexts=(4, 16), chunk=5)


def test_failure_keeps_the_old_bundle(tmp_path, monkeypatch):
    source = write_tiny(tmp_path / "m.gguf", TinyLlama(layers=1))
    export.export_gguf(source, tmp_path / "out", (4,), 2)
    before = (tmp_path / "out" / bundle.MODEL).read_bytes()

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "lower_graph", fail)
    with pytest.raises(KeyboardInterrupt):
        export.export_gguf(source, tmp_path / "out", (8,), 2)
    assert (tmp_path / "out" / bundle.MODEL).read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.gguf", "out"]


def test_error_output_cannot_be_written(tmp_path):
    source = write_tiny(tmp_path / "m.gguf", TinyLlama(layers=1))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SpikeQuantError, match="cannot be written"):
        export.export_gguf(source, tmp_path / "file" / "out", (4,), 2)


def test_an_old_bundle_is_replaced(tmp_path):
    source = write_tiny(tmp_path / "m.gguf", TinyLlama(layers=1))
    for contexts in ((4,), (6, 8)):
        export.export_gguf(source, tmp_path / "out", contexts, 2)
    assert bundle.read_model(tmp_path / "out")["contexts"] == [6, 8]
    assert len(list((tmp_path / "out" / "graphs").iterdir())) == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.gguf", "out"]


def test_other_folders_are_not_overwritten(tmp_path):
    source = write_tiny(tmp_path / "m.gguf", TinyLlama(layers=1))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("precious")
    assert_fails(tmp_path, source, "not a bundle")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "precious"

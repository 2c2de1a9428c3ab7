"""Reading model.json: damaged, foreign and future files give clear errors."""

from __future__ import annotations

import json

import pytest

from spikequant import SpikeQuantError, bundle, outputs


def test_error_no_bundle(tmp_path):
    with pytest.raises(SpikeQuantError, match="not a bundle"):
        bundle.read_model(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "damaged"),
        ("[1]", "not the description of a bundle"),
        ('{"format": "other"}', "not the description of a bundle"),
        (json.dumps({"format": bundle.FORMAT, "version": 99}), "version 99, .* reads version 1"),
    ],
)
def test_error_bad_description(tmp_path, text, message):
    (tmp_path / bundle.MODEL).write_text(text)
    with pytest.raises(SpikeQuantError, match=message):
        bundle.read_model(tmp_path)


def test_attributes_of_arguments_and_results():
    graph = {
        "arguments": [
            {"kind": "input", "name": "start"},
            {"kind": "weight", "name": "q", "weight": "blk.0.attn_q"},
            {"kind": "state", "name": "k_cache.0", "result": 1},
        ],
        "results": [{"name": "logits"}, {"name": "k_cache.0"}],
    }
    assert bundle.argument_attributes(graph) == [
        {"spikequant.name": "start"},
        {"spikequant.weight": "blk.0.attn_q"},
        {"spikequant.name": "k_cache.0", "spikequant.state": 1},
    ]
    names = [{"spikequant.name": "logits"}, {"spikequant.name": "k_cache.0"}]
    assert bundle.result_attributes(graph) == names


def test_interrupted_file_leaves_nothing(tmp_path):
    target = tmp_path / "a.mlir"
    with pytest.raises(RuntimeError), outputs.replacing_file(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert not list(tmp_path.iterdir())

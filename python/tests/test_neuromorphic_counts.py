"""Operation counts per layer and code against a count of explicit spikes."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from neuromorphic_cases import CASES, STEP, Chain, translate
from neuromorphic_sim import drive
from spike_counts import CODES, CountedLayer
from test_neuromorphic_select import record

from spikequant.toolchain import find_tool

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "schema" / "counts-1.json"
each_case = pytest.mark.parametrize("chain", CASES, ids=lambda chain: chain.name)


def load(path: Path) -> dict:
    """A report that the schema admits, with totals that are sums."""
    schema, report = json.loads(SCHEMA.read_text()), json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(report)
    for code in CODES:
        for key in ("spikes", "additions", "comparisons"):
            layers = sum(layer["codes"][code][key] for layer in report["layers"])
            assert report["totals"][code][key] == layers
    return report


def report_counts(program: Path, out: Path, **options: object) -> subprocess.CompletedProcess:
    words = [f"{key.replace('_', '-')}={value}" for key, value in (options | {"json": out}).items()]
    command = [find_tool("sq-opt"), program, "-o", "/dev/null"]
    command.append("--spikequant-report-counts=" + " ".join(words))
    return subprocess.run(command, capture_output=True, text=True)


def counted_layers(chain: Chain, membrane_bits: int) -> list[CountedLayer]:
    counts, windows, layers = chain.counts(), chain.windows(), []
    bits = np.array([b if b > 1 else 0 for b in chain.bits])
    for layer in chain.layers:
        layers.append(
            CountedLayer(layer.weights, counts, windows, bits, layer.lo, layer.hi, membrane_bits)
        )
        counts = layer.fire(counts)
        outputs = len(layer.weights)
        windows = np.full(outputs, max(layer.hi, -layer.lo))
        bits = np.full(outputs, int(layer.hi - layer.lo).bit_length())
    return layers


def assert_counts(report: dict, expected: list[CountedLayer]) -> None:
    for described, layer in zip(report["layers"], expected, strict=True):
        assert described["rows"] == len(layer.counts)
        assert described["source"] == "recorded"
        assert described["weight_bits"] == layer.weight_bits()
        assert described["salient_events"] == layer.salient()
        assert list(described["codes"]) == CODES
        for code in CODES:
            assert described["codes"][code] == layer.expected(code), code


@each_case
def test_exporter_counts_the_stimulus(chain, tmp_path):
    report = load(translate("counts", chain, tmp_path))
    assert_counts(report, counted_layers(chain, 32))


@each_case
def test_pass_counts_the_recording(chain, tmp_path):
    program, inputs = chain.write(tmp_path)
    taps, out = tmp_path / "taps.npz", tmp_path / "counts.json"
    command = [find_tool("sq-run"), program, "--inputs", inputs, "--record", taps]
    subprocess.run(command, check=True)
    result = report_counts(program, out, recorded=taps)
    assert result.returncode == 0, result.stderr
    report = load(out)
    assert_counts(report, counted_layers(chain, 64))
    assert not any(layer["fire"]["assumed"] for layer in report["layers"])
    values = chain.inputs.size
    encode = report["other"].pop("encode")
    assert not report["other"]
    assert (encode["multiplications"], encode["additions"]) == (values, values)
    assert encode["bytes"] == 6 * values  # f32 in, i16 out


@each_case
def test_gated_events_are_those_of_the_exported_network(chain, tmp_path):
    """Spikes of every line times the synapses that it has, in a network of one layer."""
    chain = replace(chain, layers=chain.layers[:1], code="gated")
    spiking = json.loads(translate("json", chain, tmp_path).read_text())["spiking"]
    synapses = np.zeros(len(spiking["lines"]), dtype=np.int64)
    for line, _, weight in spiking["populations"][0]["synapses"]:
        synapses[line] += weight != 0
    spikes = drive(spiking, chain.counts(), "gated").sum(axis=(0, 1))
    report = load(translate("counts", replace(chain, code=None), tmp_path))
    assert report["layers"][0]["codes"]["gated"]["synaptic_events"] == spikes @ synapses
    assert report["layers"][0]["codes"]["gated"]["spikes"] == spikes.sum()


SALIENT = f"""
spikequant.weights @bits : tensor<4xi8> format(#spikequant.real)
    value(dense<[4, 3, 0, 8]> : tensor<4xi8>)
spikequant.weights @w : tensor<3x4xf32>
    format(#spikequant.codes<bits = 4, group = 0, symmetric = true>)
    value(dense<[[7.0, 0.0, 1.0, -2.0], [-7.0, 3.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]>
        : tensor<3x4xf32>)
func.func @salient(%x: tensor<50x4xf32>) -> tensor<50x3xf32> {{
  %n = spikequant.encode %x {{step = {STEP} : f32, site = "w.in", bits = @bits,
      tolerance = 1 : i32}} : tensor<50x4xf32> -> tensor<50x4xi16>
  %a = spikequant.integrate %n, @w : tensor<50x4xi16> -> tensor<50x3xi64>
  %y = spikequant.decode %a, @w {{step = {STEP} : f32}} : tensor<50x3xi64> -> tensor<50x3xf32>
  return %y : tensor<50x3xf32>
}}
"""


def salient_case(folder: Path) -> tuple[Path, Path, CountedLayer]:
    """Program, recording and layer, with counts beyond their windows and a decode."""
    program, inputs, taps = (folder / name for name in ("p.mlir", "in.npz", "taps.npz"))
    program.write_text(SALIENT)
    rng = np.random.default_rng(5)
    counts = rng.integers(-12, 13, (50, 4)) * rng.choice([1, 1, 1000], (50, 4))
    np.savez(inputs, arg0=(counts * STEP).astype(np.float32))
    command = [find_tool("sq-run"), program, "--inputs", inputs, "--record", taps]
    subprocess.run(command, check=True)
    windows = np.array([7, 3, 0, 127])
    near = abs(counts) == windows + 1
    counts = np.where(near, np.sign(counts) * windows, counts)
    weights = np.array([[7, 0, 1, -2], [-7, 3, 0, 0], [0, 0, 0, 0]])
    layer = CountedLayer(weights, counts, windows, np.array([4, 3, 0, 8]), -5, 5, 64)
    return program, taps, layer


def test_salient_counts_are_events(tmp_path):
    program, taps, layer = salient_case(tmp_path)
    result = report_counts(program, tmp_path / "c.json", recorded=taps, assumed_window=5)
    assert result.returncode == 0, result.stderr
    report = load(tmp_path / "c.json")
    assert layer.salient() > 20
    assert_counts(report, [layer])
    assert report["layers"][0]["fire"] == {"lo": -5, "hi": 5, "assumed": True}
    assert report["other"]["decode"]["multiplications"] == 150


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "CNT-C4: the counts of 'w.in' are not known"),
        ({"recorded": "none.npz"}, "none.npz"),
        ({"calibration": "none.json"}, "none.json"),
        ({"weights": "none.sqw"}, "none.sqw"),
        ({"function": "other"}, "choose one of these graphs with function=..: salient"),
        ({"assumed_window": 0}, "assumed-window must be 1 to 32767, not 0"),
    ],
)
def test_refusals(options, message, tmp_path):
    program, _, _ = salient_case(tmp_path)
    result = report_counts(program, tmp_path / "c.json", **options)
    assert result.returncode != 0
    assert message in result.stderr
    assert not (tmp_path / "c.json").exists()


def test_recording_of_another_program_is_refused(tmp_path):
    program, _, _ = salient_case(tmp_path)
    np.savez(tmp_path / "other.npz", **{"w.in.counts": np.zeros((2, 5), np.int16)})
    result = report_counts(program, tmp_path / "c.json", recorded=tmp_path / "other.npz")
    assert "CNT-C3: recorded array 'w.in.counts' is int16[2, 5]" in result.stderr
    assert result.returncode != 0


def test_tiny_model(encoded_program, calibration, tmp_path):
    """Every layer of a compiled model, recorded; then estimated, and near to it."""
    model = json.loads((encoded_program / "model.json").read_text())
    graph = next(g for g in model["graphs"] if g["name"].startswith("prefill"))
    tokens = np.random.default_rng(3).integers(0, 200, graph["arguments"][0]["shape"][0])
    layer = record(encoded_program, graph["name"], "blk.0.ffn_down", tokens, tmp_path)
    options = {"function": graph["name"], "weights": encoded_program / "weights.sqw"}
    program = encoded_program / "quantized.mlir"
    result = report_counts(program, tmp_path / "r.json", recorded=layer.taps, **options)
    assert result.returncode == 0, result.stderr
    report, taps = load(tmp_path / "r.json"), np.load(layer.taps)
    assert {"encode", "decode", "contraction", "reduction", "elementwise"} <= set(report["other"])
    described = next(la for la in report["layers"] if la["name"].startswith("blk.0.ffn_down"))
    network = layer.describe(tmp_path)
    windows = np.array(network["input"]["windows"])
    bits = np.where(windows > 0, np.log2(windows + 1).astype(int) + 1, 0)
    expected = CountedLayer(
        np.array(network["layers"][0]["weights"]),
        taps["blk.0.ffn_down.in.counts"].astype(int),
        windows,
        bits,
        -7,
        7,
        described["membrane_bits"],
    )
    for code in CODES:
        assert described["codes"][code] == expected.expected(code), code
    assert described["salient_events"] == expected.salient()

    result = report_counts(program, tmp_path / "e.json", calibration=calibration, **options)
    assert result.returncode == 0, result.stderr
    assert "estimated" in result.stderr
    estimate = load(tmp_path / "e.json")
    assert {la["source"] for la in estimate["layers"]} == {"estimated"}
    for exact, guess in zip(report["layers"], estimate["layers"], strict=True):
        assert guess["rows"] == exact["rows"]
        assert guess["codes"]["integer"]["additions"] == exact["codes"]["integer"]["additions"]
    ratio = estimate["totals"]["rate"]["spikes"] / report["totals"]["rate"]["spikes"]
    assert 0.5 < ratio < 2  # Random tokens are not the calibration text.

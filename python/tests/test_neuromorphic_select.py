"""A tile of a compiled model's layer, driven by the inputs that the reference recorded."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import nir
import numpy as np
import pytest
from chain_cases import SCHEMA
from neuromorphic_sim import check_simulators, run_sanafe

from spikequant.compiler import CompileOptions
from spikequant.neuromorphic import decode_spikes, run_ladder
from spikequant.neuromorphic_compile import SelectOptions, compile_selection
from spikequant.toolchain import find_tool


@dataclass(frozen=True)
class Layer:
    program: Path
    graph: str
    site: str
    taps: Path

    def translate(self, target: str, out: Path, tile: str = "", *options: str):
        command = [find_tool("sq-translate"), f"--spikequant-to-{target}", "-o", out]
        command += [f"--function={self.graph}", f"--select={self.site}{tile}"]
        command += [f"--weights={self.program / 'weights.sqw'}", f"--stimulus={self.taps}"]
        command += ["--output-step=0.05", *options, self.program / "quantized.mlir"]
        return subprocess.run([str(word) for word in command], capture_output=True, text=True)

    def describe(self, folder: Path, tile: str = "", *options: str) -> dict:
        result = self.translate("json", folder / "net.json", tile, *options)
        assert result.returncode == 0, result.stderr
        return json.loads((folder / "net.json").read_text())


def record(program: Path, graph: str, site: str, tokens: np.ndarray, folder: Path) -> Layer:
    taps = folder / "taps.npz"
    count = np.int32(len(tokens) - 1)
    np.savez(folder / "in.npz", arg0=tokens.astype(np.int32), arg1=np.int32(0), arg2=count)
    command = [find_tool("sq-run"), program, "--function", graph, "--inputs", folder / "in.npz"]
    subprocess.run([*command, "--record", taps], check=True)
    return Layer(program, graph, site, taps)


def expected_outputs(network: dict, counts: np.ndarray) -> np.ndarray:
    layer = network["layers"][0]
    membranes = counts @ np.array(layer["weights"]).T
    reached = membranes[:, :, None] >= np.array(layer["thresholds"])[None]
    return reached.sum(axis=2) + layer["window"]["lo"]


@pytest.fixture(scope="module")
def tiny_layer(encoded_program, tmp_path_factory) -> Layer:
    model = json.loads((encoded_program / "model.json").read_text())
    graph = next(g for g in model["graphs"] if g["name"].startswith("prefill"))
    rng = np.random.default_rng(3)
    tokens = rng.integers(0, 200, graph["arguments"][0]["shape"][0])
    folder = tmp_path_factory.mktemp("select")
    return record(encoded_program, graph["name"], "blk.0.ffn_down", tokens, folder)


def test_weights_and_counts_are_the_programs(tiny_layer, tmp_path):
    network = tiny_layer.describe(tmp_path)
    taps = np.load(tiny_layer.taps)
    counts = taps["blk.0.ffn_down.in.counts"].astype(np.int64)
    weights = np.array(network["layers"][0]["weights"])
    np.testing.assert_array_equal(counts @ weights.T, taps["blk.0.ffn_down.codes.acc"])
    windows = np.array(network["input"]["windows"])
    saturated = np.clip(counts, -windows, windows)
    stimulus = network["stimulus"]
    np.testing.assert_array_equal(stimulus["counts"], saturated)
    np.testing.assert_array_equal(stimulus["outputs"], expected_outputs(network, saturated))


def test_tile_is_a_part_of_the_layer(tiny_layer, tmp_path):
    whole = tiny_layer.describe(tmp_path)
    tile = tiny_layer.describe(tmp_path, "[3:9,4:17]")
    weights = np.array(whole["layers"][0]["weights"])[3:9, 4:17]
    np.testing.assert_array_equal(tile["layers"][0]["weights"], weights)
    np.testing.assert_array_equal(
        tile["stimulus"]["counts"], np.array(whole["stimulus"]["counts"])[:, 4:17]
    )
    assert tile["layers"][0]["thresholds"] == whole["layers"][0]["thresholds"][3:9]


@pytest.mark.parametrize(
    ("tile", "message"),
    [
        ("[0:9999,0:4]", "SEL-C3: rows 0:9999 of 'blk.0.ffn_down' are not all in 0:"),
        ("[0:4,0:9999]", "SEL-C3: columns 0:9999 of 'blk.0.ffn_down' are not all in 0:"),
        ("[0:4]", "must be SITE or SITE[rows,columns]"),
        ("[4:4,0:4]", "must be SITE or SITE[rows,columns]"),
        ("x", "has no integrate site 'blk.0.ffn_downx': did you mean blk.0.ffn_down,"),
    ],
)
def test_refusals(tiny_layer, tmp_path, tile, message):
    result = tiny_layer.translate("json", tmp_path / "net.json", tile)
    assert result.returncode != 0
    assert message in result.stderr
    assert not (tmp_path / "net.json").exists()


def test_output_step_out_of_range(tiny_layer, tmp_path):
    result = tiny_layer.translate("json", tmp_path / "net.json", "", "--output-step=1e30")
    assert result.returncode != 0
    assert "SEL-C5" in result.stderr


def check_targets(layer: Layer, folder: Path, tile: str, capsys) -> None:
    """NIR in single precision and SANA-FE, on every recorded input."""
    network = layer.describe(folder, tile, "--code=gated")
    stimulus = network["stimulus"]
    outputs = expected_outputs(network, np.array(stimulus["counts"]))
    np.testing.assert_array_equal(stimulus["outputs"], outputs)
    assert len(np.unique(outputs)) > 4
    for target in ("nir", "nir-data", "sanafe"):
        result = layer.translate(target, folder / target, tile)
        assert result.returncode == 0, result.stderr
    data = nir.read_data(str(folder / "nir-data"))
    spikes = data.nodes[min(data.nodes)].observables["spikes"].data[:, 0]
    np.testing.assert_array_equal(run_ladder(folder / "nir", spikes)[1], outputs)
    counts = np.array(stimulus["counts"])
    fired = run_sanafe(folder / "sanafe", network["spiking"], counts, "gated")
    neurons = np.array(network["spiking"]["populations"][-1]["neurons"])
    np.testing.assert_array_equal(decode_spikes(neurons, fired), outputs)
    with capsys.disabled():
        share = stimulus["saturated"] / stimulus["values"]
        print(
            f"\n{layer.site}{tile}, {len(counts)} inputs: exact in NIR and SANA-FE; "
            f"{share:.2%} of counts saturated, mean output error "
            f"{stimulus['mean_output_error']:.3f} counts"
        )


def test_tiny_tile_on_every_target(tiny_layer, tmp_path, capsys):
    check_targets(tiny_layer, tmp_path, "[0:16,2:20]", capsys)


@pytest.mark.parametrize("target", ["nir", "sanafe"])
def test_smollm2_down_projection(smollm2_bundle, smollm2_calibration, target, tmp_path, capsys):
    """A tile of a real model on the values that reach it when it reads text."""
    tile, out = "blk.0.ffn_down[0:64,0:64]", tmp_path / "out"
    select = SelectOptions(target, [tile])
    options = CompileOptions(calibration=smollm2_calibration)
    (report,) = compile_selection(smollm2_bundle, out, options, select)["networks"]
    jsonschema.Draft202012Validator(SCHEMA).validate(report)
    assert (report["samples"], report["inputs"], report["outputs"]) == (100, 64, 64)
    assert 0 < report["saturated_share"] < 0.2
    assert 0 < report["mean_output_error"] < 1
    check_simulators(out, target)
    with capsys.disabled():
        print(
            f"\nSmolLM2 {tile}, 100 inputs: exact in {target}; "
            f"{report['saturated_share']:.2%} of counts saturated, "
            f"{report['changed_outputs_share']:.2%} of outputs changed by it, "
            f"mean output error {report['mean_output_error']:.3f} counts"
        )


def test_counts_that_no_encode_gives(tiny_layer, tmp_path):
    """SEL-C2; with the encode it is test_tiny_tile_on_every_target."""
    program = tmp_path / "program.mlir"
    program.write_text(
        """
        spikequant.weights @w : tensor<1x2xf32> format(#spikequant.codes<bits = 4>) source("w")
        func.func @main(%n: tensor<1x2xi16>) -> tensor<1x1xi64> {
          %a = spikequant.integrate %n, @w : tensor<1x2xi16> -> tensor<1x1xi64>
          return %a : tensor<1x1xi64>
        }"""
    )
    command = [find_tool("sq-translate"), "--spikequant-to-json", "--select=w", program]
    command += [f"--weights={tiny_layer.program / 'weights.sqw'}", "-o", tmp_path / "out.json"]
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert result.returncode != 0
    assert "program.mlir:4:16: error: 'spikequant.integrate' op SEL-C2: its counts" in result.stderr
    assert not (tmp_path / "out.json").exists()


def test_codes_of_another_program(tiny_layer, float_program, tmp_path):
    """SEL-C4; with its own codes it is test_tiny_tile_on_every_target."""
    weights = f"--weights={float_program / 'weights.sqw'}"
    result = tiny_layer.translate("json", tmp_path / "net.json", "[0:2,0:2]", weights)
    assert result.returncode != 0
    assert "SEL-C4: the codes 'blk.0.ffn_down.codes' of" in result.stderr
    assert "must be in the packed file" in result.stderr
    assert not (tmp_path / "net.json").exists()


def test_packed_file_is_needed(tiny_layer, tmp_path):
    result = tiny_layer.translate("json", tmp_path / "net.json", "", "--weights=")
    assert "--select needs --weights=weights.sqw" in result.stderr


def test_outputs_need_a_step(tiny_layer, tmp_path):
    """SEL-C9; with --output-step or a stimulus it is every other test here."""
    result = tiny_layer.translate(
        "json", tmp_path / "net.json", "", "--output-step=0", "--stimulus="
    )
    assert result.returncode != 0
    assert "SEL-C9: without a stimulus the step of its outputs must be given" in result.stderr
    given = tiny_layer.translate("json", tmp_path / "net.json", "", "--stimulus=")
    assert given.returncode == 0
    assert "stimulus" not in json.loads((tmp_path / "net.json").read_text())


def record_sites(layer: Layer, folder: Path, inputs: dict, *options: str) -> dict[str, np.ndarray]:
    given, taps = folder / "some.npz", folder / "some.taps.npz"
    np.savez(given, **inputs)
    command = [find_tool("sq-run"), layer.program, "--function", layer.graph, "--inputs", given]
    subprocess.run([*map(str, command), "--record", str(taps), *options], check=True)
    with np.load(taps) as arrays:
        return {name: arrays[name] for name in arrays.files}


def test_site_is_recorded_alone(tiny_layer, tmp_path):
    """The part of the program that a site needs gives it the same values as the whole."""
    with np.load(tiny_layer.taps.with_name("in.npz")) as arrays:
        inputs = dict(arrays)
    whole = np.load(tiny_layer.taps)
    for site, name in [("blk.0.ffn_down", "blk.0.ffn_down.in"), ("output.in", "output.in")]:
        if f"{name}.x" not in whole.files:
            name = site = max(key[:-2] for key in whole.files if key.endswith(".x"))
        taps = record_sites(tiny_layer, tmp_path, inputs, "--site", site)
        assert list(taps) == [f"{name}.x"]
        np.testing.assert_array_equal(taps[f"{name}.x"], whole[f"{name}.x"])
    tokens = np.stack([inputs["arg0"], inputs["arg0"][::-1]])
    both = {"arg0": tokens, **{key: np.stack([inputs[key]] * 2) for key in ("arg1", "arg2")}}
    taps = record_sites(tiny_layer, tmp_path, both, "--site", "blk.0.ffn_down", "--batch")
    rows = whole["blk.0.ffn_down.in.x"]
    np.testing.assert_array_equal(taps["blk.0.ffn_down.in.x"][: len(rows)], rows)
    other = record_sites(tiny_layer, tmp_path, inputs | {"arg0": tokens[1]})
    second = taps["blk.0.ffn_down.in.x"][len(rows) :]
    np.testing.assert_array_equal(second, other["blk.0.ffn_down.in.x"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--record=t.npz", "--site=blk.0.ffn_dwon"], "has no site 'blk.0.ffn_dwon': did you mean"),
        (["--site=blk.0.ffn_down"], "--site is for --record alone"),
        (["--record=t.npz", "--batch"], "--batch is for --site"),
        (["--record=t.npz", "--site=blk.0.ffn_down", "--batch"], "a batch needs one leading axis"),
    ],
)
def test_recordings_that_are_wrong(tiny_layer, options, message, tmp_path):
    command = [find_tool("sq-run"), tiny_layer.program, "--function", tiny_layer.graph]
    command += ["--inputs", tiny_layer.taps.with_name("in.npz"), *options]
    run = {"cwd": tmp_path, "capture_output": True, "text": True}
    result = subprocess.run([str(word) for word in command], **run)
    assert result.returncode == 1
    assert message in result.stderr
    assert not list(tmp_path.iterdir())

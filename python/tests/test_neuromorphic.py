"""Exported chains compute the integers of the definitions, in interpreters and in SANA-FE."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from math import ceil
from pathlib import Path

import h5py
import jsonschema
import nir
import numpy as np
import pytest
from neuromorphic_cases import CASES, Chain, extreme_chain, translate
from neuromorphic_sim import drive, run_sanafe

from spikequant.neuromorphic import decode_spikes, run_ladder
from spikequant.toolchain import find_tool

ROOT = Path(__file__).resolve().parents[2]
each_case = pytest.mark.parametrize("chain", CASES, ids=lambda chain: chain.name)
each_code = pytest.mark.parametrize("code", ["ladder", "gated"])


def describe(chain: Chain, folder: Path, code: str | None = None) -> dict:
    path = translate("json", replace(chain, code=code), folder)
    return json.loads(path.read_text())


def test_cases_cover_what_they_are_named_after():
    cases = {chain.name: chain for chain in CASES}
    ties = cases["ties"]
    doubled = ties.counts() @ ties.layers[0].weights.T * 2
    assert (doubled % 8 == 4).mean() > 0.1, "membranes at (k + 1/2) theta"
    assert (abs(cases["saturation"].outputs()) == 3).any()
    assert all((chain.counts() != chain.exact_counts()).any() for chain in CASES)
    assert all(len(np.unique(chain.outputs())) > 2 for chain in CASES)


@each_case
def test_reference_gives_the_integers(chain, tmp_path):
    program, inputs = chain.write(tmp_path)
    out = tmp_path / "out.npz"
    command = [find_tool("sq-run"), program, "--inputs", inputs, "--outputs", out]
    subprocess.run(command, check=True)
    np.testing.assert_array_equal(np.load(out)["out0"], chain.outputs())


@each_case
@pytest.mark.parametrize("code", [None, "ladder", "gated"])
def test_description_is_valid_and_right(chain, code, tmp_path):
    network = describe(chain, tmp_path, code)
    schema = json.loads((ROOT / "docs" / "schema" / "network-1.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(network)
    assert network["code"] == (code or "count")
    for layer, described in zip(chain.layers, network["layers"], strict=True):
        np.testing.assert_array_equal(described["weights"], layer.weights)
        for o, thresholds in enumerate(described["thresholds"]):
            m, b = layer.multipliers[o], layer.biases[o]
            levels = range(layer.lo + 1, layer.hi + 1)
            assert thresholds == [ceil(Fraction(k * 2**layer.shift - b, m)) for k in levels]
    stimulus = network["stimulus"]
    np.testing.assert_array_equal(stimulus["counts"], chain.counts())
    np.testing.assert_array_equal(stimulus["outputs"], chain.outputs())
    unsaturated = chain.outputs(chain.exact_counts())
    assert stimulus["saturated"] == (chain.counts() != chain.exact_counts()).sum()
    assert stimulus["changed_outputs"] == (unsaturated != chain.outputs()).sum()
    error = abs(unsaturated - chain.outputs()).mean()
    assert stimulus["mean_output_error"] == pytest.approx(error, abs=1e-12)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"format": "other"},
        {"code": "rate"},
        {"layers": []},
        {"extra": 1},
        {"input": {}},
    ],
    ids=str,
)
def test_schema_rejects(change, tmp_path):
    network = describe(CASES[0], tmp_path) | change
    schema = json.loads((ROOT / "docs" / "schema" / "network-1.json").read_text())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(network)


@each_case
def test_nir_graph_gives_the_integers(chain, tmp_path):
    graph = translate("nir", chain, tmp_path)
    data = nir.read_data(str(translate("nir-data", chain, tmp_path)))
    data.check_nodes(nir.read(str(graph)))
    stimulus, expected = (
        data.nodes[name].observables["spikes"].data for name in sorted(data.nodes)
    )
    fired, counts = run_ladder(graph, stimulus[:, 0])
    np.testing.assert_array_equal(counts, chain.outputs())
    np.testing.assert_array_equal(fired.astype(bool), expected[:, 0])


# 127 * 127 * 130 is the last membrane whose ladder f32 holds, 127 * 127 * 520 the last that the
# gate keeps below 2^25.
@pytest.mark.parametrize(("target", "inputs"), [("nir", 130), ("sanafe", 520)])
def test_largest_membranes_are_exact(target, inputs, tmp_path):
    chain = extreme_chain(inputs)
    assert abs(chain.counts() @ chain.layers[0].weights.T).max() == 127 * 127 * inputs
    assert len(np.unique(chain.outputs())) > 8
    path = translate(target, chain, tmp_path)
    if target == "nir":
        data = nir.read_data(str(translate("nir-data", chain, tmp_path)))
        spikes = data.nodes[min(data.nodes)].observables["spikes"].data[:, 0]
        found = run_ladder(path, spikes)[1]
    else:
        spiking = describe(chain, tmp_path, "gated")["spiking"]
        fired = run_sanafe(path, spiking, chain.counts(), "gated")
        found = decode_spikes(np.array(spiking["populations"][-1]["neurons"]), fired)
    np.testing.assert_array_equal(found, chain.outputs())
    with pytest.raises(AssertionError, match="NEU-C7: membranes of 'w0' can reach"):
        translate(target, extreme_chain(inputs + 1), tmp_path)


def test_nir_file_keeps_to_what_importers_accept(tmp_path):
    path = translate("nir", CASES[-1], tmp_path)
    assert nir.serialization.read_version(path) == "1.0.8"
    graph = nir.read(str(path))
    names = sorted(graph.nodes)
    assert list(zip(names, names[1:], strict=False)) == sorted(graph.edges), "a pure chain"
    with h5py.File(path) as file:
        for name in names:
            node = file["node/nodes"][name]
            assert "v_reset" not in node, "readers up to 1.0.4 reject it"
            if "weight" in node:
                assert node["weight"].dtype == np.float32
                assert not node["bias"][()].any(), "a bias would be added at every step"
            if "v_threshold" in node:
                assert len(np.unique(node["v_threshold"])) == 1
                assert (node["r"][()] == 1).all()


def test_same_program_same_bytes(tmp_path):
    first = translate("nir", CASES[0], tmp_path).read_bytes()
    assert translate("nir", CASES[0], tmp_path).read_bytes() == first


def interpret(spiking: dict, spikes: np.ndarray, strict: bool, hop: int, reset: str) -> np.ndarray:
    """Spikes of the last population; `hop` steps between populations."""
    for population in spiking["populations"]:
        neurons = len(population["neurons"])
        weights = np.zeros((neurons, spikes.shape[2]), dtype=np.int64)
        for line, neuron, weight in population["synapses"]:
            weights[neuron, line] = weight
        threshold = np.array(population["thresholds"])
        delay = np.zeros((hop, *spikes.shape[1:]), dtype=spikes.dtype)
        membrane, fired = np.zeros((spikes.shape[1], neurons), dtype=np.int64), []
        for step in np.concatenate([delay, spikes]):
            membrane += step @ weights.T
            assert abs(membrane).max() < population["membrane_bound"]
            fires = membrane > threshold if strict else membrane >= threshold
            kept = membrane - threshold if reset == "subtract" else 0
            membrane = np.where(fires, kept, membrane)
            fired.append(fires.astype(np.int64))
        spikes = np.array(fired)
    return spikes.sum(axis=0)


@each_case
@each_code
@pytest.mark.parametrize("strict", [False, True], ids=["reached", "exceeded"])
@pytest.mark.parametrize("hop", [0, 1])
def test_spiking_network_gives_the_integers(chain, code, strict, hop, tmp_path):
    spiking = describe(chain, tmp_path, code)["spiking"]
    spikes = drive(spiking, chain.counts(), code)
    fired = interpret(spiking, spikes, strict, hop, "subtract")
    neurons = np.array(spiking["populations"][-1]["neurons"])
    np.testing.assert_array_equal(decode_spikes(neurons, fired), chain.outputs())
    if code == "ladder":
        fired = interpret(spiking, spikes, strict, hop, "zero")
        np.testing.assert_array_equal(decode_spikes(neurons, fired), chain.outputs())


# The gated code is this target's own; the ladder is an option. A chip takes seconds to set up.
IN_SANAFE = [(chain, "gated") for chain in CASES]
IN_SANAFE += [(chain, "ladder") for chain in CASES if chain.name in ("ties", "three_layers")]


@pytest.mark.parametrize(
    ("chain", "code"), IN_SANAFE, ids=[f"{code}-{chain.name}" for chain, code in IN_SANAFE]
)
def test_sanafe_gives_the_integers(chain, code, tmp_path):
    spiking = describe(chain, tmp_path, code)["spiking"]
    path = translate("sanafe", replace(chain, code=code), tmp_path)
    fired = run_sanafe(path, spiking, chain.counts(), code)
    assert len(fired) >= 100
    neurons = np.array(spiking["populations"][-1]["neurons"])
    np.testing.assert_array_equal(decode_spikes(neurons, fired), chain.outputs())


def test_sanafe_stimulus_lasts_the_whole_run(tmp_path):
    chain = CASES[-1]
    network = json.loads(translate("sanafe", chain, tmp_path).read_text())["network"]
    first = next(iter(network["groups"][0]["neurons"][0].values()))
    spiking = describe(chain, tmp_path, "gated")["spiking"]
    assert len(first[0]["spikes"]) == spiking["steps"] + len(chain.layers)
    assert os.path.getsize(tmp_path / f"{chain.name}.sanafe") > 0


@pytest.mark.slow
def test_sanafe_aborts_with_a_second_network_on_a_chip(tmp_path):
    """Why there is one chip per network; when this fails, docs/Neuromorphic.md can say less."""
    paths = [str(translate("sanafe", chain, tmp_path)) for chain in (CASES[0], CASES[8])]
    script = f"""
import sanafe
from pathlib import Path
arch = sanafe.load_arch(str(Path(sanafe.__file__).parent / "examples" / "loihi.yaml"))
chip = sanafe.SpikingChip(arch)
for path in {paths!r}:
    chip.load(sanafe.load_net(path, arch))
    chip.sim(3)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == -signal.SIGABRT
    assert "This model must update every time-step" in result.stderr

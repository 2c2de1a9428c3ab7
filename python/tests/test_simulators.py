"""Exported NIR graphs in norse, sinabs and spikingjelly, through the importers they come with.

Slow: the first run installs each simulator in an environment of its own (build/simulators).
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import nir
import numpy as np
import pytest
from neuromorphic_cases import CASES, Chain, translate
from neuromorphic_sim import drive
from simulator_environments import find_simulator

from spikequant.neuromorphic import decode_spikes

SIMULATORS = ["norse", "sinabs", "spikingjelly"]
SCRIPT = Path(__file__).with_name("simulate_nir.py")


# What a simulator's importer reads exactly, beside "nir".
VARIANTS = {"norse": ["nir-cubalif"], "sinabs": ["nir-lif"], "spikingjelly": ["nir-lif"]}


def write_case(chain: Chain, target: str, folder: Path) -> None:
    graph = folder / f"{chain.name}.{target}.nir"
    translate(target, chain, folder).rename(graph)
    if target == "nir-cubalif":
        gated = replace(chain, code="gated")
        spiking = json.loads(translate("json", gated, folder).read_text())["spiking"]
        spikes = drive(spiking, chain.counts(), "gated")
    else:
        data = nir.read_data(str(translate("nir-data", chain, folder).rename(folder / "data")))
        # [samples, steps, lines]; a simulator takes one step of all samples at a time.
        spikes = data.nodes[min(data.nodes)].observables["spikes"].data.swapaxes(0, 1)
    np.save(graph.with_suffix(".spikes.npy"), spikes.astype(np.float32))


def decode(graph: Path, fired: np.ndarray) -> np.ndarray:
    metadata = nir.read(str(graph)).metadata
    channels, signs = (metadata[f"spikequant_output_{key}"] for key in ("channel", "sign"))
    return decode_spikes(np.stack([channels, signs, np.zeros_like(signs)], axis=1), fired)


@pytest.fixture(scope="module", params=SIMULATORS)
def results(request, tmp_path_factory) -> tuple[str, Path]:
    """Every chain in one process: starting a simulator takes longer than running it."""
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    for target in ("nir", *VARIANTS[name]):
        for chain in CASES:
            write_case(chain, target, folder)
    command = [find_simulator(name), SCRIPT, name, folder]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    return name, folder


@pytest.mark.slow
@pytest.mark.parametrize("chain", CASES, ids=lambda chain: chain.name)
def test_gives_the_integers(chain, results):
    name, folder = results
    for target in ("nir", *VARIANTS[name]):
        graph = folder / f"{chain.name}.{target}.nir"
        fired = np.load(graph.with_suffix(".fired.npy"))
        assert len(fired) == len(chain.inputs) >= 100
        np.testing.assert_array_equal(decode(graph, fired), chain.outputs(), target)


@pytest.mark.slow
def test_other_outputs_are_seen(results):
    """The comparison can fail: another stimulus' outputs are not these."""
    chain = next(case for case in CASES if case.name == "two_layers")
    graph = results[1] / "two_layers.nir.nir"
    shifted = chain.outputs(np.roll(chain.counts(), 1, axis=1))
    assert (decode(graph, np.load(graph.with_suffix(".fired.npy"))) != shifted).any()

"""Exported NIR graphs in norse, sinabs and spikingjelly, through the importers they come with.

Slow: the first run installs each simulator in an environment of its own (build/simulators).
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import nir
import numpy as np
import pytest
from neuromorphic_cases import CASES, Chain, translate
from simulator_environments import find_simulator

from spikequant.neuromorphic import decode_spikes

SIMULATORS = ["norse", "sinabs", "spikingjelly"]
SCRIPT = Path(__file__).with_name("simulate_nir.py")


def write_case(chain: Chain, folder: Path) -> None:
    graph = translate("nir", chain, folder)
    data = nir.read_data(str(translate("nir-data", chain, folder)))
    stimulus = data.nodes[min(data.nodes)].observables["spikes"].data
    # [samples, steps, lines]; a simulator takes one step of all samples at a time.
    np.save(graph.with_suffix(".spikes.npy"), stimulus.swapaxes(0, 1).astype(np.float32))


def decode(graph: Path, fired: np.ndarray) -> np.ndarray:
    metadata = nir.read(str(graph)).metadata
    channels, signs = (metadata[f"spikequant_output_{key}"] for key in ("channel", "sign"))
    return decode_spikes(np.stack([channels, signs, np.zeros_like(signs)], axis=1), fired)


@pytest.fixture(scope="module", params=SIMULATORS)
def results(request, tmp_path_factory) -> Path:
    """Every chain in one process: starting a simulator takes longer than running it."""
    folder = tmp_path_factory.mktemp(request.param)
    for chain in CASES:
        write_case(chain, folder)
    command = [find_simulator(request.param), SCRIPT, request.param, folder]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("chain", CASES, ids=lambda chain: chain.name)
def test_gives_the_integers(chain, results):
    graph = results / f"{chain.name}.nir"
    fired = np.load(graph.with_suffix(".fired.npy"))
    assert len(fired) == len(chain.inputs) >= 100
    np.testing.assert_array_equal(decode(graph, fired), chain.outputs())


@pytest.mark.slow
def test_a_changed_weight_is_seen(results, tmp_path):
    """The comparison can fail: another chain's outputs are not these."""
    chain = next(case for case in CASES if case.name == "two_layers")
    fired = np.load(results / "two_layers.fired.npy")
    shifted = chain.outputs(np.roll(chain.counts(), 1, axis=1))
    assert (decode(results / "two_layers.nir", fired) != shifted).any()

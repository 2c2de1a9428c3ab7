"""Driving a spiking network: its stimulus, and SANA-FE as the simulator that no one here wrote."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import nir
import numpy as np
import sanafe

from spikequant.neuromorphic import decode_spikes, run_ladder


def drive(spiking: dict, counts: np.ndarray, code: str) -> np.ndarray:
    """Input spikes [steps, samples, lines], from the meaning of the lines."""
    steps = np.arange(spiking["steps"])[:, None, None]
    channel, sign, index = np.array(spiking["lines"]).T
    rail = np.maximum(counts[:, channel] * sign, 0)[None]
    if code == "ladder":
        return np.where(channel < 0, 1, (rail >> index) & 1) * (steps == 0)
    pulses = np.array(spiking["pulses"])[np.where(channel < 0, index, 0)]
    return np.where(channel < 0, steps == pulses, (steps >= 1) & (steps <= rail)).astype(int)


@cache
def loihi_architecture() -> sanafe.Architecture:
    folder = Path(sanafe.__file__).parent / "examples"
    return sanafe.load_arch(str(folder / "loihi.yaml"))


def simulate(chip, steps: int, neurons: int, population: str) -> np.ndarray:
    fired = np.zeros(neurons, dtype=np.int64)
    for step in chip.sim(steps, spike_trace=True, processing_threads=1)["spike_trace"]:
        for address in map(str, step):
            group, neuron = address.split(".")
            if group == population:
                fired[int(neuron)] += 1
    return fired


def run_sanafe(path: Path, spiking: dict, counts: np.ndarray, code: str) -> np.ndarray:
    """Spikes of the last population, [samples, neurons]. The file's own stimulus is sample 0.

    A chip per network, because SANA-FE 2.2.9 aborts when one that has run gets another; between
    samples
    its state is reset and the stimulus is replaced.
    """
    architecture = loihi_architecture()
    chip = sanafe.SpikingChip(architecture)
    chip.load(sanafe.load_net(str(path), architecture))
    layers = len(spiking["populations"])
    last, neurons = f"layer{layers - 1}", len(spiking["populations"][-1]["neurons"])
    steps = spiking["steps"] + layers
    spikes = drive(spiking, counts, code)
    fired = [simulate(chip, steps, neurons, last)]
    for sample in range(1, len(counts)):
        chip.reset()
        for line, neuron in enumerate(chip.mapped_neuron_groups["input"]):
            train = spikes[:, sample, line].tolist()
            neuron.set_attributes(model_attributes={"spikes": train})
        fired.append(simulate(chip, steps, neurons, last))
    return np.array(fired)


def check_simulators(folder: Path, target: str) -> None:
    """What `spikequant compile --select` wrote gives the expected outputs on every input."""
    with np.load(folder / "expected.npz") as arrays:
        expected = dict(arrays)
    if target == "nir":
        data = nir.read_data(str(folder / "network.data.nir"))
        spikes = data.nodes[min(data.nodes)].observables["spikes"].data[:, 0]
        found = run_ladder(folder / "network.nir", spikes)[1]
    else:
        report = json.loads((folder / "report.json").read_text())
        spiking = {
            "steps": report["steps"],
            "lines": expected["lines"],
            "pulses": expected["pulses"],
            "populations": [{} for _ in report["layers"][:-1]] + [{"neurons": expected["neurons"]}],
        }
        fired = run_sanafe(folder / "network.yaml", spiking, expected["counts"], report["code"])
        found = decode_spikes(expected["neurons"], fired)
    np.testing.assert_array_equal(found, expected["outputs"])
    assert len(np.unique(found)) > 4

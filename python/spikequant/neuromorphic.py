"""Reading what `sq-translate` writes: spikes to counts, and an interpreter of NIR graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def decode_spikes(neurons: np.ndarray, fired: np.ndarray) -> np.ndarray:
    """Counts [samples, outputs] of the last population.

    `neurons` has the rows (channel, sign, index) of the JSON description, `fired` the number of
    spikes of each neuron in an inference, [samples, neurons].
    """
    channels, signs = neurons[:, 0], neurons[:, 1]
    outputs = channels.max() + 1
    readout = np.zeros((len(neurons), outputs), dtype=np.int64)
    carries = channels >= 0
    readout[np.flatnonzero(carries), channels[carries]] = signs[carries]
    return fired.astype(np.int64) @ readout


def run_ladder(path: str | Path, spikes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Evaluates a NIR file of ours, one step: (spikes of the last population, counts).

    `spikes` is [samples, lines] as in the NIRData beside the graph. Single precision, as the
    simulators compute; NIR's own definitions: fire if v > v_threshold.
    """
    import nir

    graph: Any = nir.read(str(path))
    values = spikes.astype(np.float32)
    for name in sorted(graph.nodes):
        node = graph.nodes[name]
        if isinstance(node, nir.Affine):
            values = values @ node.weight.T + node.bias
        elif isinstance(node, nir.IF):
            values = (node.r * values > node.v_threshold).astype(np.float32)
    channels = graph.metadata["spikequant_output_channel"]
    signs = graph.metadata["spikequant_output_sign"]
    neurons = np.stack([channels, signs, np.zeros_like(signs)], axis=1)
    return values, decode_spikes(neurons, values)

"""Runs NIR graphs in a simulator, through its own importer, in that simulator's environment.

usage: simulate_nir.py SIMULATOR FOLDER

Every FOLDER/<name>.nir is driven with FOLDER/<name>.spikes.npy, float32 [steps, samples, lines];
the spikes of its last population, summed over the steps, go to FOLDER/<name>.fired.npy.
"""

from __future__ import annotations

import sys
import warnings
from importlib.metadata import version
from pathlib import Path

warnings.filterwarnings("ignore")

import nir  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402


def run_norse(graph: nir.NIRGraph, spikes: torch.Tensor) -> torch.Tensor:
    import norse.torch as norse

    options = {}
    if any(isinstance(node, nir.CubaLIF) for node in graph.nodes.values()):
        import norse.torch.functional.reset as reset

        options = {"reset_method": reset.reset_subtract, "dt": 1.0}
    module, state, fired = norse.from_nir(graph, **options), None, []
    for step in spikes:
        out, state = module(step, state)
        fired.append(out)
    return torch.stack(fired)


def run_sinabs(graph: nir.NIRGraph, spikes: torch.Tensor) -> torch.Tensor:
    import sinabs.nir

    module = sinabs.nir.from_nir(graph, batch_size=spikes.shape[1])
    outs = [module(step) for step in spikes]
    return torch.stack([out[0] if isinstance(out, tuple) else out for out in outs])


def run_spikingjelly(graph: nir.NIRGraph, spikes: torch.Tensor) -> torch.Tensor:
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    # It demands r = 1 / dt of an IF node and r = tau / dt of an LIF node.
    has_lif = any(isinstance(node, nir.LIF) for node in graph.nodes.values())
    module, state, fired = import_from_nir(graph, dt=1e-4 if has_lif else 1.0), None, []
    for step in spikes:
        out, state = module(step) if state is None else module(step, state)
        fired.append(out)
    return torch.stack(fired)


RUNNERS = {"norse": run_norse, "sinabs": run_sinabs, "spikingjelly": run_spikingjelly}


def main() -> None:
    simulator, folder = sys.argv[1], Path(sys.argv[2])
    for package in (simulator, "nir", "nirtorch", "torch"):
        print(package, version(package))
    for path in sorted(folder.glob("*.nir")):
        spikes = torch.from_numpy(np.load(path.with_suffix(".spikes.npy")))
        # Integers below 2^24 are exact in single precision, in any order.
        with torch.no_grad():
            fired = RUNNERS[simulator](nir.read(str(path)), spikes)
        np.save(path.with_suffix(".fired.npy"), fired.sum(0).numpy())


if __name__ == "__main__":
    main()

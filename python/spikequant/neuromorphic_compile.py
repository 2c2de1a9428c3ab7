"""`spikequant compile --select`: layers of a quantised graph as a neuromorphic network.

Quantises the graph as for the processor, but makes no code; records the real values that reach
the selected layers when the reference runs the calibration inputs; writes the network, its
stimulus, the expected outputs and a report.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from . import bundle
from .arrays import load_arrays, save_arrays
from .calibration_inputs import find_inputs
from .compiler import SPIKE, CompileOptions, Progress, import_source
from .errors import SpikeQuantError
from .outputs import replacing_folder
from .targets import TARGETS
from .toolchain import run_tool

_REPORT, _PROGRAM, _PACKED = "report.json", "quantized.mlir", "weights.sqw"


@dataclass
class SelectOptions:
    """Which layers, for what, and driven by what."""

    target: str
    selections: Sequence[str]  # each a chain SITE[rows,columns],SITE[rows,columns]
    code: str | None = None
    rows: int = 100
    text: Path | None = None
    inputs: Path | None = None
    output_step: float | None = None
    output_bits: int = 4
    target_model: Path | None = None


def compile_selection(
    source: str | Path,
    out: str | Path,
    options: CompileOptions,
    select: SelectOptions,
    progress: Progress | None = None,
) -> dict:
    """Writes `out`, a folder per network if there are several; returns the reports.

    `out` is replaced as a whole; on failure it is left as it was.
    """
    source, out = Path(source), Path(out)
    report = progress or (lambda *_: None)
    _check(options, select)
    steps = 3 + len(select.selections)
    with replacing_folder(out, _is_selection, "selected layers") as fresh:
        work = fresh.parent
        report("find inputs", 0, steps)
        inputs = find_inputs(source, options.calibration, select.text, select.inputs)
        report("quantise", 1, steps)
        graph, weights = _quantise(source, work, options)
        networks = []
        for number, selection in enumerate(select.selections):
            report(f"select {selection}", 2 + number, steps)
            several = len(select.selections) > 1
            folder = fresh / f"network{number}" if several else fresh
            folder.mkdir(exist_ok=True)
            job = _Job(work / "program", graph, weights, selection, folder, work)
            networks.append(job.run(inputs, select))
        result = {"graph": graph, "networks": networks}
        if len(networks) > 1:
            bundle.write_json(fresh / _REPORT, result)
        report("done", steps, steps)
    return result


def _is_selection(folder: Path) -> bool:
    return (folder / _REPORT).is_file()


def _check(options: CompileOptions, select: SelectOptions) -> None:
    if options.method != SPIKE:
        raise SpikeQuantError(
            f"--select needs static steps, which --method {options.method} does not have: "
            "use --method spike with --calibration"
        )
    options.check()
    files = (select.text, select.inputs, select.target_model)
    for file in (file for file in files if file is not None):
        if not Path(file).is_file():
            raise SpikeQuantError(f"{file}: no such file")


def _quantise(source: Path, work: Path, options: CompileOptions) -> tuple[str, Path | None]:
    """Makes work/program; returns the graph's name and its weights before rounding."""
    if source.is_dir() and not options.graphs:
        options.graphs = [_smallest_graph(source)]
    if options.graphs and len(options.graphs) > 1:
        raise SpikeQuantError("--select needs one graph: give --graphs a single name")
    description, files, weights = import_source(source, work, options)
    # Layers are found by their encodes and decodes; a selection fires by itself, around 0.
    plain = replace(options, fold=False, centres=False).tool_arguments()
    arguments = [*files, *plain, "--emit=program", "-o", work / "program"]
    run_tool("sq-compile", [*arguments, *([f"--weights={weights}"] if weights else [])])
    names = [graph["name"] for graph in description.get("graphs", [])]
    return (names[0] if names else "main"), weights


def _smallest_graph(source: Path) -> str:
    """The prefill graph of the smallest context: its calls have whole chunks of rows."""
    graphs = bundle.read_model(source)["graphs"]
    chunks = [graph for graph in graphs if graph["role"] == "prefill"] or graphs
    return min(chunks, key=lambda graph: graph["context"])["name"]


@dataclass
class _Job:
    program: Path
    graph: str
    weights: Path | None
    selection: str
    folder: Path
    work: Path

    def run(self, inputs: dict[str, np.ndarray], select: SelectOptions) -> dict:
        taps = self._record(inputs, select.rows)
        for target, name in TARGETS[select.target]:
            self._translate(target, name, taps, select)
        self._check_against_reference()
        return json.loads((self.folder / _REPORT).read_text(encoding="utf-8"))

    def _arguments(self, select: SelectOptions) -> list[str]:
        arguments = [f"--function={self.graph}", f"--select={self.selection}"]
        arguments += [f"--weights={self.program / _PACKED}", f"--rows={select.rows}"]
        arguments += [f"--output-bits={select.output_bits}"]
        if select.output_step is not None:
            arguments += [f"--output-step={select.output_step!r}"]
        if select.target_model is not None:
            arguments += [f"--target-model={select.target_model}"]
        if select.code is not None:
            arguments += [f"--code={select.code}"]
        if self.weights is not None:
            arguments += [f"--real-weights={self.weights}"]
        return arguments

    def _record(self, inputs: dict[str, np.ndarray], rows: int) -> Path:
        """What reaches the first selected layer, in one call of the graph after the other."""
        site = re.split(r"[\[,]", self.selection)[0].strip()
        taps, given = self.work / "taps.npz", self.work / "inputs.npz"
        command = [self.program, "--function", self.graph, "--site", site]
        parts: list[np.ndarray] = []
        batches = len(next(iter(inputs.values())))
        done, found = 0, 0
        while found < rows and done < batches:
            # The first call tells how many rows each one gives.
            size = 1 if not done else -(-(rows - found) * done // max(found, 1))
            size = min(size, batches - done)
            batch = {name: array[done : done + size] for name, array in inputs.items()}
            save_arrays({given: batch})
            run_tool("sq-run", [*command, "--batch", "--inputs", given, "--record", taps])
            (name, found_rows), *_ = load_arrays(taps).items()
            parts.append(found_rows)
            done, found = done + size, found + len(parts[-1])
        save_arrays({taps: {name: np.concatenate(parts)[:rows]}})
        return taps

    @property
    def quantised(self) -> Path:
        return self.program / _PROGRAM

    def _translate(self, target: str, name: str, taps: Path, select: SelectOptions) -> None:
        arguments = [f"--spikequant-to-{target}", *self._arguments(select)]
        arguments += [f"--stimulus={taps}", f"--selection-folder={self.folder}"]
        run_tool("sq-translate", [*arguments, self.quantised, "-o", self.folder / name])

    def _check_against_reference(self) -> None:
        """The selected program, run by the reference, gives the outputs that are expected."""
        outputs = self.work / "outputs.npz"
        given = self.folder / "inputs.npz"
        run_tool("sq-run", [self.folder, "--inputs", given, "--outputs", outputs])
        found = load_arrays(outputs)["out0"]
        expected = load_arrays(self.folder / "expected.npz")["outputs"]
        if not np.array_equal(found, expected):
            different = int((found != expected).sum())
            raise SpikeQuantError(
                f"{self.selection}: the network and the reference differ in {different} of "
                f"{expected.size} outputs: this is an error of spikequant"
            )


def summarise(network: dict) -> dict:
    """The figures of one report for people."""
    return {
        "target": f"{network['target']} ({network['code']})",
        "neurons": network["neurons"],
        "synapses": network["synapses"],
        "steps": network["steps"],
        "samples": network["samples"],
        "saturated counts": f"{network['saturated_share']:.2%}",
        "outputs changed by saturation": f"{network['changed_outputs_share']:.2%}",
        "mean output error by saturation, counts": network["mean_output_error"],
        "error against real numbers": _real_error(network, "real_output_error"),
        "without saturation": _real_error(network, "real_output_error_unsaturated"),
        "largest relative error of a threshold": f"{_threshold_error(network):.1e}",
        "levels that differ from the program's": _changed_levels(network),
    }


def title(network: dict) -> str:
    """Its layers, with the ranges that were taken."""
    layers = [
        f"{layer['site']}[{':'.join(map(str, layer['rows']))},"
        f"{':'.join(map(str, layer['columns']))}]"
        for layer in network["layers"]
    ]
    return ",".join(layers)


def _real_error(network: dict, key: str) -> str | None:
    """Of the outputs' root mean square; nothing if the real weights are not known."""
    magnitude = network.get("real_output_magnitude")
    return f"{network[key] / magnitude:.2%}" if magnitude else None


def _threshold_error(network: dict) -> float:
    return max(layer["threshold_error"] for layer in network["layers"])


def _changed_levels(network: dict) -> str | None:
    levels = sum(layer["levels"] for layer in network["layers"])
    changed = sum(layer["changed_levels"] for layer in network["layers"])
    return f"{changed} of {levels}" if levels else None

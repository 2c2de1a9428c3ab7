"""`spikequant compile`: a bundle or a graph to a folder that runs."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import bundle
from .errors import SpikeQuantError
from .importer import import_bundle_graph, import_graph
from .memory import memory_bytes
from .native import COMPILE, is_compiled
from .outputs import replacing_folder
from .stablehlo_shapes import Shapes
from .toolchain import run_tool

# (what is being done, steps done, steps in all)
Progress = Callable[[str, int, int], None]

FLOAT, OBSERVE, PROBE, SPIKE, RTN = "float", "observe", "probe", "spike", "rtn"
GRAPH_FORMAT = "spikequant-graph"
# Hadamard rotations that weights absorb: none, or of the values of attentions.
NO_ROTATION, ROTATE_VALUES = "none", "values"
_VALUES = "arguments", "results"
# Of the mean window of a site's channels.
MOST_BITS = 8


@dataclass
class CompileOptions:
    """What sq-compile is told."""

    method: str = SPIKE
    calibration: Path | None = None
    weights: Path | None = None
    bits: float = 4.25
    allocation: str = "budget"
    budget_by: str = "values"
    mad_factor: float = 3.5
    percentile: float = 0.95
    weight_bits: int = 4
    weight_budget: float | None = None
    group: int = 32
    head_bits: int = 8
    attention_bits: int = 8
    cache_bits: int = 0
    rounding: str = "auto"
    rotate: str = NO_ROTATION
    fold: bool = True
    centres: bool = True
    fine_centres: bool = False
    real_activations: bool = False
    real_residual: bool = False
    real_softmax: bool = False
    real_rotations: bool = False
    isa: str = "auto"
    mcpu: str = "native"
    taps: bool = False
    profile: bool = False
    graphs: Sequence[str] | None = None
    shapes: Shapes | None = None

    def check(self) -> None:
        if self.method == SPIKE and self.calibration is None:
            raise SpikeQuantError(
                "quantisation needs --calibration FILE (made by 'spikequant calibrate'); "
                "--float compiles without quantisation"
            )
        if self.method == SPIKE and self.bits > MOST_BITS:
            raise SpikeQuantError(f"--bits {self.bits:g}: a count has at most {MOST_BITS}")
        for file in (self.calibration, self.weights):
            if file is not None and not Path(file).is_file():
                raise SpikeQuantError(f"{file}: no such file")

    def tool_arguments(self) -> list[str]:
        arguments = [f"--isa={self.isa}", f"--mcpu={self.mcpu}"]
        arguments += ["--profile"] if self.profile else []
        arguments += [] if self.rotate == NO_ROTATION else [f"--rotate={self.rotate}"]
        if self.method in (FLOAT, OBSERVE, PROBE):
            return [f"--{self.method}", *arguments]
        arguments += [f"--method={self.method}", f"--bits={self.bits}"]
        arguments += [f"--allocation={self.allocation}", f"--budget-by={self.budget_by}"]
        arguments += [f"--mad-factor={self.mad_factor}", f"--percentile={self.percentile}"]
        arguments += [f"--weight-bits={self.weight_bits}", f"--group={self.group}"]
        if self.weight_budget is not None:
            arguments += [f"--weight-budget={self.weight_budget}"]
        arguments += [f"--head-bits={self.head_bits}", f"--rounding={self.rounding}"]
        arguments += [f"--attention-bits={self.attention_bits}", f"--cache-bits={self.cache_bits}"]
        if self.calibration is not None:
            arguments += [f"--calibration={self.calibration}"]
        arguments += [] if self.fold else ["--no-fold"]
        arguments += ["--real-activations"] if self.real_activations else []
        arguments += [] if self.centres else ["--no-centres"]
        arguments += ["--fine-centres"] if self.fine_centres else []
        arguments += ["--real-residual"] if self.real_residual else []
        arguments += ["--real-softmax"] if self.real_softmax else []
        arguments += ["--real-rotations"] if self.real_rotations else []
        return arguments + (["--taps"] if self.taps else [])


def compile_model(
    source: str | Path, out: str | Path, options: CompileOptions, progress: Progress | None = None
) -> dict:
    """Compiles a bundle folder or a StableHLO file; returns compile.json.

    `out` is replaced as a whole; on failure it is left as it was.
    """
    source, out = Path(source), Path(out)
    report = progress or (lambda *_: None)
    start = time.perf_counter()
    options.check()
    with replacing_folder(out, is_compiled, "a compiled model") as fresh:
        description, files, weights = import_source(source, fresh.parent, options, report)
        importing = time.perf_counter() - start
        report("compile", len(files), len(files) + 1)
        arguments = [*files, *options.tool_arguments(), "-o", fresh]
        arguments += [f"--weights={weights}"] if weights else []
        run_tool("sq-compile", arguments)
        bundle.write_json(fresh / bundle.MODEL, _with_count_states(description, fresh / COMPILE))
        if source.is_dir() and (source / bundle.TOKENIZER).exists():
            shutil.copy(source / bundle.TOKENIZER, fresh / bundle.TOKENIZER)
        seconds = time.perf_counter() - start
        result = _complete_report(fresh / COMPILE, options, seconds, importing)
    report("done", len(files) + 1, len(files) + 1)
    return result


def _with_count_states(description: dict, report: Path) -> dict:
    """The description with the type that states have in the compiled program."""
    graphs = json.loads(report.read_text(encoding="utf-8"))["graphs"]
    counts = {graph["name"]: graph["count_states"] for graph in graphs}

    def typed(value: dict, graph: dict) -> dict:
        held = value["kind"] == "state" and value["name"] in counts.get(graph["name"], ())
        return {**value, "dtype": "i8"} if held else value

    return (
        {
            **description,
            "graphs": [
                {**graph, **{key: [typed(v, graph) for v in graph[key]] for key in _VALUES}}
                for graph in description["graphs"]
            ],
        }
        if "graphs" in description
        else description
    )


def import_source(
    source: Path, work: Path, options: CompileOptions, progress: Progress | None = None
) -> tuple[dict, list[Path], Path | None]:
    """Description, linalg files (in `work`) and weights of a bundle or a graph."""
    load = _import_bundle if source.is_dir() else _import_single
    return load(source, work, options, progress or (lambda *_: None))


def _complete_report(file: Path, options: CompileOptions, seconds: float, importing: float) -> dict:
    """Adds to the tool's report what only this process knows."""
    report = json.loads(file.read_text(encoding="utf-8"))
    defaults = {"sites": 0, "decodes": 0, "islands": []} if options.method == FLOAT else {}
    report = {
        **defaults,
        **report,
        "method": options.method,
        "seconds": seconds,
        "import_seconds": importing,
        "peak_bytes": max(report["peak_bytes"], memory_bytes("VmHWM")),
    }
    bundle.write_json(file, report)
    return report


def _import_bundle(source: Path, work: Path, options: CompileOptions, report: Progress):
    description = {**bundle.read_model(source), "bundle": str(source.resolve())}
    if options.shapes:
        raise SpikeQuantError("--shape is for graphs: the sizes of a bundle are fixed")
    if options.weights is not None:
        raise SpikeQuantError("--weights is for graphs: a bundle has its own weights")
    chosen = list(options.graphs or (graph["name"] for graph in description["graphs"]))
    kept = [bundle.find_graph(description, name) for name in chosen]
    files = []
    for index, name in enumerate(chosen):
        report(f"import {name}", index, len(chosen) + 1)
        files.append(import_bundle_graph(source, name, work / f"{name}.mlir"))
    return {**description, "graphs": kept}, files, source / description["weights"]


def _import_single(source: Path, work: Path, options: CompileOptions, report: Progress):
    report(f"import {source.name}", 0, 2)
    if options.graphs:
        raise SpikeQuantError("--graphs is for bundles: this is a single graph")
    file = import_graph(
        source,
        work / "main.mlir",
        "main",
        number_arguments=True,
        shapes=options.shapes,
        weights=options.weights,
    )
    description = {"format": GRAPH_FORMAT, "version": 1, "source": source.name}
    return description, [file], options.weights

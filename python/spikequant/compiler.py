"""`spikequant compile`: a bundle or a graph to a folder that runs."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import bundle
from .errors import SpikeQuantError
from .importer import import_bundle_graph, import_graph
from .toolchain import run_tool

# (what is being done, steps done, steps in all)
Progress = Callable[[str, int, int], None]


@dataclass
class CompileOptions:
    """What sq-compile is told. `method` is float, observe, spike or rtn."""

    method: str = "spike"
    calibration: Path | None = None
    weights: Path | None = None
    bits: float = 4.25
    weight_bits: int = 4
    group: int = 32
    head_bits: int = 8
    isa: str = "auto"
    mcpu: str = "native"
    taps: bool = False
    graphs: Sequence[str] | None = None
    extra: list[str] = field(default_factory=list)

    def tool_arguments(self) -> list[str]:
        arguments = [f"--isa={self.isa}", f"--mcpu={self.mcpu}", *self.extra]
        if self.method in ("float", "observe"):
            return [f"--{self.method}", *arguments]
        if self.method == "spike" and self.calibration is None:
            raise SpikeQuantError(
                "quantisation needs --calibration FILE (made by 'spikequant calibrate'); "
                "--float compiles without quantisation"
            )
        arguments += [f"--method={self.method}", f"--bits={self.bits}"]
        arguments += [f"--weight-bits={self.weight_bits}", f"--group={self.group}"]
        arguments += [f"--head-bits={self.head_bits}"]
        if self.calibration is not None:
            arguments += [f"--calibration={self.calibration}"]
        return arguments + (["--taps"] if self.taps else [])


def compile_model(
    source: str | Path, out: str | Path, options: CompileOptions, progress: Progress | None = None
) -> dict:
    """Compiles a bundle folder or a StableHLO file; returns compile.json.

    `out` is replaced as a whole; on failure it is left as it was.
    """
    source, out = Path(source), Path(out)
    report = progress or (lambda *_: None)
    _check_target(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
        work = Path(folder)
        if source.is_dir():
            description, files, weights = _import_bundle(source, work, options, report)
        else:
            description, files, weights = _import_single(source, work, options, report)
        report("compile", len(files), len(files) + 1)
        result = work / "result"
        arguments = [*files, *options.tool_arguments(), "-o", result]
        arguments += [f"--weights={weights}"] if weights else []
        run_tool("sq-compile", arguments, quiet=True)
        bundle.write_json(result / bundle.MODEL, description)
        if source.is_dir() and (source / bundle.TOKENIZER).exists():
            shutil.copy(source / bundle.TOKENIZER, result / bundle.TOKENIZER)
        _replace_folder(result, out)
        report("done", len(files) + 1, len(files) + 1)
    return json.loads((out / "compile.json").read_text())


def _import_bundle(source: Path, work: Path, options: CompileOptions, report: Progress):
    description = {**bundle.read_model(source), "bundle": str(source.resolve())}
    names = [graph["name"] for graph in description["graphs"]]
    chosen = list(options.graphs) if options.graphs else names
    for name in chosen:
        bundle.find_graph(description, name)
    files = []
    for index, name in enumerate(chosen):
        report(f"import {name}", index, len(chosen) + 1)
        files.append(import_bundle_graph(source, name, work / f"{name}.mlir"))
    kept = [graph for graph in description["graphs"] if graph["name"] in chosen]
    return {**description, "graphs": kept}, files, source / description["weights"]


def _import_single(source: Path, work: Path, options: CompileOptions, report: Progress):
    report(f"import {source.name}", 0, 2)
    attributes = _weight_attributes(options.weights)
    file = import_graph(source, work / "main.mlir", "main", attributes)
    description = {"format": "spikequant-graph", "version": 1, "source": source.name}
    return description, [file], options.weights


def _weight_attributes(weights: Path | None) -> list[dict[str, str | int]]:
    """Keys argN of a safetensors file say which arguments are weights."""
    if weights is None:
        return []
    from safetensors import safe_open

    try:
        with safe_open(weights, "np") as file:
            keys = list(file.keys())
    except Exception as error:  # the package raises its own and OS errors
        raise SpikeQuantError(f"{weights}: not a safetensors file: {error}") from error
    numbers = {int(key[3:]): key for key in keys if key.startswith("arg") and key[3:].isdigit()}
    if not numbers:
        raise SpikeQuantError(f"{weights}: no keys named argN: name each after its argument")
    last = max(numbers)
    return [{"spikequant.weight": numbers[i]} if i in numbers else {} for i in range(last + 1)]


def _check_target(out: Path) -> None:
    if out.exists() and not (out / "compile.json").is_file() and not _is_empty(out):
        raise SpikeQuantError(f"{out}: exists and is no compiled model: choose another folder")


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _replace_folder(fresh: Path, target: Path) -> None:
    old = fresh.with_name("replaced")
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old, ignore_errors=True)

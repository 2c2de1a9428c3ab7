"""The bundle folder: names of its files, reading it, and writing it as a whole (docs/Bundle.md)."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from .errors import SpikeQuantError
from .outputs import replacing_folder

FORMAT, VERSION = "spikequant-bundle", 1
MODEL, WEIGHTS, TOKENIZER, GRAPHS = "model.json", "weights.safetensors", "tokenizer.json", "graphs"


def read_model(folder: str | Path) -> dict:
    """model.json of a bundle, checked for format and version."""
    path = Path(folder) / MODEL
    try:
        model = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpikeQuantError(f"{folder}: not a bundle: cannot read {MODEL} ({error})") from error
    except (ValueError, RecursionError) as error:
        raise SpikeQuantError(f"{path}: damaged: {error}") from error
    if not isinstance(model, dict) or model.get("format") != FORMAT:
        raise SpikeQuantError(f"{path}: not the description of a bundle")
    if model.get("version") != VERSION:
        raise SpikeQuantError(
            f"{path}: version {model.get('version')}, but this program reads version {VERSION}: "
            "export the model again"
        )
    return model


def find_graph(model: dict, name: str) -> dict:
    """The entry of graph `name`."""
    for graph in model["graphs"]:
        if graph["name"] == name:
            return graph
    known = ", ".join(graph["name"] for graph in model["graphs"])
    raise SpikeQuantError(f"the bundle has no graph '{name}': it has {known}")


def argument_attributes(graph: dict) -> list[dict[str, str | int]]:
    """Per argument, the attributes that the compiler reads (weights and state)."""
    attributes: list[dict[str, str | int]] = []
    for argument in graph["arguments"]:
        named: dict[str, str | int] = {"spikequant.name": argument["name"]}
        if argument["kind"] == "weight":
            named = {"spikequant.weight": argument["weight"]}
        elif argument["kind"] == "state":
            named["spikequant.state"] = argument["result"]
        attributes.append(named)
    return attributes


def result_attributes(graph: dict) -> list[dict[str, str | int]]:
    """Per result, the attributes that the compiler reads (names)."""
    return [{"spikequant.name": result["name"]} for result in graph["results"]]


def write_json(path: Path, value: dict) -> None:
    """Indented, so that two bundles can be compared with diff."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def replacing_bundle(target: Path) -> contextlib.AbstractContextManager[Path]:
    """A new folder that takes the place of the bundle `target` if the body succeeds."""
    return replacing_folder(target, lambda folder: (folder / MODEL).is_file(), "a bundle")

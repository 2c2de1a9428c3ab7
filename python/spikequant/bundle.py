"""The bundle folder: names of its files, reading it, and writing it as a whole (docs/Bundle.md)."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .errors import SpikeQuantError

FORMAT, VERSION = "spikequant-bundle", 1
MODEL, WEIGHTS, TOKENIZER, GRAPHS = "model.json", "weights.safetensors", "tokenizer.json", "graphs"


def read_model(folder: str | Path) -> dict:
    """model.json of a bundle, checked for format and version."""
    path = Path(folder) / MODEL
    try:
        model = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpikeQuantError(f"{folder}: not a bundle: cannot read {MODEL} ({error})") from error
    except ValueError as error:
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


@contextlib.contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """A temporary folder beside `target` that takes its place only if the body succeeds.

    An existing target is replaced only if it is a bundle (or empty): nothing else is deleted.
    A killed process can leave the temporary folder (`.NAME.*`) behind, never half a target.
    """
    target = target.resolve()
    if target.exists() and not _replaceable(target):
        raise SpikeQuantError(f"{target}: exists and is not a bundle: choose another output folder")
    with _clear_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            yield temporary
            _give_usual_permissions(temporary)
            _swap(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def replacing_file(target: Path) -> Iterator[Path]:
    """A temporary path beside `target` that takes its place only if the body succeeds."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with _clear_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _clear_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SpikeQuantError(f"{target}: cannot be written: {error}") from error


def _swap(temporary: Path, target: Path) -> None:
    """Renames only, so that no moment has half a folder in place; then the old one goes."""
    if not target.exists():
        temporary.rename(target)
        return
    retired = temporary.with_name(temporary.name + ".old")
    target.rename(retired)
    temporary.rename(target)
    shutil.rmtree(retired)


def _replaceable(target: Path) -> bool:
    if not target.is_dir():
        return False
    return (target / MODEL).is_file() or not any(target.iterdir())


def _give_usual_permissions(folder: Path) -> None:
    """Temporary folders and safetensors files are private; the result follows the umask."""
    mask = os.umask(0)
    os.umask(mask)
    for path in (folder, *folder.rglob("*")):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)

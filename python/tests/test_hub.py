"""Hugging Face models of random tiny configurations, exported by torch-mlir; docs/Graphs.md.

PyTorch does not belong to the project's environment: `make hub` makes one for it in .venv-hub;
SPIKEQUANT_HUB_PYTHON names the interpreter of another one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from graph_runs import relative_error
from test_tutorial import blocks, make_folder
from test_zoo import signal_to_noise

from spikequant.arrays import load_arrays, run_arrays
from spikequant.calibrate import calibrate_inputs
from spikequant.check import check
from spikequant.compiler import FLOAT, CompileOptions, compile_model

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "Graphs.md"
PYTHON = Path(os.environ.get("SPIKEQUANT_HUB_PYTHON", ROOT / ".venv-hub" / "bin" / "python"))
needs_hub = pytest.mark.skipif(
    not PYTHON.exists(), reason=f"{PYTHON} is missing: 'make hub' installs PyTorch there"
)
# Signal to noise of the logits with weights of 4 bits and 4.5 bits per activation, in dB:
# about half of what was measured. Random weights amplify what rounding changes.
DECIBEL = {
    "llama": 6,
    "gemma2": 4,
    "gpt2": 6,
    "bloom": 8,
    "mixtral": 6,
    "mamba": 6,
    "bert": 6,
    "t5": 5,
    "vit": 13,
}
# Bits of activations and weights, if not 4.5 and 4: the differences that a random ViT amplifies are
# those of its 4-bit patch embedding (-5 dB at 4.5 bits, 3 dB with 8-bit activations, 26 dB so).
BITS = {"vit": (8, 8)}


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    """One process for all models: PyTorch takes long to start."""
    folder = tmp_path_factory.mktemp("hub")
    command = [PYTHON, Path(__file__).with_name("hub_export.py"), folder, *DECIBEL]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    subprocess.run(command, check=True, env=environment)
    return folder


@pytest.mark.slow
@needs_hub
@pytest.mark.parametrize("name", DECIBEL)
def test_hugging_face(exported, name):
    """Near PyTorch as a float program, and what is quantised is near that."""
    folder = exported / name
    failure = folder / "failure.txt"
    assert not failure.exists(), failure.read_text()
    (source,) = folder.glob("graph.*")
    weights = folder / "weights.safetensors"
    weights = weights if weights.exists() else None
    found = check(source, weights)
    assert found["sites"] and not found["unsupported"]
    compile_model(source, folder / "float", CompileOptions(FLOAT, weights=weights))
    expected = load_arrays(folder / "expected.npz")["out0"]
    assert relative_error(_run(folder, "float"), expected) <= 1e-4
    calibrate_inputs(source, weights, folder / "batch.npz", folder / "calib")
    bits, weight_bits = BITS.get(name, (4.5, 4))
    options = CompileOptions(
        calibration=folder / "calib", weights=weights, bits=bits, weight_bits=weight_bits
    )
    report = compile_model(source, folder / "quantised", options)
    ratio = signal_to_noise(_run(folder, "quantised"), expected)
    print(f"{name}: {report['sites']} sites, {ratio:.1f} dB")
    assert ratio > DECIBEL[name]


def _run(folder: Path, program: str) -> np.ndarray:
    run_arrays(folder / program, folder / "in.npz", folder / "out.npz")
    return load_arrays(folder / "out.npz")["out0"]


def run_page(folder: Path, skipped: str, python: Path) -> None:
    """Runs the page's commands in order, but for the files and lines that mention `skipped`."""
    environment = make_folder(folder)
    (folder / "bin" / "python").write_text(f'#!/bin/sh\nexec {python} "$@"\n')
    for language, contents in blocks(PAGE.read_text()):
        if skipped in contents:
            continue
        if language == "python":
            name = contents.splitlines()[0].removeprefix("# ")
            (folder / name).write_text(contents)
        elif language == "sh":
            for command in contents.splitlines():
                _run_command(command, folder, environment)


def _run_command(command: str, folder: Path, environment: dict[str, str]) -> None:
    """The page's own Python has its own packages."""
    if command.startswith("python "):
        environment = {k: v for k, v in environment.items() if k != "PYTHONPATH"}
    options = {"cwd": folder, "env": environment, "stdin": subprocess.DEVNULL}
    done = subprocess.run(command, shell=True, capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_page_jax(tmp_path):
    run_page(tmp_path, "torch", Path(sys.executable))
    _check_page(tmp_path, "jax_model")


@pytest.mark.slow
@needs_hub
def test_page_pytorch(tmp_path):
    run_page(tmp_path, "jax", PYTHON)
    _check_page(tmp_path, "torch_model")


def _check_page(folder: Path, name: str) -> None:
    """What the page promises: the float program is right, the quantised one is near it."""
    expected = load_arrays(folder / f"{name}.expected.npz")["out0"]
    results = [load_arrays(folder / f"{name}.{kind}.npz")["out0"] for kind in ("float", "sq")]
    assert relative_error(results[0], expected) <= 1e-4
    assert 6 < signal_to_noise(results[1], expected) < 60

"""Python environments of simulators whose requirements exclude each other, made on demand.

Each lies in `build/simulators/<name>` and is reused until its list of requirements changes. torch
and what it needs (6 GB) is installed once and shared through a path file.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from spikequant.toolchain import build_folder

REQUIREMENTS = Path(__file__).resolve().parents[1]
SHARED = "torch"


def find_simulator(name: str) -> Path:
    """The interpreter of the environment `name`, which is made or brought up to date first."""
    return _environment(name, "/usr/bin/python3", _environment(SHARED, "/usr/bin/python3", None))


def _environment(name: str, python: str, shared: Path | None) -> Path:
    folder = build_folder() / "simulators" / name
    requirements = REQUIREMENTS / f"requirements-{name}.txt"
    interpreter, stamp = folder / "bin" / "python", folder / "installed"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return interpreter
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([python, "-m", "venv", folder], check=True)
    install = [interpreter, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*install, "--no-deps", "-r", requirements], check=True)
    if shared:
        (_packages(interpreter) / "shared.pth").write_text(f"{_packages(shared)}\n")
    stamp.write_text(wanted)
    return interpreter


def _packages(interpreter: Path) -> Path:
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    done = subprocess.run([interpreter, "-c", code], check=True, capture_output=True, text=True)
    return Path(done.stdout.strip())

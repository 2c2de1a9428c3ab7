"""The script that starts a pass: what it makes is declared, listed and compiles."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "dev" / "new_pass.py"
FOLDERS = (
    "include/spikequant/Codegen",
    "include/spikequant/Dialect/SpikeQuant/Transforms",
    "lib/Codegen",
    "lib/Dialect/SpikeQuant/Transforms",
    "test/Codegen",
    "test/Dialect/SpikeQuant/Transforms",
)


@pytest.fixture
def tree(tmp_path) -> Path:
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path


def new_pass(tree: Path, *words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, SCRIPT, *words, "--root", tree]
    return subprocess.run(command, capture_output=True, text=True)


def all_files(tree: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}


def compile_like(tree: Path, source: Path, example: str) -> None:
    """With the build's own flags for `example`, but the tree's headers first."""
    commands = json.loads((ROOT / "build" / "compile_commands.json").read_text())
    (entry,) = [c for c in commands if c["file"].endswith(example)]
    words = shlex.split(entry["command"])
    compiler = next(i for i, word in enumerate(words) if "clang++" in word)
    end = words.index("-o")
    command = [
        words[compiler],
        f"-I{tree}/include",
        *words[compiler + 1 : end],
        "-fsyntax-only",
        source,
    ]
    subprocess.run(command, check=True, cwd=entry["directory"])


def test_pass_is_declared_listed_and_compiles(tree):
    result = new_pass(tree, "codegen", "drop-dead-lanes", "removes lanes that nothing reads")
    assert result.returncode == 0, result.stderr
    include = tree / "include" / "spikequant" / "Codegen"
    source = tree / "lib" / "Codegen" / "DropDeadLanes.cpp"
    llvm = next(p for p in Path("/usr/lib").glob("llvm-*/bin/mlir-tblgen")).parent
    subprocess.run(
        [llvm / "mlir-tblgen", "-gen-pass-decls", "-name", "SpikeQuantCodegen", "-I"]
        + [llvm.parent / "include", include / "Passes.td", "-o", include / "Passes.h.inc"],
        check=True,
    )
    compile_like(tree, source, "lib/Codegen/EraseMetadata.cpp")
    sources = (tree / "lib" / "Codegen" / "CMakeLists.txt").read_text().split()
    assert sources.index("DropDeadLanes.cpp") == sources.index("CarryInPlace.cpp") + 1
    assert (
        "--spikequant-drop-dead-lanes" in (tree / "test/Codegen/drop-dead-lanes.mlir").read_text()
    )
    assert all(len(line) <= 80 for line in source.read_text().splitlines())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("codegen", "Drop", "x"), "is no name like"),
        (("codegen", "drop", 'says "x"'), "one line without quotation marks"),
        (("transforms", "fold-scales", "again"), "FoldScales.cpp is there already"),
        (("elsewhere", "drop", "x"), "invalid choice"),
    ],
)
def test_bad_words_change_nothing(tree, words, message):
    before = all_files(tree)
    result = new_pass(tree, *words)
    assert result.returncode != 0 and message in result.stderr
    assert "Traceback" not in result.stderr and all_files(tree) == before

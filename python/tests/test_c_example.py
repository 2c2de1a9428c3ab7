"""examples/c/generate.c, built with the system's C compiler: the same tokens as Python."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tiny_chat import CONTEXTS

from spikequant.session import Session

ROOT = Path(__file__).resolve().parents[2]
PROMPT = [5, 77, 130, 9, 41]
CONTEXT = CONTEXTS[0]


@pytest.fixture(scope="module")
def generate(tmp_path_factory):
    compiler = next(filter(shutil.which, ("cc", "gcc", "clang-22", "clang")), None)
    assert compiler, "no C compiler"
    program = tmp_path_factory.mktemp("c") / "generate"
    command = [compiler, "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-O1"]
    command += ["-I", ROOT / "include", ROOT / "examples/c/generate.c", "-o", program, "-ldl"]
    subprocess.run(command, check=True)

    def run(*arguments) -> subprocess.CompletedProcess:
        words = [str(word) for word in (program, *arguments)]
        return subprocess.run(words, capture_output=True, text=True)

    return run


@pytest.mark.parametrize("kind", ["float", "quantised"])
def test_same_tokens_as_python(generate, kind, request):
    folder = request.getfixturevalue(f"{kind}_program")
    session = Session(folder)
    expected = list(session.generate(PROMPT, 12))
    done = generate(folder, f"decode_{CONTEXT}", 12, *PROMPT)
    assert done.returncode == 0, done.stderr
    assert [int(line) for line in done.stdout.split()] == expected


def test_fills_the_context_to_its_last_place(generate, float_program):
    """The token that comes out of the last place is not fed any more."""
    count = CONTEXT - len(PROMPT) + 1
    done = generate(float_program, f"decode_{CONTEXT}", count, *PROMPT)
    assert len(done.stdout.split()) == count
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("decode_16", 13, *PROMPT), "the context of 16 tokens is full"),
        (("decode_7", 1, 3), "decode_7: no such graph"),
        (("decode_16", 1, 100000), "100000: is no token of the model"),
        (("decode_16", 1, "x"), "x: is no token of the model"),
        (("decode_16", 0, 3), "usage"),
        (("decode_16", 1), "usage"),
    ],
)
def test_error(generate, float_program, arguments, message):
    done = generate(float_program, *arguments)
    assert done.returncode == 1
    assert message in done.stderr


def test_error_no_folder(generate, tmp_path):
    done = generate(tmp_path / "none", "decode_16", 1, 3)
    assert done.returncode == 1
    assert "model.so" in done.stderr

"""The command line: it teaches, it fails clearly, and what it prints can be used."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from tiny_chat import CONTEXTS, TINY

from spikequant import cli, commands

LARGEST = CONTEXTS[-1]


def run(*arguments) -> int:
    return cli.main([str(argument) for argument in arguments])


@pytest.mark.parametrize("command", [None, *(command.NAME for command in commands.ALL)])
def test_help_teaches(command, capsys):
    with pytest.raises(SystemExit) as stop:
        run(*([command] if command else []), "--help")
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "spikequant" in text
    assert "Example" in text or "A first session" in text
    # No argument without an explanation, but those whose name says it all.
    if command:
        options = [line for line in text.splitlines() if line.startswith("  -")]
        assert options


def test_prompt_gives_the_greedy_text(float_program, capsys, tmp_path):
    report = tmp_path / "run.json"
    arguments = ["run", float_program, "--prompt", "the", "--max-tokens", 5, "--json", report]
    assert run(*arguments) == 0
    figures = json.loads(report.read_text())
    assert capsys.readouterr().out == figures["text"] + "\n"
    assert figures["prompt_tokens"] == 2  # th, e
    assert figures["stopped"] in ("limit", "end of text")


def test_chat_uses_the_template(float_program, capsys, tmp_path):
    report = tmp_path / "run.json"
    command = ["run", float_program, "--chat", "--prompt", "hi", "--max-tokens", 3]
    assert run(*command, "--json", report) == 0
    # <|im_start|> user \n hi <|im_end|> \n <|im_start|> assistant \n
    assert json.loads(report.read_text())["prompt_tokens"] == 1 + 4 + 1 + 2 + 1 + 1 + 1 + 9 + 1
    capsys.readouterr()


def test_full_context_stops_and_says_so(float_program, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("spikequant.chat.Session.generate", _endless(), raising=True)
    report = tmp_path / "run.json"
    command = ["run", float_program, "--prompt", "a" * 30, "--max-tokens", 1000]
    assert run(*command, "--json", report) == 0
    figures = json.loads(report.read_text())
    assert figures["stopped"] == "context full"
    assert f"the context of {LARGEST} tokens is full" in capsys.readouterr().err


def _endless():
    """The model may end its text: here no token does."""
    from spikequant.session import Session

    original = Session.generate
    return lambda self, tokens, limit, _ends=(): original(self, tokens, limit)


def test_conversation_keeps_what_was_said(float_program, capsys, monkeypatch):
    from spikequant.session import Session

    fed = []
    original = Session.feed
    monkeypatch.setattr(
        Session, "feed", lambda self, tokens: fed.append(len(tokens)) or original(self, tokens)
    )
    lines = iter(["hi", "", "/new", "a" * 50, "b", "/quit"])
    monkeypatch.setattr("builtins.input", lambda _prompt: next(lines))
    assert run("run", float_program, "--chat", "--max-tokens", 2) == 0
    assert "tokens, but the largest context holds 40" in capsys.readouterr().err
    # The second question shares only the template's first tokens with the first.
    assert fed[0] == 21
    assert any(0 < count < 21 for count in fed[2:])


def test_conversation_starts_anew_when_the_context_is_full(float_program, capsys, monkeypatch):
    lines = iter(["one", "two"])
    monkeypatch.setattr("builtins.input", lambda _prompt: next(lines, None) or _end())
    assert run("run", float_program, "--chat", "--max-tokens", 4) == 0
    assert "the conversation starts anew" in capsys.readouterr().err


def _end():
    raise EOFError


def test_arrays_of_a_bundle_graph(float_program, tmp_path, capsys):
    """argN counts all arguments, weights included; state that is left out starts as zeros."""
    inputs, outputs = tmp_path / "in.npz", tmp_path / "out.npz"
    np.savez(inputs, arg0=np.array([3], np.int32), arg1=np.array(0, np.int32))
    graph = f"decode_{CONTEXTS[0]}"
    command = ["run", float_program, "--inputs", inputs, "--outputs", outputs]
    assert run(*command, "--graph", graph) == 0
    with np.load(outputs) as results:
        assert results["out0"].shape == (TINY.vocabulary,)
        assert len(results.files) == 1 + 2 * TINY.layers
        cache = results["out1"]
        first = results["out0"]
    # The same token once more, on the cache of the first.
    weights = len(json.loads((float_program / "model.json").read_text())["graphs"][2]["arguments"])
    state = {f"arg{weights - 2 * TINY.layers}": cache}
    np.savez(inputs, arg0=np.array([3], np.int32), arg1=np.array(0, np.int32), **state)
    assert run(*command, "--graph", graph) == 0
    with np.load(outputs) as results:
        np.testing.assert_array_equal(results["out0"], first)
    assert run(*command) == 1
    assert "choose one with --graph: prefill_16" in capsys.readouterr().err


def test_bench_measures(float_program, tmp_path, capsys):
    report = tmp_path / "bench.json"
    command = ["bench", float_program, "--prompt-lengths", "5,30", "--decode-tokens", 4]
    assert run(*command, "--threads", 1, "--json", report) == 0
    figures = json.loads(report.read_text())
    assert set(figures["prefill_tokens_per_second"]) == {"5", "30"}
    assert figures["decode_tokens_per_second"] > 0
    assert figures["threads"] == 1
    assert figures["load_seconds"] > 0
    assert figures["resident_bytes"] > 2**20
    assert "decode_tokens_per_second" in capsys.readouterr().out


def make_bad_files(folder):
    (folder / "text.npz").write_text("no arrays")
    np.save(folder / "one.npy", np.zeros(3))
    np.savez(folder / "objects.npz", arg0=np.array([{}], dtype=object))
    np.savez(folder / "good.npz", arg0=np.array([3], np.int32), arg1=np.array(0, np.int32))
    np.savez(folder / "unknown.npz", arg0=np.array([3], np.int32), arg99=np.zeros(2))
    np.savez(folder / "wide.npz", arg0=np.array([2**31]), arg1=np.array(0))
    np.savez(folder / "scalar.npz", arg0=np.float32(1))
    data = bytearray((folder / "good.npz").read_bytes())
    (folder / "cut.npz").write_bytes(data[:-30])
    data[60] ^= 255
    (folder / "flipped.npz").write_bytes(data)
    (folder / "short.txt").write_text("too short")
    (folder / "letter.txt").write_text("x")
    (folder / "binary.txt").write_bytes(b"\xff\xfe\x00")
    (folder / "broken.mlir").write_text("module {")
    (folder / "bad.calib").write_text("{}")
    (folder / "bad.safetensors").write_text("none")
    (folder / "empty").mkdir()
    (folder / "occupied").mkdir()
    (folder / "occupied" / "precious").touch()


@pytest.fixture(scope="module")
def files(tmp_path_factory, float_program, tiny_bundle):
    folder = tmp_path_factory.mktemp("bad")
    make_bad_files(folder)
    return folder


DECODE = f"--graph decode_{CONTEXTS[0]}"
ARRAYS = f"--outputs DIR/o.npz {DECODE}"
ERRORS = {
    "run missing": ("run DIR/none --prompt x", "DIR/none: not a compiled model"),
    "run empty folder": ("run DIR/empty --prompt x", "DIR/empty: not a compiled model"),
    "run file": ("run DIR/text.npz --prompt x", "not a compiled model"),
    "run bundle": ("run BUNDLE --prompt x", "this is a bundle: compile it"),
    "run nothing": ("run FLOAT", "say what to run on"),
    "run empty prompt": ("run FLOAT --prompt ''", "the prompt is empty"),
    "run empty chat": ("run FLOAT --chat --prompt ''", "the prompt is empty"),
    "run long prompt": (
        f"run FLOAT --prompt {'a' * 41}",
        "the prompt has 41 tokens, but the largest context holds 40",
    ),
    "run mixed": ("run FLOAT --prompt x --outputs o.npz", "are for --inputs"),
    "npz no outputs": ("run FLOAT --inputs DIR/good.npz", "needs --outputs"),
    "npz missing": (f"run FLOAT --inputs DIR/none.npz {ARRAYS}", "none.npz: no such file"),
    "npz text": (f"run FLOAT --inputs DIR/text.npz {ARRAYS}", "text.npz: not an .npz file"),
    "npz npy": (f"run FLOAT --inputs DIR/one.npy {ARRAYS}", "one.npy: not an .npz file"),
    "npz objects": (f"run FLOAT --inputs DIR/objects.npz {ARRAYS}", "objects.npz: not an .npz"),
    "npz cut": (f"run FLOAT --inputs DIR/cut.npz {ARRAYS}", "cut.npz: not an .npz file"),
    "npz flipped": (f"run FLOAT --inputs DIR/flipped.npz {ARRAYS}", "flipped.npz: not an .npz"),
    "npz unknown": (f"run FLOAT --inputs DIR/unknown.npz {ARRAYS}", "has no input arg99"),
    "npz dtype": (f"run FLOAT --inputs DIR/wide.npz {ARRAYS}", "expected int32 [1], got int64"),
    "npz missing argument": (f"run FLOAT --inputs DIR/scalar.npz {ARRAYS}", "'arg1' is missing"),
    "npz graph": (
        "run FLOAT --inputs DIR/good.npz --outputs DIR/o.npz --graph no",
        "no graph 'no': it has prefill_16",
    ),
    "npz chat": (f"run FLOAT --chat --inputs DIR/good.npz {ARRAYS}", "--chat is for prompts"),
    "eval missing": ("eval FLOAT --text DIR/none.txt --context 40", "none.txt: cannot be read"),
    "eval context": ("eval FLOAT --text DIR/short.txt", "--context 1024 is more than the"),
    "eval short": ("eval FLOAT --text DIR/short.txt --context 40", "8 windows of 40 need 320"),
    "eval binary": (
        "eval FLOAT --text DIR/binary.txt --context 40 --windows 1",
        "binary.txt: cannot be read as UTF-8",
    ),
    "bench long": ("bench FLOAT --prompt-lengths 41", "--prompt-lengths 41: the largest"),
    "bench decode": ("bench FLOAT --decode-tokens 40", "--decode-tokens 40: the largest"),
    "compile missing": ("compile DIR/none --float -o DIR/out", "DIR/none: cannot be read"),
    "compile broken": ("compile DIR/broken.mlir --float -o DIR/out", "not a StableHLO module"),
    "compile folder": ("compile DIR/empty --float -o DIR/out", "empty: not a bundle"),
    "compile occupied": ("compile BUNDLE --float -o DIR/occupied", "is not a compiled model"),
    "compile onto file": ("compile BUNDLE --float -o DIR/text.npz", "is not a compiled model"),
    "compile no calibration": ("compile BUNDLE -o DIR/out", "quantisation needs --calibration"),
    "compile calibration missing": (
        "compile BUNDLE --calibration DIR/none -o DIR/out",
        "DIR/none: no such file",
    ),
    "compile calibration damaged": (
        "compile BUNDLE --calibration DIR/bad.calib --graphs decode_16 -o DIR/out",
        "bad.calib",
    ),
    "compile weights": ("compile BUNDLE --float --weights DIR/text.npz -o DIR/out", "for graphs"),
    "compile bad weights": (
        "compile DIR/broken.mlir --float --weights DIR/bad.safetensors -o DIR/out",
        "bad.safetensors: not a safetensors file",
    ),
    "compile graphs": (
        "compile BUNDLE --float --graphs encode_16 -o DIR/out",
        "the bundle has no graph 'encode_16': it has prefill_16",
    ),
    "compile cpu": (
        "compile BUNDLE --float --graphs decode_16 --mcpu none -o DIR/out",
        "none",
    ),
    "calibrate neither": ("calibrate --text DIR/short.txt -o DIR/c", "name the bundle"),
    "calibrate mixed": (
        "calibrate BUNDLE --inputs DIR/good.npz -o DIR/c",
        "a bundle needs --text",
    ),
    "calibrate short": (
        "calibrate BUNDLE --text DIR/letter.txt -o DIR/c",
        "letter.txt: 1 token",
    ),
    "calibrate context": (
        "calibrate BUNDLE --text DIR/short.txt --context 20 -o DIR/c",
        "--context 20: the bundle was exported for 16, 40",
    ),
    "merge missing": ("calibrate --merge DIR/none -o DIR/c", "DIR/none: no such file"),
    "merge damaged": ("calibrate --merge DIR/bad.calib -o DIR/c", "bad.calib"),
    "import missing": ("import DIR/none.mlir -o DIR/i.mlir", "none.mlir: cannot be read"),
    "export missing": ("export DIR/none.gguf -o DIR/b", "none.gguf"),
    "export text": ("export DIR/short.txt -o DIR/b", "short.txt"),
    "check missing": ("check DIR/none.mlir", "none.mlir: cannot be read"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error(case, files, float_program, tiny_bundle, capfd):
    line, message = ERRORS[case]
    names = {"DIR": str(files), "FLOAT": str(float_program), "BUNDLE": str(tiny_bundle)}
    words = ["" if word == "''" else word for word in line.split()]
    for name, value in names.items():
        words = [word.replace(name, value) for word in words]
        message = message.replace(name, value)
    before = sorted(path.name for path in files.iterdir())
    assert run(*words) == 1
    error = capfd.readouterr().err
    assert error.startswith(f"spikequant {words[0]}: error: ")
    assert message in error
    assert "Traceback" not in error and "internal error" not in error
    assert sorted(path.name for path in files.iterdir()) == before, "something was left behind"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("run x --prompt y --threads 0", "0 is not from 1 to 1024"),
        ("run x --prompt y --threads two", "'two' is not a whole number"),
        ("run x --prompt y --max-tokens 0", "0 is not at least 1"),
        ("run x --prompt y --inputs z", "not allowed with argument"),
        ("compile x -o y --bits nan", "nan is not from 1 to 16"),
        ("compile x -o y --weight-bits 9", "9 is not from 2 to 8"),
        ("compile x -o y --group -1", "-1 is not at least 0"),
        ("compile x --float", "the following arguments are required: -o"),
        ("calibrate x -o y", "one of the arguments --text --inputs --merge is required"),
        ("bench x --prompt-lengths 1,,2", "'' is not a whole number"),
        ("fly", "invalid choice: 'fly'"),
        ("", "required: COMMAND"),
    ],
)
def test_wrong_command_line(line, message, capsys):
    with pytest.raises(SystemExit) as stop:
        run(*line.split())
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_internal_error_has_no_traceback(capsys, monkeypatch):
    def fail(_options):
        raise RuntimeError("boom")

    monkeypatch.setattr("spikequant.commands.run_command.run", fail)
    monkeypatch.delenv("SPIKEQUANT_TRACE", raising=False)
    assert run("run", "x") == 1
    assert "internal error: RuntimeError: boom" in capsys.readouterr().err


def test_json_cannot_be_written(float_program, tmp_path, capsys):
    command = ["run", float_program, "--prompt", "a", "--max-tokens", 1, "--json", tmp_path]
    assert run(*command) == 1
    assert "is a folder" in capsys.readouterr().err


def test_closed_pipe_is_quiet(float_program):
    """As `spikequant run .. | head -c 1`."""
    command = [sys.executable, "-m", "spikequant.cli", "run", str(float_program)]
    command += ["--prompt", "a", "--max-tokens", "30"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    error = process.stderr.read().decode()
    process.stderr.close()
    process.wait()
    assert "Traceback" not in error and "Exception" not in error


def test_run_does_not_load_the_compiler(float_program):
    """Running needs no JAX, so it starts quickly."""
    code = (
        "import sys; from spikequant.cli import main\n"
        f"main(['run', {str(float_program)!r}, '--prompt', 'a', '--max-tokens', '1'])\n"
        "sys.exit('jax' in sys.modules or 'jaxlib' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL)
    assert done.returncode == 0

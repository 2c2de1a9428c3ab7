"""Bad input to every command and tool: what, where, what to do; and nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import bad_files
import pytest

from spikequant import cli
from spikequant.toolchain import find_tool

# Signs that a program fell over instead of refusing.
CRASHES = ("Traceback", "internal error", "PLEASE submit", "Stack dump", "LLVM ERROR", "Assertion")


@pytest.fixture(scope="module")
def files(tmp_path_factory, tiny_bundle, float_program) -> Path:
    folder = tmp_path_factory.mktemp("files")
    bad_files.write_all(folder)
    bad_files.write_bundles(folder, tiny_bundle, float_program)
    return folder


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    paths = [folder, *folder.rglob("*")]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}


def assert_refuses(run, line: str, message: str, folder: Path, work: Path) -> None:
    """`@name` is a file of the folder; the current folder, `work`, must stay empty.

    `run` returns exit code and standard error. Every part of the message, between bars, counts.
    """
    words = [word.replace("@", f"{folder}/") for word in line.split()]
    before = snapshot(folder)
    code, error = run(words)
    assert code == 1, error
    assert not [sign for sign in CRASHES if sign in error], error
    for part in message.split("|"):
        assert part.replace("@", f"{folder}/") in error, error
    assert snapshot(folder) == before, "an input was changed, or something was left there"
    assert not list(work.iterdir()), "something was left behind"


GRAPH_ERRORS = {
    "empty": "@empty: is empty: a StableHLO module is needed",
    "garbage": "not a StableHLO module|@garbage",
    "prose": "not a StableHLO module|@prose",
    "folder": "@folder",
    "unfinished.mlir": "@unfinished.mlir: not a StableHLO module",
    "ill_typed.mlir": "@ill_typed.mlir: not a StableHLO module",
    "deep.mlir": "@deep.mlir: not a StableHLO module: brackets nest deeper than 1000 levels",
    "nothing.mlir": "@nothing.mlir: has 0 public functions",
    "cut.bc": "@cut.bc: not a StableHLO module",
    "newer.bc": "@newer.bc: made for a newer version of StableHLO (9",
    "newer_container.bc": "@newer_container.bc: ",
    "dynamic.mlir": "@dynamic.mlir: arg0 is tensor<?x8xf32>|--shape arg0=32x8",
    "unsupported.mlir": "2 operation(s) cannot be compiled:|stablehlo.fft: |unsupported.mlir:2:"
    "|stablehlo.custom_call: |unsupported.mlir:3:",
}
COMMANDS = {
    "import": "import @{} -o out.mlir",
    "check": "check @{} --json out.json",
    "compile": "compile @{} --float -o out",
    "calibrate": "calibrate @{} --inputs @batch.npz -o out",
}


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """The command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def command(words: list[str]) -> tuple[int, str]:
        capfd.readouterr()
        code = cli.main(words)
        captured = capfd.readouterr()
        assert captured.err.startswith(f"spikequant {words[0]}: error: ")
        return code, captured.out + captured.err

    return command


@pytest.mark.parametrize("file", GRAPH_ERRORS)
@pytest.mark.parametrize("command", COMMANDS)
def test_graph(command, file, run, files, tmp_path):
    message = GRAPH_ERRORS[file]
    if file == "folder":
        message = "a bundle needs --text" if command == "calibrate" else message
        message = "cannot be read: Is a directory" if command == "import" else message
    if (command, file) == ("check", "unsupported.mlir"):
        message = (
            "stablehlo.fft at |stablehlo.custom_call at |unsupported.mlir:2:|unsupported.mlir:3:"
        )
    assert_refuses(run, COMMANDS[command].format(file), message, files, tmp_path)


QUANTISE = "compile @graph.mlir --weights @weights.safetensors -o out --calibration"
WEIGHTS = "compile @graph.mlir -o out"
RUN = "run @{} --inputs @inputs.npz --outputs out.npz"
CASES = {
    # Weights
    "weights empty": (f"{WEIGHTS} --float --weights @empty", "@empty: not a safetensors file"),
    "weights garbage": (
        f"{WEIGHTS} --float --weights @garbage",
        "@garbage: not a safetensors file",
    ),
    "weights folder": (f"{WEIGHTS} --float --weights @folder", "@folder"),
    "weights cut": (f"{WEIGHTS} --float --weights @cut.safetensors", "@cut.safetensors: not a"),
    "weights overlap": (
        f"{WEIGHTS} --float --weights @overlap.safetensors",
        "@overlap.safetensors: not a safetensors file",
    ),
    "weights long header": (
        f"{WEIGHTS} --float --weights @long_header.safetensors",
        "@long_header.safetensors: not a safetensors file",
    ),
    "weights extra": (
        f"{WEIGHTS} --float --weights @extra.safetensors",
        "@extra.safetensors: there is no argument for 'arg17'|@graph.mlir has 4",
    ),
    "weights misshaped": (
        f"{WEIGHTS} --float --weights @misshaped.safetensors",
        "'arg1'|[40, 24]|[24, 40]|@misshaped.safetensors",
    ),
    "weights integer": (
        f"{WEIGHTS} --float --weights @integer.safetensors",
        "@integer.safetensors|'arg1' has type I32 in the file and f32 in the graph",
    ),
    "weights double": (
        f"{WEIGHTS} --float --weights @double.safetensors",
        "@double.safetensors|'arg1' has type F64 in the file and f32 in the graph",
    ),
    "weights misnamed": (
        f"{WEIGHTS} --float --weights @misnamed.safetensors",
        "@misnamed.safetensors: key 'up'",
    ),
    "weights nan": (
        f"{WEIGHTS} --float --weights @nan.safetensors",
        "@nan.safetensors|'arg1'|NaN at [2, 3]",
    ),
    "weights nan quantised": (
        f"{WEIGHTS} --calibration @calibration.json --weights @nan.safetensors",
        "@nan.safetensors|'arg1'|NaN at [2, 3]",
    ),
    "weights inf quantised": (
        f"{WEIGHTS} --calibration @calibration.json --weights @inf.safetensors",
        "@inf.safetensors|'arg1'|infinite at [2, 3]",
    ),
    "weights nan check": ("check @graph.mlir --weights @overlap.safetensors", "@overlap"),
    # Calibration files
    "calibration folder": (f"{QUANTISE} @folder", "@folder"),
    "calibration empty": (f"{QUANTISE} @empty", "@empty"),
    "calibration garbage": (f"{QUANTISE} @garbage", "@garbage"),
    "calibration cut": (f"{QUANTISE} @cut_calibration.json", "@cut_calibration.json"),
    "calibration newer": (
        f"{QUANTISE} @newer_calibration.json",
        "error: @newer_calibration.json: this program reads ",
    ),
    "calibration of other sites": (
        f"{QUANTISE} @other_calibration.json",
        "@other_calibration.json|arg",
    ),
    "calibration of other sizes": (
        f"{QUANTISE} @wide_calibration.json",
        "@wide_calibration.json|8|24",
    ),
    "merge different": (
        "calibrate --merge @calibration.json @wide_calibration.json -o out",
        "@wide_calibration.json",
    ),
    "calibrate empty": ("calibrate @graph.mlir --inputs @empty -o out", "@empty: not an .npz"),
    "calibrate folder": ("calibrate @graph.mlir --inputs @folder -o out", "@folder: not an .npz"),
    "calibrate misshaped": (
        "calibrate @graph.mlir --weights @weights.safetensors --inputs @inputs.npz -o out",
        "@inputs.npz",
    ),
    "calibrate nan": (
        "calibrate @graph.mlir --weights @weights.safetensors --inputs @nan.npz -o out",
        "@nan.npz: 'arg0' is NaN at [0, 2, 3]",
    ),
    # Inputs
    "run empty": ("run @program --inputs @empty --outputs out.npz", "@empty: not an .npz file"),
    "run folder": ("run @program --inputs @folder --outputs out.npz", "@folder: not an .npz file"),
    "run garbage": ("run @program --inputs @garbage --outputs out.npz", "@garbage: not an .npz"),
    "run cut": ("run @program --inputs @cut.npz --outputs out.npz", "@cut.npz: not an .npz file"),
    "run extra": ("run @program --inputs @extra.npz --outputs out.npz", "@extra.npz|no input arg7"),
    "run missing": (
        "run @program --inputs @missing.npz --outputs out.npz",
        "@missing.npz: 'arg2' is missing",
    ),
    "run misshaped": (
        "run @program --inputs @misshaped.npz --outputs out.npz",
        "@misshaped.npz|'arg0': expected float32 [5, 24], got float32 [24, 5]",
    ),
    "run dtype": (
        "run @program --inputs @double.npz --outputs out.npz",
        "@double.npz|'arg0': expected float32 [5, 24], got float64 [5, 24]",
    ),
    # Compiled folders
    "program graph": (RUN.format("graph.mlir"), "@graph.mlir: not a compiled model"),
    "program empty": (RUN.format("folder"), "@folder: not a compiled model"),
    "program other processor": (
        RUN.format("other_processor"),
        "@other_processor: this processor lacks a feature|--mcpu",
    ),
    "program cut library": (RUN.format("cut_library"), "model.so: cannot be loaded|compile"),
    "program cut weights": (RUN.format("cut_weights"), "@cut_weights/weights.sqw|compile"),
    "program other weights": (RUN.format("other_weights"), "@other_weights/weights.sqw|compile"),
    "program damaged weights": (
        RUN.format("damaged_weights"),
        "@damaged_weights/weights.sqw: damaged|compile",
    ),
    "check damaged weights": ("check @damaged_weights", "@damaged_weights/weights.sqw: damaged"),
    "check other processor": ("check @other_processor", "@other_processor: this processor lacks"),
    "program damaged description": (
        RUN.format("damaged_description"),
        "@damaged_description/model.json: damaged",
    ),
    "program deep description": (
        RUN.format("deep_description"),
        "@deep_description/model.json: damaged",
    ),
    "bench graph": ("bench @program", "@program: no language model"),
    "eval graph": ("eval @program --text @prose", "@program: no language model"),
    # Bundles and texts
    "bundle without a graph": ("compile @no_graph --float -o out", "@no_graph/graphs/prefill_16"),
    "bundle with half a graph": (
        "check @cut_graph",
        "@cut_graph/graphs/prefill_16.stablehlo.mlir: not a",
    ),
    "bundle with half its weights": (
        "compile @cut_bundle --float --graphs decode_16 -o out",
        "@cut_bundle/weights.safetensors|truncated",
    ),
    "bundle of a newer version": ("compile @newer_bundle --float -o out", "version 99|export"),
    "bundle without weights": (
        "compile @no_weights --float --graphs decode_16 -o out",
        "@no_weights/weights.safetensors",
    ),
    "bundle without a tokenizer": (
        "calibrate @no_tokenizer --text @prose --context 16 -o out",
        "@no_tokenizer",
    ),
    "calibrate empty text": ("calibrate @bundle --text @empty -o out", "@empty: 0 tokens"),
    "calibrate binary text": ("calibrate @bundle --text @garbage -o out", "@garbage: cannot be"),
    "calibrate text folder": ("calibrate @bundle --text @folder -o out", "@folder: cannot be read"),
    "calibrate shape": ("compile @bundle --float --shape arg0=3 -o out", "--shape is for graphs"),
    "eval empty text": ("eval @language --text @empty --context 16", "@empty: 0 tokens"),
    "eval binary text": ("eval @language --text @garbage --context 16", "@garbage: cannot be read"),
    "eval damaged": (
        "eval @damaged_language --text @long --context 16 --windows 1",
        "@damaged_language/weights.sqw: damaged",
    ),
    "prompt damaged": (
        "run @damaged_language --prompt a",
        "@damaged_language/weights.sqw: damaged",
    ),
    "eval json": (
        "eval @language --text @long --context 16 --windows 1 --json @prose/out",
        "@prose/out: cannot be written",
    ),
    "bench damaged": ("bench @damaged_language", "@damaged_language/weights.sqw: damaged"),
    "bench other processor": ("bench @other_processor", "@other_processor: this processor lacks"),
    "bench json": (
        "bench @language --prompt-lengths 2 --decode-tokens 1 --json @prose/out",
        "@prose/out: cannot be written",
    ),
    # Models
    "export empty": ("export @empty -o out", "@empty"),
    "export folder": ("export @folder -o out", "@folder"),
    "export garbage": ("export @garbage -o out", "@garbage"),
    "export safetensors": ("export @weights.safetensors -o out", "@weights.safetensors"),
    "export bert": ("export @bert.gguf -o out", "@bert.gguf: architecture 'bert'"),
    # Outputs
    "import below a file": ("import @graph.mlir -o @prose/out", "@prose/out: cannot be written"),
    "import onto a folder": ("import @graph.mlir -o @folder", "@folder: is a folder"),
    "compile below a file": ("compile @graph.mlir --float -o @prose/out", "@prose/out: cannot be"),
    "compile onto a file": ("compile @graph.mlir --float -o @prose", "@prose: exists and is not"),
    "compile onto a bundle": ("compile @graph.mlir --float -o @float/..", "exists and is not"),
    "calibrate below a file": (
        "calibrate @graph.mlir --weights @weights.safetensors --inputs @batch.npz -o @prose/out",
        "@prose/out: cannot be written",
    ),
    "run below a file": (
        "run @program --inputs @inputs.npz --outputs @prose/out",
        "@prose/out: cannot be written",
    ),
    "record below a file": (
        "run @program --inputs @inputs.npz --outputs out.npz --record @prose/out",
        "@prose/out: cannot be written",
    ),
    "json below a file": (
        "check @graph.mlir --json @prose/out",
        "@prose/out: cannot be written",
    ),
    "full device": ("import @graph.mlir -o /dev/full", "/dev/full: cannot be written|No space"),
    "proc": ("import @graph.mlir -o /proc/out", "/proc/out: cannot be written"),
    "shape of a fixed graph": (
        "compile @graph.mlir --float --shape arg0=5x25 -o out",
        "--shape arg0=5x25 does not fit tensor<5x24xf32>",
    ),
    "shape of nothing": ("compile @dynamic.mlir --float --shape rows=3 -o out", "--shape rows=3"),
}


@pytest.mark.parametrize("case", CASES)
def test_command(case, run, files, tmp_path):
    assert_refuses(run, *CASES[case], files, tmp_path)


TOOLS = {
    "opt missing": ("sq-opt @none", "@none"),
    "opt empty folder": ("sq-opt @folder", "@folder"),
    "opt prose": ("sq-opt @prose", "@prose:1:"),
    "opt garbage": ("sq-opt @garbage", "@garbage"),
    "opt below a file": ("sq-opt @nothing.mlir -o @prose/out", "@prose/out"),
    "compile missing": ("sq-compile @none -o out", "@none"),
    "compile prose": ("sq-compile @prose -o out", "@prose:1:"),
    "compile folder": ("sq-compile @folder -o out", "@folder"),
    "compile weights missing": (
        "sq-compile @linalg.mlir --float --weights @none -o out",
        "@none",
    ),
    "compile weights cut": (
        "sq-compile @linalg.mlir --float --weights @cut.safetensors -o out",
        "@cut.safetensors|truncated",
    ),
    "compile weights overlap": (
        "sq-compile @linalg.mlir --float --weights @overlap.safetensors -o out",
        "@overlap.safetensors|overlap",
    ),
    "compile weights nan": (
        "sq-compile @linalg.mlir --float --weights @nan.safetensors -o out",
        "@nan.safetensors|NaN at [2, 3]",
    ),
    "compile calibration missing": (
        "sq-compile @linalg.mlir --weights @weights.safetensors --calibration @none -o out",
        "@none",
    ),
    "compile calibration of another graph": (
        "sq-compile @linalg.mlir --weights @weights.safetensors -o out --calibration "
        "@other_calibration.json",
        "@other_calibration.json",
    ),
    "compile onto a file": ("sq-compile @linalg.mlir --float -o @prose", "@prose"),
    "compile below a file": (
        "sq-compile @linalg.mlir --float --weights @weights.safetensors -o @prose/out",
        "@prose/out",
    ),
    "run missing": ("sq-run @none", "@none"),
    "run folder": ("sq-run @folder", "@folder"),
    "run prose": ("sq-run @prose", "@prose:1:"),
    "run no inputs": ("sq-run @program --outputs out.npz", "'arg0'|float32[5, 24]"),
    "run garbage": ("sq-run @program --inputs @garbage --outputs out.npz", "@garbage"),
    "run damaged weights": (
        "sq-run @damaged_weights --inputs @inputs.npz --outputs out.npz",
        "@damaged_weights/weights.sqw|checksum",
    ),
    "run below a file": ("sq-run @program --inputs @inputs.npz --outputs @prose/out", "@prose/out"),
    "translate missing": ("sq-translate --spikequant-to-json @none", "@none"),
    "translate prose": ("sq-translate --spikequant-to-json @prose", "@prose:1:"),
    "translate graph": ("sq-translate --spikequant-to-json @linalg.mlir", "@graph.mlir:|NEU-C1"),
    "translate below a file": (
        "sq-translate --spikequant-to-json @linalg.mlir -o @prose/out",
        "@prose/out",
    ),
    "translate target": ("sq-translate @linalg.mlir", "Translations to perform"),
}


@pytest.fixture
def run_tool(tmp_path):
    def tool(words: list[str]) -> tuple[int, str]:
        command = [find_tool(words[0]), *words[1:]]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
        return done.returncode, done.stderr.decode(errors="replace")

    return tool


@pytest.mark.parametrize("case", TOOLS)
def test_tool(case, run_tool, files, tmp_path):
    assert_refuses(run_tool, *TOOLS[case], files, tmp_path)


WRITERS = {
    "export": "spikequant export @tiny.gguf --context 4 --chunk 2 -o out",
    "import": "spikequant import @graph.mlir -o out.mlir",
    "compile": "spikequant compile @graph.mlir --float --weights @weights.safetensors -o out",
    "calibrate": "spikequant calibrate @graph.mlir --weights @weights.safetensors "
    "--inputs @batch.npz -o out",
    "run": "spikequant run @program --inputs @inputs.npz --outputs out.npz",
    "json": "spikequant check @program --json out.json",
    "sq-compile": "sq-compile @linalg.mlir --float --weights @weights.safetensors -o out",
    "sq-run": "sq-run @program --inputs @inputs.npz --outputs out.npz",
    "sq-opt": "sq-opt @linalg.mlir -o out.mlir",
}
# A file system without a free page.
SMALL_DISK = """\
mount -t tmpfs -o size=8k none "$1" && cd "$1" || exit 99
cat /dev/zero > full 2> /dev/null
shift
"$@" >&2
code=$?
rm -f full
ls -A
exit $code
"""


def command_of(words: list[str]) -> list[str]:
    if words[0] == "spikequant":
        return [sys.executable, "-m", "spikequant.cli", *words[1:]]
    return [find_tool(words[0]), *words[1:]]


def run_on_full_disk(command: list[str], work: Path, limited: bool) -> tuple[int, str, str]:
    """Exit code, standard error and what is left."""
    options = {"capture_output": True, "text": True, "cwd": work, "check": False}
    options["env"] = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    if limited:
        limit = ["prlimit", "--fsize=64", *command]
        done = subprocess.run(limit, **options)
        return done.returncode, done.stderr, "".join(path.name for path in work.iterdir())
    script = ["unshare", "-rm", "sh", "-c", SMALL_DISK, "sh", work, *command]
    done = subprocess.run(script, **options)
    if done.returncode == 99 or "unshare failed" in done.stderr:
        pytest.skip("this system lets us mount nothing")
    return done.returncode, done.stderr, done.stdout


@pytest.mark.parametrize("limited", [False, True], ids=["disk", "limit"])
@pytest.mark.parametrize("writer", WRITERS)
def test_no_space(writer, limited, files, tmp_path):
    words = [word.replace("@", f"{files}/") for word in WRITERS[writer].split()]
    code, error, left = run_on_full_disk(command_of(words), tmp_path, limited)
    assert code == 1, error
    assert not [sign for sign in CRASHES if sign in error], error
    reason = "File too large" if limited else "No space left on device"
    assert reason in error and "out" in error, error
    assert not left.strip()

"""Calibration in parts: any split gives the same bytes, and a killed run goes on."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest
from conftest import TEXT
from graph_runs import write_zoo_graph
from graph_zoo_other import OTHER_GRAPHS
from test_kill import start
from tiny_chat import CONTEXTS

from spikequant import calibrate, calibration_worker, cli
from spikequant.calibrate import CalibrationOptions, calibrate_inputs, calibrate_text
from spikequant.collector import gram_path
from spikequant.errors import SpikeQuantError

CONTEXT = CONTEXTS[1]
# Nine windows: one is held out, and no two of three processes have equally many.
WINDOWS = 9
PROSE = TEXT / "calibration.txt"


def options(**changes) -> CalibrationOptions:
    return CalibrationOptions(**{"grams": True, **changes})


def run(bundle, out, tokens=WINDOWS * CONTEXT, text=PROSE, **changes):
    """The calibration of `tokens` tokens as bytes, and its Gram matrices."""
    settings = options(note=lambda _: None, **changes)
    calibrate_text(bundle, text, out, tokens, CONTEXT, options=settings)
    return out.read_bytes(), gram_path(out).read_bytes() if settings.grams else None


@pytest.fixture(scope="module")
def plain(tiny_bundle, tmp_path_factory):
    return run(tiny_bundle, tmp_path_factory.mktemp("plain") / "calib")


@pytest.fixture(scope="module")
def fisher(tiny_bundle, tmp_path_factory):
    return run(tiny_bundle, tmp_path_factory.mktemp("fisher") / "calib", sensitivity="fisher")


@pytest.mark.parametrize("sensitivity", ["none", "fisher"])
def test_jobs_give_the_same_bytes(sensitivity, tiny_bundle, plain, fisher, tmp_path):
    whole = {"none": plain, "fisher": fisher}[sensitivity]
    out = tmp_path / "calib"
    assert run(tiny_bundle, out, sensitivity=sensitivity, jobs=3, threads=2) == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "calib",
        "calib.gram",
        "calib.inputs.npz",
    ]


def text_after(text, tokens, path):
    """The text without its first tokens: one byte each, or two for "th"."""
    left = text.read_bytes()
    while tokens:
        left = left[2 if left.startswith(b"th") else 1 :]
        tokens -= 1
    path.write_bytes(left)
    return path


def test_shards_merge_to_the_whole(tiny_bundle, fisher, tmp_path):
    first = 4
    run(tiny_bundle, tmp_path / "a", first * CONTEXT, sensitivity="fisher")
    rest = text_after(PROSE, first * CONTEXT, tmp_path / "rest.txt")
    run(tiny_bundle, tmp_path / "b", (WINDOWS - first) * CONTEXT, rest, sensitivity="fisher")
    words = ["--merge", tmp_path / "b", tmp_path / "a", "-o", tmp_path / "c"]
    assert cli.main(["calibrate", *map(str, words)]) == 0
    assert ((tmp_path / "c").read_bytes(), (tmp_path / "c.gram").read_bytes()) == fisher


class Stop(KeyboardInterrupt):
    pass


def stop_after(monkeypatch, units: int) -> None:
    """Stops as an interrupt does, after so many windows were run by this process."""
    left = [units]
    observe = calibration_worker.TextRuns.observe

    def counted(self, unit, observer):
        if not left[0]:
            raise Stop
        left[0] -= 1
        observe(self, unit, observer)

    monkeypatch.setattr(calibration_worker.TextRuns, "observe", counted)
    monkeypatch.setattr(calibration_worker, "_SAVING_SHARE", 1e9)


def interrupted(bundle, out, monkeypatch, units=5, **changes) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, units)
        with pytest.raises(Stop):
            run(bundle, out, **changes)
    assert not out.exists()


def test_goes_on_from_the_last_window(tiny_bundle, plain, tmp_path, monkeypatch):
    out, notes = tmp_path / "calib", []
    interrupted(tiny_bundle, out, monkeypatch)
    assert [path.name for path in tmp_path.iterdir()] == [".calib.checkpoint"]
    # Three fit windows and one that is held out are left.
    stop_after(monkeypatch, 4)
    settings = options(note=notes.append)
    calibrate_text(tiny_bundle, PROSE, out, WINDOWS * CONTEXT, CONTEXT, options=settings)
    assert (out.read_bytes(), gram_path(out).read_bytes()) == plain
    assert "goes on" in notes[0]
    assert not (tmp_path / ".calib.checkpoint").exists()


def test_other_options_start_afresh(tiny_bundle, tmp_path, monkeypatch):
    out, notes = tmp_path / "calib", []
    interrupted(tiny_bundle, out, monkeypatch, grams=False)
    settings = options(note=notes.append, grams=False)
    calibrate_text(tiny_bundle, PROSE, out, 8 * CONTEXT, CONTEXT, options=settings)
    assert "dropped" in notes[0]
    assert '"rows": 384' in out.read_text()  # 40 tokens in chunks of 16: 8 are run twice


def test_killed_processes_leave_parts_that_count(tiny_bundle, plain, tmp_path):
    words = [tiny_bundle, "--text", PROSE, "--tokens", WINDOWS * CONTEXT, "--context", CONTEXT]
    words = [
        "calibrate",
        *words,
        "--gram",
        "--jobs",
        2,
        "--sensitivity",
        "none",
        "-o",
        tmp_path / "calib",
    ]
    process = start(words)
    checkpoint = tmp_path / ".calib.checkpoint"
    while process.poll() is None and not list(checkpoint.glob("fit-*/part.json")):
        pass
    process.kill()
    process.wait()
    assert start(words).wait() == 0
    assert ((tmp_path / "calib").read_bytes(), (tmp_path / "calib.gram").read_bytes()) == plain


def test_two_calibrations_of_one_output(tiny_bundle, tmp_path):
    def nested(what, done, total):
        with pytest.raises(SpikeQuantError, match="another calibration is writing it"):
            run(tiny_bundle, tmp_path / "calib")
        raise Stop

    with pytest.raises(Stop):
        run(tiny_bundle, tmp_path / "calib", progress=nested)


def test_worker_errors_are_the_users(tiny_bundle, tmp_path, monkeypatch):
    """A process that fails stops the others, and its message is shown."""
    broken = "import sys; print('the disk is full', file=sys.stderr); sys.exit(1)"
    popen = subprocess.Popen
    monkeypatch.setattr(
        calibration_worker.subprocess,
        "Popen",
        lambda words, **rest: popen([calibration_worker.sys.executable, "-c", broken], **rest),
    )
    with pytest.raises(SpikeQuantError, match="the disk is full"):
        run(tiny_bundle, tmp_path / "calib", jobs=2)
    assert not list(tmp_path.iterdir())


def test_progress_reaches_its_end(tiny_bundle, tmp_path):
    shown = []
    progress = {"progress": lambda *step: shown.append(step)}
    run(tiny_bundle, tmp_path / "calib", sensitivity="finite", grams=False, jobs=2, **progress)
    done = [step[1] for step in shown]
    assert done == sorted(done)
    assert shown[-1] == ("merge", shown[-1][2], shown[-1][2])
    assert [step[0] for step in shown].count("sensitivity") == 2 + 2


@pytest.mark.parametrize("tokens", [2, 3, CONTEXT - 1])
def test_short_text_is_repeated(tokens, tiny_bundle, tmp_path):
    text, notes = tmp_path / "text", []
    text.write_text("abcdefghij klmnopqrst uvwxyz ABCDEFGHIJKLMNOPQ"[:tokens])
    settings = options(note=notes.append, grams=False)
    calibrate_text(tiny_bundle, text, tmp_path / "calib", options=settings)
    assert f"its {tokens} tokens are repeated to fill a window of {CONTEXT}" in notes[0]
    repeated = tmp_path / "repeated"
    repeated.write_text(text.read_text() * CONTEXT)
    calibrate_text(tiny_bundle, repeated, tmp_path / "other", CONTEXT, options=settings)
    assert (tmp_path / "calib").read_bytes() == (tmp_path / "other").read_bytes()


@pytest.mark.parametrize("content", [b"", b"a"])
def test_no_text(content, tiny_bundle, tmp_path, capsys):
    (tmp_path / "text").write_bytes(content)
    words = ["calibrate", tiny_bundle, "--text", tmp_path / "text", "-o", tmp_path / "calib"]
    assert cli.main(list(map(str, words))) == 1
    assert f"{len(content)} tokens" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


def test_held_out_text_of_another_kind_warns(tiny_bundle, tmp_path):
    """Seven windows of one letter say nothing about an eighth of prose."""
    text, notes = tmp_path / "text", []
    text.write_text("a" * 7 * CONTEXT + PROSE.read_text()[:400])
    settings = options(note=notes.append, grams=False)
    calibrate_text(tiny_bundle, text, tmp_path / "calib", 8 * CONTEXT, CONTEXT, options=settings)
    assert settings.report["held_out_bits"] > settings.report["in_sample_bits"] + 0.1
    assert any("held out: give more of them" in note for note in notes)


def test_report(tiny_bundle, tmp_path):
    words = [tiny_bundle, "--text", PROSE, "--tokens", 8 * CONTEXT, "--context", CONTEXT]
    words += ["--sensitivity", "none", "--json", tmp_path / "json", "-o", tmp_path / "calib"]
    assert cli.main(["calibrate", *map(str, words)]) == 0
    report = json.loads((tmp_path / "json").read_text())
    assert report["windows"] == 8
    assert report["nan_values"] == report["infinite_values"] == 0
    assert 4.2 < report["in_sample_bits"] <= 4.25
    assert report["held_out_bits"] > 0
    assert np.isfinite(report["held_out_bits"])


def test_units_of_roles():
    assert calibrate._split(17, "finite", 2) == [
        ("fit", list(range(15))),
        ("held", [15, 16]),
        ("sensitivity", [0, 1]),
    ]
    assert calibrate._split(1, "fisher", 2) == [("fit", [0]), ("sensitivity", [0])]


def test_values_that_are_no_numbers_are_reported(tmp_path):
    """The root of a negative input, which the user's file cannot show."""
    from safetensors.numpy import save_file

    from spikequant.calibrate import calibrate_inputs

    (tmp_path / "graph.mlir").write_text("""\
module {
  func.func @main(%x: tensor<2x32xf32>, %w: tensor<32x8xf32>) -> tensor<2x8xf32> {
    %r = stablehlo.sqrt %x : tensor<2x32xf32>
    %y = stablehlo.dot_general %r, %w, contracting_dims = [1] x [0]
        : (tensor<2x32xf32>, tensor<32x8xf32>) -> tensor<2x8xf32>
    return %y : tensor<2x8xf32>
  }
}
""")
    save_file({"arg1": np.ones((32, 8), np.float32)}, tmp_path / "w.safetensors")
    x = np.ones((9, 2, 32), np.float32)
    x[0, 1, 2] = x[8, 0, 3] = -1
    x[2, 0, 0] = np.inf
    np.savez(tmp_path / "batch.npz", arg0=x)
    notes, out = [], tmp_path / "calib"
    settings = CalibrationOptions(sensitivity="finite", note=notes.append)
    files = tmp_path / "graph.mlir", tmp_path / "w.safetensors", tmp_path / "batch.npz"
    calibrate_inputs(*files, out, options=settings)
    assert (settings.report["nan_values"], settings.report["infinite_values"]) == (2, 1)
    assert "2 values at encode sites are no numbers" in notes[0]
    words = ["compile", files[0], "--weights", files[1], "--calibration", out, "-o", out / "../sq"]
    assert cli.main(list(map(str, words))) == 0


def test_branch_that_no_input_takes(tmp_path):
    """Its sites have no statistics: refused with their names, as nothing can be chosen for them."""
    graph = OTHER_GRAPHS["switched"]
    source, weights = write_zoo_graph(graph, tmp_path)
    x, _ = graph.arrays()
    np.savez(tmp_path / "in.npz", arg0=np.stack([x, x]), arg1=np.array([[0], [2]], np.int32))
    with pytest.raises(SpikeQuantError, match="no input reaches the sites .* give inputs"):
        calibrate_inputs(source, weights, tmp_path / "in.npz", tmp_path / "calib")
    assert not (tmp_path / "calib").exists()

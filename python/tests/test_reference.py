"""sq-run: archives of arrays as NumPy writes them, clear errors, recording and replay."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from spikequant.toolchain import find_tool

TYPES = {
    "f32": np.float32,
    "f64": np.float64,
    "f16": np.float16,
    "i1": np.bool_,
    "i8": np.int8,
    "i16": np.int16,
    "i32": np.int32,
    "i64": np.int64,
}

# Rows of weights that symmetric 4-bit codes hold exactly, and what the reference must find.
LAYER = """
spikequant.weights @w : tensor<2x3xf32>
    format(#spikequant.codes<bits = 4, group = 0, symmetric = true>)
    value(dense<[[7.0, -7.0, 1.0], [0.0, 2.0, 7.0]]> : tensor<2x3xf32>)
func.func @layer(%x: tensor<4x3xf32>) -> tensor<4x2xf32> {
  %n = spikequant.encode %x {step = 0.25 : f32, site = "w.in"} : tensor<4x3xf32> -> tensor<4x3xi16>
  %a = spikequant.integrate %n, @w : tensor<4x3xi16> -> tensor<4x2xi64>
  %y = spikequant.decode %a, @w {step = 0.25 : f32} : tensor<4x2xi64> -> tensor<4x2xf32>
  return %y : tensor<4x2xf32>
}
"""
WEIGHTS = np.array([[7, -7, 1], [0, 2, 7]])


def sq_run(*arguments: str | Path) -> subprocess.CompletedProcess:
    command = [find_tool("sq-run"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def run_ok(*arguments: str | Path) -> str:
    done = sq_run(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def error_of(*arguments: str | Path) -> str:
    """The message of a run that must fail without a crash."""
    done = sq_run(*arguments)
    assert done.returncode == 1, (done.returncode, done.stderr)
    return done.stderr


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    path = tmp_path / "layer.mlir"
    path.write_text(LAYER)
    return path


def inputs() -> np.ndarray:
    return (np.arange(12, dtype=np.float32).reshape(4, 3) - 5) / 3


def test_arrays_of_every_type_and_rank_come_back(tmp_path):
    rng = np.random.default_rng(1)
    arrays, arguments, kinds = {}, [], []
    for name, dtype in TYPES.items():
        for shape in [(), (3,), (2, 1, 5)]:
            values = (rng.standard_normal(shape) * 100).astype(dtype)
            arrays[f"arg{len(kinds)}"] = np.asarray(values)
            kinds.append("tensor<" + "".join(f"{size}x" for size in shape) + name + ">")
            arguments.append(f"%a{len(arguments)}")
    signature = ", ".join(f"{a}: {k}" for a, k in zip(arguments, kinds, strict=True))
    text = (
        f"func.func @same({signature}) -> ({', '.join(kinds)}) {{\n"
        f"  return {', '.join(arguments)} : {', '.join(kinds)}\n}}\n"
    )
    (tmp_path / "same.mlir").write_text(text)
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "in.npz", **arrays)
        run_ok(
            tmp_path / "same.mlir",
            "--inputs",
            tmp_path / "in.npz",
            "--outputs",
            tmp_path / "out.npz",
        )
        with np.load(tmp_path / "out.npz") as results:
            assert len(results.files) == len(arrays)
            for index, expected in enumerate(arrays.values()):
                result = results[f"out{index}"]
                assert result.dtype == expected.dtype and result.shape == expected.shape
                assert result.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "no array 'arg0'; 'layer' wants float32[4, 3]"),
        ({"arg0": np.zeros((4, 3))}, "'arg0' is float64[4, 3]; 'layer' wants float32[4, 3]"),
        ({"arg0": np.zeros((3, 4), np.float32)}, "'arg0' is float32[3, 4]"),
        ({"arg0": inputs(), "arg1": np.zeros(2)}, "'arg1' (float64[2]) that 'layer' does not"),
        ({"arg0": np.asfortranarray(inputs())}, "Fortran order"),
        ({"arg0": inputs().astype(">f4")}, "type '>f4', which is not supported"),
        ({"arg0": inputs().astype(np.complex64)}, "which is not supported"),
    ],
)
def test_wrong_inputs_are_named(layer, tmp_path, arrays, message):
    np.savez(tmp_path / "in.npz", **arrays)
    out = tmp_path / "out.npz"
    assert message in error_of(layer, "--inputs", tmp_path / "in.npz", "--outputs", out)
    assert not out.exists()


def test_damaged_archives_are_refused(layer, tmp_path):
    np.savez(tmp_path / "in.npz", arg0=inputs())
    whole = (tmp_path / "in.npz").read_bytes()
    path = tmp_path / "bad.npz"
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert str(path) in error_of(layer, "--inputs", path)
    position = whole.index(inputs().tobytes())
    path.write_bytes(whole[:position] + b"?" + whole[position + 1 :])  # the checksum notices
    assert "damaged" in error_of(layer, "--inputs", path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("arg0.npy", b"\x93NUMPY\x01\x00\xff\xff{'descr'")
    assert "cut short" in error_of(layer, "--inputs", path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("arg0.npy", b"no array")
    assert "is no .npy array" in error_of(layer, "--inputs", path)


def test_recorded_integers_are_exact(layer, tmp_path):
    np.savez(tmp_path / "in.npz", arg0=inputs())
    files = {name: tmp_path / f"{name}.npz" for name in ("in", "out", "taps")}
    run_ok(layer, "--inputs", files["in"], "--outputs", files["out"], "--record", files["taps"])
    counts = np.floor(inputs() * np.float32(4) + np.float32(0.5)).astype(np.int16)
    with np.load(files["taps"]) as taps:
        assert sorted(taps.files) == ["w.acc", "w.in.counts", "w.in.x"]
        np.testing.assert_array_equal(taps["w.in.x"], inputs())
        np.testing.assert_array_equal(taps["w.in.counts"], counts)
        np.testing.assert_array_equal(taps["w.acc"], counts.astype(np.int64) @ WEIGHTS.T)
    with np.load(files["out"]) as results:
        np.testing.assert_array_equal(results["out0"], counts @ WEIGHTS.T * np.float32(0.25))


def test_replay_finds_the_first_difference(layer, tmp_path):
    np.savez(tmp_path / "in.npz", arg0=inputs())
    taps_path = tmp_path / "taps.npz"
    run_ok(layer, "--inputs", tmp_path / "in.npz", "--record", taps_path)
    assert "2 arrays, 20 integers: 0 arrays differ" in run_ok(layer, "--replay", taps_path)
    with np.load(taps_path) as archive:
        taps = dict(archive)
    taps["w.acc"][2, 1] += 1
    np.savez(taps_path, **taps)
    done = sq_run(layer, "--replay", taps_path)
    assert done.returncode == 1
    assert "w.acc: 1 of 8 integers differ; first at row 2, channel 1" in done.stdout
    assert "1 arrays differ" in done.stdout
    taps["w.in.x"] = taps["w.in.x"][:3]
    np.savez(taps_path, **taps)
    assert "different shapes" in error_of(layer, "--replay", taps_path)
    np.savez(taps_path, unrelated=np.zeros(3))
    assert "none of the program's sites was recorded" in error_of(layer, "--replay", taps_path)


def test_rows_limits_what_is_recorded(layer, tmp_path):
    np.savez(tmp_path / "in.npz", arg0=inputs())
    path = tmp_path / "taps.npz"
    run_ok(layer, "--inputs", tmp_path / "in.npz", "--record", path, "--rows", 2)
    with np.load(path) as taps:
        assert [taps[name].shape[0] for name in sorted(taps.files)] == [2, 2, 2]
    assert "2 arrays, 10 integers" in run_ok(layer, "--replay", path)

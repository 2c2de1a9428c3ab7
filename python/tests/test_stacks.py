"""Matrices of a stack, chosen at run time: exact integers, with every instruction set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from graph_runs import run_program, write_zoo_graph
from graph_zoo_sites import SITE_GRAPHS
from test_equality import assert_same_arrays, sq_run

from spikequant.arrays import run_arrays
from spikequant.compiler import RTN, CompileOptions, compile_model
from spikequant.toolchain import run_tool

# (matrices, slices, rows of a slice (None: no dimension), outputs, channels, largest count): panels
# of 1 to 4 tiles and several of them, cut tiles, row blocks of 4, 2 and 1, more rows than a work
# item, counts beyond int8 and beyond what i32 can add up.
CASES = {
    "one_matrix": (1, 2, 3, 5, 8, 7),
    "one_row_each": (5, 4, None, 17, 24, 7),
    "panels_of_four_and_one": (3, 3, 7, 70, 40, 100),
    "cut_tile_and_padding": (4, 2, 1, 33, 13, 300),
    "work_items_of_rows": (2, 2, 37, 16, 16, 20),
    "huge_counts": (3, 5, 2, 130, 72, 32767),
}


def write_graph(file: Path, case: tuple, weights: np.ndarray, group: int, scalar: bool) -> None:
    """Integers in f32 in, membranes and real numbers out."""
    matrices, slices, rows, outputs, channels, _ = case
    shape = "x".join(map(str, [slices, *([rows] if rows else []), ""]))
    index, number = ("%i : index", "i32") if scalar else (f"%n : tensor<{slices}xi32>", "")
    argument = f"tensor<{number}>" if scalar else f"tensor<{slices}xi32>"
    scalar_read = "%e = tensor.extract %n[] : tensor<i32>\n%i = arith.index_cast %e : i32 to index"
    file.write_text(f"""
spikequant.weights @w : tensor<{matrices}x{outputs}x{channels}xf32>
    format(#spikequant.codes<bits = 4, group = {group}, symmetric = true>)
    value(dense<"0x{weights.astype("<f4").tobytes().hex().upper()}">
          : tensor<{matrices}x{outputs}x{channels}xf32>)
func.func @main(%x: tensor<{shape}{channels}xf32> {{spikequant.name = "arg0"}},
                %n: {argument} {{spikequant.name = "arg1"}})
    -> (tensor<{shape}{outputs}xi64>, tensor<{shape}{outputs}xf32>) {{
  {scalar_read if scalar else ""}
  %c = spikequant.encode %x {{step = 1.0 : f32, site = "x"}}
      : tensor<{shape}{channels}xf32> -> tensor<{shape}{channels}xi16>
  %a = spikequant.integrate %c, @w[{index}]
      : tensor<{shape}{channels}xi16> -> tensor<{shape}{outputs}xi64>
  %y = spikequant.decode %a, @w[{index}] {{step = 0.5 : f32}}
      : tensor<{shape}{outputs}xi64> -> tensor<{shape}{outputs}xf32>
  return %a, %y : tensor<{shape}{outputs}xi64>, tensor<{shape}{outputs}xf32>
}}""")


def expected(counts, weights, scales, numbers):
    """acc = W n with the integers of each slice's matrix; y = f32(acc) f32(step s)."""
    chosen = np.clip(numbers, 0, len(weights) - 1)
    membranes = np.stack(
        [counts[i].astype(np.int64) @ weights[m].T.astype(np.int64) for i, m in enumerate(chosen)]
    )
    scale = np.float32(0.5) * scales[chosen]
    scale = scale[:, None] if membranes.ndim == 3 else scale
    return membranes, membranes.astype(np.float32) * scale


@pytest.mark.parametrize("scalar", [False, True], ids=["vector", "scalar"])
@pytest.mark.parametrize("name", CASES)
def test_chosen_matrices(name, scalar, tmp_path):
    """Integer weights that symmetric 4-bit codes hold exactly, times a power of two per row."""
    case = CASES[name]
    matrices, slices, rows, outputs, channels, largest = case
    random = np.random.default_rng(len(name))
    weights = random.integers(-7, 8, (matrices, outputs, channels))
    weights[..., 0] = 7  # so that the scale of a row is known
    scales = np.float32(2.0) ** random.integers(-3, 4, (matrices, outputs)).astype(np.float32)
    counts = random.integers(-largest, largest + 1, (slices, *([rows] if rows else []), channels))
    numbers = random.integers(-2, matrices + 2, () if scalar else slices).astype(np.int32)
    graph = tmp_path / "g.mlir"
    write_graph(graph, case, weights * scales[..., None], 0, scalar)
    arrays = [counts.astype(np.float32), numbers]
    membranes, reals = expected(counts, weights, scales, np.broadcast_to(numbers, slices))
    np.savez(tmp_path / "in.npz", arg0=arrays[0], arg1=arrays[1])
    for isa in ("auto", "portable"):
        out = tmp_path / isa
        run_tool("sq-compile", [graph, "--float", f"--isa={isa}", "-o", out])
        (out / "model.json").write_text("{}")
        for threads in (1, 2):
            acc, y = run_program(out, arrays, threads)
            assert (acc == membranes).all()
            assert y.tobytes() == reals.tobytes()
    files = ["--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "reference.npz"]
    for option in ([], ["--integrate=planes"]):
        sq_run(tmp_path / "auto", "--function", "main", *option, *files)
        with np.load(tmp_path / "reference.npz") as reference:
            assert reference["out0"].tobytes() == membranes.tobytes()
            assert reference["out1"].tobytes() == reals.tobytes()


@pytest.mark.parametrize("name", ["layered_experts", "split_projection"])
def test_every_integer(name, tmp_path):
    """Counts and membranes of stacks in a loop, and of slices, against the reference."""
    graph = SITE_GRAPHS[name]
    source, weights = write_zoo_graph(graph, tmp_path)
    options = CompileOptions(RTN, weights=weights, taps=True)
    compile_model(source, tmp_path / "out", options)
    files = {part: tmp_path / f"{part}.npz" for part in ("in", "out", "taps", "r_out", "r_taps")}
    np.savez(files["in"], **{f"arg{i}": array for i, array in enumerate(graph.arrays())})
    arguments = ["--inputs", files["in"], "--outputs", files["r_out"], "--record", files["r_taps"]]
    sq_run(tmp_path / "out", "--function", "main", *arguments)
    run_arrays(tmp_path / "out", files["in"], files["out"], "main", 2, files["taps"])
    assert_same_arrays(files["out"], files["r_out"])
    assert assert_same_arrays(files["taps"], files["r_taps"]) > 0

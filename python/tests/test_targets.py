"""Code for other processors: the same bits where it runs, else what it consists of."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from linalg_run import tool
from safetensors.numpy import save_file

from spikequant.errors import SpikeQuantError
from spikequant.native import NativeModel
from spikequant.toolchain import run_tool

ROWS, K, N = 5, 96, 70
GRAPH = f"""
func.func @main(%x: tensor<{ROWS}x{K}xf32>, %w: tensor<{K}x{N}xf32> {{spikequant.weight = "w"}},
                %v: tensor<{N}x16xf32> {{spikequant.weight = "v"}}) -> tensor<{ROWS}x16xf32> {{
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<{ROWS}x{N}xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<{ROWS}x{N}xf32>) -> tensor<{ROWS}x{N}xf32>
  %y = linalg.matmul ins(%x, %w : tensor<{ROWS}x{K}xf32>, tensor<{K}x{N}xf32>)
      outs(%i : tensor<{ROWS}x{N}xf32>) -> tensor<{ROWS}x{N}xf32>
  %f = tensor.empty() : tensor<{ROWS}x16xf32>
  %j = linalg.fill ins(%zero : f32) outs(%f : tensor<{ROWS}x16xf32>) -> tensor<{ROWS}x16xf32>
  %z = linalg.matmul ins(%y, %v : tensor<{ROWS}x{N}xf32>, tensor<{N}x16xf32>)
      outs(%j : tensor<{ROWS}x16xf32>) -> tensor<{ROWS}x16xf32>
  return %z : tensor<{ROWS}x16xf32>
}}
"""


@pytest.fixture
def graph(tmp_path) -> Path:
    """Two layers of linalg, in 4-bit codes and, as the result's, in 8-bit ones."""
    random = np.random.default_rng(3)
    shapes = {"w": (K, N), "v": (N, 16)}
    arrays = {key: random.standard_normal(s, np.float32) for key, s in shapes.items()}
    save_file(arrays, tmp_path / "weights.safetensors")
    (tmp_path / "g.mlir").write_text(GRAPH)
    return tmp_path / "g.mlir"


def compile_graph(graph: Path, out: Path, *options: str) -> Path:
    weights = f"--weights={graph.parent / 'weights.safetensors'}"
    run_tool("sq-compile", [graph, weights, "--method=rtn", *options, "-o", out])
    (out / "model.json").write_text("{}")
    return out


def run(program: Path, x: np.ndarray) -> np.ndarray:
    main = NativeModel(program).graph("main")
    (result,) = main.run({main.arguments[0].name: x})
    return result


@pytest.mark.parametrize(
    ("cpu", "feature", "products"),
    [("haswell", "avx2", "avx2"), ("skylake-avx512", "avx512bw", "avx512bw")],
)
def test_older_processors_compute_the_same_bits(graph, tmp_path, cpu, feature, products):
    if feature not in Path("/proc/cpuinfo").read_text().split():
        pytest.skip(f"this processor has no {feature}")
    x = np.random.default_rng(4).standard_normal((ROWS, K), np.float32)
    portable = compile_graph(graph, tmp_path / "portable", "--isa=portable")
    other = compile_graph(graph, tmp_path / "other", f"--mcpu={cpu}")
    assert f'"dot_products": "{products}"' in (other / "compile.json").read_text()
    np.testing.assert_array_equal(run(other, x), run(portable, x))


@pytest.mark.parametrize(
    ("cpu", "instruction", "feature"),
    [("neoverse-n1", "\tsdot\t", "dotprod"), ("neoverse-v1", "\tusdot\t", "i8mm")],
)
def test_code_for_arm_has_its_dot_products(graph, tmp_path, cpu, instruction, feature):
    target = ("--mtriple=aarch64-linux-gnu", f"--mcpu={cpu}", "--emit=obj")
    folder = compile_graph(graph, tmp_path / "out", *target)
    assert not (folder / "model.so").exists()
    command = [tool("llvm-objdump"), "-d", "--no-show-raw-insn", folder / "model.o"]
    code = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert code.count(instruction) > 16
    # What the library would ask Linux for before anything runs.
    checked = json.loads((folder / "compile.json").read_text())["cpu_features"].split(",")
    assert feature in checked
    assert ("i8mm" in checked) == (cpu == "neoverse-v1")


def test_a_processor_without_what_the_code_needs_is_refused(graph, tmp_path):
    """Alder Lake has VNNI of 256 bits; a processor without must not meet an illegal instruction."""
    program = compile_graph(graph, tmp_path / "out", "--mcpu=alderlake")
    assert '"dot_products": "avxvnni"' in (program / "compile.json").read_text()
    if "avx_vnni" in Path("/proc/cpuinfo").read_text().split():
        pytest.skip("this processor has AVX-VNNI")
    with pytest.raises(SpikeQuantError, match="lacks a feature.*--mcpu"):
        NativeModel(program)

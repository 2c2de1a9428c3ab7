"""Broken and misplaced files of every kind that a command or a tool reads."""

from __future__ import annotations

import json
import re
import shutil
import struct
from pathlib import Path

import jax
import numpy as np
from graph_cases import CASES, GraphCase
from jax import export
from safetensors.numpy import save_file
from tiny_gguf import TinyLlama, write_tiny

from spikequant.calibrate import calibrate_inputs
from spikequant.compiler import FLOAT, CompileOptions, compile_model
from spikequant.importer import import_graph

LAYER = CASES["layer"]
# Two operations that have no linalg form, on lines of their own.
UNSUPPORTED = """\
func.func @main(%x: tensor<8xf32>) -> (tensor<5xcomplex<f32>>, tensor<8xi32>) {
  %0 = stablehlo.fft %x, type = RFFT, length = [8] : (tensor<8xf32>) -> tensor<5xcomplex<f32>>
  %1 = stablehlo.custom_call @nobody_knows(%x) : (tensor<8xf32>) -> tensor<8xi32>
  return %0, %1 : tensor<5xcomplex<f32>>, tensor<8xi32>
}
"""
DYNAMIC = """\
func.func @main(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %0 = stablehlo.add %x, %x : tensor<?x8xf32>
  return %0 : tensor<?x8xf32>
}
"""


def write_all(folder: Path) -> None:
    """Good files first: the broken ones are made from them."""
    _write_good(folder)
    (folder / "folder").mkdir()
    (folder / "empty").touch()
    (folder / "garbage").write_bytes(np.random.default_rng(3).bytes(3000))
    (folder / "prose").write_text("This is a text, not a model.\n")
    _write_graphs(folder)
    _write_weights(folder)
    _write_calibrations(folder)
    _write_arrays(folder)
    _write_programs(folder)
    write_tiny(folder / "tiny.gguf", TinyLlama(layers=1))
    write_tiny(folder / "bert.gguf", TinyLlama(layers=1), architecture="bert")


def weights_of(case: GraphCase) -> dict[str, np.ndarray]:
    arrays = case.arrays()
    return {f"arg{i}": arrays[i] for i in case.weights}


def _write_good(folder: Path) -> None:
    (folder / "graph.mlir").write_text(LAYER.text())
    attributes = [{"spikequant.weight": f"arg{i}"} if i in LAYER.weights else {} for i in range(4)]
    import_graph(folder / "graph.mlir", folder / "linalg.mlir", "main", attributes)
    save_file(weights_of(LAYER), folder / "weights.safetensors")
    x, _, bias, _ = LAYER.arrays()
    np.savez(folder / "inputs.npz", arg0=x, arg2=bias)
    np.savez(folder / "batch.npz", arg0=np.stack([x, -x]), arg2=np.stack([bias, bias]))
    files = (folder / "graph.mlir", folder / "weights.safetensors")
    calibrate_inputs(*files, folder / "batch.npz", folder / "calibration.json", grams=True)
    options = CompileOptions(weights=files[1], calibration=folder / "calibration.json")
    compile_model(files[0], folder / "program", options)
    compile_model(files[0], folder / "float", CompileOptions(FLOAT, weights=files[1]))


def _write_graphs(folder: Path) -> None:
    (folder / "unsupported.mlir").write_text(UNSUPPORTED)
    (folder / "dynamic.mlir").write_text(DYNAMIC)
    (folder / "nothing.mlir").write_text("module {\n}\n")
    (folder / "deep.mlir").write_text("module {" * 200_000)
    (folder / "unfinished.mlir").write_text(LAYER.text()[:-40])
    (folder / "ill_typed.mlir").write_text(
        LAYER.text().replace("tensor<40x9xf32>", "tensor<9xf32>")
    )
    specs = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in LAYER.arrays()]
    artifact = export.export(jax.jit(LAYER.function))(*specs).mlir_module_serialized
    (folder / "artifact.bc").write_bytes(artifact)
    (folder / "cut.bc").write_bytes(artifact[: len(artifact) // 2])
    newer = re.sub(rb"StableHLO_v\d", b"StableHLO_v9", artifact)
    assert newer != artifact
    (folder / "newer.bc").write_bytes(newer)
    bytecode = bytearray(artifact)
    bytecode[4] = 99  # the version of MLIR's own container
    (folder / "newer_container.bc").write_bytes(bytecode)


def _write_weights(folder: Path) -> None:
    good = weights_of(LAYER)
    variants = {
        "extra": {**good, "arg17": np.zeros(3, np.float32)},
        "misshaped": {**good, "arg1": good["arg1"].T.copy()},
        "integer": {**good, "arg1": good["arg1"].astype(np.int32)},
        "double": {**good, "arg1": good["arg1"].astype(np.float64)},
        "misnamed": {"up": good["arg1"]},
        "nan": {**good, "arg1": _with(good["arg1"], np.nan)},
        "inf": {**good, "arg1": _with(good["arg1"], -np.inf)},
    }
    for name, arrays in variants.items():
        save_file(arrays, folder / f"{name}.safetensors")
    whole = (folder / "weights.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(whole[:-7])
    (folder / "overlap.safetensors").write_bytes(_overlapping())
    (folder / "long_header.safetensors").write_bytes(struct.pack("<Q", 1 << 62) + whole[8:])


def _with(array: np.ndarray, value: float) -> np.ndarray:
    array = array.copy()
    array[2, 3] = value
    return array


def _overlapping() -> bytes:
    """Both weights begin at the first byte; the file is as long as the larger one."""
    shapes = {"arg1": [24, 40], "arg3": [40, 9]}
    header = {
        key: {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 * shape[0] * shape[1]]}
        for key, shape in shapes.items()
    }
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(4 * 24 * 40)


def _write_calibrations(folder: Path) -> None:
    text = (folder / "calibration.json").read_text()
    value = json.loads(text)
    (folder / "cut_calibration.json").write_text(text[: len(text) // 2])
    (folder / "newer_calibration.json").write_text(json.dumps({**value, "version": 99}))
    # Of graphs with other sites, and with other sizes of the same sites.
    other, wide = (
        CASES["constant_weight"],
        GraphCase(LAYER.function, [(5, 8), (8, 4), (4,), (4, 9)], (1, 3)),
    )
    for name, case in {"other": other, "wide": wide}.items():
        graph, weights = folder / f"{name}.mlir", None
        graph.write_text(case.text())
        if case.weights:
            weights = folder / f"{name}.safetensors"
            save_file(weights_of(case), weights)
        arrays = case.arrays()
        inputs = [i for i in range(len(arrays)) if i not in case.weights]
        np.savez(folder / f"{name}.npz", **{f"arg{i}": arrays[i][None] for i in inputs})
        calibrate_inputs(
            graph, weights, folder / f"{name}.npz", folder / f"{name}_calibration.json"
        )


def _write_arrays(folder: Path) -> None:
    with np.load(folder / "inputs.npz") as archive:
        good = dict(archive)
    np.savez(folder / "extra.npz", **good, arg7=np.zeros(2))
    x = _with(good["arg0"], np.nan)[None]
    np.savez(folder / "nan.npz", arg0=x, arg2=good["arg2"][None])
    np.savez(folder / "missing.npz", arg0=good["arg0"])
    np.savez(folder / "misshaped.npz", **{**good, "arg0": good["arg0"].T})
    np.savez(folder / "double.npz", **{**good, "arg0": good["arg0"].astype(np.float64)})
    whole = (folder / "inputs.npz").read_bytes()
    (folder / "cut.npz").write_bytes(whole[: len(whole) // 2])


def _write_programs(folder: Path) -> None:
    """Copies of the compiled folder, each with one thing wrong."""
    program = folder / "program"
    data = (program / "weights.sqw").read_bytes()
    flipped = bytearray(data)
    flipped[-100] ^= 4  # within the last scales or codes
    _vary(program, "damaged_weights", "weights.sqw", bytes(flipped))
    _vary(program, "cut_weights", "weights.sqw", data[:-64])
    _vary(program, "other_weights", "weights.sqw", (folder / "float/weights.sqw").read_bytes())
    library = (program / "model.so").read_bytes()
    _vary(program, "cut_library", "model.so", library[: len(library) // 2])
    # A feature that no processor has, in the list that the library brings with it.
    report = json.loads((program / "compile.json").read_text())
    features = report["cpu_features"].encode() + b"\0"
    assert library.count(features) == 1
    _vary(program, "other_processor", "model.so", library.replace(features, b"q" + features[1:]))
    _vary(program, "damaged_description", "model.json", b'{"format": ')
    _vary(program, "deep_description", "model.json", b"[" * 200_000)


def write_bundles(folder: Path, bundle: Path, program: Path) -> None:
    """Of a language model: as it is (links), and with one thing wrong."""
    (folder / "bundle").symlink_to(bundle)
    (folder / "language").symlink_to(program)
    (folder / "long").write_text("the quick brown fox " * 50)
    graph = "graphs/prefill_16.stablehlo.mlir"
    text = (bundle / graph).read_bytes()
    _vary(bundle, "cut_graph", graph, text[: len(text) // 2], folder)
    weights = (bundle / "weights.safetensors").read_bytes()
    _vary(bundle, "cut_bundle", "weights.safetensors", weights[:-9], folder)
    description = {**json.loads((bundle / "model.json").read_text()), "version": 99}
    _vary(bundle, "newer_bundle", "model.json", json.dumps(description).encode(), folder)
    packed = bytearray((program / "weights.sqw").read_bytes())
    packed[-200] ^= 64
    _vary(program, "damaged_language", "weights.sqw", bytes(packed), folder)
    missing = {"no_graph": graph, "no_weights": "weights.safetensors"}
    for name, file in {**missing, "no_tokenizer": "tokenizer.json"}.items():
        (shutil.copytree(bundle, folder / name) / file).unlink()


def _vary(program: Path, name: str, file: str, data: bytes, folder: Path | None = None) -> None:
    copy = shutil.copytree(program, (folder or program.parent) / name)
    (copy / file).write_bytes(data)

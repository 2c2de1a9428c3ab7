"""Attention between the projections in integers: every count again, in Python's own integers."""

from __future__ import annotations

import re
from math import exp

import numpy as np
import pytest
from safetensors.numpy import load_file
from test_activation_tables import attribute, clamp, grid
from test_equality import TEXT, assert_equal_runs, sq_run
from test_fold import windowed

from benchmarks.accuracy.packed import PackedFile
from spikequant import bundle
from spikequant.calibrate import calibrate_text
from spikequant.compiler import CompileOptions, compile_model
from spikequant.export import export_gguf

COEFFICIENTS = (2**23 + 3211525, 3211525 + 656559, 656559)  # of x, x^2 and x^3, in 2^-24


def exponent(distance: int, form: tuple[int, int, int], multiplier: int) -> int:
    """Counts N 2^-x as docs/spec.md says, in unlimited integers."""
    largest, preshift, shift = form
    fraction = 20 - largest.bit_length()
    end = (largest.bit_length() + 1) << (12 + shift)
    limit = -(-(end - 2 ** (shift - 1)) // multiplier) << preshift
    x = ((min(distance, limit) >> preshift) * multiplier + 2 ** (shift - 1)) >> shift
    f = x % 4096
    c1, c2, c3 = (((largest << fraction) * c + 2**23) >> 24 for c in COEFFICIENTS)
    p = c2 - (f * c3 >> 12)
    p = c1 - (f * p >> 12)
    p = (largest << fraction) - (f * p >> 12)
    return ((p >> (x >> 12)) + 2 ** (fraction - 1)) >> fraction


class Layer:
    """The first layer of a score graph, in a cache that was empty."""

    def __init__(self, program, graph: str, taps):
        text = (program / "quantized.mlir").read_text()
        self.symbols = text
        self.lines = text.split(f"@{graph}(", 1)[1].split("func.func", 1)[0].splitlines()
        self.packed = PackedFile(program / "weights.sqw")
        self.taps = taps

    def line(self, site: str, operation: str) -> str:
        (found,) = [
            row
            for row in self.lines
            if f'site = "blk.0.{site}"' in row and f"spikequant.{operation} %" in row
        ]
        return found

    def counts(self, site: str) -> np.ndarray:
        return self.taps[f"blk.0.{site}.counts"].astype(np.int64)

    def fire(self, site: str, values: np.ndarray) -> np.ndarray:
        row = self.line(site, "fire")
        names = ("multipliers", "biases", "shift", "lo", "hi")
        multiplier, bias, shift, lo, hi = (attribute(row, name) for name in names)
        return np.array(
            [[clamp((int(y) * multiplier + bias) >> shift, lo, hi) for y in r] for r in values]
        )

    def rotated(self, name: str, heads: int) -> np.ndarray:
        """Counts of q or k [T, heads, D]."""
        weights = f"blk.0.{name}.codes"
        numbers = np.array(
            grid(self.taps[f"{weights}.acc"], self.packed.array(f"{weights}.grid")), dtype=object
        )
        numbers = numbers.reshape(len(numbers), heads, -1)
        half = numbers.shape[2] // 2
        cos, sin = (
            self.packed.array(f"rope.{kind}.fixed")[: len(numbers), None].astype(object)
            for kind in ("cos", "sin")
        )
        first, second = numbers[..., :half], numbers[..., half:]
        values = np.concatenate(
            [first * cos - second * sin, second * cos + first * sin], axis=2
        ).reshape(-1, 2 * half)
        site = "attn_v.qk.left" if name == "attn_q" else "attn_v.qk.right"
        return self.fire(site, values).reshape(numbers.shape)

    def numerators(self, q: np.ndarray, k: np.ndarray) -> np.ndarray:
        """[heads, T, T], 0 where the mask hides a key."""
        row = self.line("attn_v.pv.left", "exponent")
        form = tuple(attribute(row, name) for name in ("largest", "preshift", "shift"))
        multipliers = [int(m) for m in re.search(r"<i64: ([\d, ]+)>", row)[1].split(",")]
        tokens, heads, _ = q.shape
        result = np.zeros((heads, tokens, tokens), np.int64)
        for h in range(heads):
            keys = k[:, h // (heads // k.shape[1])]
            multiplier = multipliers[h * len(multipliers) // heads]
            for t in range(tokens):
                scores = keys[: t + 1] @ q[t, h]
                for j, score in enumerate(scores):
                    result[h, t, j] = exponent(int(max(scores) - score), form, multiplier)
        return result

    def attended(self, numerators: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Membranes over the sums of their rows as fixed-point numbers, [T, heads * D]."""
        row = self.line("attn_output.in", "fire")
        step = float(re.search(r"spikequant.step = (\S+)", row)[1])
        ratio = attribute(row, "multipliers") / 2 ** attribute(row, "shift")
        unit = round(np.log2(ratio * step))
        declared = self.symbols.split("@blk.0.attn_v.pv.right.fire :", 1)[1].split("\n", 1)[0]
        value_step = np.float32(re.search(r"output = (\S+)", declared)[1])
        heads, tokens, _ = numerators.shape
        result = np.zeros((tokens, heads, values.shape[2]), np.int64)
        for h in range(heads):
            of_head = values[:, h // (heads // values.shape[1])]
            for t in range(tokens):
                factor = value_step / np.float32(numerators[h, t].sum())
                mantissa, power = np.frexp(factor)  # below 1
                shift = 24 - int(power) + unit
                for d, acc in enumerate(numerators[h, t] @ of_head):
                    scaled = int(acc) * int(mantissa * 2**24)
                    result[t, h, d] = (scaled + 2 ** (shift - 1)) >> shift
        return result.reshape(tokens, -1)


@pytest.fixture(scope="module")
def run(tiny_bundle, calibration, tmp_path_factory):
    work = tmp_path_factory.mktemp("attention")
    options = CompileOptions(calibration=calibration, bits=6, taps=True, centres=False)
    report = compile_model(tiny_bundle, work / "program", options)
    graphs = bundle.read_model(tiny_bundle)["graphs"]
    entry = next(g for g in graphs if g["name"].startswith("score"))
    length = entry["arguments"][0]["shape"][0]
    tokens = np.random.default_rng(5).integers(0, 200, length).astype(np.int32)
    np.savez(work / "in.npz", arg0=tokens, arg1=np.int32(0), arg2=np.int32(length))
    options = ["--inputs", work / "in.npz", "--outputs", work / "out.npz"]
    record = ["--record", work / "taps.npz"]
    sq_run(work / "program", "--function", entry["name"], *options, *record)
    with np.load(work / "taps.npz") as taps:
        return Layer(work / "program", entry["name"], dict(taps)), report, tiny_bundle


def heads_of(layer: Layer, source) -> tuple[int, int]:
    """Query and key heads."""
    width = layer.counts("attn_v.qk.left").shape[1]
    q, k = (layer.taps[f"blk.0.attn_{name}.codes.acc"].shape[1] // width for name in "qk")
    return q, k


def test_every_count(run):
    layer, _, source = run
    heads, kv_heads = heads_of(layer, source)
    q, k = layer.rotated("attn_q", heads), layer.rotated("attn_k", kv_heads)
    assert np.array_equal(q.reshape(-1, q.shape[2]), layer.counts("attn_v.qk.left"))
    assert np.array_equal(k.reshape(-1, k.shape[2]), layer.counts("attn_v.qk.right"))
    tokens = len(q)
    numerators = layer.numerators(q, k)
    recorded = layer.counts("attn_v.pv.left").reshape(heads, tokens, -1)
    assert np.array_equal(numerators, recorded[:, :, :tokens])
    assert not recorded[:, :, tokens:].any()
    assert len(np.unique(numerators)) > 20
    values = layer.counts("attn_v.pv.right").reshape(tokens, kv_heads, -1)
    expected = layer.fire("attn_output.in", layer.attended(numerators, values))
    bits = layer.packed.array("blk.0.attn_output.in.bits")
    assert np.array_equal(windowed(expected, bits), layer.counts("attn_output.in"))
    assert np.count_nonzero(expected) > 0


def test_factors_are_those_of_the_model(run):
    layer, _, source = run
    weights = load_file(source / "weights.safetensors")
    for kind in ("cos", "sin"):
        fixed = layer.packed.array(f"rope.{kind}.fixed")
        assert np.abs(fixed - weights[f"rope.{kind}"] * 2.0**14).max() <= 0.5


def test_counts_are_those_of_the_exponential():
    for multiplier in (385000, 20000):
        rate = multiplier / 2.0**16 / 4096 * np.log(2)
        for distance in range(0, 6000, 7):
            exact = 255 * exp(-rate * distance)
            assert abs(exponent(distance, (255, 0, 16), multiplier) - exact) <= 0.56


@pytest.mark.parametrize("isa", ["auto", "portable"])
def test_long_rows_have_offsets(tiny_gguf_file, tmp_path, isa):
    """Each key of a long row has its own rounding; compiled code and the reference agree."""
    source = export_gguf(tiny_gguf_file, tmp_path / "bundle", (128,), 16)
    text = TEXT / "calibration.txt"
    calib = calibrate_text(source, text, tmp_path / "calib.json", tokens=256, context=128)
    options = CompileOptions(
        calibration=calib, bits=6, taps=True, isa=isa, graphs=["score_128", "decode_128"]
    )
    compile_model(source, tmp_path / "program", options)
    program = (tmp_path / "program" / "quantized.mlir").read_text()
    assert re.search(r"spikequant.exponent .*offsets = @", program)
    tokens = np.random.default_rng(1).integers(0, 200, 16).astype(np.int32)
    inputs = {"arg0": tokens, "arg1": np.int32(37), "arg2": np.int32(16)}
    assert assert_equal_runs(tmp_path / "program", "score_128", inputs, tmp_path) > 0
    inputs = {"arg0": tokens[:1], "arg1": np.int32(90)}
    assert assert_equal_runs(tmp_path / "program", "decode_128", inputs, tmp_path) > 0


def test_no_real_array_is_left(run, tiny_bundle, calibration, tmp_path):
    _, report, _ = run
    names = {entry["name"] for entry in report["islands"] if not entry["named"]}
    assert not names & {"mask", "rotary embedding", "scaling", "movement", "other", "probabilities"}
    options = {"real_softmax": True, "real_rotations": True}
    plain = compile_model(
        tiny_bundle,
        tmp_path / "real",
        CompileOptions(calibration=calibration, bits=6, **options),
    )
    real = {entry["name"] for entry in plain["islands"]}
    assert {"mask", "rotary embedding", "exponent"} <= real
    assert report["real_operations"] < plain["real_operations"]
    assert report["decodes"] < plain["decodes"]
    assert report["integer_accumulations"] == plain["integer_accumulations"]

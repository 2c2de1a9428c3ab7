"""Counts in the bits of their windows: `spikequant run --record --packed`, and its readers."""

from __future__ import annotations

import numpy as np
import pytest

from spikequant import cli
from spikequant.arrays import load_arrays
from spikequant.errors import SpikeQuantError
from spikequant.packed_counts import pack_counts, unpack_counts


def read_by_formula(packed: np.ndarray) -> np.ndarray:
    """docs/PackedCounts.md, with whole numbers of Python."""
    data = packed.tobytes()
    assert data[:8] == b"SQCOUNTS"
    assert data[8:12] == (1).to_bytes(4, "little")

    def word(place, size):
        return int.from_bytes(data[place : place + size], "little")

    rank = word(12, 4)
    shape = [word(16 + 8 * axis, 8) for axis in range(rank)]
    place = 16 + 8 * rank
    row_bytes, woken = word(place, 8), word(place + 8, 8)
    bits = data[place + 16 : place + 16 + shape[-1]]
    place += 16 + shape[-1]
    end = place + row_bytes
    counts = []
    for _ in range(int(np.prod(shape[:-1]))):
        length = max((sum(bits) + 7) // 8, 1)
        row = word(place, length)
        place += length
        codes = []
        for width in bits:
            code, row = row % 2**width, row >> width
            mark = 2**width // 2
            if width and code == mark:
                codes.append(None)
            else:
                codes.append(code - 2**width if width and code > mark else code)
        for index, code in enumerate(codes):
            if code is None:
                codes[index] = word(place, 2) - (65536 if data[place + 1] > 127 else 0)
                place += 2
        counts += codes
    assert place == end
    for _ in range(woken):
        counts[word(place, 8)] = word(place + 8, 2) - (65536 if data[place + 9] > 127 else 0)
        place += 10
    assert place == len(data)
    return np.array(counts, np.int16).reshape(shape)


@pytest.mark.parametrize("shape", [(5, 7), (2, 3, 11), (9,), (0, 4), (3, 1)])
@pytest.mark.parametrize("given", [True, False])
def test_round_trip(shape, given):
    random = np.random.default_rng(sum(shape))
    counts = np.rint(random.standard_cauchy(shape) * 3).clip(-32768, 32767).astype(np.int16)
    bits = random.integers(0, 9, shape[-1]) if given else None
    packed = pack_counts(counts, bits)
    np.testing.assert_array_equal(read_by_formula(packed), counts)
    np.testing.assert_array_equal(unpack_counts(packed), counts)
    assert unpack_counts(packed).shape == shape


def test_wrong_arrays():
    with pytest.raises(SpikeQuantError, match="float32"):
        pack_counts(np.zeros((2, 2), np.float32))
    with pytest.raises(SpikeQuantError, match="3 windows for 2 channels"):
        pack_counts(np.zeros((2, 2), np.int16), [1, 2, 3])
    with pytest.raises(SpikeQuantError, match="9 bits"):
        pack_counts(np.zeros((2, 2), np.int16), [9, 2])
    with pytest.raises(SpikeQuantError, match="truncated"):
        unpack_counts(pack_counts(np.ones((2, 2), np.int16))[:-1])


def test_records_of_a_program(quantised_taps, tmp_path, capsys):
    program, inputs = quantised_taps
    words = ["run", program, "--graph", "prefill_16", "--inputs", inputs]
    words += ["--outputs", tmp_path / "out.npz", "--record"]
    assert cli.main(list(map(str, [*words, tmp_path / "plain.npz"]))) == 0
    assert cli.main(list(map(str, [*words, tmp_path / "packed.npz", "--packed"]))) == 0
    plain, packed = (load_arrays(tmp_path / f"{name}.npz") for name in ("plain", "packed"))
    assert plain.keys() == packed.keys()
    counts = [name for name in plain if plain[name].dtype == np.int16]
    assert counts
    for name in plain:
        np.testing.assert_array_equal(plain[name], packed[name])
        assert plain[name].dtype == packed[name].dtype
    with np.load(tmp_path / "packed.npz") as archive:
        for name in counts:
            assert archive[name].dtype == np.uint8
            np.testing.assert_array_equal(read_by_formula(archive[name]), plain[name])
    assert cli.main(["run", str(program), "--prompt", "a", "--packed"]) == 1
    assert "--packed" in capsys.readouterr().err


def test_damaged_record(tmp_path):
    damaged = pack_counts(np.ones((4, 4), np.int16))[:-2]
    np.savez(tmp_path / "a.npz", x=damaged)
    with pytest.raises(SpikeQuantError, match=r"a\.npz: damaged packed counts"):
        load_arrays(tmp_path / "a.npz")


@pytest.fixture(scope="module")
def quantised_taps(tiny_bundle, calibration, tmp_path_factory):
    from spikequant.compiler import CompileOptions, compile_model

    folder = tmp_path_factory.mktemp("taps")
    options = CompileOptions(calibration=calibration, bits=4, taps=True, graphs=["prefill_16"])
    compile_model(tiny_bundle, folder / "program", options)
    tokens = np.arange(40, 56, dtype=np.int32)
    np.savez(folder / "in.npz", arg0=tokens, arg1=np.int32(0), arg2=np.int32(16))
    return folder / "program", folder / "in.npz"

"""Writes small valid files for each fuzz target: python test/fuzz/seeds.py FOLDER."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python" / "tests"))

import bad_files  # noqa: E402
import numpy as np  # noqa: E402

from spikequant.packed_counts import pack_counts  # noqa: E402


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as work:
        files = Path(work)
        bad_files.write_all(files)
        np.save(files / "array.npy", np.arange(6, dtype=np.int16).reshape(2, 3))
        counts = np.array([[0, 3, -300], [1, -2, 7]], np.int16)
        for name, bits in (("chosen", None), ("given", [0, 2, 8])):
            pack_counts(counts, bits).tofile(files / f"{name}.counts")
        seeds = {
            "Calibration": sorted(files.glob("*calibration.json")),
            "GramFile": sorted(files.glob("*.gram")),
            "Npz": [*sorted(files.glob("*.npz")), files / "array.npy"],
            "PackedCounts": sorted(files.glob("*.counts")),
            "PackedFile": sorted(files.glob("*/weights.sqw")),
            "Safetensors": sorted(files.glob("*.safetensors")),
            "TargetModel": sorted((ROOT / "data" / "targets").glob("*.json")),
        }
        for target, paths in seeds.items():
            (folder / target).mkdir(parents=True, exist_ok=True)
            for path in paths:
                name = "-".join(path.relative_to(path.parents[1]).parts)
                shutil.copy(path, folder / target / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

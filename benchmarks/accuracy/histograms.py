"""An own reading of the calibration file (docs/Calibration.md) for the paper's plain rule."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

_BINS, _PER_OCTAVE, _MIN_EXPONENT = 385, 8, -24
_WINDOW = 7


def edges() -> np.ndarray:
    """Lower edges of bins 0 to 384, and the upper edge of the last one."""
    bins = np.arange(_BINS)
    return np.concatenate([[0.0], (1 + bins % _PER_OCTAVE / 8) * 2.0 ** (bins // 8 - 24)])


def site_histograms(calibration: Path) -> dict[str, np.ndarray]:
    """Values per bin of each site, all channels together; head sites included."""
    sites = json.loads(calibration.read_text(encoding="utf-8"))["sites"]
    return {site["name"]: sum(map(_bins, site["channels"])) for site in sites}


def _bins(channel: dict) -> np.ndarray:
    counts = np.zeros(_BINS, np.int64)
    for run in channel["bins"].split():
        first, values = run.split(":")
        values = [int(v) for v in values.split(",")]
        start = int(first)
        if start + len(values) > _BINS:
            raise ValueError("values above 2^24 or not finite: the plain rule does not apply")
        counts[start : start + len(values)] += values
    return counts


def median(counts: np.ndarray) -> float:
    """Of the values that are not 0 (bin 0), linear inside a bin."""
    counts = counts.copy()
    counts[0] = 0
    total = np.cumsum(counts)
    half = total[-1] / 2
    index = int(np.searchsorted(total, half))
    within = (half - (total[index] - counts[index])) / max(counts[index], 1)
    low, high = edges()[index : index + 2]
    return float(low + within * (high - low))


def share_above(counts: np.ndarray, limit: float) -> float:
    """P(|x| >= limit), linear inside a bin."""
    bounds = edges()
    above = np.clip((bounds[1:] - limit) / (bounds[1:] - bounds[:-1]), 0, 1)
    return float((counts * above).sum() / counts.sum())


def plain_steps(calibration: Path, salient: float) -> dict[str, float]:
    """s = k median|x| / 7 of each site but the head's; `salient` of all values are above 7."""
    sites = site_histograms(calibration)
    sites = {name: counts for name, counts in sites.items() if name.startswith("blk.")}
    medians = {name: median(counts) for name, counts in sites.items()}
    values = np.array([counts.sum() for counts in sites.values()])

    def share(k: float) -> float:
        limits = [(_WINDOW + 0.5) * k * medians[name] / _WINDOW for name in sites]
        shares = [share_above(c, x) for c, x in zip(sites.values(), limits, strict=True)]
        return float(np.average(shares, weights=values))

    low, high = 0.5, 64.0
    for _ in range(30):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if share(middle) > salient else (low, middle)
    return {name: high * m / _WINDOW for name, m in medians.items()}

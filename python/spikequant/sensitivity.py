"""How much the loss grows per unit of squared error at a site, measured by finite differences.

One site at a time reads its input rounded to multiples of a step: the quantiser's own error, which
no gradient predicts where it is correlated with the input. The loss is the Kullback-Leibler
divergence of the next-token distributions (nats per token) of a language model, and of any other
graph the squared error of its real results relative to their squares.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .calibration_runs import ArrayRuns, TextRuns, probed_sites
from .native_graph import Observer

# Step of the probe over the site's median magnitude: between those of 4 and 5 bits.
_STEP_OVER_MEDIAN = 0.5


class SiteErrors:
    """Chooses a step per site from what it shows first, and adds up the errors of rounding."""

    def __init__(self, sites: int):
        self.steps = np.zeros(sites, np.float32)
        self.squares = np.zeros(sites)
        self.rows = np.zeros(sites, np.int64)
        self.observer = Observer.from_python(self._receive)

    def _receive(self, site: int, array: np.ndarray) -> None:
        if site >= len(self.steps):
            return
        if not self.rows[site]:
            self.steps[site] = _choose_step(array)
        self.rows[site] += array.size // array.shape[-1]
        step = self.steps[site]
        if step > 0:
            # Infinities have no error: such a site counts as not measured.
            with np.errstate(invalid="ignore"):
                error = array - np.rint(array / step) * step
            self.squares[site] += np.square(error, dtype=np.float64).sum()


def _choose_step(array: np.ndarray) -> np.float32:
    """0, no probe, for inputs that are zero or no numbers."""
    sizes = np.abs(array[array != 0])
    median = np.float32(np.median(sizes) if sizes.size else 0)
    step = np.float32(_STEP_OVER_MEDIAN) * median
    return step if np.isfinite(step) and step > np.finfo(np.float32).tiny else np.float32(0)


def probe_sites(runs: TextRuns | ArrayRuns, unit: int) -> tuple[np.ndarray, np.ndarray]:
    """Sensitivities of all sites by one unit; the rows that each is the mean of (0: unknown)."""
    count = probed_sites(runs.graph)
    errors = SiteErrors(count)
    exact = [
        part.copy() for part in runs.results(unit, np.zeros(count, np.float32), errors.observer)
    ]
    loss = divergence if isinstance(runs, TextRuns) else relative_error
    sites = len(runs.graph.sites)
    values, rows = np.zeros(sites), np.zeros(sites, np.int64)
    for site in np.flatnonzero(errors.squares > 0):
        steps = np.zeros(count, np.float32)
        steps[site] = errors.steps[site]
        grown = loss(exact, runs.results(unit, steps))
        if np.isfinite(grown):
            values[site] = max(grown, 0.0) * errors.rows[site] / errors.squares[site]
            rows[site] = errors.rows[site]
    return values, rows


def divergence(exact: Iterable[np.ndarray], other: Iterable[np.ndarray]) -> float:
    """Mean over rows of KL(softmax(exact) | softmax(other)), for logits [rows, vocabulary].

    With d = other - exact and m its mean under p = softmax(exact), it is
    log sum p e^(d - m): the large parts have cancelled, so small divergences are not noise.
    """
    total, rows = 0.0, 0
    for before, after in zip(exact, other, strict=True):
        weights = np.exp(before - before.max(axis=-1, keepdims=True), dtype=np.float32)
        weights /= weights.sum(axis=-1, keepdims=True)
        change = after - before
        change -= np.einsum("tv,tv->t", weights, change)[:, None]
        excess = np.einsum("tv,tv->t", weights, np.expm1(change)).astype(np.float64)
        excess -= np.einsum("tv,tv->t", weights, change)
        total += np.log1p(excess).sum()
        rows += len(before)
    return float(total / max(rows, 1))


def relative_error(exact: Iterable[np.ndarray], other: Iterable[np.ndarray]) -> float:
    """Mean over the arrays of |other - exact|^2 / |exact|^2; arrays of zeros are left out."""
    ratios = []
    for before, after in zip(exact, other, strict=True):
        scale = np.square(before, dtype=np.float64).sum()
        if scale > 0:
            change = np.subtract(after, before, dtype=np.float64)
            ratios.append(float(np.square(change).sum() / scale))
    return float(np.mean(ratios)) if ratios else 0.0

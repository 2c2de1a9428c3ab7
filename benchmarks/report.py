"""What benchmarks share: quartiles, CSV files, a picture of ratios."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np


def quartiles(values: Sequence[float]) -> dict[str, float]:
    """Minimum, quartiles (between samples linearly) and maximum."""
    names = ("minimum", "lower_quartile", "median", "upper_quartile", "maximum")
    return dict(zip(names, np.percentile(values, (0, 25, 50, 75, 100)).tolist(), strict=True))


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Median and quartiles, as in `2.1 (1.9..2.3)`."""
    q = quartiles(values)
    return (
        f"{q['median']:.{digits}g} ({q['lower_quartile']:.{digits}g}"
        f"..{q['upper_quartile']:.{digits}g})"
    )


def write_csv(path: Path, rows: Iterable) -> None:
    """Of dictionaries or of objects of a data class, all with the same keys."""
    rows = [row if isinstance(row, dict) else asdict(row) for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def plot_boxes(path: Path, panels: dict[str, dict[str, Sequence[float]]], label: str) -> None:
    """One panel of horizontal boxes (quartiles; whiskers to the ends) for each title."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    heights = [max(len(boxes), 2) for boxes in panels.values()]
    figure, axes = pyplot.subplots(
        len(panels), 1, figsize=(8, 1 + 0.45 * sum(heights)), squeeze=False, sharex=False,
        gridspec_kw={"height_ratios": heights}, layout="constrained",
    )  # fmt: skip
    for axis, (title, boxes) in zip(axes[:, 0], panels.items(), strict=True):
        names = list(reversed(boxes))
        axis.boxplot(
            [boxes[name] for name in names], orientation="horizontal", whis=(0, 100),
            tick_labels=names, widths=0.6,
        )  # fmt: skip
        axis.set_title(title, fontsize=10)
        axis.set_xlim(left=0)
        axis.grid(axis="x", alpha=0.4)
    axes[-1, 0].set_xlabel(label)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)

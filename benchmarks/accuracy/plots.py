"""Pareto plots: perplexity ratio over bits."""

from __future__ import annotations

from pathlib import Path

from spikequant.outputs import replacing_file

AXES = {
    "activation_bits": "bits per activation, events (32 bits each) and scales included",
    "stored_bits": "stored bits per activation (16 bits per event)",
    "weight_bits": "bits per weight of the layers",
}
_WORST = 3.0  # ratios beyond this are drawn at the upper edge


def write_plots(folder: Path, grid: str, rows: list[dict]) -> list[Path]:
    """One PNG per axis."""
    import matplotlib

    matplotlib.use("Agg")
    written = []
    for key, label in AXES.items():
        path = folder / f"accuracy-{grid}-{key.removesuffix('_bits')}.png"
        with replacing_file(path) as fresh:
            _plot(fresh, key, label, grid, rows)
        written.append(path)
    return written


def _plot(path: Path, key: str, label: str, grid: str, rows: list[dict]) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5.5))
    families: dict[str, list[dict]] = {}
    for row in rows:
        families.setdefault(row["label"], []).append(row)
    for number, (name, members) in enumerate(families.items()):
        ours = name.startswith("SpikeQuant")
        axes.errorbar(
            [row[key] for row in members],
            [min(row["ratio"], _WORST) for row in members],
            [row["ratio_standard_error"] if row["ratio"] < _WORST else 0 for row in members],
            marker="*" if ours else "osv^Dp"[number % 6],
            markersize=13 if ours else 6,
            linestyle="-" if len(members) > 1 and key != "weight_bits" else "none",
            label=name,
        )
    axes.axhline(1, color="grey", linewidth=0.8)
    axes.set_xlabel(label)
    axes.set_ylabel(f"perplexity / float perplexity (at most {_WORST:g} shown)")
    most = max(row["windows"] for row in rows)
    axes.set_title(f"weights {grid} the file's grid, up to {most} windows")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=120, format="png")
    pyplot.close(figure)

"""The table of figures that reporting commands print."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table


def print_figures(result: dict, title: str | None = None) -> None:
    """Scalars only; what is not known is left out."""
    table = Table("figure", "value", title=title)
    for key, value in result.items():
        if value is not None and not isinstance(value, list | dict):
            table.add_row(key, f"{value:.4f}" if isinstance(value, float) else str(value))
    Console().print(table)

"""What a run calibrates and tunes on; the defaults of the command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """`tokens` of calibration text; then come the windows of `context` tokens on which budgets
    are corrected. Other constants are tuned on the first of these. `margin`: bits that budgets
    leave free, because other texts have more salient values than the calibration text."""

    calibration_text: Path
    tokens: int = 16384
    context: int = 1024
    tuning_windows: int = 16
    margin: float = 0.04

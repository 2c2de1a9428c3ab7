"""Neuromorphic targets that `spikequant compile` writes."""

from __future__ import annotations

# Files of each target: (option of sq-translate, file name). The report is the last one's.
TARGETS = {
    "json": [("json", "network.json")],
    "nir": [("nir-data", "network.data.nir"), ("nir", "network.nir")],
    "sanafe": [("sanafe", "network.yaml")],
}

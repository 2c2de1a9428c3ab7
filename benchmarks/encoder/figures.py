"""How far embeddings are from the float model's."""

from __future__ import annotations

import numpy as np
from scipy.stats import spearmanr


def compare(embeddings: np.ndarray, expected: np.ndarray) -> dict[str, float]:
    """Cosines of [N, D] row by row: mean and first percentile; rank correlation of the
    similarities of all pairs of sentences."""
    a, b = (x.astype(np.float64) for x in (embeddings, expected))
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    cosines = np.sum(a * b, axis=1)
    pairs = np.triu_indices(len(a), 1)
    return {
        "mean_cosine": float(cosines.mean()),
        "first_percentile": float(np.percentile(cosines, 1)),
        "least_cosine": float(cosines.min()),
        "spearman": float(spearmanr((a @ a.T)[pairs], (b @ b.T)[pairs]).statistic),
    }

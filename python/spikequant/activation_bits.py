"""Bits of the encoded values, measured: what calibration gave them, plus their salient events."""

from __future__ import annotations

import numpy as np

from .errors import SpikeQuantError
from .session import Session

# Bits of an event that is sent with its address, and of one that is stored in order behind an
# escape code.
_EVENT_BITS, _STORED_EVENT_BITS = 32, 16

_KEYS = ("activation_bits", "activation_bits_by_macs", "stored_bits", "stored_bits_by_macs")


def activation_bits(session: Session) -> dict:
    """Means over all values that a session has encoded; by macs: weighted by their fan-out.

    compile.json lists the encode sites: `site`, `channels`, `mean_bits`, `fan_out` (columns that
    each value is multiplied with).
    """
    sites = session.model.compilation.get("encode_sites") or []
    if not sites or not session.rows:
        return {**dict.fromkeys(_KEYS), "salient_share": None}
    try:
        values, fan_out, bits = (
            np.array([site[key] for site in sites], float)
            for key in ("channels", "fan_out", "mean_bits")
        )
        names = [site["site"] for site in sites]
    except (KeyError, TypeError) as error:
        raise SpikeQuantError(
            f"{session.model.folder}/compile.json: damaged: {error!r}; compile the model again"
        ) from error
    salient = _salient_by_site(session)
    rate = np.array([salient.get(name, 0) for name in names]) / (session.rows * values)
    sent, stored = bits + _EVENT_BITS * rate, bits + _STORED_EVENT_BITS * rate
    weights = (values, values * fan_out)
    means = [float(np.average(x, weights=w)) for x in (sent, stored) for w in weights]
    share = float(np.average(rate, weights=values))
    return {**dict(zip(_KEYS, means, strict=True)), "salient_share": share}


def _salient_by_site(session: Session) -> dict[str, int]:
    totals: dict[str, int] = {}
    for graph in session.model.graphs.values():
        for site, count in zip(graph.sites, graph.salient, strict=False):
            totals[site] = totals.get(site, 0) + int(count)
    return totals

"""What `jax.export.Exported.serialize` writes: a StableHLO artifact among other things."""

from __future__ import annotations

from .errors import SpikeQuantError

_ARTIFACT = b"ML\xefR"


def unwrap(data: bytes, source: str) -> bytes:
    """The artifact in a serialised export; other data as they are.

    Raises SpikeQuantError if the export is for several platforms: its first argument chooses one.
    """
    if data.startswith(_ARTIFACT) or _ARTIFACT not in data:
        return data
    from jax import export

    try:
        exported = export.deserialize(bytearray(data))
    except Exception:  # whatever a reader of flat buffers raises on other data
        return data
    if len(exported.platforms) > 1:
        raise SpikeQuantError(
            f"{source}: is exported for {', '.join(exported.platforms)}: export it for one, as in "
            'jax.export.export(function, platforms=["cpu"])'
        )
    return exported.mlir_module_serialized

"""The methods that are compared. All of them: weights W4 in groups of 32 (`m u + c`, rounded by
the compiler), attention products and cache on 8-bit counts, head and embedding 8 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import jax.numpy as jnp
import numpy as np

from . import observed
from .graph import SITES, Model
from .packed import CompiledModel
from .program import Program
from .quantisers import Attention, Dynamic, Encode, KeptAndRotated, Part, Rotated
from .transforms import config_width
from .workshop import FOLDED, ONLINE, Variant, Workshop

Constants = Mapping[str, float]
# Channels that Atom (Zhao et al. 2023) keeps at 8 bits: 128 of the 4096 of its models.
_ATOM_CHANNELS, _ATOM_SHARE, _GROUP = 128, 128 / 4096, 128
_SPIKELLM_SHARE = 0.1
# Any budget does for methods that take only the weights of a compiled folder.
_WEIGHTS_ONLY = 4.25
# What weights, steps and bits are read from: the emulation knows neither centres nor fixed point.
_PLAIN = {"centres": False, "fold": False}


@dataclass(frozen=True)
class Method:
    """`search`: constants and their candidates; while another constant is searched, one that comes
    later has its first.

    `build(workshop, constants, tuning)`: with `tuning`, weights may be rounded in a simpler way.
    """

    name: str
    label: str
    nominal_bits: float
    build: Callable[[Workshop, Constants, bool], Model]
    search: Mapping[str, tuple] = field(default_factory=dict)
    # Bits by the paper's own count, from the salient share (None: not its method).
    paper_bits: Callable[[float], float] | None = None
    # The budget is corrected, so that the bits measured on held-out text are at most nominal.
    has_budget: bool = False
    # Methods that take turns on each window, because they share weights.
    together: str | None = None
    # Of the windows of the run.
    share: float = 1.0


def _assemble(workshop: Workshop, rounded, config, quantiser, head, factors=None) -> Model:
    """`rounded`: weights and their bits; `quantiser(layer, site)`; `factors`: what inputs were
    divided by, by site."""
    layers = []
    for layer in range(config.layers):
        divided = None if factors is None else factors[f"blk.{layer}.attn_output"]
        if divided is not None:
            divided = divided.reshape(config.kv_heads, -1, config.head_width)[:, 0]
        steps = observed.attention_steps(workshop.figures, layer, divided)
        sites = {site: quantiser(layer, site) for site in SITES}
        layers.append({**sites, "attention": Attention(**steps)})
    return Model(config, rounded[0], layers, head, rounded[1]).on_device()


def _rounded(workshop: Workshop, variant: Variant, config) -> tuple[dict, float]:
    return _read(
        workshop, CompiledModel(workshop.compiled(variant, _WEIGHTS_ONLY, **_PLAIN)), config
    )


def _read(workshop: Workshop, compiled: CompiledModel, config) -> tuple[dict, float]:
    """The weights of a compiled folder, and their bits."""
    shapes = config.weight_shapes(workshop.max_context)
    return workshop.keep(
        compiled.folder,
        lambda: (_on_device(compiled.weights(shapes)), compiled.weight_bits()),
    )


def _on_device(weights: dict[str, np.ndarray]) -> dict:
    return {key: jnp.asarray(value) for key, value in weights.items()}


def _head(config) -> Dynamic:
    return Dynamic((Part(config.width, 8, config.width, False),), jnp.float32(1))


def _uniform(channels: int, bits: int, group: int | None, clip: float) -> Dynamic:
    return Dynamic((Part(channels, bits, group or channels),), jnp.float32(clip))


def rtn(bits: int, group: int | None) -> Callable[[Workshop, Constants, bool], Model]:
    """Round to nearest, a scale per token and `group` channels (None: all)."""

    def build(workshop: Workshop, constants: Constants, tuning: bool) -> Model:
        config = workshop.config
        weights = _rounded(workshop, Variant(), config)

        def quantiser(layer: int, site: str) -> Dynamic:
            return _uniform(config_width(config, site), bits, group, constants["clip"])

        return _assemble(workshop, weights, config, quantiser, _head(config))

    return build


def smoothquant(bits: int) -> Callable[[Workshop, Constants, bool], Model]:
    """Channels smoothed (all four sites, where the published method does two), then RTN."""

    def build(workshop: Workshop, constants: Constants, tuning: bool) -> Model:
        config, variant = workshop.config, Variant(alpha=constants["alpha"])
        factors = workshop.smoothing(variant.alpha)
        if tuning:
            weights = workshop.keep(
                variant,
                lambda: (_on_device(round_nearest(workshop.real_weights(variant)[0])), 32.0),
            )
        else:
            weights = _rounded(workshop, variant, config)

        def quantiser(layer: int, site: str) -> Dynamic:
            return _uniform(config_width(config, site), bits, None, constants["clip"])

        return _assemble(workshop, weights, config, quantiser, _head(config), factors)

    return build


def atom(bits: int, channels: int | None) -> Callable[[Workshop, Constants, bool], Model]:
    """The channels of largest mean square at 8 bits, the others in groups of 128.

    `channels`: how many (None: the published share of 1/32).
    """

    def build(workshop: Workshop, constants: Constants, tuning: bool) -> Model:
        config = workshop.config
        weights = _rounded(workshop, Variant(), config)

        def quantiser(layer: int, site: str) -> Dynamic:
            size = config_width(config, site)
            kept = channels or round(_ATOM_SHARE * size)
            parts = (Part(size - kept, bits, _GROUP), Part(kept, 8, kept, False))
            order = np.argsort(workshop.figures[f"blk.{layer}.{site}.square"], kind="stable")
            return Dynamic(parts, jnp.float32(constants["clip"]), jnp.asarray(order))

        return _assemble(workshop, weights, config, quantiser, _head(config))

    return build


def atom_rotated(bits: int) -> Callable[[Workshop, Constants, bool], Model]:
    """A probe: Atom whose other channels are rotated before they are rounded."""

    def build(workshop: Workshop, constants: Constants, tuning: bool) -> Model:
        config = workshop.config
        weights = _rounded(workshop, Variant(), config)
        factors = Variant(rotation=ONLINE).factors(config)

        def quantiser(layer: int, site: str) -> KeptAndRotated:
            size = config_width(config, site)
            square = workshop.figures[f"blk.{layer}.{site}.square"]
            kept = np.argsort(square, kind="stable")[-round(_ATOM_SHARE * size) :]
            rest = _uniform(size, bits, _GROUP, constants["clip"])
            return KeptAndRotated(Rotated(rest, factors[site]), jnp.asarray(np.sort(kept)))

        return _assemble(workshop, weights, config, quantiser, _head(config))

    return build


def spikellm(bits: int) -> Callable[[Workshop, Constants, bool], Model]:
    """A tenth of the channels, by saliency, gets 2^extra times the spiking steps.

    Each of the two groups has its own scale per token; in the published code both scales see
    all channels, which is worse.
    """

    def build(workshop: Workshop, constants: Constants, tuning: bool) -> Model:
        config = workshop.config
        weights = _rounded(workshop, Variant(), config)

        def quantiser(layer: int, site: str) -> Dynamic:
            size = config_width(config, site)
            kept = round(_SPIKELLM_SHARE * size)
            high = bits + int(constants["extra"])
            parts = (Part(size - kept, bits, size - kept), Part(kept, high, kept))
            order = np.argsort(workshop.figures[f"blk.{layer}.{site}.saliency"], kind="stable")
            return Dynamic(parts, jnp.float32(constants["clip"]), jnp.asarray(order))

        return _assemble(workshop, weights, config, quantiser, _head(config))

    return build


def rotated(bits: int, rotation: str, group: int | None) -> Callable[..., Model]:
    """QuaRot (FOLDED): residual stream rotated in the weights, inputs of attn_output and ffn_down
    online. ONLINE: every input is rotated, after the norm's weight, which cannot be folded. One
    scale per token and `group` channels (None: all).
    """

    def build(workshop: Workshop, constants: Constants, tuning: bool) -> Model:
        variant = Variant(rotation=rotation)
        config = variant.config(workshop.config)
        weights = _rounded(workshop, variant, config)
        factors = variant.factors(config)

        def quantiser(layer: int, site: str) -> Dynamic | Rotated:
            inner = _uniform(config_width(config, site), bits, group, constants["clip"])
            return Rotated(inner, factors[site]) if site in factors else inner

        return _assemble(workshop, weights, config, quantiser, _head(config))

    return build


def program(**options) -> Callable[[Workshop, Constants, bool], Program]:
    """The compiled program itself."""

    def build(workshop: Workshop, constants: Constants, tuning: bool) -> Program:
        return Program(workshop.compiled(Variant(), constants["budget"], **options))

    return build


def spike(variant: Variant, **options):
    """SpikeQuant's own choice of steps and bits, read from the compiled folder."""

    def build(workshop: Workshop, constants: Constants, tuning: bool) -> Model:
        config = variant.config(workshop.config)
        folder = workshop.compiled(variant, constants["budget"], **options, **_PLAIN)
        compiled = CompiledModel(folder)
        weights = _read(workshop, compiled, config)
        factors = variant.factors(config)
        sites = compiled.sites()

        def encode(key: str) -> Encode:
            step, bits = sites[key]
            bits = jnp.asarray(bits, jnp.float32)
            return Encode(jnp.float32(step), bits, compiled.tolerance, variant.per_token)

        def quantiser(layer: int, site: str) -> Encode | Rotated:
            inner = encode(f"blk.{layer}.{site}.in")
            return Rotated(inner, factors[site]) if site in factors else inner

        head = encode("token_embd.in" if config.tied_head else "output.in")
        return _assemble(workshop, weights, config, quantiser, head)

    return build


def plain_rule(limit: int) -> Callable[[Workshop, Constants, bool], Model]:
    """The paper's: s = k median|x| / 7, 4 bits for every channel, salient counts kept. One k
    for all sites, so that 2.5 % of the calibration text's values are salient.

    `limit` 127 clips them to 8 bits, which is what the paper's count of bits pays for.
    """

    def build(workshop: Workshop, constants: Constants, tuning: bool) -> Model:
        config = workshop.config
        weights = _rounded(workshop, Variant(), config)
        steps = workshop.plain_steps

        def quantiser(layer: int, site: str) -> Encode:
            step = steps[f"blk.{layer}.{site}.in"]
            bits = jnp.full(config_width(config, site), 4, jnp.float32)
            return Encode(jnp.float32(step), bits, tolerance=0, limit=limit)

        return _assemble(workshop, weights, config, quantiser, _head(config))

    return build


def round_nearest(weights: Mapping[str, np.ndarray], bits: int = 4, group: int = 32):
    """Linear weights [K, N] on 2^bits levels between the least and the largest of a group.

    For searches only: the constants that it leads to are used with the compiler's rounding.
    """
    result = dict(weights)
    for key, w in weights.items():
        if w.ndim == 2 and key.startswith("blk."):
            padded = np.pad(w, ((0, -len(w) % group), (0, 0)), mode="edge")
            grouped = padded.reshape(-1, group, w.shape[1])
            low, high = grouped.min(1, keepdims=True), grouped.max(1, keepdims=True)
            step = np.where(high > low, (high - low) / (2**bits - 1), 1)
            rounded = np.round((grouped - low) / step) * step + low
            result[key] = rounded.reshape(-1, w.shape[1])[: len(w)].astype(np.float32)
    return result


_CLIPS = (1.0, 0.85, 0.7, 0.6, 0.5, 0.4)


def all_methods() -> list[Method]:
    """In the order of the table."""
    methods = [m for bits in (4, 5) for m in _baselines(bits)] + _probes()
    for variant, name, label in (
        (Variant(rotation=FOLDED), "rotation-static", "QuaRot's rotation, static step, events"),
        (Variant(rotation=ONLINE), "hadamard-static", "Hadamard at every input, static, events"),
        (Variant(per_token=True), "token-events", "step per token, events"),
        (Variant(), "spike", "SpikeQuant, emulated"),
    ):
        build = spike(variant)
        for bits in (4.125, 5.0):
            methods.append(_budgeted(f"{name}-{bits:g}", label, bits, build, share=0.25))
    return methods + _programs()


def _baselines(b: int) -> list[Method]:
    clip = {"clip": _CLIPS}
    smooth = {"alpha": (0.35, 0.5, 0.65, 0.8, 0.95), **clip}
    plain = [
        Method(f"rtn-{b}", "RTN, per token", b, rtn(b, None), clip),
        Method(f"rtn-g128-{b}", "RTN, groups of 128", b, rtn(b, _GROUP), clip),
        Method(f"spikellm-{b}", "SpikeLLM-style", b, spikellm(b), {"extra": (2, 1), **clip}),
        Method(f"atom-{b}", "Atom, 1/32 of channels", b, atom(b, None), clip),
    ]
    label = "SmoothQuant"
    smoothed = Method(f"smoothquant-{b}", label, b, smoothquant(b), smooth, together="smoothed")
    methods = [*(replace(m, together="plain") for m in plain), smoothed]
    for rotation, name, label, share in (
        (FOLDED, "quarot", "QuaRot", 1.0),
        (ONLINE, "hadamard", "Hadamard at every input", 0.5),
    ):
        for suffix, group in (("", None), ("-g128", _GROUP)):
            text = label if group is None else f"{label}, g128"
            build = rotated(b, rotation, group)
            found = Method(f"{name}{suffix}-{b}", text, b, build, clip)
            methods.append(replace(found, together=rotation, share=share))
    return methods


def _probes() -> list[Method]:
    """Rows that say why others are where they are, and the paper's rule."""
    clip = {"clip": _CLIPS}
    label = "Atom, other channels rotated"
    methods = [
        Method("atom-128", "Atom, 128 channels", 4, atom(4, _ATOM_CHANNELS), clip, share=0.25),
        Method("atom-rotated-4", label, 4, atom_rotated(4), clip, share=0.25),
    ]
    for name, limit in (("paper", 32767), ("paper-8bit", 127)):
        label = "plain MAD rule" + (", clipped at 127" if limit == 127 else "")
        found = Method(name, label, 4, plain_rule(limit), share=0.5)
        methods.append(replace(found, paper_bits=lambda share: 4 + 4 * share))
    return [replace(m, together="plain") for m in methods]


def _programs() -> list[Method]:
    """SpikeQuant as users get it."""
    label = "SpikeQuant"
    kinds = [(bits, "", "", {}) for bits in (4.125, 4.25, 5.0)]
    kinds += [(4.25, "-fine", ", fine centres", {"fine_centres": True})]
    kinds += [(4.25, f"-g{g}", f", W4 g{g}", {"group": g}) for g in (64, 128)]
    kinds += [(4.25, "-w3", ", W3 g32", {"weight_bits": 3})]
    kinds += [(4.25, f"-head{b}", f", head {b} bits", {"head_bits": b}) for b in (4, 6)]
    return [
        _budgeted(
            f"program-{bits:g}{suffix}",
            label + text,
            bits,
            program(**options),
            together="programs",
            share=0.125 if options and suffix != "-fine" else 1.0,
        )
        for bits, suffix, text, options in kinds
    ]


def _budgeted(name: str, label: str, bits: float, build, **settings) -> Method:
    search = {"budget": (bits,)}
    return Method(name, label, bits, build, search, has_budget=True, **settings)

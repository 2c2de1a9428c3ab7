"""`spikequant calibrate`: runs the float program over text or arrays and collects statistics."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from . import bundle
from .arrays import load_arrays, save_arrays
from .calibration_inputs import save_inputs
from .calibration_runs import TOKENS
from .calibration_store import Store, hash_arrays, hash_source, open_store
from .calibration_worker import FINITE, FISHER, FIT, HELD, NONE, SENSITIVITY, run_units
from .collector import gram_path, merge_grams_into, merge_into, replacing_calibration, review
from .compiler import NO_ROTATION, OBSERVE, PROBE, CompileOptions, compile_model
from .errors import SpikeQuantError
from .native import is_compiled
from .stablehlo_shapes import Shapes
from .text import read_windows

Progress = Callable[[str, int, int], None]

AUTO = "auto"
# Units whose sensitivities are measured by finite differences, by kind: each takes a run per site.
_FINITE_UNITS = {"text": 2, "inputs": 4}
# One unit in so many is held out, to see whether there is enough text.
_HELD_SHARE = 8
# More bits than that on held-out text are worth a warning.
_MOST_EXCESS = 0.1


def _print_note(text: str) -> None:
    print(f"spikequant calibrate: {text}", file=sys.stderr)


@dataclass
class CalibrationOptions:
    """How a calibration is done, and its report. `threads` and `jobs` change no byte of it."""

    threads: int = 1
    jobs: int = 1
    grams: bool = False  # also what second-order rounding of weights needs
    sensitivity: str = NONE
    bits: float = 4.25  # that the held-out check is made for
    rotate: str = NO_ROTATION  # as 'compile' will be told
    progress: Progress = field(default=lambda *_: None)
    note: Callable[[str], None] = field(default=_print_note)
    report: dict = field(default_factory=dict)


def calibrate_text(
    source: str | Path,
    text: str | Path,
    out: str | Path,
    tokens: int = 8192,
    context: int = 1024,
    threads: int = 1,
    progress: Progress | None = None,
    grams: bool = False,
    options: CalibrationOptions | None = None,
) -> Path:
    """Calibrates a language model bundle on the first `tokens` tokens of a text file.

    In windows of `context` tokens (at most the bundle's largest context), each from an empty cache.
    A text shorter than one window is repeated to fill it.
    """
    options = options or CalibrationOptions(threads, grams=grams)
    options.progress = progress or options.progress
    source = Path(source)
    contexts = bundle.read_model(source)["contexts"]
    context = min(context, max(contexts))
    if context not in contexts:
        known = ", ".join(map(str, contexts))
        raise SpikeQuantError(f"--context {context}: the bundle was exported for {known}")
    windows = _read_windows(source, Path(text), context, tokens, options)
    arrays = {TOKENS: windows}
    if options.sensitivity == AUTO:
        options.sensitivity = FISHER
    plan = {
        "kind": "text",
        "source": str(source.resolve()),
        "key": f"{hash_source(source, None)} {hash_arrays(arrays)}",
    }
    compilation = CompileOptions(OBSERVE, graphs=[f"score_{context}"], rotate=options.rotate)
    return _calibrate(source, Path(out), plan, arrays, compilation, options)


def calibrate_inputs(
    source: str | Path,
    weights: str | Path | None,
    inputs: str | Path,
    out: str | Path,
    threads: int = 1,
    progress: Progress | None = None,
    shapes: Shapes | None = None,
    grams: bool = False,
    options: CalibrationOptions | None = None,
) -> Path:
    """Calibrates a graph on arrays argN that have a leading batch axis."""
    options = options or CalibrationOptions(threads, grams=grams)
    options.progress = progress or options.progress
    source = Path(source)
    arrays = load_arrays(inputs)
    _check_batch(arrays, inputs)
    if options.sensitivity == FISHER:
        raise SpikeQuantError(
            "--sensitivity fisher is for bundles, whose layers can be differentiated: "
            "a graph takes finite"
        )
    if options.sensitivity == AUTO:
        options.sensitivity = FINITE
    compilation = CompileOptions(OBSERVE, weights=weights, shapes=shapes, rotate=options.rotate)
    compilation.check()
    if not source.is_file():
        raise SpikeQuantError(f"{source}: no such file")
    key = hash_source(source, Path(weights) if weights else None)
    plan = {
        "kind": "inputs",
        "inputs": str(inputs),
        "key": f"{key} {shapes} {hash_arrays(arrays)}",
    }
    return _calibrate(source, Path(out), plan, arrays, compilation, options)


def _calibrate(
    source: Path,
    out: Path,
    plan: dict,
    arrays: dict[str, np.ndarray],
    compilation: CompileOptions,
    options: CalibrationOptions,
) -> Path:
    plan |= {"grams": options.grams, "sensitivity": options.sensitivity}
    plan["rotate"] = options.rotate
    units = len(next(iter(arrays.values())))
    work = _split(units, options.sensitivity, _FINITE_UNITS[plan["kind"]])
    steps = _Steps(options.progress, 2 + sum(len(units) for _, units in work))
    with open_store(out, plan, options.note) as store:
        steps.show("compile")
        if not is_compiled(store.program):
            compilation.method = PROBE if options.sensitivity == FINITE else OBSERVE
            compile_model(source, store.program, compilation)
        save_arrays({store.inputs: arrays})
        for role, units in work:
            steps.show("sensitivity" if role == SENSITIVITY else "observe")
            left = [unit for unit in units if unit not in store.done(role)]
            steps.skip(len(units) - len(left))
            run_units(store, role, left, options.jobs, options.threads, steps.step)
        steps.show("merge")
        options.report = _review(store, options)
        _merge(store, out, arrays, options.grams)
    return out


def _split(units: int, sensitivity: str, finite: int) -> list[tuple[str, list[int]]]:
    """Roles and their units: the last ones are held out."""
    held = units // _HELD_SHARE
    measured = {NONE: 0, FINITE: min(units, finite), FISHER: units}[sensitivity]
    work = [
        (FIT, list(range(units - held))),
        (HELD, list(range(units - held, units))),
        (SENSITIVITY, list(range(measured))),
    ]
    return [(role, units) for role, units in work if units]


def _merge(store: Store, out: Path, arrays: dict[str, np.ndarray], grams: bool) -> None:
    observed = [*store.files(FIT), *store.files(HELD)]
    with replacing_calibration(out) as fresh:
        merge_into([*observed, *store.files(SENSITIVITY)], fresh)
        if grams:
            merge_grams_into([gram_path(file) for file in observed], gram_path(fresh))
        save_inputs(fresh, arrays)


def _review(store: Store, options: CalibrationOptions) -> dict:
    """Whether the text was enough, and the program's values were numbers."""
    fit, held = store.files(FIT), store.files(HELD)
    try:
        found = review(fit, held, options.bits)
    except SpikeQuantError as error:
        options.note(f"whether the text is enough could not be checked: {error}")
        found, held = review(fit, [], options.bits), []
    if found.nan_values:
        options.note(
            f"warning: {found.nan_values} values at encode sites are no numbers (NaN) on these "
            "inputs: they are encoded as 0; 'spikequant run' shows what the float program computes"
        )
    if found.held_out_bits > found.in_sample_bits + _MOST_EXCESS:
        options.note(
            f"warning: steps and bits chosen for {found.in_sample_bits:.2f} bits take "
            f"{found.held_out_bits:.2f} on the last eighth of the inputs, held out: give more of "
            "them"
        )
    return {
        "windows": sum(len(store.done(role)) for role in (FIT, HELD)),
        "in_sample_bits": found.in_sample_bits if held else None,
        "held_out_bits": found.held_out_bits if held else None,
        "nan_values": found.nan_values,
        "infinite_values": found.infinite_values,
        "sensitivity": options.sensitivity,
    }


class _Steps:
    """Counts what is done, for the progress bar."""

    def __init__(self, report: Progress, total: int):
        self._report, self._total, self._done, self._what = report, total, 0, ""

    def show(self, what: str) -> None:
        self._what = what
        self.skip(1)

    def skip(self, count: int) -> None:
        self._done = min(self._done + count, self._total)
        self._report(self._what, self._done, self._total)

    def step(self) -> None:
        self.skip(1)


def _read_windows(
    source: Path, text: Path, context: int, tokens: int, options: CalibrationOptions
) -> np.ndarray:
    windows = read_windows(source, text, context, -(-tokens // context), allow_short=True)
    if windows.shape[1] == context:
        return windows
    options.note(
        f"{text}: its {windows.shape[1]} tokens are repeated to fill a window of {context}: "
        "too little text for good steps and bits"
    )
    return np.resize(windows, (1, context))


def _check_batch(arrays: dict[str, np.ndarray], path) -> None:
    sizes = {array.shape[0] if array.ndim else 0 for array in arrays.values()}
    if len(sizes) != 1 or 0 in sizes:
        raise SpikeQuantError(f"{path}: the arrays need one leading batch axis of equal length")
    for name, array in arrays.items():
        if array.dtype.kind == "f" and np.isnan(array).any():
            place = np.argwhere(np.isnan(array))[0].tolist()
            raise SpikeQuantError(f"{path}: '{name}' is NaN at {place}: leave such inputs out")

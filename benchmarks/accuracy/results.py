"""What was measured, per method and window; and the rows of the table."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from spikequant.outputs import replacing_file
from spikequant.text import read_windows

from . import metrics, plots, texts
from .cache import cached, digest, read_json, source_digest, write_json
from .evaluate import CODE, bit_figures, describe, run_window, say, tune
from .methods import Method
from .workshop import Workshop


@dataclass
class Results:
    """Of one bundle. `rows`: one per method, as in the CSV file."""

    workshop: Workshop
    texts: list
    windows: int
    questions: int
    rows: list[dict] = field(default_factory=list)
    losses: dict[str, list[dict]] = field(default_factory=dict)

    def __post_init__(self):
        context = self.workshop.settings.context
        source = self.workshop.source
        # The second domain gets a quarter of the windows.
        counts = (self.windows, max(1, self.windows // 4))
        self.tokens = {
            text.name: read_windows(source, text.path, context, count)
            for text, count in zip(self.texts, counts, strict=True)
        }
        room = self.workshop.max_context
        self.asked = texts.make_questions(source, self.texts[0].path, self.questions, room)

    def complete(self, method: Method) -> None:
        """Computes what is missing of a method."""
        path = self._path(method)
        record = read_json(path)
        model = None
        if "constants" not in record:
            record = {"constants": tune(self.workshop, method, say)}
            write_json(path, record)
        for name, compute in self._missing(record):
            if model is None:
                model = method.build(self.workshop, record["constants"], False)
                context = self.workshop.settings.context
                record["description"] = describe(self.workshop, model, context)
            record[name] = compute(model)
            write_json(path, record)
            say(f"  {method.name} {name}")

    def add_known(self, methods: list[Method]) -> None:
        """Makes `rows` of all methods that are complete."""
        self.rows, self.losses = [], {}
        for method in methods:
            record = read_json(self._path(method))
            if "description" in record and not any(True for _ in self._missing(record)):
                self._add_row(method, record)

    def _path(self, method: Method) -> Path:
        key = digest(
            self.workshop.identity,
            method.name,
            self.workshop.tuning_windows.tolist(),
            source_digest(*CODE, "workshop", "evaluate"),
        )
        return self.workshop.folder / "results" / f"{method.name}-{key}.json"

    def _missing(self, record: dict):
        """(key, function of the model) of each window and of the questions."""
        for text, windows in self.tokens.items():
            for index, window in enumerate(windows):
                name = f"{text} {index} {digest(window.tolist())}"
                if name not in record:
                    yield name, lambda model, w=window: run_window(self.workshop, model, w)
        name = f"choices {digest(self.asked.contexts.tolist())}"
        if name not in record:
            yield name, self._answers

    def _answers(self, model) -> list[int]:
        return metrics.choose(model.config, model, self.asked).tolist()

    def float_answers(self) -> np.ndarray:
        """The float model's, computed once."""
        key = digest(self.workshop.key, self.asked.contexts.tolist(), source_digest(*CODE))

        def make(path: Path) -> None:
            write_json(path, {"answers": self._answers(self.workshop.reference)})

        folder = self.workshop.folder / "answers"
        return np.array(read_json(cached(folder / f"{key}.json", make))["answers"])

    def _add_row(self, method: Method, record: dict) -> None:
        windows = {
            text: [record[f"{text} {i} {digest(w.tolist())}"] for i, w in enumerate(tokens)]
            for text, tokens in self.tokens.items()
        }
        first, second = (text.name for text in self.texts)
        self.losses[method.name] = windows[first]
        answers = np.array(record[f"choices {digest(self.asked.contexts.tolist())}"])
        bits = bit_figures(record["description"], windows[first])
        other = metrics.summarise(windows[second])
        paper = method.paper_bits(bits["salient_share"]) if method.paper_bits else None
        self.rows.append(
            {
                "method": method.name,
                "label": method.label,
                "nominal_bits": method.nominal_bits,
                **bits,
                "paper_bits": paper,
                "weight_bits": record["description"]["weight_bits"],
                **metrics.summarise(windows[first]),
                "second_ratio": other["ratio"],
                "second_ratio_standard_error": other["ratio_standard_error"],
                "second_kl": other["kl"],
                "choices_correct": float((answers == self.asked.answers).mean()),
                "choices_as_float": float((answers == self.float_answers()).mean()),
                "constants": " ".join(f"{k}={v:g}" for k, v in record["constants"].items()),
            }
        )


def write_report(folder: Path, results: dict[str, Results]) -> None:
    """accuracy.csv and the plots, of all that is there."""
    rows = [{"grid": grid, **row} for grid, result in results.items() for row in result.rows]
    with (
        replacing_file(folder / "accuracy.csv") as fresh,
        fresh.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    for grid, result in results.items():
        plots.write_plots(folder, grid, result.rows)

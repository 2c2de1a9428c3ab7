"""What was measured, per method and window; and the rows of the table."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from spikequant.outputs import replacing_file
from spikequant.text import read_windows

from . import metrics, plots, texts
from .cache import cached, digest, read_json, source_digest, write_json
from .evaluate import CODE, bit_figures, describe, run_window, say, tune
from .methods import Method
from .program import Program
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
        # The second domain gets an eighth of the windows.
        counts = (self.windows, max(1, self.windows // 8))
        self.tokens = {
            text.name: read_windows(source, text.path, context, count)
            for text, count in zip(self.texts, counts, strict=True)
        }
        if not self.questions:
            return
        room = self.workshop.max_context
        self.asked = texts.make_questions(source, self.texts[0].path, self.questions, room)

    def complete(self, methods: list[Method]) -> None:
        """Computes what is missing of methods that share weights, window after window."""
        records = {method.name: self._tuned(method) for method in methods}
        models: dict[str, object] = {}
        for name, compute in self._tasks():
            wanted = [m for m in methods if self._wants(m, records[m.name], name)]
            for method in wanted:
                self._compute(method, records[method.name], models, name, compute)
            if wanted:
                say(f"  {', '.join(method.name for method in wanted)}: {name}")

    def _tuned(self, method: Method) -> dict:
        record = read_json(self._path(method))
        if "constants" not in record:
            record = {"constants": tune(self.workshop, method, say)}
            write_json(self._path(method), record)
        return record

    def _compute(self, method: Method, record: dict, models: dict, name: str, compute) -> None:
        if method.name not in models:
            model = method.build(self.workshop, record["constants"], False)
            models[method.name] = model
            record["description"] = describe(model, self.workshop.settings.context)
        record[name] = compute(models[method.name])
        write_json(self._path(method), record)

    def add_known(self, methods: list[Method]) -> None:
        """Makes `rows` of all methods that have a window of the first text."""
        self.rows, self.losses = [], {}
        for method in methods:
            record = read_json(self._path(method))
            windows = {text: self._known(record, text) for text in self.tokens}
            if windows[self.texts[0].name]:
                self._add_row(method, record, windows)

    def _known(self, record: dict, text: str) -> list[dict]:
        """The windows that were computed, up to the first which was not."""
        names = (self._window_name(text, i) for i in range(len(self.tokens[text])))
        return [record[n] for n in itertools.takewhile(record.__contains__, names)]

    def _window_name(self, text: str, index: int) -> str:
        return f"{text} {index} {digest(self.tokens[text][index].tolist())}"

    def _question_name(self) -> str:
        return f"choices {digest(self.asked.contexts.tolist())}"

    def _path(self, method: Method) -> Path:
        key = digest(
            self.workshop.identity,
            method.name,
            self.workshop.tuning_windows.tolist(),
            source_digest(*CODE, "workshop", "evaluate"),
        )
        return self.workshop.folder / "results" / f"{method.name}-{key}.json"

    def _tasks(self) -> Iterator[tuple[str, Callable]]:
        """(key, function of the model) of each window and of the questions."""
        for text in self.tokens:
            yield from self._windows(text)
        if self.questions:
            yield self._question_name(), self._answers

    def _windows(self, text: str) -> Iterator[tuple[str, Callable]]:
        for index, window in enumerate(self.tokens[text]):
            name = self._window_name(text, index)
            yield name, lambda model, w=window: run_window(self.workshop, model, w)

    def _wants(self, method: Method, record: dict, name: str) -> bool:
        text, index, *_ = name.split()
        count = max(1, round(method.share * len(self.tokens.get(text, ()))))
        return name not in record and (text not in self.tokens or int(index) < count)

    def _answers(self, model) -> list[int]:
        if isinstance(model, Program):
            return model.choose(self.asked).tolist()
        return metrics.choose(model.config, model, self.asked).tolist()

    def float_answers(self) -> np.ndarray:
        """The float model's, computed once."""
        key = digest(self.workshop.key, self.asked.contexts.tolist(), source_digest(*CODE))

        def make(path: Path) -> None:
            write_json(path, {"answers": self._answers(self.workshop.reference)})

        folder = self.workshop.folder / "answers"
        return np.array(read_json(cached(folder / f"{key}.json", make))["answers"])

    def _add_row(self, method: Method, record: dict, windows: dict[str, list[dict]]) -> None:
        first, second = (text.name for text in self.texts)
        self.losses[method.name] = windows[first]
        answers = record.get(self._question_name()) if self.questions else None
        bits = bit_figures(record["description"], windows[first])
        other = metrics.summarise(windows[second]) if windows[second] else {}
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
                "second_ratio": other.get("ratio"),
                "second_ratio_standard_error": other.get("ratio_standard_error"),
                "second_windows": other.get("windows", 0),
                "second_kl": other.get("kl"),
                "choices_correct": self._share(answers, lambda: self.asked.answers),
                "choices_as_float": self._share(answers, self.float_answers),
                "constants": " ".join(f"{k}={v:g}" for k, v in record["constants"].items()),
            }
        )

    @staticmethod
    def _share(answers: list | None, expected: Callable[[], np.ndarray]) -> float | None:
        """Of questions that are answered as expected; None if they were not asked."""
        return None if answers is None else float((np.array(answers) == expected()).mean())


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

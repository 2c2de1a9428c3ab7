"""Draws a small exported network: its JSON description as SVG.

usage: draw_network.py NETWORK.mlir OUT.svg

The same network gives the same bytes, so that a test can tell whether a picture is current.
"""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from spikequant.toolchain import find_tool

COLUMN, ROW, MARGIN, RADIUS = 250, 46, 70, 15
EXCITES, INHIBITS, CONTROL = "#2563a8", "#b3382c", "#8a8a8a"


def describe(network: Path) -> dict:
    command = [find_tool("sq-translate"), "--spikequant-to-json", network]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def label(line: list[int], layer: int) -> str:
    """Of an input line (layer 0) or a neuron of population `layer`."""
    channel, sign, index = line
    if channel < 0:
        return f"pulse {index}"
    return f"{'x' if layer == 0 else 'n'}{channel} {'+' if sign > 0 else '−'}"


class Picture:
    def __init__(self, columns: list[list]) -> None:
        self.height = max(map(len, columns)) * ROW + MARGIN
        self.columns = columns
        size = (2 * MARGIN + COLUMN * (len(columns) - 1) + 60, self.height)
        self.svg = ElementTree.Element(
            "svg",
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {size[0]} {size[1]}",
            **{"font-family": "sans-serif", "font-size": "11", "text-anchor": "middle"},
        )
        self.add("rect", width=size[0], height=size[1], fill="white")

    def add(self, tag: str, text: str | None = None, **attributes) -> None:
        words = {key.replace("_", "-"): str(value) for key, value in attributes.items()}
        ElementTree.SubElement(self.svg, tag, words).text = text

    def place(self, column: int, row: int) -> tuple[float, float]:
        top = (self.height - ROW * (len(self.columns[column]) - 1) + 40) / 2
        return MARGIN + COLUMN * column, top + ROW * row

    def synapse(self, column: int, line: int, neuron: int, weight: int) -> None:
        (x0, y0), (x1, y1) = self.place(column, line), self.place(column + 1, neuron)
        is_control = self.columns[column][line][0] < 0
        colour = EXCITES if weight > 0 else INHIBITS
        dash = {"stroke_dasharray": "4 3"} if is_control else {}
        self.add("line", x1=x0, y1=y0, x2=x1, y2=y1, stroke=colour, stroke_width=1.2, **dash)
        # Labels of the lines into a neuron lie at different distances from it.
        part = 0.16 + 0.62 * neuron / max(1, len(self.columns[column + 1]) - 1) / 1.6
        x, y = x0 + (x1 - x0) * part, y0 + (y1 - y0) * part
        style = {"stroke": "white", "stroke_width": 3, "paint_order": "stroke"}
        self.add("text", str(weight), x=f"{x:.1f}", y=f"{y + 4:.1f}", fill=colour, **style)

    def node(self, column: int, row: int, threshold: int | None) -> None:
        x, y = self.place(column, row)
        line = self.columns[column][row]
        edge = CONTROL if line[0] < 0 else "black"
        self.add("circle", cx=x, cy=y, r=RADIUS, fill="white", stroke=edge, stroke_width=1.5)
        self.add("text", label(line, column), x=x, y=y - RADIUS - 4, fill=edge)
        if threshold is not None:
            self.add("text", str(threshold), x=x, y=y + 4)

    def title(self, column: int, text: str) -> None:
        self.add("text", text, x=MARGIN + COLUMN * column, y=24, font_weight="bold")


def draw(network: dict) -> str:
    spiking = network["spiking"]
    populations = spiking["populations"]
    picture = Picture([spiking["lines"], *(p["neurons"] for p in populations)])
    for column, population in enumerate(populations):
        for line, neuron, weight in population["synapses"]:
            picture.synapse(column, line, neuron, weight)
    picture.title(0, f"input, {spiking['steps']} steps")
    for row in range(len(spiking["lines"])):
        picture.node(0, row, None)
    for column, population in enumerate(populations, 1):
        picture.title(column, f"layer {column}: thresholds")
        for row, threshold in enumerate(population["thresholds"]):
            picture.node(column, row, threshold)
    ElementTree.indent(picture.svg, " ")
    return ElementTree.tostring(picture.svg, encoding="unicode") + "\n"


def main() -> None:
    network, out = map(Path, sys.argv[1:])
    out.write_text(draw(describe(network)))


if __name__ == "__main__":
    main()

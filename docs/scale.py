"""The tables and the figure of docs/scale.md, from docs/scale.json: ``out/bench/scale.json`` of ``make bench``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ptmiss import tables

ROOT = Path(__file__).resolve().parent
MEASURED = json.loads((ROOT / "scale.json").read_text())
MARK = re.compile(r"(<!-- table: (\w+) -->\n)(.*?)(\n<!-- end -->)", re.DOTALL)

Row = dict[str, Any]
Cell = Callable[[Row], str]


def number(name: str, form: str = ".1f", factor: float = 1.0) -> Cell:
    """A column of numbers."""
    return lambda row: f"{factor * row[name]:{form}}".replace(",", " ")


VERB = {"rows": number("rows", ",d"), "CPU, s": number("cpu"), "peak memory, MB": number("peak", ".0f")}
COLUMNS: dict[str, dict[str, Cell]] = {
    "resolution": VERB,
    "compare": VERB,
    "files": {
        "files": number("files", ",d"),
        "chunks": number("chunks", ",d"),
        "first look, files/s": lambda row: f"{row['files'] / row['look_cpu']:.0f}",
        "known, files/s": lambda row: f"{row['files'] / row['known_cpu']:.0f}",
        "resumed, s": number("resume_cpu"),
        "peak memory, MB": number("peak", ".0f"),
    },
    "chunks": {"chunks": number("chunks", ",d"), "resumed, s": number("resume_cpu")},
    "calibration": {
        "events": number("events", ",d"),
        "cells": number("cells", "d"),
        "CPU, s": number("cpu"),
        "peak memory, MB": number("peak", ".0f"),
    },
}


def rendered(name: str) -> str:
    """A table of the page."""
    columns, rows = COLUMNS[name], MEASURED[name]["rows"]
    return tables.markdown(list(columns), [tuple(cell(row) for cell in columns.values()) for row in rows])


def page(text: str) -> str:
    """The page with its tables."""
    return MARK.sub(lambda found: f"{found[1]}{rendered(found[2])}{found[4]}", text)


def draw(path: Path) -> None:
    """Memory and time of a verb against the rows of a table."""
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    panels = zip(figure.subplots(1, 2), (("peak", "peak memory (MB)"), ("cpu", "CPU time (s)")), strict=True)
    for axes, (key, label) in panels:
        for name in ("resolution", "compare"):
            rows = MEASURED[name]["rows"]
            axes.plot([row["rows"] for row in rows], [row[key] for row in rows], "o-", label=name)
        axes.set(xscale="log", xlabel="rows", ylabel=label, ylim=(0, None))
        axes.legend()
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    place = ROOT / "scale.md"
    place.write_text(page(place.read_text()))
    draw(ROOT / "scale.png")

"""The tables and figures of docs/scale.md, from docs/scale.json: ``out/bench/scale.json`` of ``make bench``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from ptmiss import plots, tables

ROOT = Path(__file__).resolve().parent
MEASURED = json.loads((ROOT / "scale.json").read_text())
MARK = re.compile(r"(<!-- table: (\w+) -->\n)(.*?)(\n<!-- end -->)", re.DOTALL)
CURVES = {"resolution": ("o", plots.COLOURS["deepmet"]), "compare": ("s", plots.COLOURS["puppi"])}

Row = dict[str, Any]
Cell = Callable[[Row], str]


def number(name: str, form: str = ".1f") -> Cell:
    """A column of numbers."""
    return lambda row: f"{row[name]:{form}}".replace(",", " ")


VERB = {"rows": number("rows", ",.0f"), "CPU, s": number("cpu"), "peak memory, MB": number("peak", ".0f")}
RATES = {"events/s of CPU time": number("cpu", ",.0f"), "events/s of wall time": number("wall", ",.0f")}
COLUMNS: dict[str, dict[str, Cell]] = {
    "resolution": VERB,
    "compare": VERB,
    "chunksize": {"events of a chunk": number("chunksize", ",.0f")} | RATES,
    "workers": {"workers": number("workers", "d")} | RATES,
    "files": {
        "files": number("files", ",.0f"),
        "chunks": number("chunks", ",.0f"),
        "first look, files/s": lambda row: f"{row['files'] / row['look_cpu']:.0f}",
        "known, files/s": lambda row: f"{row['files'] / row['known_cpu']:.0f}",
        "resumed, s": number("resume_cpu"),
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


def draw_tables() -> Figure:
    """Memory and time of a verb against the rows of a table."""
    figure = Figure(figsize=(2 * plots.WIDTH, plots.HEIGHT), layout="constrained")
    panels = (("peak", "Peak memory (MB)", "linear", (0, 800)), ("cpu", "CPU time (s)", "log", (0.03, 300)))
    for axes, (key, label, yscale, limits) in zip(figure.subplots(1, 2), panels, strict=True):
        for name, (marker, colour) in CURVES.items():
            rows = MEASURED[name]["rows"]
            x, y = ([row[of] for row in rows] for of in ("rows", key))
            axes.plot(x, y, f"{marker}-", color=colour, label=f"ptmiss {name}", markersize=10, linewidth=2)
        axes.set(xscale="log", yscale=yscale, xlabel="Rows of the table", ylabel=label, ylim=limits)
        if key == "cpu":
            axes.legend(loc="upper left")
    return figure


def draw_runs() -> Figure:
    """Events a second of a run against the events of a chunk, and against workers."""
    figure = Figure(figsize=(2 * plots.WIDTH, plots.HEIGHT), layout="constrained")
    curves = (
        ("cpu", "of CPU time", "o", plots.COLOURS["deepmet"]),
        ("wall", "of wall time", "s", plots.COLOURS["puppi"]),
    )
    panels = (("chunksize", "Events of a chunk"), ("workers", "Workers"))
    for axes, (name, label) in zip(figure.subplots(1, 2), panels, strict=True):
        rows = MEASURED[name]["rows"]
        for key, words, marker, colour in curves:
            x, y = ([row[of] for row in rows] for of in (name, key))
            axes.plot(x, y, f"{marker}-", color=colour, label=words, markersize=10, linewidth=2)
        top = 1.3 * max(row[key] for row in rows for key in ("cpu", "wall"))
        axes.set(xlabel=label, ylabel="Events / second", ylim=(0, top))
        if name == "workers":
            axes.set_xticks([row[name] for row in rows])
            axes.minorticks_off()
        else:
            axes.set(xscale="log")
        axes.legend(loc="upper left")
    return figure


if __name__ == "__main__":
    place = ROOT / "scale.md"
    place.write_text(page(place.read_text()))
    with mpl.rc_context(plots.STYLE):
        plots.save(draw_tables(), ROOT / "scale", ["png"], 60)
        plots.save(draw_runs(), ROOT / "scale_runs", ["png"], 60)

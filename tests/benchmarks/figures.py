"""What was measured, in out/bench: figures, and the numbers of docs/scale.md in ``scale.json``."""

import json
import os
import platform
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from ptmiss import plots

OUTPUT, DPI = Path("out/bench"), 60


def draw(path, x, y, xlabel, ylabel):
    """Points joined by a line, both axes from zero."""
    with mpl.rc_context(plots.STYLE):
        figure = Figure(figsize=(plots.WIDTH, plots.HEIGHT), layout="constrained")
        axes = figure.subplots()
        axes.plot(x, y, "o-", color=plots.COLOURS["deepmet"], markersize=10, linewidth=2)
        axes.set(xlabel=xlabel, ylabel=ylabel, xlim=(0, 1.05 * max(x)), ylim=(0, 1.1 * max(y)))
        save(figure, path)


def save(figure, path):
    """Save a figure as those of the pages are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plots.save(figure, path, ["png"], DPI)


def record(name, rows):
    """Keep the rows of a table of docs/scale.md, and where they were measured; see docs/scale.py."""
    path = OUTPUT / "scale.json"
    found = json.loads(path.read_text()) if path.is_file() else {}
    where = {"machine": platform.machine(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**found, name: {"where": where, "rows": rows}}, indent=1) + "\n")

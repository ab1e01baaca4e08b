"""What was measured, in out/bench: figures, and the numbers of docs/scale.md in ``scale.json``."""

import json
import os
import platform
from pathlib import Path

from matplotlib.figure import Figure

OUTPUT = Path("out/bench")


def draw(path, x, y, xlabel, ylabel):
    """Points joined by a line, both axes from zero."""
    figure = Figure(figsize=(5, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(x, y, "o-", color="#3f90da")
    axes.set(xlabel=xlabel, ylabel=ylabel, xlim=(0, None), ylim=(0, None))
    axes.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path.with_suffix(".png"), dpi=150)


def record(name, rows):
    """Keep the rows of a table of docs/scale.md, and where they were measured; see docs/scale.py."""
    path = OUTPUT / "scale.json"
    found = json.loads(path.read_text()) if path.is_file() else {}
    where = {"machine": platform.machine(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**found, name: {"where": where, "rows": rows}}, indent=1) + "\n")

"""Figures of what was measured, in out/bench."""

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

"""What figures of a calibration share: colours, pages of small multiples, bands of uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec

from ptmiss.plots import STYLE
from ptmiss.typing import Array

DATA, MC, FIT, BACKGROUND = "#000000", "#0072b2", "#d55e00", "#999999"
SHADES = {
    "MC events": "#d0d0d0",
    "statistical": "#56b4e9",
    "smoothing": "#e69f00",
    "Gaussians": "#009e73",
    "nJets": "#cc79a7",
    "background": "#f0e442",
}
COMPONENTS = {"par": r"$u_\parallel - q_\mathrm{T}$ (GeV)", "perp": r"$u_\perp$ (GeV)"}
SMALL = {
    **STYLE,
    "font.size": 13,
    "axes.labelsize": 13,
    "axes.titlesize": 12,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "legend.fontsize": 11,
    "lines.markersize": 3.5,
    "xtick.major.size": 5,
    "ytick.major.size": 5,
    "xtick.minor.size": 2.5,
    "ytick.minor.size": 2.5,
    "axes.linewidth": 1,
}
COLUMNS = 4  # of a page of small multiples


def page(panels: int, title: str, ratios: Sequence[float]) -> tuple[Figure, list[list[Axes]]]:
    """A page of small multiples, each with axes one above the other."""
    columns = min(COLUMNS, panels)
    rows = -(-panels // columns)
    width, height = 4.8 * columns, 4.4 * rows + 1
    with mpl.rc_context(SMALL):
        figure = Figure(figsize=(width, height))
        figure.text(0.7 / width, 1 - 0.35 / height, title, fontsize=17, va="center")
        margins = {"left": 0.7 / width, "right": 1 - 0.2 / width, "bottom": 0.6 / height, "top": 1 - 1 / height}
        grid = figure.add_gridspec(rows, columns, hspace=0.32, wspace=0.22, **margins)
        grids = [_stack(figure, grid[divmod(panel, columns)], ratios) for panel in range(panels)]
    return figure, grids


def _stack(figure: Figure, place: SubplotSpec, ratios: Sequence[float]) -> list[Axes]:
    inner = place.subgridspec(len(ratios), 1, height_ratios=ratios, hspace=0.06)
    top = figure.add_subplot(inner[0])
    top.tick_params(labelbottom=False)
    return [top, *(figure.add_subplot(inner[row], sharex=top) for row in range(1, len(ratios)))]


def title(what: str, label: str) -> str:
    """A title with the user's label before it."""
    return f"{label}: {what}" if label else what


def bands(ax: Axes, x: Array, centre: Array, sizes: Mapping[str, Array]) -> None:
    """Sources of uncertainty (points,) around a curve (points,), each added in quadrature to those before it."""
    inner = np.zeros_like(centre)
    for name, size in sizes.items():
        outer = np.hypot(inner, np.nan_to_num(size))
        style: dict[str, Any] = {"color": SHADES[name], "lw": 0}
        ax.fill_between(x, centre + inner, centre + outer, label=name, **style)
        ax.fill_between(x, centre - outer, centre - inner, **style)
        inner = outer

"""What figures of a calibration share: colours, pages of small multiples, bands of uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

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
    "context": "#0072b2",
    "method": "#009e73",
    "background": "#f0e442",
}
SOURCES = {
    "MC events": "simulated events",
    "statistical": "statistics of the fits",
    "smoothing": "histograms, not Gaussians",
    "Gaussians": "three Gaussians, not two",
    "nJets": "one law for all jets",
    "context": "a context of qT alone",
    "method": "double Gaussians, not the flow",
    "background": "background",
}
"""The sources of uncertainty, as a reader of a figure knows them."""
COMPONENTS = {"par": r"$u_\parallel - q_\mathrm{T}$ (GeV)", "perp": r"$u_\perp$ (GeV)"}
SMALL = {
    **STYLE,
    "font.size": 16,
    "axes.labelsize": 16,
    "axes.titlesize": 15,
    "xtick.labelsize": 14,
    "ytick.labelsize": 14,
    "legend.fontsize": 14,
    "lines.markersize": 3.5,
    "xtick.major.size": 5,
    "ytick.major.size": 5,
    "xtick.minor.size": 2.5,
    "ytick.minor.size": 2.5,
    "axes.linewidth": 1,
}
COLUMNS = 4  # of a page of small multiples


class Names(NamedTuple):
    """What figures say of the events. label: above them; recorded: ``data``, or ``pseudo-data`` that stand for them."""

    label: str = ""
    recorded: str = "data"

    def of(self, sample: str) -> str:
        """The name of a sample, ``data`` or ``mc``."""
        return self.recorded if sample == "data" else "simulation"

    def title(self, what: str) -> str:
        """What a page shows, after the label."""
        return f"{self.label}: {what}" if self.label else what


UNNAMED = Names()


def page(panels: int, title: str, ratios: Sequence[float]) -> tuple[Figure, list[list[Axes]]]:
    """A page of small multiples, each with axes one above the other; below the title is room for a legend."""
    columns = min(COLUMNS, panels)
    rows = -(-panels // columns)
    width, height = 4.8 * columns, 4.8 * rows + 1.5
    with mpl.rc_context(SMALL):
        figure = Figure(figsize=(width, height))
        figure.text(0.9 / width, 1 - 0.35 / height, title, fontsize=20, va="center")
        margins = {"left": 0.9 / width, "right": 1 - 0.2 / width, "bottom": 0.8 / height, "top": 1 - 1.5 / height}
        grid = figure.add_gridspec(rows, columns, hspace=0.36, wspace=0.28, **margins)
        grids = [_stack(figure, grid[divmod(panel, columns)], ratios) for panel in range(panels)]
    return figure, grids


def _stack(figure: Figure, place: SubplotSpec, ratios: Sequence[float]) -> list[Axes]:
    inner = place.subgridspec(len(ratios), 1, height_ratios=ratios, hspace=0.06)
    top = figure.add_subplot(inner[0])
    top.tick_params(labelbottom=False)
    return [top, *(figure.add_subplot(inner[row], sharex=top) for row in range(1, len(ratios)))]


def legend(figure: Figure, *axes: Axes) -> None:
    """One legend of some axes, below the title of a page."""
    handles, labels = handles_of(axes)
    width, height = figure.get_size_inches()
    place: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (0.8 / width, 1 - 0.8 / height), "borderpad": 0}
    figure.legend(handles, labels, ncols=len(labels), frameon=False, columnspacing=1.2, **place)


def handles_of(axes: Sequence[Axes]) -> tuple[list[Any], list[str]]:
    """Handles and labels of the legends of several axes."""
    found = [ax.get_legend_handles_labels() for ax in axes]
    return [one for handles, _ in found for one in handles], [one for _, labels in found for one in labels]


def bands(ax: Axes, x: Array, centre: Array, sizes: Mapping[str, Array]) -> None:
    """Sources of uncertainty (points,) around a curve (points,), each added in quadrature to those before it."""
    inner = np.zeros_like(centre)
    for name, size in sizes.items():
        outer = np.hypot(inner, np.nan_to_num(size))
        style: dict[str, Any] = {"color": SHADES[name], "lw": 0}
        ax.fill_between(x, centre + inner, centre + outer, label=SOURCES[name], **style)
        ax.fill_between(x, centre - outer, centre - inner, **style)
        inner = outer

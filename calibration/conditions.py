"""Under which conditions the recoil is compared: qT and vertices of data and simulation, and what weights change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ptmiss.plots import AXES, RATIO_RANGE, STYLE, edges_of, filled_range, mark, ratios
from ptmiss.resolutions import moments
from ptmiss.resolutions.moments import Sums
from ptmiss.typing import Array

from .closure import Comparison
from .panels import BACKGROUND, DATA, MC, UNNAMED, Names

WEIGHED = {"before": (BACKGROUND, "no pile-up weights"), "matched": (MC, "pile-up weights")}


def tabulate(comparison: Comparison) -> pd.DataFrame:
    """Data less background, and simulation scaled to as many events, in bins of qT and of vertices, with errors.

    ``before`` is simulation as it comes, ``matched`` with pile-up weights; ``ratio_before`` and ``ratio_matched`` are
    data over each. No weights of qT are applied: u∥ of all events follows the spectrum of qT. In qT bins of a plateau
    may cut others.
    """
    estimator = comparison.estimators[0]
    found = {"data": comparison.data, "before": comparison.mc, "matched": comparison.matched}
    sums = {name: moments.sums(histograms["moments"], estimator) for name, histograms in found.items()}
    return pd.concat([_along(sums, axis) for axis in AXES], ignore_index=True)


def _along(sums: Mapping[str, Sums], axis: str) -> pd.DataFrame:
    binning = sums["data"].binning
    edges = np.array([edge for edge in binning.qt_stored if edge <= binning.qt[-1]] if axis == "qt" else binning.npv)
    of_bins = {name: [part[: len(edges) - 1] for part in _bins(one, axis)] for name, one in sums.items()}
    total, (data, data_error) = of_bins["data"][0].sum(), of_bins["data"]
    columns = {"axis": axis, "low": edges[:-1], "high": edges[1:], "data": data, "data_error": data_error}
    for name in WEIGHED:
        value, error = (part * total / of_bins[name][0].sum() for part in of_bins[name])
        ratio = moments.ratio(data, value)
        relative = np.hypot(moments.ratio(data_error, data), moments.ratio(error, value))
        columns |= {name: value, f"{name}_error": error, f"ratio_{name}": ratio}
        columns |= {f"ratio_{name}_error": np.abs(ratio) * relative}
    return pd.DataFrame(columns)


def _bins(sums: Sums, axis: str) -> tuple[Array, Array]:
    """(bins,) sums of weights along an axis of the grid, and their errors; what lies beyond the bins is left out."""
    others = tuple(i for i, name in enumerate(("qt", "npv", "njets")) if name != axis)
    weights, squares = (np.asarray(sums(power)).sum(axis=others)[1:-1] for power in (1, 2))
    return weights, np.sqrt(squares)


def draw(table: pd.DataFrame, names: Names = UNNAMED) -> tuple[Figure, pd.DataFrame]:
    """The figure of a table, and the table."""
    return figure(table, names), table


def figure(table: pd.DataFrame, names: Names = UNNAMED) -> Figure:
    """qT and vertices in data and simulation, and the ratios with and without pile-up weights."""
    with mpl.rc_context(STYLE):
        drawn = Figure(figsize=(18, 10), layout="constrained")
        grid = drawn.subplots(2, 2, sharex="col", gridspec_kw={"height_ratios": (2.2, 1), "hspace": 0.02})
        for column, axis in enumerate(AXES):
            _draw(grid[0, column], grid[1, column], table[table["axis"] == axis], names)
            grid[1, column].set_xlabel(AXES[axis])
        grid[0, 0].set_ylabel("Events / GeV")
        grid[0, 1].set_ylabel("Events / vertex")
        grid[1, 0].set_ylabel(f"{names.recorded.capitalize()} / sim.", fontsize="x-small", loc="center")
        mark(grid[0, 0], names.label)
    return drawn


def _draw(main: Axes, below: Axes, rows: pd.DataFrame, names: Names) -> None:
    edges = edges_of(rows)
    width, centre = np.diff(edges), (edges[1:] + edges[:-1]) / 2
    below.set_xlim(filled_range(edges, rows["data"].to_numpy()))
    for shift, (name, (colour, words)) in zip((-0.15, 0.15), WEIGHED.items(), strict=True):
        main.stairs(rows[name] / width, edges, color=colour, lw=2, label=f"simulation, {words}")
        ratio, error = (rows[column].to_numpy() for column in (f"ratio_{name}", f"ratio_{name}_error"))
        ratios(below, centre + shift * width, ratio, error, RATIO_RANGE, colour)
    points: dict[str, Any] = {"fmt": "o", "color": DATA, "markersize": 5}
    points |= {"label": f"{names.recorded}, background subtracted"}
    main.errorbar(centre, rows["data"] / width, rows["data_error"] / width, **points)
    main.set_ylim(0, 1.45 * main.get_ylim()[1])
    main.legend(fontsize="x-small")
    below.axhline(1, color="0.3", lw=1)
    below.set_ylim(RATIO_RANGE)

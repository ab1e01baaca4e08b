"""Distributions of events."""

from __future__ import annotations

import hist
import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ptmiss.typing import Array

from .resolution import WELL_KNOWN, arrows, axes_of, ratio_to
from .style import GENERATED, STYLE, colour_of, label_of, mark, reference_of, whole

OUTSIDE = 0.001  # of the events on either side lie outside of the figure


def spectrum_rows(histogram: hist.Hist) -> pd.DataFrame:
    """Events in each bin of (estimator, value), with errors. The last row of an estimator is the overflow."""
    names, axis = list(histogram.axes["estimator"]), histogram.axes[1]
    edges = [*map(float, axis.edges), np.inf]
    rows = []
    for name in names:
        view = histogram[{"estimator": hist.loc(name)}].view(flow=True)[1:]
        for low, high, cell in zip(edges, edges[1:], view, strict=False):
            found = {"events": float(cell["value"]), "events_error": float(np.sqrt(cell["variance"]))}
            rows.append({"estimator": name, "axis": axis.name, "low": low, "high": high, **found})
    return pd.DataFrame(rows)


def spectrum(rows: pd.DataFrame, title: str, label: str = "") -> Figure:
    """The spectrum of every estimator per GeV, and below it the ratio to that of PF, with errors; the truth is grey."""
    rows = per_gev(rows[np.isfinite(rows["high"])])
    estimators = [name for name in rows["estimator"].unique() if name != GENERATED]
    with mpl.rc_context(STYLE):
        ((main, below),) = axes_of(1, 1, ratio=True)
        for name in rows["estimator"].unique():
            one = rows[rows["estimator"] == name]
            if name == GENERATED:
                main.stairs(one["density"], edges_of(one), fill=True, color="0.85", label=label_of(name), zorder=0)
                continue
            outline(main, one, "density", colour_of(name, estimators), label_of(name))
            outline(below, one, "ratio", colour_of(name, estimators))
        weighted = not np.allclose(rows["events"], rows["events_error"] ** 2, rtol=1e-3, atol=1e-6)
        main.set(ylabel="Sum of weights / GeV" if weighted else "Events / GeV", ylim=(0, 1.35 * main.get_ylim()[1]))
        main.set_xlim(shown_range(rows))
        main.tick_params(labelbottom=False)
        main.legend(fontsize="x-small", ncols=2, loc="upper right")
        below.set(ylim=(0, 2), xlabel=title)
        below.set_ylabel(f"Ratio to {label_of(reference_of(estimators))}", fontsize="x-small", loc="center")
        mark(main, label)
    return whole(main)


def per_gev(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of a spectrum with ``density`` and the ratio to the reference, where that is known well enough."""
    width = rows["high"] - rows["low"]
    rows = ratio_to(rows.assign(density=rows["events"] / width, density_error=rows["events_error"] / width), "events")
    known = np.maximum(rows["ratio_error"], rows["reference_error"]) < WELL_KNOWN
    return rows.assign(ratio=rows["ratio"].where(known), ratio_error=rows["ratio_error"].where(known))


def ratios(ax: Axes, x: Array, values: Array, errors: Array, limits: tuple[float, float], colour: str) -> None:
    """Data over simulation as points with errors, (points,); of those beyond the frame the well known are arrows."""
    known, inside = errors < WELL_KNOWN, (values >= limits[0]) & (values <= limits[1])
    shown = known | (inside & np.isfinite(errors))
    ax.errorbar(x[shown], values[shown], errors[shown], fmt="o", color=colour, markersize=5)
    arrows(ax, x[known], values[known], limits, colour)


def edges_of(rows: pd.DataFrame) -> Array:
    """(bins + 1,) edges of the bins of these rows."""
    return np.append(rows["low"].to_numpy(float), rows["high"].iloc[-1])


def outline(ax: Axes, rows: pd.DataFrame, quantity: str, colour: str, label: str | None = None) -> None:
    """A quantity as a line in steps, within a band of its errors."""
    value, error = rows[quantity].to_numpy(float), rows[f"{quantity}_error"].to_numpy(float)
    ax.stairs(value, edges_of(rows), baseline=None, lw=2, color=colour, label=label)
    ax.stairs(value + error, edges_of(rows), baseline=value - error, fill=True, alpha=0.3, color=colour)


def shown_range(rows: pd.DataFrame) -> tuple[float, float]:
    """Where all but ``OUTSIDE`` of the events are on either side, of all estimators together."""
    counts = rows.groupby("low")["events"].sum()
    return filled_range(np.append(counts.index, rows["high"].max()), counts.to_numpy())


def filled_range(edges: Array, counts: Array) -> tuple[float, float]:
    """Where all but ``OUTSIDE`` of the events are on either side; of all bins if there are none.

    edges: (bins + 1,); counts: (bins,).
    """
    total = counts.sum()
    if not total > 0:
        return float(edges[0]), float(edges[-1])
    first, last = np.searchsorted(np.cumsum(counts) / total, (OUTSIDE, 1 - OUTSIDE))
    return float(edges[first]), float(edges[min(last, len(counts) - 1) + 1])

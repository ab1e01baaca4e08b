"""Data of a run over its simulation: spectra of an estimator, the stacked datasets, and the band of their uncertainty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import hist
import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ptmiss import normalisation
from ptmiss.errors import LedgerError, OptionError
from ptmiss.plots import MARGINS, STYLE, label_of
from ptmiss.results import RunResult

NOMINAL = "nominal"
SPECTRA = ("u_par", "u_perp", "met", "met_phi", "mt")
FILLS = ("#8fbbda", "#f3c178", "#a6d8c3", "#e3b9d0", "#c9c9c9", "#f2e58f")
LEAST_ERROR = 0.5  # a ratio with a larger error is in the table but not in the figure
OUTSIDE = 0.001  # of the data on either side lie outside of the figure


class Stack(NamedTuple):
    """What is compared. data: histograms by name, summed; simulation: of each dataset, scaled; scaling: how, in words."""

    data: Mapping[str, hist.Hist]
    simulation: Mapping[str, Mapping[str, hist.Hist]]
    scaling: str


def of_run(result: RunResult) -> Stack | None:
    """The data and the simulation of a run; None unless there are both.

    Simulation is scaled to the luminosity where data state one and all simulation a cross section, and else, all of it
    by one factor for each histogram, to as many events as the data.
    """
    about = result.manifest["datasets"]
    data = [name for name in result.histograms if about[name]["metadata"].get("kind") == "data"]
    simulated = [name for name in result.histograms if name not in data]
    if not data or not simulated:
        return None
    recorded = {which: sum_of([result.histograms[name][which] for name in data]) for which in shared(result)}
    factors, scaling = normalised({name: about[name] for name in simulated}, {name: about[name] for name in data})
    scaled = {name: {which: result.histograms[name][which] * factors[name] for which in recorded} for name in simulated}
    return Stack(recorded, scaled, scaling)


def shared(result: RunResult) -> list[str]:
    """Spectra that all datasets have."""
    return [which for which in SPECTRA if all(which in histograms for histograms in result.histograms.values())]


def sum_of(histograms: list[hist.Hist]) -> hist.Hist:
    """Their sum."""
    total = histograms[0].copy()
    for other in histograms[1:]:
        total += other
    return total


def normalised(simulation: Mapping[str, Any], data: Mapping[str, Any]) -> tuple[dict[str, float], str]:
    """Factor of each simulated dataset, and how it was found; datasets are those of a manifest."""
    try:
        factors = {name: normalisation.factor(name, about, 1.0, rescale=True) for name, about in simulation.items()}
    except (OptionError, LedgerError):
        return dict.fromkeys(simulation, 1.0), "simulation scaled to the data"
    try:
        luminosity = sum(normalisation.luminosity(name, about, rescale=True) for name, about in data.items())
    except (OptionError, LedgerError):
        return factors, "simulation scaled to the data"
    return {name: factor * luminosity for name, factor in factors.items()}, f"{luminosity:.3g} fb$^{{-1}}$"


def rows(stack: Stack, which: str, estimator: str) -> pd.DataFrame:
    """Data, each simulated dataset, all of them, and their ratio in bins, with errors.

    ``simulation_error`` is that of the simulated events; ``systematic`` is relative to the simulation: the quadratic sum of
    the shifts of all systematics, where up and down count half each.
    """
    data = coarse(stack.data[which], estimator, NOMINAL)
    parts = {name: coarse(h[which], estimator, NOMINAL) for name, h in stack.simulation.items()}
    total = sum_of(list(parts.values()))
    scale = 1.0 if stack.scaling.endswith("$") else data.sum().value / max(total.sum().value, 1e-300)
    nominal, count, edges = total.values() * scale, data.values(), data.axes[0].edges
    safe = np.where(nominal > 0, nominal, np.nan)
    error = np.sqrt(data.variances())
    return pd.DataFrame(
        {
            "estimator": estimator, "axis": which, "low": edges[:-1], "high": edges[1:],
            "data": count, "data_error": error,
            **{name: h.values() * scale for name, h in parts.items()},
            "simulation": nominal, "simulation_error": np.sqrt(total.variances()) * scale,
            "systematic": shifted(stack, which, estimator, scale) / safe,
            "ratio": count / safe, "ratio_error": error / safe,
        }
    )  # fmt: skip


def coarse(histogram: hist.Hist, estimator: str, systematic: str) -> hist.Hist:
    """One spectrum, in bins of twice the width."""
    return histogram[{"estimator": estimator, "systematic": systematic}][:: hist.rebin(2)]


def shifted(stack: Stack, which: str, estimator: str, scale: float) -> NDArray[np.float64]:
    """Size of all systematics of the simulation in events of each bin."""
    histograms = [h[which] for h in stack.simulation.values()]
    names = {name for h in histograms for name in h.axes["systematic"]}
    squares = 0.0 * coarse(histograms[0], estimator, NOMINAL).values()
    for name in sorted(names - {NOMINAL}):
        moved = sum(varied(h, estimator, name) for h in histograms)
        squares += np.square(scale * moved) / (2 if name.endswith(("_up", "_down")) else 1)
    return np.sqrt(squares)


def varied(histogram: hist.Hist, estimator: str, systematic: str) -> NDArray[np.float64]:
    """How a systematic moves events between bins; not at all where a dataset does not have it."""
    nominal = coarse(histogram, estimator, NOMINAL).values()
    if systematic not in histogram.axes["systematic"]:
        return np.zeros_like(nominal)
    return coarse(histogram, estimator, systematic).values() - nominal


def figure(table: pd.DataFrame, title: str, scaling: str, label: str = "") -> Figure:
    """Data over the stack, and their ratio with the band of the simulation's uncertainty."""
    columns = list(table.columns)
    names = columns[columns.index("data_error") + 1 : columns.index("simulation")]
    with mpl.rc_context(STYLE):
        drawn = Figure(figsize=(10, 10))
        drawn.subplots_adjust(**MARGINS)
        main, below = drawn.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        edges = np.append(table["low"].to_numpy(), table["high"].iloc[-1])
        stacked(main, table, names, edges)
        ratio(below, table, edges)
        main.legend(title=label_of(table["estimator"].iloc[0]), fontsize="x-small", title_fontsize="x-small", ncols=2)
        below.set_xlabel(title)
        main.text(0, 1.01, ", ".join(filter(None, [label, scaling])), transform=main.transAxes, fontsize="small")
    return drawn


def stacked(ax: Axes, table: pd.DataFrame, names: list[str], edges: NDArray[np.float64]) -> None:
    """The datasets, the largest on top, the band around their sum, and the data."""
    base = np.zeros(len(table))
    for number, name in enumerate(sorted(names, key=lambda n: table[n].sum())):
        top = base + table[name].to_numpy()
        ax.stairs(top, edges, baseline=base, fill=True, color=FILLS[number % len(FILLS)], label=name)
        base = top
    size = base * band(table)
    ax.stairs(base + size, edges, baseline=base - size, fill=True, color="none", hatch="////", label="uncertainty")
    centre = (edges[1:] + edges[:-1]) / 2
    ax.errorbar(centre, table["data"], table["data_error"], fmt="o", color="black", markersize=5, label="data")
    ax.set_ylabel("Events")
    ax.set_ylim(0, 1.4 * max(table["data"].max(), base.max()))


def ratio(ax: Axes, table: pd.DataFrame, edges: NDArray[np.float64]) -> None:
    """Data over simulation; the band is the simulation's uncertainty."""
    size, centre = band(table), (edges[1:] + edges[:-1]) / 2
    ax.stairs(1 + size, edges, baseline=1 - size, fill=True, color="0.8")
    good = (table["ratio_error"] < LEAST_ERROR).to_numpy()
    points = table["ratio"][good], table["ratio_error"][good]
    ax.errorbar(centre[good], *points, fmt="o", color="black", markersize=5)
    ax.axhline(1, color="0.3", lw=1)
    ax.set_ylim(0.55, 1.45)
    ax.set_ylabel("Data / sim.", fontsize="small")
    share = table["data"].cumsum() / max(table["data"].sum(), 1e-300)
    shown = np.flatnonzero(share.between(OUTSIDE, 1 - OUTSIDE))
    if len(shown):
        ax.set_xlim(edges[shown[0]], edges[min(shown[-1] + 2, len(table))])


def band(table: pd.DataFrame) -> NDArray[np.float64]:
    """(bins,) uncertainty of the simulation relative to it: that of its events and all systematics."""
    nominal = table["simulation"].to_numpy()
    events = np.divide(table["simulation_error"], nominal, out=np.zeros(len(table)), where=nominal > 0)
    return np.hypot(events, np.nan_to_num(table["systematic"].to_numpy()))

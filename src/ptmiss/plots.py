"""Figures of response and resolution, in one style: each estimator has one colour everywhere, each figure a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import hist
import matplotlib as mpl
import mplhep
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = {
    "pf": "#000000",
    "puppi": "#d55e00",
    "track": "#999999",
    "deepmet": "#0072b2",
    "deepmet_response": "#56b4e9",
    "deepmet_v2": "#004d80",
    "linear": "#e69f00",
    "mlpf": "#009e73",
    "mlpf_puppi": "#cc79a7",
    "deepmet_mlpf": "#332288",
    "elements": "#a6761d",
    "elements_puppi": "#d9a55b",
    "targets": "#7570b3",
    "targets_puppi": "#b3a2d9",
}
"""Okabe and Ito's palette: told apart by the colour-blind too."""
OTHERS = ("#8c564b", "#7b3294", "#5e5e5e", "#b2182b", "#4d9221")
MARKERS = ("o", "s", "^", "v", "D", "P", "X", "<", ">")
NAMES = {
    "pf": "PF",
    "puppi": "PUPPI",
    "track": "Track",
    "deepmet": "DeepMET",
    "deepmet_response": "DeepMET response",
    "deepmet_v2": "DeepMET v2",
    "linear": "Linear, 64 weights",
    "mlpf": "MLPF",
    "mlpf_puppi": "MLPF + PUPPI",
    "deepmet_mlpf": "DeepMET on MLPF",
    "elements": "Elements",
    "elements_puppi": "Elements + PUPPI",
    "targets": "Ideal targets",
    "targets_puppi": "Ideal targets + PUPPI",
    "generated": "Generated",
}
AXES = {"qt": r"$q_\mathrm{T}$ (GeV)", "npv": "Number of primary vertices"}
QUANTITIES = {
    "response": r"Response $\langle u_\parallel\rangle / \langle q_\mathrm{T}\rangle$",
    "rms_par": r"RMS of $u_\parallel - q_\mathrm{T}$ (GeV)",
    "rms_perp": r"RMS of $u_\perp$ (GeV)",
    "quantile_par": r"Half 68 % width of $u_\parallel - q_\mathrm{T}$ (GeV)",
    "quantile_perp": r"Half 68 % width of $u_\perp$ (GeV)",
}
PLAIN = {
    "response": "Response",
    "rms_par": "RMS of u∥ - qT",
    "rms_perp": "RMS of u⊥",
    "quantile_par": "Half 68 % width of u∥ - qT",
    "quantile_perp": "Half 68 % width of u⊥",
    "qt": "qT",
    "npv": "vertices",
}
"""The same in words, for titles."""
OVERVIEW = (("response", "qt"), ("rms_par", "qt"), ("rms_perp", "npv"))
CORRECTED = {
    "none": "no response correction",
    "plateau": "plateau response corrected",
    "bin": "response corrected in bins",
}
STYLE = {**mplhep.style.CMS, "mathtext.cal": "sans", "svg.hashsalt": "ptmiss"}
MARGINS = {"left": 0.14, "right": 0.96, "bottom": 0.11, "top": 0.94, "hspace": 0.06}
"""Of figures with one column; to find them for each doubles the time that a page takes to draw."""
MINIMUM_EVENTS = 10  # effective events; a point with fewer is in the table but not in the figure


def label_of(estimator: str) -> str:
    """An estimator's name in a legend."""
    return NAMES.get(estimator, estimator.removeprefix("stored.").replace("$", r"\$"))


def colour_of(estimator: str, among: Sequence[str]) -> str:
    """An estimator's colour: its own, or for others the next free one."""
    others = [name for name in among if name not in COLOURS]
    return COLOURS.get(estimator) or OTHERS[others.index(estimator) % len(OTHERS)]


def resolution_figures(
    table: pd.DataFrame, directory: Path, formats: Iterable[str] = ("png",), label: str = ""
) -> list[Path]:
    """Draw the overview, response vs qT, and every resolution vs qT and nPV; return the files, the overview first."""
    table = table[table["region"] == "inclusive"]
    single = [("response", "qt"), *((q, axis) for axis in AXES for q in QUANTITIES if q != "response")]
    paths = save(panels(table, OVERVIEW, label), directory / "overview", formats)
    for quantity, axis in single:
        paths += save(panels(table, [(quantity, axis)], label), directory / f"{quantity}_vs_{axis}", formats)
    return paths


def panels(table: pd.DataFrame, wanted: Sequence[tuple[str, str]], label: str = "") -> Figure:
    """Quantities of every estimator against qT or nPV, three in a row."""
    columns = min(len(wanted), 3)
    rows = -(-len(wanted) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9 * columns, 8 * rows), layout="constrained" if columns > 1 else None)
        if columns == 1:
            figure.subplots_adjust(**MARGINS)
        for ax, (quantity, axis) in zip(figure.subplots(rows, columns, squeeze=False).flat, wanted, strict=False):
            draw(ax, table[table["axis"] == axis], quantity, axis)
        if label:
            figure.axes[0].text(0, 1.01, label, transform=figure.axes[0].transAxes, va="bottom", fontsize="small")
    return figure


def draw(ax: Axes, table: pd.DataFrame, quantity: str, axis: str) -> None:
    """One quantity of every estimator with errors and a legend."""
    estimators = list(table["estimator"].unique())
    shown = table[table["n_eff"] >= MINIMUM_EVENTS]
    for number, estimator in enumerate(estimators):
        rows = shown[shown["estimator"] == estimator]
        points(ax, rows, quantity, MARKERS[number % len(MARKERS)], colour_of(estimator, estimators))
    ax.set_xlabel(AXES[axis])
    ax.set_ylabel(QUANTITIES[quantity])
    low, high = ax.get_ylim()
    if quantity == "response":
        ax.axhline(1, color="0.6", lw=1, zorder=0)
        ax.set_ylim(low, high + 0.3 * (high - low))
        title = None
    else:
        ax.set_ylim(0, 1.4 * high)
        title = CORRECTED[table["correction"].iloc[0]]
    if len(shown):
        ax.legend(title=title, fontsize="x-small", title_fontsize="x-small", loc="upper left", ncols=2)
    else:
        ax.text(0.5, 0.5, f"no bin has {MINIMUM_EVENTS} events", transform=ax.transAxes, ha="center")


def points(ax: Axes, rows: pd.DataFrame, quantity: str, marker: str, colour: str, shift: float = 0.0) -> None:
    """One estimator's points, with the bins as horizontal bars; shifted by a share of half the bin."""
    low, high = rows["low"].to_numpy(), rows["high"].to_numpy()
    centre = (low + high + shift * (high - low)) / 2
    ax.errorbar(
        centre,
        rows[quantity].to_numpy(),
        xerr=np.stack([centre - low, high - centre]),
        yerr=rows[f"{quantity}_error"].to_numpy(),
        fmt=marker,
        markersize=7,
        color=colour,
        label=label_of(rows["estimator"].iloc[0]) if len(rows) else None,
    )


def spectrum_rows(histogram: hist.Hist) -> pd.DataFrame:
    """Events in each bin of (estimator, value), with errors; what lies beyond is the last row of an estimator."""
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
    """The spectrum of every estimator, and its ratio to the first's below."""
    rows = rows[np.isfinite(rows["high"])]
    estimators = list(rows["estimator"].unique())
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 10))
        figure.subplots_adjust(**MARGINS)
        main, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        first = rows[rows["estimator"] == estimators[0]]["events"].to_numpy()
        for name in estimators:
            one = rows[rows["estimator"] == name]
            edges = np.append(one["low"], one["high"].iloc[-1])
            colour, counts, error = (
                colour_of(name, estimators),
                one["events"].to_numpy(),
                one["events_error"].to_numpy(),
            )
            main.stairs(counts, edges, color=colour, lw=2, label=label_of(name))
            main.stairs(counts + error, edges, baseline=counts - error, fill=True, color=colour, alpha=0.2)
            below.stairs(
                np.divide(counts, first, np.full_like(counts, np.nan), where=first > 0), edges, color=colour, lw=2
            )
        main.set_ylabel("Events")
        main.set_ylim(0, 1.3 * main.get_ylim()[1])
        main.legend(fontsize="x-small", ncols=2)
        below.set_ylabel(f"Ratio to {label_of(estimators[0])}", fontsize="small")
        below.set_ylim(0.4, 1.6)
        below.set_xlabel(title)
        if label:
            main.text(0, 1.01, label, transform=main.transAxes, va="bottom", fontsize="small")
    return figure


def save(figure: Figure, stem: Path, formats: Iterable[str]) -> list[Path]:
    """Save a figure in each format; return the files."""
    paths = [stem.with_name(f"{stem.name}.{form}") for form in formats]
    with mpl.rc_context(STYLE):
        for path in paths:
            figure.savefig(path, dpi=120)
    return paths

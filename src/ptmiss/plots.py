"""Figures of response and resolution, in one style: each estimator has one colour everywhere, each figure a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

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
    "mlpf": "#009e73",
    "mlpf_puppi": "#cc79a7",
}
"""Okabe and Ito's palette: told apart by the colour-blind too."""
OTHERS = ("#e69f00", "#8c564b", "#7b3294", "#5e5e5e", "#b2182b", "#4d9221")
MARKERS = ("o", "s", "^", "v", "D", "P", "X", "<", ">")
NAMES = {
    "pf": "PF",
    "puppi": "PUPPI",
    "track": "Track",
    "deepmet": "DeepMET",
    "deepmet_response": "DeepMET response",
    "mlpf": "MLPF",
    "mlpf_puppi": "MLPF + PUPPI",
}
AXES = {"qt": r"$q_\mathrm{T}$ (GeV)", "npv": "Number of primary vertices"}
QUANTITIES = {
    "response": r"Response $\langle u_\parallel\rangle / \langle q_\mathrm{T}\rangle$",
    "rms_par": r"RMS of $u_\parallel - q_\mathrm{T}$ (GeV)",
    "rms_perp": r"RMS of $u_\perp$ (GeV)",
    "quantile_par": r"Half 68 % width of $u_\parallel - q_\mathrm{T}$ (GeV)",
    "quantile_perp": r"Half 68 % width of $u_\perp$ (GeV)",
}
CORRECTED = {
    "none": "no response correction",
    "plateau": "plateau response corrected",
    "bin": "response corrected in bins",
}
MINIMUM_EVENTS = 10  # effective events; a point with fewer is in the table but not in the figure


def label_of(estimator: str) -> str:
    """An estimator's name in a legend."""
    return NAMES.get(estimator, estimator.removeprefix("stored."))


def colour_of(estimator: str, among: Sequence[str]) -> str:
    """An estimator's colour: its own, or for others the next free one."""
    others = [name for name in among if name not in COLOURS]
    return COLOURS.get(estimator) or OTHERS[others.index(estimator) % len(OTHERS)]


def resolution_figures(
    table: pd.DataFrame, directory: Path, formats: Iterable[str] = ("png",), label: str = ""
) -> list[Path]:
    """Draw response vs qT and every resolution vs qT and nPV for the inclusive region; return the files."""
    inclusive = table[table["region"] == "inclusive"]
    wanted = [("response", "qt")] + [(q, axis) for axis in AXES for q in QUANTITIES if q != "response"]
    return [
        path
        for quantity, axis in wanted
        for path in save(curve(inclusive, quantity, axis, label), directory / f"{quantity}_vs_{axis}", formats)
    ]


def curve(table: pd.DataFrame, quantity: str, axis: str, label: str = "") -> Figure:
    """One quantity of every estimator against qT or nPV, with errors."""
    with mpl.rc_context(mplhep.style.CMS):
        figure = Figure(figsize=(9, 8), layout="constrained")
        ax = figure.add_subplot()
        estimators = list(table["estimator"].unique())
        for number, estimator in enumerate(estimators):
            chosen = (table["estimator"] == estimator) & (table["axis"] == axis) & (table["n_eff"] >= MINIMUM_EVENTS)
            _points(ax, table[chosen], quantity, number, estimator, estimators)
        if quantity == "response":
            ax.axhline(1, color="0.6", lw=1, zorder=0)
        else:
            ax.set_ylim(bottom=0)
        ax.set_xlabel(AXES[axis])
        ax.set_ylabel(QUANTITIES[quantity])
        ax.margins(y=0.25)
        _caption(ax, table, quantity, label)
    return figure


def _points(ax: Axes, rows: pd.DataFrame, quantity: str, number: int, estimator: str, among: Sequence[str]) -> None:
    low, high = rows["low"].to_numpy(), rows["high"].to_numpy()
    centre = (low + high) / 2
    ax.errorbar(
        centre,
        rows[quantity].to_numpy(),
        xerr=np.stack([centre - low, high - centre]),
        yerr=rows[f"{quantity}_error"].to_numpy(),
        fmt=MARKERS[number % len(MARKERS)],
        markersize=7,
        color=colour_of(estimator, among),
        label=label_of(estimator),
    )


def _caption(ax: Axes, table: pd.DataFrame, quantity: str, label: str) -> None:
    if label:
        ax.text(0, 1.01, label, transform=ax.transAxes, va="bottom", fontsize="small")
    kind = table["correction"].iloc[0]
    title = None if quantity == "response" else CORRECTED[kind]
    ax.legend(title=title, fontsize="x-small", title_fontsize="x-small", loc="best")


def save(figure: Figure, stem: Path, formats: Iterable[str]) -> list[Path]:
    """Save a figure in each format; return the files."""
    paths = [stem.with_name(f"{stem.name}.{form}") for form in formats]
    with mpl.rc_context({"svg.hashsalt": "ptmiss"}):
        for path in paths:
            figure.savefig(path, dpi=120)
    return paths

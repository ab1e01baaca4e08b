"""How alike simulation and data are, before and after a joint map: by a classifier, and in correlations.

The spectra of qT and nJets of simulation are brought to those of data first, since no map changes them. What is left is
the recoil, of all components together with what they depend on.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ptmiss.calibration.panels import DATA, FIT, MC, Names
from ptmiss.models.recoilflow.events import Events
from ptmiss.plots import STYLE, label_of, mark, save
from ptmiss.typing import Array

from .derivation import FlowCalibration, marginal

NONE, GAUSSIANS, FLOW = MAPS = "none", "double Gaussians", "flow"
STYLES = dict(zip(MAPS, ((MC, "s"), (FIT, "^"), ("#009e73", "o")), strict=True))  # colour and marker
SLICES = 20  # of qT, with as many events each


class Agreement(NamedTuple):
    """areas: of each map the classifier's area and its error; correlations: of each pair in data and after each map."""

    areas: pd.DataFrame
    correlations: pd.DataFrame


def measure(calibration: FlowCalibration, events: Events) -> Agreement:
    """Compare data with simulation after each map; events: those to compare, best such that the maps have not seen."""
    from ptmiss.models.classifier import separate

    joint, data, mc = calibration.joint, events.select(events.data), events.select(~events.data)
    given = joint.estimators, mc.u, mc.context, joint.context
    moved = {NONE: mc.u, GAUSSIANS: marginal(calibration, *given), FLOW: joint(mc.u, mc.context)}
    weights = data.weights, mc.weights * match(mc, data, joint.context)
    recorded, rows = np.column_stack([data.u, data.context]), []
    for name, u in moved.items():
        found = separate(np.column_stack([u, mc.context]), recorded, (weights[1], weights[0]))
        rows.append({"map": name, "area": found.auc, "area_error": found.error})
    columns = {"data": (data.u, weights[0])} | {name: (u, weights[1]) for name, u in moved.items()}
    return Agreement(pd.DataFrame(rows), correlations(columns, joint.features))


def match(mc: Events, data: Events, names: Sequence[str]) -> Array:
    """(events,) factors of simulated events that give their spectra of qT and nJets those of data."""
    qt = list(names).index("qt")
    edges = np.quantile(mc.context[:, qt], np.linspace(0, 1, SLICES + 1)[1:-1])

    def cell(events: Events) -> Array:
        jets = events.context[:, list(names).index("njets")].clip(max=2) if "njets" in names else 0.0
        return np.asarray(np.searchsorted(edges, events.context[:, qt]) + SLICES * jets, np.int64)

    wanted, there = (np.bincount(cell(e), e.weights, 3 * SLICES).clip(min=0) for e in (data, mc))
    return np.divide(wanted, there, out=np.ones_like(wanted), where=there > 0)[cell(mc)]


def correlations(samples: dict[str, tuple[Array, Array]], features: Sequence[str]) -> pd.DataFrame:
    """The correlation of each pair of components in each sample of (u, weights), and the error of that in data."""
    found = {name: matrix(u, w) for name, (u, w) in samples.items()}
    rows = []
    for first, second in combinations(range(len(features)), 2):
        values = {name: of[first, second] for name, of in found.items()}
        w = samples["data"][1]
        error = (1 - values["data"] ** 2) * np.sqrt(np.sum(w**2)) / w.sum()
        rows.append({"first": features[first], "second": features[second], **values, "data_error": error})
    return pd.DataFrame(rows)


def matrix(u: Array, weights: Array) -> Array:
    """(features, features) correlations of weighted events; weights may be negative."""
    away = u - np.average(u, axis=0, weights=weights)
    covariance = (weights[:, np.newaxis] * away).T @ away
    spread = np.sqrt(np.diag(covariance))
    return covariance / np.outer(spread, spread)


def write(agreement: Agreement, directory: Path, names: Names) -> None:
    """Both tables, and the figure of both."""
    agreement.areas.to_csv(directory / "joint.csv", index=False, float_format="%.5g")
    agreement.correlations.to_csv(directory / "joint_correlations.csv", index=False, float_format="%.5g")
    save(draw(agreement, names), directory / "joint", ("png", "svg"))


def draw(agreement: Agreement, names: Names) -> Figure:
    """The areas of the classifier, and the correlations less those of data."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(18, 10), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(2, 3))
        _areas(left, agreement.areas)
        _correlations(right, agreement.correlations, names)
        mark(left, names.label)
    return figure


def _areas(ax: Axes, areas: pd.DataFrame) -> None:
    columns = (areas[name].tolist() for name in ("map", "area", "area_error"))
    for number, (name, area, error) in enumerate(zip(*columns, strict=True)):
        colour, marker = STYLES[name]
        ax.errorbar(area, number, xerr=error, fmt=marker, color=colour, markersize=12, capsize=4)
    ax.axvline(0.5, color=DATA, lw=1)
    ax.set_yticks(range(len(areas)), [{NONE: "no map"}.get(name, name) for name in areas["map"]])
    ax.set_ylim(len(areas) - 0.5, -0.5)
    ax.set_xlabel("Area under a classifier's curve")
    ax.tick_params(axis="y", which="minor", left=False, right=False)


def _correlations(ax: Axes, table: pd.DataFrame, names: Names) -> None:
    rows, of_data = np.arange(len(table)), f"error of {names.recorded}"
    ax.barh(rows, 2 * table["data_error"], left=-table["data_error"], color="#d0d0d0", label=of_data)
    for number, (name, (colour, marker)) in enumerate(STYLES.items()):
        shifted = rows + 0.22 * (number - 1)
        label = {NONE: "no map"}.get(name, name)
        ax.plot(table[name] - table["data"], shifted, marker, color=colour, markersize=9, label=label)
    pairs = [f"{_short(a)}, {_short(b)}" for a, b in zip(table["first"], table["second"], strict=True)]
    ax.set_yticks(rows, pairs, fontsize="xx-small")
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.axvline(0, color=DATA, lw=1)
    ax.set_xlabel(f"Correlation less that of {names.recorded}")
    ax.tick_params(axis="y", which="minor", left=False, right=False)
    ax.legend(fontsize="x-small", loc="best")


def _short(feature: str) -> str:
    """The estimator of a component and whether it is along the boson or across."""
    estimator, _, component = feature.rpartition("_u_")
    return rf"{label_of(estimator)} $_\{'parallel' if component == 'par' else 'perp'}$"

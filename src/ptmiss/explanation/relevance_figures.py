"""Figures of the relevance of elements for candidates of MLPF."""

from __future__ import annotations

from functools import partial

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ptmiss.elements import TYPES
from ptmiss.plots import STYLE, TYPE_COLOURS, grid, mark

COLOURS = {"itself": "0.75"} | {TYPES[code]: colour for code, colour in TYPE_COLOURS.items()}
RINGS = ("#0072b2", "#56b4e9", "#e69f00", "#d55e00")
TITLES = {"class": "the class", "pt": r"$p_\mathrm{T}$"}
MOST_INPUTS = 20
LARGEST = 3000  # area of a point with all of the relevance
LEAST_SHARE = 0.002


def of_sources(table: pd.DataFrame, label: str = "") -> Figure:
    """Whose relevance it is: the own element's, others' by type, and others' by distance."""
    quantities = list(table["quantity"].unique())
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(22, 14), layout="constrained")
        axes = figure.subplots(2, len(quantities), squeeze=False, sharex=True, sharey=True)
        for column, quantity in enumerate(quantities):
            for row, level in enumerate(("type", "distance")):
                rows = table[(table["quantity"] == quantity) & table["level"].isin(["itself", level])]
                stack(axes[row, column], rows)
            axes[1, column].set_xlabel(f"Share of the relevance for {TITLES[quantity]}")
        for row in axes:
            row[-1].legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5))
        mark(axes[0, 0], label)
    return figure


def stack(ax: Axes, rows: pd.DataFrame) -> None:
    """A bar for each class of candidates, made of its sources, with the error of each source's end."""
    candidates, sources = list(rows["candidate"].unique()), list(rows["source"].unique())
    left, rings = np.zeros(len(candidates)), iter(RINGS)
    for source in sources:
        own = rows[rows["source"] == source].set_index("candidate").reindex(candidates)
        share, error = own["share"].to_numpy(), own["share_error"].to_numpy()
        colour = COLOURS.get(source) or next(rings)
        ax.barh(candidates, share, left=left, xerr=error, color=colour, label=source, error_kw={"lw": 1})
        left = left + share
    ax.set_xlim(0, 1.02)
    ax.set_ylim(len(candidates) - 0.4, -0.6)


def of_features(table: pd.DataFrame, label: str = "") -> Figure:
    """Shares of the inputs with the largest ones, of the own element and of others, by class of candidates."""
    whole = table["itself"] + table["others"]
    names = list(whole.groupby(table["input"]).max().nlargest(MOST_INPUTS).index)
    panels = [(quantity, whose) for quantity in table["quantity"].unique() for whose in ("itself", "others")]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(30, 15), layout="constrained")
        axes = figure.subplots(1, len(panels), sharey=True)
        for ax, (quantity, whose) in zip(axes, panels, strict=True):
            rows = table[table["quantity"] == quantity]
            candidates = list(rows["candidate"].unique())
            cells = 100 * rows.pivot(index="input", columns="candidate", values=whose).loc[names, candidates]
            ax.imshow(cells, cmap="Blues", vmin=0, vmax=15, aspect="auto")
            for i, j in np.ndindex(cells.shape):
                value = cells.iat[i, j]
                ax.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize=14, color="w" if value > 9 else "k")
            ax.set_xticks(range(len(candidates)), candidates, rotation=60, ha="right", fontsize="x-small")
            ax.set_yticks(range(len(names)), names, fontsize="x-small")
            ax.tick_params(which="both", length=0)
            ax.set_title(f"{quantity}, {'own element' if whose == 'itself' else 'others'} (%)", fontsize="small")
        figure.suptitle(label, fontsize="small", ha="left", x=0.01)
    return figure


def of_display(table: pd.DataFrame, label: str = "") -> Figure:
    """Elements around the hardest drawn candidate of each class: area by relevance, hollow if against it."""
    draws = [partial(around, rows) for _, rows in table.groupby("candidate", sort=False)]
    return grid(draws, label, "", min(len(draws), 3))


def around(rows: pd.DataFrame, ax: Axes) -> None:
    """The elements around one candidate."""
    for code, colour in TYPE_COLOURS.items():
        some = rows[rows["type"] == code]
        for sign, face in ((1, colour), (-1, "none")):
            own = some[np.sign(some["share"]) == sign]
            area = LARGEST * np.maximum(own["share"].abs(), LEAST_SHARE)
            ax.scatter(own["deta"], own["dphi"], s=area, facecolor=face, edgecolor=colour, lw=2)
        ax.scatter([], [], s=80, color=colour, label=TYPES[code])
    own = rows[rows["own"]]
    ax.plot(own["deta"], own["dphi"], "+", ms=20, mew=2, color="k", label="the candidate's element")
    ax.set_xlim(-0.6, 0.6)
    ax.set_ylim(-0.6, 0.6)
    ax.set_xlabel(r"$\Delta\eta$ at the calorimeter")
    ax.set_ylabel(r"$\Delta\phi$ at the calorimeter")
    first = rows.iloc[0]
    title = f"{first['candidate']}, {first['candidate_pt']:.1f} GeV"
    ax.text(0.04, 0.96, title, transform=ax.transAxes, va="top", fontsize="small")

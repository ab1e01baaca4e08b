"""Figures of an explanation: parts of the recoil, weights against inputs, and what each input is worth."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ptmiss.explanation.dependence import FEATURES, LOGARITHMIC, SORTS
from ptmiss.explanation.parts import AXES
from ptmiss.plots import STYLE, colour_of, label_of, mark, marker_of

DRAWN = ("kind and vertex", "eta", "pt")
LEAST = 0.01  # of response or variance: groups with less are in the table but not in the figure
QUANTITIES = {
    "response": r"Part of the response $\langle u_\parallel\rangle/\langle q_\mathrm{T}\rangle$",
    "share_par": r"Part of the variance of $u_\parallel - r\,q_\mathrm{T}$",
    "share_perp": r"Part of the variance of $u_\perp$",
}
BINS = {"eta": r"$|\eta|$ {}", "pt": r"$p_\mathrm{{T}}$ {} GeV"}
NAMES = {"charged_hadrons": "charged hadrons", "neutral_hadrons": "neutral hadrons", "hf": "HF", "no track": ""}
INPUTS = {
    "pt": r"$p_\mathrm{T}$ (GeV)",
    "eta": r"$\eta$",
    "phi": r"$\phi$",
    "puppiWeight": "PUPPI weight",
    "dz": "dz (cm)",
    "dxy": "dxy (cm)",
    "fromPV": "fromPV",
    "pdgId": "pdgId",
    "mass": "mass",
}
COLOURS = dict(zip(SORTS, ("#0072b2", "#999999", "#e69f00", "#009e73", "#cc79a7"), strict=True))
DIRECTIONS = {"par": (r"$u_\parallel$", "#0072b2"), "perp": (r"$u_\perp$", "#d55e00")}


def of_parts(table: pd.DataFrame, label: str = "") -> Figure:
    """Parts of response and variances by kind and vertex, by abs(η) and by pT, of every estimator."""
    levels = [order(table, level) for level in DRAWN]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(24, 2 + 0.75 * sum(map(len, levels))), layout="constrained")
        heights = [len(names) + 1.5 for names in levels]
        axes = figure.subplots(len(DRAWN), len(QUANTITIES), sharey="row", sharex="col", height_ratios=heights)
        for row, (level, names) in enumerate(zip(DRAWN, levels, strict=True)):
            for column, quantity in enumerate(QUANTITIES):
                bars(axes[row, column], table[table["level"] == level], names, quantity)
        for column, title in enumerate(QUANTITIES.values()):
            axes[-1, column].set_xlabel(title, fontsize="small")
        axes[0, -1].legend(fontsize="x-small", loc="best")
        mark(axes[0, 0], label)
    return figure


def order(table: pd.DataFrame, level: str) -> list[str]:
    """Names of the groups of a level that make a part of the recoil, with the rest as the last."""
    rows = with_names(table[table["level"] == level])
    carried = rows[list(QUANTITIES)].abs().max(axis=1) > LEAST
    rows = rows[rows["name"].isin(rows["name"][carried]) | (rows["name"] == "rest")]
    return list(dict.fromkeys(rows["name"]))


def with_names(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with a ``name`` of what their cells have in common."""
    level = str(rows["level"].iloc[0])
    parts = [[NAMES.get(str(row[axis]), str(row[axis])) for axis in AXES] for _, row in rows.iterrows()]
    told = [", ".join(dict.fromkeys(filter(None, names))) for names in parts]
    return rows.assign(name=[name if name == "rest" else BINS.get(level, "{}").format(name) for name in told])


def bars(ax: Axes, rows: pd.DataFrame, names: Sequence[str], quantity: str) -> None:
    """One quantity of each group, estimators above each other."""
    rows, estimators = with_names(rows), list(rows["estimator"].unique())
    for number, estimator in enumerate(estimators):
        own = rows[rows["estimator"] == estimator].set_index("name").reindex(names)
        place = np.arange(len(names)) + 0.6 * ((number + 0.5) / len(estimators) - 0.5)
        ax.errorbar(
            own[quantity],
            place,
            xerr=own[f"{quantity}_error"],
            fmt=marker_of(estimator, estimators),
            color=colour_of(estimator, estimators),
            label=label_of(estimator),
            markersize=9,
        )
    ax.axvline(0, color="0.6", lw=1, zorder=0)
    ax.set_yticks(range(len(names)), names, fontsize="x-small")
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", which="both", right=False, left=False)
    ax.tick_params(axis="x", labelsize="x-small")
    for line in np.arange(len(names) - 1) + 0.5:
        ax.axhline(line, color="0.9", lw=1, zorder=0)


def of_dependence(table: pd.DataFrame, estimator: str, label: str = "") -> Figure:
    """The weight against each input: turned (lines) and of candidates as they are (points)."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(27, 16), layout="constrained")
        axes = list(figure.subplots(2, 3, sharey=True).flat)
        for ax, feature in zip(axes, FEATURES, strict=True):
            lines(ax, table[table["input"] == feature], feature)
        for ax in axes[::3]:
            ax.set_ylabel(f"Weight of the momentum in {label_of(estimator)}", fontsize="small")
        told = "line: one input turned\npoints: candidates as they are"
        axes[-1].legend(*axes[0].get_legend_handles_labels(), fontsize="x-small", title=told, title_fontsize="x-small")
        mark(axes[0], label)
    return figure


def lines(ax: Axes, rows: pd.DataFrame, feature: str) -> None:
    """One input, a curve a sort."""
    for sort in rows["sort"].unique():
        own, colour = rows[rows["sort"] == sort], COLOURS[sort]
        ax.plot(own["value"], own["weight"], color=colour, lw=3, label=sort.replace("hf", "HF"))
        low, high = own["weight"] - own["weight_error"], own["weight"] + own["weight_error"]
        ax.fill_between(own["value"], low, high, color=colour, alpha=0.25, lw=0)
        ax.errorbar(own["value"], own["mean"], own["mean_error"], fmt="o", ms=5, color=colour, alpha=0.7)
    if feature in LOGARITHMIC:
        ax.set_xscale("log")
    ax.axhline(0, color="0.6", lw=1, zorder=0)
    ax.axhline(1, color="0.6", lw=1, zorder=0)
    ax.set_xlabel({"eta": r"$|\eta|$", "dz": "|dz| (cm)", "dxy": "|dxy| (cm)"}.get(feature, INPUTS[feature]))


def of_importance(table: pd.DataFrame, estimator: str, label: str = "") -> Figure:
    """What the resolution loses when an input is shuffled, and how much each moves and makes of the recoil."""
    rows = table.sort_values("loss_perp", ascending=False)
    place = np.arange(len(rows))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(24, 3 + 0.9 * len(rows)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for number, (component, (name, colour)) in enumerate(DIRECTIONS.items()):
            there = place + 0.24 * (2 * number - 1)
            loss, error = (100 * rows[f"loss_{component}{end}"] for end in ("", "_error"))
            left.errorbar(loss, there, xerr=error, fmt="o", ms=9, color=colour, label=name)
            right.errorbar(rows[f"moved_{component}"], there, fmt="o", ms=9, color=colour, label=f"{name}, shuffled")
            if f"attributed_{component}" in rows:
                sizes, errors = (rows[f"attributed_{component}{end}"] for end in ("", "_error"))
                right.errorbar(
                    sizes,
                    there + 0.1,
                    xerr=errors,
                    fmt="D",
                    mfc="white",
                    ms=8,
                    color=colour,
                    label=f"{name}, integrated gradients",
                )
        left.set_yticks(place, [INPUTS[name].partition(" (")[0] for name in rows["input"]])
        left.set_ylim(len(rows) - 0.4, -0.6)
        left.set_xlabel(f"Wider recoil of {label_of(estimator)} with the input shuffled (%)", fontsize="small")
        right.set_xlabel("Change of the recoil by the input, RMS (GeV)", fontsize="small")
        left.axvline(0, color="0.6", lw=1, zorder=0)
        right.set_xlim(left=0)
        for ax in (left, right):
            ax.tick_params(axis="y", which="both", right=False, left=False)
            ax.legend(fontsize="x-small", loc="lower right")
        mark(left, label)
    return figure


def of_covariances(matrix: pd.DataFrame, estimator: str, label: str = "") -> Figure:
    """Covariances of the parts of u⊥, GeV²; all of them add up to its variance."""
    names = [", ".join(filter(None, (NAMES.get(part, part) for part in name.split(", ")))) for name in map(str, matrix)]
    largest = float(np.abs(matrix.to_numpy()).max())
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(16, 15), layout="constrained")
        ax = figure.subplots()
        ax.imshow(matrix, cmap="RdBu_r", vmin=-largest, vmax=largest)
        for (i, j), value in np.ndenumerate(matrix.to_numpy()):
            dark = "white" if abs(value) > 0.6 * largest else "black"
            ax.text(j, i, f"{value:z.0f}", ha="center", va="center", fontsize=18, color=dark)
        ax.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize="x-small")
        ax.set_yticks(range(len(names)), names, fontsize="x-small")
        ax.tick_params(which="both", top=False, right=False, bottom=False, left=False)
        ax.minorticks_off()
        whole = float(matrix.to_numpy().sum())
        title = rf"{label_of(estimator)}: covariances of the parts of $u_\perp$ (GeV$^2$), sum {whole:.0f}"
        ax.set_title(", ".join(filter(None, [label, title])), fontsize="small")
    return figure


def of_differences(weights: pd.DataFrame, met: pd.DataFrame, names: tuple[str, str], label: str = "") -> Figure:
    """Differences of the weights by sort of candidates, and of the components of pTmiss."""
    told = f"{label_of(names[1])} less {label_of(names[0])}"
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(24, 9), layout="constrained")
        left, right = figure.subplots(1, 2)
        for sort, colour in COLOURS.items():
            steps(left, weights[weights["sort"] == sort], colour, NAMES.get(sort, sort))
        for axis, (_, colour) in zip("xy", DIRECTIONS.values(), strict=True):
            steps(right, met[met["sort"] == axis], colour, axis)
        left.set_yscale("log")
        left.set_xlabel(f"Weight, {told}", fontsize="small")
        right.set_xlabel(rf"$p_\mathrm{{T}}^\mathrm{{miss}}$ (GeV), {told}", fontsize="small")
        left.set_ylabel("Share of candidates / width")
        right.set_ylabel("Share of events / GeV")
        for ax in (left, right):
            ax.legend(fontsize="x-small")
        mark(left, label)
    return figure


def steps(ax: Axes, rows: pd.DataFrame, colour: str, name: str) -> None:
    """Shares over the width of their bins."""
    if rows.empty:
        return
    width = (rows["high"] - rows["low"]).to_numpy()
    edges = np.append(rows["low"].to_numpy(), rows["high"].iloc[-1])
    ax.stairs(rows["share"].to_numpy() / width, edges, color=colour, lw=2, label=name)

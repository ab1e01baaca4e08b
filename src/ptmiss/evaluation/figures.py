"""The tables of an evaluation as figures: PF, elements and ideal targets beside MLPF everywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ptmiss.elements import CLASSES
from ptmiss.evaluation import jets, particles
from ptmiss.plots import colour_of, grid, inside, label_of, outside, points, save, usual
from ptmiss.progress import Callback

FORMATS = ("png", "pdf")
GENERATED_PT = r"Generated $p_\mathrm{T}$ (GeV)"
MET = r"$p_\mathrm{T}^\mathrm{miss}$ (GeV)"
JET_TITLES = {jets.CHS: "CHS jets", jets.PUPPI: "PUPPI jets"}
AXES = {
    particles.PT: r"$p_\mathrm{T}$ (GeV)",
    particles.ETA: r"$|\eta|$",
    particles.ETA_HARD: rf"$|\eta|$, $p_\mathrm{{T}}$ above {particles.HARD_PT:g} GeV",
}
TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 400)
SHIFT = 0.12  # of half a bin, between estimators
RATES = {"efficiency": "Efficiency", "fake_rate": "Fake rate"}
RESPONSES = ((particles.PT, "pt"), (particles.PT, "energy"), (particles.ETA_HARD, "pt"))
WAYS = {particles.ALIGNED: "same element", particles.MATCHED: r"within $\Delta R < 0.15$"}
PLAIN = ("pf", "elements", "mlpf", "oracle", "targets")
WITH_PUPPI = ("puppi", "mlpf_puppi", "targets_puppi", "deepmet", "deepmet_mlpf")


class Panel(NamedTuple):
    """One quantity of a table on axes: labels, and the ranges and scales that are not matplotlib's own choice."""

    quantity: str
    title: str
    xlabel: str
    line: float | None = None
    log: str = ""
    ylim: tuple[float, float] | None = None


class Tables(NamedTuple):
    """The tables of an evaluation, see the modules that make them."""

    jets: pd.DataFrame
    met: pd.DataFrame
    met_response: pd.DataFrame
    met_distribution: pd.DataFrame
    met_by_element: pd.DataFrame
    rates: pd.DataFrame
    confusion: pd.DataFrame
    particle_response: pd.DataFrame


def draw_all(
    tables: Tables,
    directory: Path,
    label: str = "",
    formats: Sequence[str] = FORMATS,
    progress: Callback = lambda *_: None,
) -> list[Path]:
    """Every figure in the directory; returns the files."""
    makers, paths = figures(tables, label), []
    for number, (name, make) in enumerate(makers.items()):
        progress("figures", number, len(makers))
        paths += save(make(), directory / name, formats)
    return paths


def figures(tables: Tables, label: str = "") -> dict[str, Callable[[], Figure]]:
    """What makes each figure, by its name."""
    makers: dict[str, Callable[[], Figure]] = {}
    kinds = jets.KINDS if "puppi" in set(tables.met["estimator"]) else (jets.CHS,)  # none without pile-up
    for kind, region in product(kinds, jets.REGIONS):
        makers[f"jets_{kind}_{region.lower()}"] = partial(of_jets, tables.jets, kind, region, label)
    for name, estimators in (("met", PLAIN), ("met_puppi", WITH_PUPPI))[: len(kinds)]:
        makers[name] = partial(of_met, tables, estimators, label)
    for way, axis, rate in product(WAYS, AXES, RATES):
        makers[f"{rate}_{axis}_{way}"] = partial(of_rates, tables.rates, way, axis, rate, label)
    for way, (axis, quantity) in product(WAYS, RESPONSES):
        name = f"particle_{quantity}_{way}" if axis == particles.PT else f"particle_{quantity}_{axis}_{way}"
        makers[name] = partial(of_particles, tables.particle_response, way, axis, quantity, label)
    return makers | {"confusion": partial(of_confusion, tables.confusion, label)}


def of_jets(table: pd.DataFrame, kind: str, region: str, label: str = "") -> Figure:
    """Response, resolution, its ratio to PF's and matched fraction against generated pT."""
    narrow = pd.Series(list(zip(table["low"], table["high"], strict=True))).isin(jets.BINS[: len(jets.EDGES) - 1])
    rows = table[(table["jets"] == kind) & (table["region"] == region) & narrow.to_numpy()]
    low, high = jets.REGIONS[region]
    title = f"{JET_TITLES[kind]}, {low:g} < |η| < {high:g}" if low else f"{JET_TITLES[kind]}, |η| < {high:g}"
    panels = (
        Panel("response", "Median response", GENERATED_PT, 1, "x"),
        Panel("matched", "Matched fraction", GENERATED_PT, 1, "x"),
        Panel("resolution", "Response IQR / median", GENERATED_PT, None, "x", (0, np.nan)),
        Panel("resolution_vs_pf", "IQR / median, ratio to PF", GENERATED_PT, 1, "x", (0, 1.6)),
    )
    return grid([partial(panel, rows, one) for one in panels], label, title, 2)


def of_met(tables: Tables, estimators: Sequence[str], label: str = "") -> Figure:
    """Size of pTmiss, its cumulative, response, widths of a component, inclusive and against nPV, and tails."""
    distribution = _of(tables.met_distribution, (*estimators, "generated"))
    widths = _of(tables.met[tables.met["axis"] == "npv"], estimators)
    tails = _of(tails_of(tables.met), estimators)
    one = Panel
    return grid(
        [
            partial(steps, distribution, one("share", "Fraction of events / 10 GeV", MET, None, "y")),
            partial(steps, distribution, one("beyond", "Fraction of events beyond", MET, None, "y")),
            partial(
                panel, tails, one("share", "Fraction of events farther off", "Distance from truth (GeV)", None, "y")
            ),
            partial(
                panel, _of(tables.met_response, estimators), one("response", "Median response", f"Generated {MET}", 1)
            ),
            partial(panel, widths, one("rms", "RMS of a component (GeV)", "Primary vertices", None, "", (0, np.nan))),
            partial(panel, widths, one("half_width", "Half width (GeV)", "Primary vertices", None, "", (0, np.nan))),
        ],
        label,
        "",
        3,
    )


def tails_of(met: pd.DataFrame) -> pd.DataFrame:
    """The tails of all events as rows: share beyond ``low`` GeV, with its error."""
    whole = met[met["axis"] == "inclusive"]
    cuts = [name for name in met.columns if name.startswith("tail_") and not name.endswith("_error")]
    parts = []
    for cut in cuts:
        value = float(cut.removeprefix("tail_"))
        names = {cut: "share", f"{cut}_error": "share_error"}
        parts.append(whole[["estimator", *names]].rename(columns=names).assign(low=value - 2, high=value + 2))
    rows = pd.concat(parts, ignore_index=True)
    return rows[rows["share"] > 0]


def of_rates(table: pd.DataFrame, way: str, axis: str, rate: str, label: str = "") -> Figure:
    """Efficiency or fake rate of each class."""
    rows = table[(table["way"] == way) & (table["axis"] == axis)]
    kept = rows["true" if rate == "efficiency" else "found"] >= particles.MIN_PARTICLES
    shared = Panel(rate, RATES[rate], AXES[axis], None, "x" if axis == particles.PT else "", (0, 1.12))
    return by_class(rows[kept], shared, label, f"{RATES[rate]}, {WAYS[way]}")


def of_particles(table: pd.DataFrame, way: str, axis: str, quantity: str, label: str = "") -> Figure:
    """Median of found over true momentum of each class, and beside it IQR/median."""
    rows = table[(table["way"] == way) & (table["axis"] == axis)]
    what = {"pt": r"$p_\mathrm{T}$", "energy": "Energy"}[quantity]
    true, log = f"True {AXES[axis]}", "x" if axis == particles.PT else ""
    panels = [
        Panel(f"{quantity}_response", f"{what}: median found / true", true, 1, log),
        Panel(f"{quantity}_resolution", f"{what}: IQR / median", true, None, log, (0, np.nan)),
    ]
    names = [name for name in CLASSES[1:] if name in set(rows["class"])]
    draws = [partial(panel, rows[rows["class"] == name], one, title=name) for name in names for one in panels]
    return grid(draws, label, WAYS[way], 4)


def of_confusion(table: pd.DataFrame, label: str = "") -> Figure:
    """Matrices of true and found class, normalised to the true class, of what is aligned but the targets themselves."""
    names = [name for name in table["estimator"].unique() if name != "targets"]
    draws = [partial(matrix, table[table["estimator"] == name]) for name in names]
    return grid(draws, label, "", max(len(names), 1), 12, shared=False)


def by_class(rows: pd.DataFrame, shared: Panel, label: str, title: str) -> Figure:
    """A panel a class."""
    names = [name for name in CLASSES[1:] if name in set(rows["class"])]
    return grid([partial(panel, rows[rows["class"] == name], shared, title=name) for name in names], label, title, 3)


def panel(rows: pd.DataFrame, what: Panel, ax: Axes, title: str = "") -> None:
    """One quantity of every estimator with errors; one that is far from all others leaves the frame, with arrows."""
    rows = rows[np.isfinite(rows[what.quantity].astype(float))]
    limits = limits_of(rows, what)
    for number, name in enumerate(rows["estimator"].unique()):
        shift = SHIFT * (number - 1.5)  # what is equal is still seen side by side
        points(ax, inside(rows[rows["estimator"] == name], what.quantity, limits), what.quantity, [name], shift)
    dress(ax, what, title)
    if "x" in what.log and len(rows):
        ax.set_xlim(0.9 * rows["low"].min(), 1.1 * rows["high"].max())
    if "y" in what.log and len(rows):
        ax.set_ylim(0.3 * rows[what.quantity].min(), 2)
    if not rows[what.quantity].between(*limits).all():
        ax.set_ylim(limits)
        for name in rows["estimator"].unique():
            outside(ax, rows, what.quantity, [name], limits)


def limits_of(rows: pd.DataFrame, what: Panel) -> tuple[float, float]:
    """The range that is shown: what suits most estimators, and PF, unless it is given or logarithmic."""
    if rows.empty or "y" in what.log or (what.ylim is not None and np.isfinite(what.ylim).all()):
        return -np.inf, np.inf
    low, high = usual(rows, what.quantity)
    reference = rows.loc[rows["estimator"] == "pf", what.quantity]
    low, high = min([low, *reference]), max([high, *reference])
    margin = 0.1 * (high - low)
    return low - margin if what.ylim is None else what.ylim[0], high + margin


def steps(rows: pd.DataFrame, what: Panel, ax: Axes, title: str = "") -> None:
    """One quantity of every estimator as a histogram with a band of errors; the truth is filled."""
    for name in rows["estimator"].unique():
        own = rows[rows["estimator"] == name]
        edges = np.append(own["low"], own["high"].iloc[-1])
        value, error = own[what.quantity].to_numpy(), own[f"{what.quantity}_error"].to_numpy()
        if name == "generated":
            ax.stairs(value, edges, fill=True, color="0.85", label=label_of(name))
            continue
        ax.stairs(value, edges, baseline=None, color=colour_of(name, [name]), lw=2, label=label_of(name))
        floor = np.maximum(value - error, 1e-9)
        ax.stairs(value + error, edges, baseline=floor, fill=True, color=colour_of(name, [name]), alpha=0.2)
    dress(ax, what, title)
    if "y" in what.log:
        smallest = rows.loc[rows[what.quantity] > 0, what.quantity].min()
        ax.set_ylim(0.5 * smallest, 2)


def dress(ax: Axes, what: Panel, title: str) -> None:
    """Labels, scales, ranges and the title inside of the panel."""
    ax.set_xlabel(what.xlabel)
    ax.set_ylabel(what.title)
    if "x" in what.log:
        ax.set_xscale("log")
        ax.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
        ax.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    if "y" in what.log:
        ax.set_yscale("log")
    if what.line is not None:
        ax.axhline(what.line, color="0.6", lw=1, zorder=0)
    if what.ylim is not None:
        low, high = what.ylim
        ax.set_ylim(low, ax.get_ylim()[1] if np.isnan(high) else high)
    if "y" not in what.log:
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + (0.15 if title else 0.05) * (high - low))
    if not ax.get_legend_handles_labels()[0]:
        ax.text(0.5, 0.5, "no bin has enough events", transform=ax.transAxes, ha="center", fontsize="x-small")
    ax.text(0.95, 0.95, title, transform=ax.transAxes, ha="right", va="top", fontsize="small")


def matrix(rows: pd.DataFrame, ax: Axes) -> None:
    """A confusion matrix with its numbers in per cent."""
    square = rows.pivot(index="true", columns="found", values="share").reindex(index=CLASSES, columns=CLASSES)
    share = 100 * square.to_numpy()
    ax.imshow(share, cmap="Blues", vmin=0, vmax=100)
    for (i, j), value in np.ndenumerate(share):
        if np.isfinite(value) and value >= 0.05:
            ax.text(
                j, i, f"{value:.1f}", ha="center", va="center", fontsize=20, color="white" if value > 60 else "black"
            )
    ax.set_xticks(range(len(CLASSES)), CLASSES, rotation=45, ha="right", fontsize="small")
    ax.set_yticks(range(len(CLASSES)), CLASSES, fontsize="small")
    ax.tick_params(which="both", top=False, right=False, bottom=False, left=False)
    ax.minorticks_off()
    ax.set_xlabel("Found")
    ax.set_ylabel("True, % of the row")
    ax.set_title(label_of(rows["estimator"].iloc[0]), fontsize="medium")


def _of(table: pd.DataFrame, estimators: Iterable[str]) -> pd.DataFrame:
    """The rows of some estimators, in their order."""
    return pd.concat([table[table["estimator"] == name] for name in estimators])

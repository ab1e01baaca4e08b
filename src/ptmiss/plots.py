"""Figures of response and resolution in one style: an estimator has one colour and one marker in all of them.

Ranges are those of most estimators. A point outside of the frame leaves an arrow at its edge, in its colour.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import hist
import matplotlib as mpl
import mplhep
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mplhep.label import exp_label

from ptmiss.typing import Array

COLOURS = {
    "pf": "#000000",
    "puppi": "#d55e00",
    "track": "#999999",
    "deepmet": "#0072b2",
    "deepmet_response": "#56b4e9",
    "deepmet_v2": "#004d80",
    "deepmet_local": "#aa3377",
    "linear": "#e69f00",
    "mlpf": "#009e73",
    "mlpf_puppi": "#cc79a7",
    "deepmet_mlpf": "#332288",
    "elements": "#a6761d",
    "elements_puppi": "#d9a55b",
    "targets": "#7570b3",
    "targets_puppi": "#b3a2d9",
}
"""Mostly the palette of Okabe and Ito, which colour-blind readers can tell apart too."""
OTHERS = ("#8c564b", "#7b3294", "#5e5e5e", "#b2182b", "#4d9221")
MARKERS = {
    "pf": "o",
    "puppi": "s",
    "track": "v",
    "deepmet": "^",
    "deepmet_response": "<",
    "deepmet_v2": ">",
    "deepmet_local": "8",
    "linear": "D",
    "mlpf": "P",
    "mlpf_puppi": "X",
    "deepmet_mlpf": "*",
    "elements": "p",
    "elements_puppi": "h",
    "targets": "d",
    "targets_puppi": "H",
}
OTHER_MARKERS = ("8", "P", "v", "d", "X")
NAMES = {
    "pf": "PF",
    "puppi": "PUPPI",
    "track": "Track",
    "deepmet": "DeepMET",
    "deepmet_response": "DeepMET response",
    "deepmet_v2": "DeepMET v2",
    "deepmet_local": "DeepMET with neighbours",
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
    "half_width_par": r"Half width of $u_\parallel - q_\mathrm{T}$ (GeV)",
    "half_width_perp": r"Half width of $u_\perp$ (GeV)",
}
PLAIN = {
    "response": "Response",
    "rms_par": "RMS of u∥ - qT",
    "rms_perp": "RMS of u⊥",
    "half_width_par": "Half width of u∥ - qT",
    "half_width_perp": "Half width of u⊥",
    "qt": "qT",
    "npv": "vertices",
}
"""The same in plain text, for titles."""
OVERVIEW = (("response", "qt"), ("rms_par", "qt"), ("rms_perp", "npv"))
CORRECTED = {
    "none": "no response correction",
    "plateau": "plateau response corrected",
    "bin": "response corrected in bins",
}
COMMON = "band: error common to all bins"
SYSTEMATIC = "open band: systematics"
STYLE = {**mplhep.style.CMS, "mathtext.cal": "sans", "svg.hashsalt": "ptmiss"}
WIDTH, HEIGHT, RATIO = 9.0, 8.0, 2.2  # of a panel and of the ratio below it, inches
MARGINS = {"left": 0.14, "right": 0.96, "bottom": 0.11, "top": 0.94, "hspace": 0.06}
"""Margins of figures with one column. Fixed ones halve the time to draw a page."""
MIN_EVENTS = 10  # effective events: a point with fewer is in the table but not in the figure
LEAST_ERROR = 0.5  # a ratio with a larger error is in the table but not in the figure
OUTSIDE = 0.001  # of the events on either side lie outside of the figure
MOST = 1.8  # of the median: the end of a range, see ``usual``
RATIO_RANGE = (0.55, 1.45)  # of data over simulation
LINE, BORDER = 0.062, 0.05  # of a panel's height: a line of its legend, and what is around them
GENERATED = "generated"
UNITS = {"fb": 1.0, "pb": 1e-3, "nb": 1e-6, "µb": 1e-9}
"""Units of luminosity, their inverses in fb^-1."""
LEAST_NUMBER = 0.1  # in front of such a unit


class Frame(NamedTuple):
    """Ranges of a panel: of qT or vertices, of the quantity, and of its ratio to the reference."""

    x: tuple[float, float]
    y: tuple[float, float]
    ratio: tuple[float, float]


def label_of(estimator: str) -> str:
    """An estimator's name in a legend."""
    return NAMES.get(estimator, estimator.removeprefix("stored.").replace("$", r"\$"))


def colour_of(estimator: str, among: Sequence[str]) -> str:
    """An estimator's colour: its own, or the next free one for an estimator of the user."""
    return COLOURS.get(estimator) or OTHERS[_number(estimator, among) % len(OTHERS)]


def marker_of(estimator: str, among: Sequence[str]) -> str:
    """An estimator's marker: its own, or the next free one for an estimator of the user."""
    return MARKERS.get(estimator) or OTHER_MARKERS[_number(estimator, among) % len(OTHER_MARKERS)]


def _number(estimator: str, among: Sequence[str]) -> int:
    return [name for name in among if name not in COLOURS].index(estimator)


def reference_of(estimators: Sequence[str]) -> str:
    """What the others are divided by: PF, or else the first."""
    return "pf" if "pf" in estimators else estimators[0]


def mark(ax: Axes, label: str, luminosity: str = "") -> None:
    """What the events are, above the axes: ``CMS-like simulation (13 TeV)``, with the luminosity to the right."""
    text, _, energy = label.partition(" (")
    right = " ".join(filter(None, [luminosity, f"({energy}" if energy and luminosity else energy.removesuffix(")")]))
    if text or right:
        exp_label(exp="", text=text, data=True, rlabel=right, loc=0, ax=ax, fontsize=20, scilocator_adjust=False)


def luminosity_text(luminosity: float) -> str:
    """A luminosity, given in fb^-1, in the unit that makes a readable number: ``24.7 nb$^{-1}$``."""
    unit = next((name for name, size in UNITS.items() if luminosity >= LEAST_NUMBER * size), "µb")
    value = luminosity / UNITS[unit]
    return f"{value:.3g} {unit}$^{{-1}}$" if value < 1000 else f"{value:.0f} {unit}$^{{-1}}$"


def usual(rows: pd.DataFrame, value: str) -> tuple[float, float]:
    """The range that suits most estimators: one alone may lie by ``MOST`` beyond the median of all."""
    ends = rows.groupby("estimator")[value].agg(["min", "max"]).dropna()
    if ends.empty:
        return 0.0, 1.0
    low, high = max(ends["min"].min(), ends["min"].median() / MOST), min(ends["max"].max(), MOST * ends["max"].median())
    return float(low), float(high)


def frame(table: pd.DataFrame, quantities: Sequence[str]) -> Frame:
    """Ranges that suit all of these rows and quantities, for panels that can be compared."""
    shown = table[table["n_eff"] >= MIN_EVENTS]
    many = pd.concat([ratio_to(shown, quantity).assign(value=shown[quantity]) for quantity in quantities])
    x = (float(shown["low"].min()), float(shown["high"].max())) if len(shown) else (0.0, 1.0)
    low, high = usual(many, "value")
    small, large = usual(many, "ratio")
    y = (low - 0.05, max(high, 1.0) + 0.05) if "response" in quantities else (0.0, 1.05 * high)
    return Frame(x, y, (min(small, 1.0) - 0.08, max(large, 1.0) + 0.08))


def ratio_to(rows: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """Rows with ``ratio`` to the reference in the same bin, its ``ratio_error``, and ``reference_error``.

    Errors are those of the quantity itself: the estimators saw the same events, and the reference has its own band.
    """
    if rows.empty:
        return rows.assign(ratio=[], ratio_error=[], reference_error=[])
    keys = [key for key in ("region", "axis", "low", "high") if key in rows]
    name = reference_of(list(rows["estimator"].unique()))
    known = rows[rows["estimator"] == name].set_index(keys)[[quantity, f"{quantity}_error"]]
    found = rows.join(known.add_prefix("reference_"), on=keys)
    below = found[f"reference_{quantity}"].where(found[f"reference_{quantity}"] > 0)
    return rows.assign(
        ratio=found[quantity] / below,
        ratio_error=found[f"{quantity}_error"] / below,
        reference_error=found[f"reference_{quantity}_error"] / below,
    )


def resolution_figures(
    table: pd.DataFrame, directory: Path, formats: Iterable[str] = ("png",), label: str = ""
) -> list[Path]:
    """Draw the overview, the response against qT, and each resolution against qT and nPV.

    Returns the files, the overview first.
    """
    table = table[table["region"] == "inclusive"]
    single = [("response", "qt"), *((q, axis) for axis in AXES for q in QUANTITIES if q != "response")]
    paths = save(panels(table, OVERVIEW, label), directory / "overview", formats)
    for quantity, axis in single:
        paths += save(panels(table, [(quantity, axis)], label), directory / f"{quantity}_vs_{axis}", formats)
    return paths


def panels(
    table: pd.DataFrame,
    wanted: Sequence[tuple[str, str]],
    label: str = "",
    title: str = "",
    within: Frame | None = None,
) -> Figure:
    """Quantities of every estimator against qT or nPV, three in a row, each above its ratio to PF.

    title: of all panels, in the legend; within: ranges, where they are shared with other figures.
    """
    columns, several = min(len(wanted), 3), table["estimator"].nunique() > 1
    with mpl.rc_context(STYLE):
        grid = axes_of(-(-len(wanted) // columns), columns, several)
        for axes, (quantity, axis) in zip(grid, wanted, strict=False):
            draw(axes, table[table["axis"] == axis], quantity, axis, title, within)
        mark(grid[0][0], label)
    return whole(grid[0][0])


def axes_of(rows: int, columns: int, ratio: bool) -> list[list[Axes]]:
    """Panels of a new figure, row by row: axes, with others for a ratio below them or without."""
    height = HEIGHT + (RATIO if ratio else 0)
    figure = Figure(figsize=(WIDTH * columns, height * rows))
    wide, high = WIDTH * columns, height * rows
    margins = {"left": 1.3 / wide, "right": 1 - 0.35 / wide, "bottom": 1.05 / high, "top": 1 - 0.6 / high}
    outer = figure.add_gridspec(rows, columns, wspace=0.22, hspace=0.22, **margins)
    found = []
    for place in (outer[divmod(i, columns)] for i in range(rows * columns)):
        inner = place.subgridspec(2 if ratio else 1, 1, height_ratios=(3.2, 1)[: 2 if ratio else 1], hspace=0.06)
        main = figure.add_subplot(inner[0])
        found.append([main, figure.add_subplot(inner[1], sharex=main)] if ratio else [main])
    return found


def draw(
    axes: Sequence[Axes], table: pd.DataFrame, quantity: str, axis: str, title: str = "", within: Frame | None = None
) -> None:
    """One quantity of every estimator with errors and a legend; below, its ratio to PF, if there are axes for it."""
    main, *below = axes
    shown, estimators = table[table["n_eff"] >= MIN_EVENTS], list(table["estimator"].unique())
    within = within or frame(table, [quantity])
    main.set(ylabel=QUANTITIES[quantity], xlim=within.x)
    for estimator in estimators:
        points(main, inside(shown[shown["estimator"] == estimator], quantity, within.y), quantity, estimators)
    outside(main, shown, quantity, estimators, within.y)
    low, high = within.y
    if quantity == "response":
        main.axhline(1, color="0.6", lw=1, zorder=0)
    words = [title, "" if quantity == "response" else CORRECTED[table["correction"].iloc[0]]]
    words += [COMMON] if has(shown, f"{quantity}_common") else []
    words += [SYSTEMATIC] if has(shown, f"{quantity}_systematic") else []
    words = list(filter(None, words))
    explain(main, "\n".join(words))
    main.set_ylim(low, high + (high - low) * room(len(words) + -(-len(estimators) // 2)))
    for ax in below:
        draw_ratio(ax, ratio_to(shown, quantity), estimators, within.ratio)
        main.tick_params(labelbottom=False)
    axes[-1].set_xlabel(AXES[axis])


def room(lines: int) -> float:
    """Of the range of the points: what a legend of so many lines needs above them."""
    share = LINE * lines + BORDER
    return share / (1 - share)


def explain(ax: Axes, title: str) -> None:
    """The legend, or why there is none."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(title=title, fontsize="x-small", title_fontsize="x-small", loc="upper left", ncols=2)
    else:
        ax.text(0.5, 0.5, f"no bin has {MIN_EVENTS} events", transform=ax.transAxes, ha="center")


def draw_ratio(ax: Axes, rows: pd.DataFrame, estimators: Sequence[str], limits: tuple[float, float]) -> None:
    """Every estimator's ratio to the reference, whose own error is a band."""
    reference = reference_of(estimators)
    own = rows[rows["estimator"] == reference]
    low, high = own["low"].to_numpy(), own["high"].to_numpy()
    ax.bar((low + high) / 2, 2 * own["ratio_error"], high - low, bottom=1 - own["ratio_error"], color="0.8", lw=0)
    ax.axhline(1, color="0.6", lw=1, zorder=0)
    for name in estimators:
        if name != reference:
            points(ax, inside(rows[rows["estimator"] == name], "ratio", limits), "ratio", estimators)
    outside(ax, rows, "ratio", estimators, limits)
    ax.set_ylim(limits)
    ax.set_ylabel(f"Ratio to {label_of(reference)}", fontsize="x-small", loc="center")
    ax.yaxis.set_major_locator(mpl.ticker.MaxNLocator(4, prune="upper"))


def points(ax: Axes, rows: pd.DataFrame, quantity: str, among: Sequence[str], shift: float = 0.0) -> None:
    """One estimator's points, with bins as horizontal bars; ``shift`` moves them by this share of half a bin."""
    if rows.empty:
        return
    name, low, high = rows["estimator"].iloc[0], rows["low"].to_numpy(), rows["high"].to_numpy()
    centre, colour = (low + high + shift * (high - low)) / 2, colour_of(name, among)
    value, wide = rows[quantity].to_numpy(), high - low
    if has(rows, f"{quantity}_common"):
        common = rows[f"{quantity}_common"].abs()
        ax.bar(centre, 2 * common, wide, bottom=value - common, color=colour, alpha=0.25, linewidth=0)
    if has(rows, f"{quantity}_systematic"):
        size = rows[f"{quantity}_systematic"].fillna(0)
        ax.bar(centre, 2 * size, wide, bottom=value - size, fill=False, edgecolor=colour, linewidth=1)
    ax.errorbar(
        centre,
        value,
        xerr=np.stack([centre - low, high - centre]),
        yerr=rows[f"{quantity}_error"].to_numpy(),
        fmt=marker_of(name, among),
        markersize=8,
        color=colour,
        label=label_of(name),
    )


def inside(rows: pd.DataFrame, quantity: str, limits: tuple[float, float]) -> pd.DataFrame:
    """The rows within limits."""
    return rows[rows[quantity].between(*limits)]


def arrows(ax: Axes, x: Array, values: Array, limits: tuple[float, float], colour: str) -> None:
    """An arrow at the limit for each value beyond it, of those in the range of x; x, values: (points,)."""
    within = (x >= ax.get_xlim()[0]) & (x <= ax.get_xlim()[1])
    x, values = x[within], values[within]
    length = 0.06 * (limits[1] - limits[0])
    for limit, beyond, tip, tail in (
        (limits[0], values < limits[0], "v", limits[0] + length),
        (limits[1], values > limits[1], "^", limits[1] - length),
    ):
        if beyond.any():
            ax.plot(x[beyond], np.full(beyond.sum(), limit), tip, ms=7, color=colour, clip_on=False)
            ax.vlines(x[beyond], tail, limit, color=colour, lw=2)


def outside(ax: Axes, rows: pd.DataFrame, quantity: str, among: Sequence[str], limits: tuple[float, float]) -> None:
    """An arrow for each point of an estimator beyond the limits, in its colour."""
    for name in among:
        own = rows[rows["estimator"] == name]
        centre = ((own["low"] + own["high"]) / 2).to_numpy(float)
        arrows(ax, centre, own[quantity].to_numpy(float), limits, colour_of(name, among))


def has(rows: pd.DataFrame, column: str) -> bool:
    """Whether a column, such as that of what is common to all bins, is there and not all zero or NaN."""
    return column in rows and bool(rows[column].fillna(0).any())


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
    known = np.maximum(rows["ratio_error"], rows["reference_error"]) < LEAST_ERROR
    return rows.assign(ratio=rows["ratio"].where(known), ratio_error=rows["ratio_error"].where(known))


def edges_of(rows: pd.DataFrame) -> Array:
    """(bins + 1,) edges of the bins of these rows."""
    return np.append(rows["low"].to_numpy(float), rows["high"].iloc[-1])


def outline(ax: Axes, rows: pd.DataFrame, quantity: str, colour: str, label: str | None = None) -> None:
    """A quantity as a line in steps, within a band of its errors."""
    value, error = rows[quantity].to_numpy(float), rows[f"{quantity}_error"].to_numpy(float)
    ax.stairs(value, edges_of(rows), baseline=None, lw=2, color=colour, label=label)
    ax.stairs(value + error, edges_of(rows), baseline=value - error, fill=True, alpha=0.3, color=colour)


def whole(ax: Axes) -> Figure:
    """The figure of axes."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


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


def save(figure: Figure, stem: Path, formats: Iterable[str], dpi: float = 120) -> list[Path]:
    """Save a figure in each format; return the files."""
    paths = [stem.with_name(f"{stem.name}.{form}") for form in formats]
    with mpl.rc_context(STYLE):
        for path in paths:
            figure.savefig(path, dpi=dpi)
    return paths

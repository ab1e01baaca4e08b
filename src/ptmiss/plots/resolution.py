"""Response and resolution of estimators in bins, with their ratios."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ptmiss.typing import Array

from .style import (
    AXES,
    BORDER,
    HEIGHT,
    LINE,
    MIN_EVENTS,
    QUANTITIES,
    RATIO,
    STYLE,
    WIDTH,
    colour_of,
    explain,
    label_of,
    mark,
    marker_of,
    reference_of,
    save,
    whole,
)

OVERVIEW = (("response", "qt"), ("rms_par", "qt"), ("rms_perp", "npv"))
CORRECTED = {
    "none": "no response correction",
    "plateau": "plateau response corrected",
    "bin": "response corrected in bins",
}
COMMON = "band: error common to all bins"
SYSTEMATIC = "open band: systematics"
WELL_KNOWN = 0.5  # the error of a ratio below which it is worth an arrow if it lies beyond the frame
MOST = 1.8  # of the median: the end of a range, see ``usual``


class Frame(NamedTuple):
    """Ranges of a panel: of qT or vertices, of the quantity, and of its ratio to the reference."""

    x: tuple[float, float]
    y: tuple[float, float]
    ratio: tuple[float, float]


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
    if shown.empty:  # no numbers, no ticks
        for ax in axes:
            ax.set(xticks=[], yticks=[])


def room(lines: int) -> float:
    """Of the range of the points: what a legend of so many lines needs above them."""
    share = LINE * lines + BORDER
    return share / (1 - share)


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

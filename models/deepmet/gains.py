"""How much sharper one training is than another on the same events, each counted once: table, figure, printed table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
import rich
import rich.table
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ptmiss import comparison
from ptmiss.comparison import QT_ABOVE, REPLICAS, Events
from ptmiss.errors import OptionError
from ptmiss.histograms import COMPONENTS
from ptmiss.inputs import SCALE
from ptmiss.plots import STYLE, save
from ptmiss.recoil import recoil

BASE, SEED = "base", "seed "
PLATEAU = 50.0  # GeV of qT, above which a response is quoted beside that of all events
WIDTHS = [f"{kind}_{component}" for kind in ("rms", "half") for component in COMPONENTS]
TITLES = {"rms_par": "RMS par", "rms_perp": "RMS perp"}


class Answers(NamedTuple):
    """(events, 2) pTmiss that a network says, and the true one, GeV."""

    predicted: NDArray[np.float32]
    target: NDArray[np.float32]


def compare(found: Mapping[str, Answers], reference: str = BASE, replicas: int = REPLICAS) -> pd.DataFrame:
    """One row a variant, the base first: loss, response and response-corrected widths for true pTmiss above 20 GeV.

    Columns ``loss`` (no unit, all events), ``response``, ``response_above_50``, and widths in GeV as in
    ptmiss.comparison; ``…_gain`` how much smaller they are than the reference's, as fractions; each with ``…_error``
    by a bootstrap over events, paired; ``…_gain_seeds`` the spread of such a difference between seeds; ``reference``.
    """
    target = found[BASE].target
    q = np.hypot(*target.T)
    high = q > QT_ABOVE
    if np.count_nonzero(high) < comparison.FEW:
        raise OptionError(f"fewer than {comparison.FEW} test events with true pTmiss above {QT_ABOVE:g} GeV")
    recoils = {name: recoil(target[high], (a.predicted - a.target)[high]) for name, a in found.items()}
    one = np.ones(np.count_nonzero(high))
    cells = [one > 0, q[high] > PLATEAU]
    table, plateau = comparison.compare_cells(recoils, one, [reference], replicas, cells)
    table.columns = table.columns.str.replace(f"_vs_{reference}", "_gain")
    response = plateau[["response", "response_error"]].add_suffix("_above_50")
    response.columns = ["response_above_50", "response_above_50_error"]
    table = table.rename(columns={"estimator": "variant"}).assign(reference=reference)
    table = pd.concat([table, losses(found, reference, replicas), response], axis=1)
    for width in ["loss", *WIDTHS]:
        table[f"{width}_gain_seeds"] = seed_spread(table, width)
    return table


def losses(found: Mapping[str, Answers], reference: str, replicas: int) -> pd.DataFrame:
    """The squared loss of each variant on all events, with paired bootstrap errors."""
    target = found[BASE].target
    draws = Events.of(np.hypot(*target.T), np.ones(len(target)), replicas).draws.astype(np.float64)
    squared = {
        name: 0.5 * (((a.predicted - a.target) / SCALE).astype(np.float64) ** 2).sum(1) for name, a in found.items()
    }
    values = {name: draws @ own / draws.sum(axis=1) for name, own in squared.items()}
    rows = [(own, 1 - own / values[reference]) for own in values.values()]
    columns = ["loss", "loss_error", "loss_gain", "loss_gain_error"]
    return pd.DataFrame([[x for v in row for x in (v[0], v[1:].std())] for row in rows], columns=columns)


def seed_spread(table: pd.DataFrame, column: str) -> float:
    """Standard deviation of the relative difference between two trainings that differ in the seed alone."""
    values = table.loc[table["variant"].str.startswith(SEED) | (table["variant"] == BASE), column]
    return float(np.sqrt(2) * values.std() / values.mean())


def show(name: str, table: pd.DataFrame) -> None:
    """Print a study's table: widths, and how much sharper than the base, with errors by bootstrap and by seeds."""
    grid = rich.table.Table(title=f"study {name}", box=None, pad_edge=False, title_justify="left")
    heads = ["", "parameters", "loss", "response", "above 50 GeV", "RMS par, GeV", "RMS perp, GeV"]
    for i, head in enumerate([*heads, *(f"{title} vs base, %" for title in TITLES.values())]):
        grid.add_column(head, justify="right" if i else "left")
    for row in table.to_dict("records"):
        values = [f"{row[key]:.{digits}f}" for key, digits in (("loss", 4), ("response", 3), ("response_above_50", 3))]
        widths = [f"{row[key]:.2f}±{row[f'{key}_error']:.2f}" for key in TITLES]
        gains = [
            f"{100 * row[f'{k}_gain']:+.1f}±{100 * row[f'{k}_gain_error']:.1f}±{100 * row[f'{k}_gain_seeds']:.1f}"
            for k in TITLES
        ]
        grid.add_row(
            row["variant"],
            f"{row['parameters']:.0f}",
            *values,
            *widths,
            *(gains if row["variant"] != BASE else ["", ""]),
        )
    rich.print(grid)


def draw(studies: Mapping[str, pd.DataFrame], stem: Path) -> list[Path]:
    """Studies below each other: how much sharper each variant is than the base, and its response; returns the files.

    The inner error bar is the bootstrap, the outer one has the spread of seeds added in quadrature.
    """
    tables = {name: table[table["variant"] != BASE] for name, table in studies.items()}
    ends = np.cumsum([len(table) + 1 for table in tables.values()])
    heights = {
        name: -(end - len(table) - 1.0 + np.arange(len(table)))
        for (name, table), end in zip(tables.items(), ends, strict=True)
    }
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(26, 3 + 0.55 * ends[-1]), layout="constrained")
        *panels, last = figure.subplots(1, 3, sharey=True)
        for ax, (width, title) in zip(panels, TITLES.items(), strict=True):
            for i, (name, table) in enumerate(tables.items()):
                gain_points(ax, table, width, heights[name], f"C{i}")
            ax.axvline(0, color="0.6", lw=1, zorder=0)
            ax.set_xlabel(f"{title}: sharper than the base, %")
        for i, (name, table) in enumerate(tables.items()):
            last.errorbar(
                table["response_above_50"], heights[name], xerr=table["response_above_50_error"], fmt="o", color=f"C{i}"
            )
        last.axvline(1, color="0.6", lw=1, zorder=0)
        last.set_xlabel("Response, $q_\\mathrm{T}$ > 50 GeV")
        labels = [label for table in tables.values() for label in table["variant"]]
        panels[0].set_yticks(np.concatenate(list(heights.values())), labels, fontsize="x-small")
        panels[0].tick_params(axis="y", which="minor", left=False, right=False)
        return save(figure, stem, ["png", "pdf"])


def gain_points(ax: Axes, table: pd.DataFrame, width: str, height: NDArray[np.float64], colour: str) -> None:
    """One study's gains in %, with both errors."""
    gain, error, seeds = (100 * table[f"{width}_gain{part}"].to_numpy() for part in ("", "_error", "_seeds"))
    ax.errorbar(gain, height, xerr=np.hypot(error, seeds), fmt="none", color=colour, elinewidth=1)
    ax.errorbar(gain, height, xerr=error, fmt="o", color=colour, elinewidth=3)

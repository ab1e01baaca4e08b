"""How much sharper one training is than another on the same events, each counted once: table, figure, printed table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ptmiss import bootstrap, tables
from ptmiss.bootstrap import REPLICAS
from ptmiss.errors import OptionError
from ptmiss.networks.features import SCALE
from ptmiss.plots import STYLE, mark, save
from ptmiss.recoil import recoil
from ptmiss.resolutions import comparison
from ptmiss.resolutions.comparison import QT_ABOVE, WIDTHS

BASE, SEED = "base", "seed "
PLATEAU = 50.0  # GeV of qT, above which a response is quoted beside that of all events
LIMIT = 16.0  # % of the gains that a figure shows to scale
RESPONSE = "response_above_50"
TITLES = {"rms_par": "RMS par", "rms_perp": "RMS perp"}


class Answers(NamedTuple):
    """(events, 2) pTmiss that a network says, and the true one, GeV."""

    predicted: NDArray[np.float32]
    target: NDArray[np.float32]


def compare(found: Mapping[str, Answers], reference: str = BASE, replicas: int = REPLICAS) -> pd.DataFrame:
    """One row a variant, the base first: loss, response and response-corrected widths for true pTmiss above 20 GeV.

    Columns ``loss`` (no unit, all events), ``response``, ``response_above_50``, and widths in GeV as in
    ptmiss.resolutions.comparison; ``…_gain`` how much smaller they are than the reference's, as fractions; each with
    ``…_error`` by a bootstrap over events, paired; ``…_gain_seeds`` the spread of such a difference between seeds;
    ``reference``.
    """
    target = found[BASE].target
    q = np.hypot(*target.T)
    high = q > QT_ABOVE
    if np.count_nonzero(high) < comparison.MIN_EVENTS:
        raise OptionError(f"fewer than {comparison.MIN_EVENTS} test events with true pTmiss above {QT_ABOVE:g} GeV")
    recoils = {name: recoil(target[high], (a.predicted - a.target)[high]) for name, a in found.items()}
    one = np.ones(np.count_nonzero(high))
    cells = [one > 0, q[high] > PLATEAU]
    table, plateau = comparison.compare_cells(recoils, one, [reference], replicas, cells)
    table.columns = table.columns.str.replace(f"_vs_{reference}", "_gain")
    response = plateau[["response", "response_error"]].add_suffix("_above_50")
    response.columns = [RESPONSE, f"{RESPONSE}_error"]
    table = table.rename(columns={"estimator": "variant"}).assign(reference=reference)
    table = pd.concat([table, losses(found, reference, replicas), response], axis=1)
    for width in ["loss", *WIDTHS]:
        table[f"{width}_gain_seeds"] = seed_spread(table, width)
    return table


def losses(found: Mapping[str, Answers], reference: str, replicas: int) -> pd.DataFrame:
    """The squared loss of each variant on all events, with paired bootstrap errors."""
    target = found[BASE].target
    squared = {
        name: 0.5 * (((a.predicted - a.target) / SCALE).astype(np.float64) ** 2).sum(1) for name, a in found.items()
    }
    values = bootstrap.replicate(
        lambda drawn: {name: drawn @ own / drawn.sum(axis=1) for name, own in squared.items()}, len(target), replicas
    )
    gains = {name: 1 - own / values[reference] for name, own in values.items()}
    return pd.DataFrame(
        [bootstrap.with_error("loss", values[n]) | bootstrap.with_error("loss_gain", gains[n]) for n in found]
    )


def seed_spread(table: pd.DataFrame, column: str) -> float:
    """Standard deviation of the relative difference between two trainings that differ in the seed alone."""
    values = table.loc[table["variant"].str.startswith(SEED) | (table["variant"] == BASE), column]
    return float(np.sqrt(2) * values.std() / values.mean())


def show(name: str, table: pd.DataFrame) -> None:
    """Print a study's table: widths, and how much sharper than the base, with errors by bootstrap and by seeds."""
    head = ["", "parameters", "loss", "response", "above 50 GeV", "RMS par, GeV", "RMS perp, GeV"]
    head += [f"{title} vs base, %" for title in TITLES.values()]
    lines = []
    for row in table.to_dict("records"):
        values = [f"{row[key]:.{digits}f}" for key, digits in (("loss", 4), ("response", 3), ("response_above_50", 3))]
        widths = [tables.with_error(row, key, 2) for key in TITLES]
        gains = [f"{tables.percent(row, f'{k}_gain', 1)} ± {100 * row[f'{k}_gain_seeds']:.1f}" for k in TITLES]
        gains = gains if row["variant"] != BASE else ["", ""]
        lines.append([row["variant"], f"{row['parameters']:.0f}", *values, *widths, *gains])
    tables.show(head, lines, f"study {name}")


def draw(studies: Mapping[str, pd.DataFrame], stem: Path, label: str = "", dpi: float = 120) -> list[Path]:
    """Studies below each other: how much sharper each variant is than its reference, and its response.

    The thick error bar is the bootstrap, the thin one has the spread of seeds added in quadrature; a gain beyond
    LIMIT is written at the edge. Returns the files.
    """
    lines = [line for name, table in studies.items() for line in lines_of(name, table)]
    height = -np.arange(len(lines), dtype=float)
    base = next(iter(studies.values())).query("variant == @BASE").iloc[0]
    with mpl.rc_context({**STYLE, "font.size": 17}):
        figure = Figure(figsize=(22, 2.2 + 0.42 * len(lines)), layout="constrained")
        *panels, last = figure.subplots(1, 3, sharey=True)
        for y, (_, row) in zip(height, lines, strict=True):
            if row is not None:
                for ax, width in zip(panels, TITLES, strict=True):
                    gain_point(ax, y, row, width)
                last.errorbar(row[RESPONSE], y, xerr=row[f"{RESPONSE}_error"], fmt="o", color="C0")
        for ax, title in zip(panels, TITLES.values(), strict=True):
            ax.axvline(0, color="0.6", lw=1, zorder=0)
            ax.set(xlabel=f"{title}, % sharper", xlim=(-1.25 * LIMIT, 1.25 * LIMIT))
        last.axvline(1, color="0.6", lw=1, zorder=0)
        last.axvline(base[RESPONSE], color="C0", lw=1, ls=":", zorder=0)
        last.set_xlabel("Response, $q_\\mathrm{T}$ > 50 GeV")
        panels[0].set(ylim=(height[-1] - 0.8, 0.8))
        panels[0].set_yticks(height, [label for label, _ in lines])
        for text, (_, row) in zip(panels[0].get_yticklabels(), lines, strict=True):
            text.set_fontweight("bold" if row is None else "normal")
        for ax in (*panels, last):
            ax.tick_params(axis="y", which="both", left=False, right=False)
        mark(panels[0], label)
        return save(figure, stem, ["png", "pdf"], dpi)


def lines_of(name: str, table: pd.DataFrame) -> list[tuple[str, pd.Series | None]]:
    """Label and row of each line of a figure, the study's name first; seeds are in their own study alone."""
    shown = table[~table["variant"].isin([BASE, table["reference"].iloc[0]])]
    if name != "seeds":
        shown = shown[~shown["variant"].str.startswith(SEED)]
    return [
        (f"{name}, against {table['reference'].iloc[0]}", None),
        *((row["variant"], row) for _, row in shown.iterrows()),
    ]


def gain_point(ax: Axes, height: float, row: pd.Series, width: str) -> None:
    """One gain in %, with both errors."""
    gain, error, seeds = (100 * row[f"{width}_gain{part}"] for part in ("", "_error", "_seeds"))
    if abs(gain) > LIMIT:
        side = np.sign(gain) * LIMIT
        ax.plot(side, height, marker="<" if gain < 0 else ">", color="C3")
        ax.text(
            0.9 * side, height, tables.plus_minus(gain, error, 0, "+"), va="center", ha="left" if gain < 0 else "right"
        )
        return
    ax.errorbar(gain, height, xerr=np.hypot(error, seeds), fmt="none", color="C0", elinewidth=1)
    ax.errorbar(gain, height, xerr=error, fmt="o", color="C0", elinewidth=4)

"""Figures of the laws and of the maps between them, with the tables of their numbers."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ptmiss.plots import label_of
from ptmiss.systematics import NOMINAL
from ptmiss.typing import Array

from .binning import Cell
from .closure import by_source
from .fits import goodness
from .gaussians import Mixture
from .laws import Law
from .likelihood import Counts, predict
from .panels import BACKGROUND, COMPONENTS, DATA, FIT, MC, SMALL, UNNAMED, Names, bands, legend, page
from .quantile_corrections import QuantileCorrection

QUANTILES = np.array([[0.16, 0.5, 0.84]])
PANELS = 8  # of a page
REACH = 4.5  # half widths on either side are drawn


def _selected_cells(cells: Sequence[Cell]) -> Sequence[Cell]:
    """As many cells as a page has panels, spread over all of them."""
    numbers = np.unique(np.round(np.linspace(0, len(cells) - 1, PANELS)).astype(int))
    return [cells[number] for number in numbers]


def fits(derivation: QuantileCorrection, sample: str, names: Names = UNNAMED) -> tuple[Figure, pd.DataFrame]:
    """The smooth law of one component in one sample against the events of each cell, with pulls."""
    cells, law = _selected_cells(derivation.cells), derivation.law(sample)
    what = f"{label_of(derivation.estimator)}, {names.of(sample)}"
    figure, grids = page(len(cells), names.title(what), (3, 1))
    frames = []
    with mpl.rc_context(SMALL):
        for (main, below), cell in zip(grids, cells, strict=True):
            frames.append(_fit(main, below, derivation.part(sample, cell), law, cell))
            below.set_xlabel(COMPONENTS[derivation.component])
        legend(figure, grids[0][0])
    return figure, pd.concat(frames)


def _fit(main: Axes, below: Axes, counts: Counts, law: Law, cell: Cell) -> pd.DataFrame:
    width, centres = np.diff(counts.edges), (counts.edges[1:] + counts.edges[:-1]) / 2
    seen, expected = counts.values.sum(axis=0), predict(counts, law).sum(axis=0)
    background, error = counts.expected_background.sum(axis=0), np.sqrt(counts.variances.sum(axis=0))
    pulls = (seen - expected) / np.sqrt(np.maximum(expected * counts.scale, 1e-12))
    middle, reach = _core(counts.edges, expected - background)
    shown = np.abs(centres - middle) < reach
    points = (centres[shown], (seen / width)[shown], (error / width)[shown])
    main.errorbar(*points, fmt="o", color=DATA, label="events")
    main.stairs(expected / width, counts.edges, color=FIT, lw=2, label="fit")
    for number, part in enumerate(_parts(counts, law)):
        name = None if number else "each Gaussian of it, over the background"
        main.stairs((part + background) / width, counts.edges, color=FIT, lw=1, ls="--", label=name)
    if counts.background is not None:
        main.stairs(background / width, counts.edges, fill=True, color=BACKGROUND, label="background")
    main.set_xlim(middle - reach, middle + reach)
    main.set_ylim(0, 1.35 * (seen / width).max())
    main.set_ylabel("Events / GeV")
    main.set_title(cell.title, loc="left")
    value, ndof = goodness(counts, law)
    main.text(0.97, 0.95, f"$\\chi^2$ = {value:.0f}/{ndof}", transform=main.transAxes, ha="right", va="top")
    below.axhline(0, color="0.6", lw=1)
    below.plot(centres[shown], pulls[shown], "o", color=DATA)
    below.set_ylim(-4, 4)
    below.set_ylabel("Pull")
    return pd.DataFrame(
        {
            "qt_low": cell.qt[0], "qt_high": cell.qt[1], "njets": cell.jets, "low": counts.edges[:-1],
            "high": counts.edges[1:], "value": seen, "error": error, "expected": expected, "pull": pulls,
        }
    )  # fmt: skip


def _core(edges: Array, events: Array) -> tuple[float, float]:
    """The median, and ``REACH`` times the half width about it; edges: (bins + 1,), events: (bins,)."""
    rank = np.append(0.0, np.cumsum(events)) / events.sum()
    low, middle, high = np.interp(QUANTILES[0], rank, edges)
    return float(middle), float(REACH * (high - low) / 2)


def _parts(counts: Counts, law: Law) -> list[Array]:
    """Weights that each Gaussian of a law alone gives the bins, all rows together."""
    all_of, signal = law.at(counts.qt, counts.jets), (counts.values - counts.expected_background).sum(axis=1)
    out = []
    for i in range(law.n):
        one = Mixture(np.ones((len(signal), 1)), all_of.means[:, [i]], all_of.widths[:, [i]])
        out.append((signal * all_of.fractions[:, i]) @ np.diff(one.cdf(counts.edges), axis=1))
    return out


def maps(derivation: QuantileCorrection, names: Names = UNNAMED) -> tuple[Figure, pd.DataFrame]:
    """Cumulative distributions and the shift of the map in each cell, with the uncertainty split by source."""
    what = f"{label_of(derivation.estimator)}, from simulation to {names.recorded}"
    cells = _selected_cells(derivation.cells)
    figure, grids = page(len(cells), names.title(what), (1, 1))
    frames = []
    with mpl.rc_context(SMALL):
        for (above, below), cell in zip(grids, cells, strict=True):
            frames.append(_map(above, below, derivation, cell, names))
            below.set_xlabel(COMPONENTS[derivation.component])
        legend(figure, *grids[0])
    return figure, pd.concat(frames)


def _map(above: Axes, below: Axes, derivation: QuantileCorrection, cell: Cell, names: Names) -> pd.DataFrame:
    mc, data = derivation.at("mc", cell), derivation.at("data", cell)
    where = derivation.centre(cell), derivation.jets(cell)
    x = np.linspace(mc.mean[0] - 3 * mc.rms[0], mc.mean[0] + 3 * mc.rms[0], 121)
    cdfs = {"cdf_mc": mc.cdf(x)[0], "cdf_data": data.cdf(x)[0]}
    above.plot(x, cdfs["cdf_mc"], color=MC, lw=2, label="simulation")
    above.plot(x, cdfs["cdf_data"], color=DATA, lw=1.5, ls="--", label=names.recorded)
    above.set_ylim(0, 1.1)
    above.set_ylabel("Cumulative")
    above.set_title(cell.title, loc="left")
    mapped = {name: derivation.map(name, *where, x) - x for name in derivation.systematics}
    nominal = mapped.pop(NOMINAL)
    sizes = by_source({name: values - nominal for name, values in mapped.items()})
    bands(below, x, nominal, sizes)
    below.plot(x, nominal, color=DATA, lw=1.5, label="shift")
    below.axhline(0, color="0.6", lw=1)
    reach = 1.3 * np.abs(nominal[20:-20]).max() + 2 * float(np.median(np.hypot.reduce(list(sizes.values()))))
    below.set_ylim(-reach, reach)
    below.set_xlim(x[0], x[-1])
    below.set_ylabel("Shift (GeV)")
    place = {"qt_low": cell.qt[0], "qt_high": cell.qt[1], "njets": cell.jets, "qt": where[0]}
    return pd.DataFrame({**place, "u": x, **cdfs, "shift": nominal, **sizes})


def laws(derivation: QuantileCorrection, names: Names = UNNAMED) -> tuple[Figure, pd.DataFrame]:
    """Median and half width against qT, a column for each class of nJets: laws, and events of cells."""
    classes, frames = derivation.classes, []
    with mpl.rc_context(SMALL):
        figure = Figure(figsize=(6 * len(classes), 8), layout="constrained")
        grid = figure.subplots(2, len(classes), sharex="col", sharey="row", squeeze=False)
        for number, jets in enumerate(classes):
            cells = [cell for cell in derivation.cells if cell.njets_bins == jets]
            for sample, colour in (("data", DATA), ("mc", MC)):
                frames.append(_law(grid[:, number], derivation, sample, cells, colour, names.of(sample)))
            grid[0, number].set_title(cells[0].jets, loc="left")
            grid[1, number].set_xlabel(r"$q_\mathrm{T}$ (GeV)")
        grid[0, 0].set_ylabel(f"Median of {COMPONENTS[derivation.component]}")
        grid[1, 0].set_ylabel("Half width (GeV)")
        grid[1, 0].legend(loc="best", frameon=False)
        figure.suptitle(names.title(label_of(derivation.estimator)), fontsize=20, x=0.01, ha="left")
    return figure, pd.concat(frames)


def _law(
    axes: Array, derivation: QuantileCorrection, sample: str, cells: Sequence[Cell], colour: str, label: str
) -> pd.DataFrame:
    """The curve of one sample, and the points of its cells."""
    law, number = derivation.law(sample), derivation.jets(cells[0])
    centres = np.array([derivation.centre(cell) for cell in cells])
    rows = pd.DataFrame([_measure(derivation.part(sample, cell), derivation.at(sample, cell)) for cell in cells])
    qt = np.linspace(0, 1.15 * centres[-1], 120)
    curves = _middle(_quantiles(law.at(qt, np.full(len(qt), number))))
    for ax, curve, name in zip(axes, curves, ("median", "width"), strict=True):
        shown = {"fmt": "o", "color": colour, "label": label}
        ax.errorbar(centres, rows[name], rows[f"{name}_error"], **shown)
        ax.plot(qt, curve, color=colour, lw=2)
    fitted = _middle(_quantiles(law.at(centres, np.full(len(centres), number))))
    return rows.assign(njets=cells[0].jets, sample=sample, qt=centres, median_fit=fitted[0], width_fit=fitted[1])


def _quantiles(law: Mixture) -> Array:
    return law.quantile(np.log(QUANTILES), np.log(1 - QUANTILES))


def _middle(quantiles: Array) -> tuple[Array, Array]:
    """Median and half of the central 68 %, of quantiles (rows, 3)."""
    return quantiles[:, 1], (quantiles[:, 2] - quantiles[:, 0]) / 2


def _measure(counts: Counts, law: Mixture) -> dict[str, float]:
    """Median and half of the central 68 % of events, with errors by the density of their law."""
    seen = (counts.values - counts.expected_background).sum(axis=0)
    rank = np.maximum.accumulate(np.concatenate([[0.0], np.cumsum(seen)])) / seen.sum()
    median, width = _middle(np.interp(QUANTILES, rank, counts.edges))
    low, middle, high = np.sqrt(1 / max(counts.n_effective, 1.0)) / law.pdf(_quantiles(law))[0]
    spread = np.sqrt(0.16 * 0.84 * (low**2 + high**2) - 2 * 0.16**2 * low * high) / 2
    return {"median": median[0], "median_error": middle / 2, "width": width[0], "width_error": spread}

"""Figures of a calibration, and beside each a table of its numbers: fits, maps, XY lines, data against simulation, closure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import hist
import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from numpy.typing import NDArray

from ptmiss.corrections import NOMINAL
from ptmiss.plots import STYLE, label_of, save

from .binning import Cell
from .calibrate import Calibration
from .closure import JETS, QUANTITIES, SPECTRA, Comparison, by_source
from .gaussians import Counts, Fit, Mixture, predicted
from .quantile_corrections import QuantileCorrection
from .xy import Shift, flatness

Array = NDArray[np.float64]

DATA, MC, FIT, BACKGROUND = "#000000", "#0072b2", "#d55e00", "#999999"
SHADES = {
    "MC events": "#d0d0d0",
    "statistical": "#56b4e9",
    "smoothing": "#e69f00",
    "Gaussians": "#009e73",
    "nJets": "#cc79a7",
    "background": "#f0e442",
}
COMPONENTS = {"par": r"$u_\parallel - q_\mathrm{T}$ (GeV)", "perp": r"$u_\perp$ (GeV)"}
VARIABLES = {
    "u_par": r"$u_\parallel$ (GeV)",
    "u_perp": r"$u_\perp$ (GeV)",
    "met": r"$p_\mathrm{T}^\mathrm{miss}$ (GeV)",
    "met_phi": r"$\phi(p_\mathrm{T}^\mathrm{miss})$ (rad)",
}
RATIOS = {"response": "Response", "rms_par": r"RMS of $u_\parallel - q_\mathrm{T}$", "rms_perp": r"RMS of $u_\perp$"}
SMALL = {
    **STYLE,
    "font.size": 13,
    "axes.labelsize": 13,
    "axes.titlesize": 12,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "legend.fontsize": 11,
    "lines.markersize": 3.5,
    "xtick.major.size": 5,
    "ytick.major.size": 5,
    "xtick.minor.size": 2.5,
    "ytick.minor.size": 2.5,
    "axes.linewidth": 1,
}
COLUMNS = 4  # of a page of small multiples


def draw(calibration: Calibration, comparison: Comparison | None, directory: Path, label: str = "") -> list[Path]:
    """Every figure and its table; return the figures."""
    pages: list[tuple[str, Figure, pd.DataFrame]] = []
    for derivation in calibration.derivations.values():
        for sample in ("mc", "data"):
            pages.append((f"fits_{derivation.name}_{sample}", *fits(calibration, derivation, sample, label)))
        pages.append((f"maps_{derivation.name}", *maps(derivation, label)))
    for estimator in calibration.estimators:
        shifts = {sample: calibration.shifts[sample][estimator] for sample in ("data", "mc")}
        pages.append((f"xy_{estimator}", *xy_lines(shifts, estimator, label)))
        if comparison is not None:
            pages += [(f"{estimator}_{v}", *spectra(comparison, estimator, v, label)) for v in SPECTRA]
    return [path for page in pages for path in _written(directory, *page)]


def _written(directory: Path, name: str, figure: Figure, table: pd.DataFrame) -> list[Path]:
    table.to_csv(directory / f"{name}.csv", index=False, float_format="%.6g")
    small = not name.startswith(("fits_", "maps_"))  # pages of many panels would be large
    return save(figure, directory / name, ("png", "svg") if small else ("png",))


def _page(panels: int, title: str, ratios: Sequence[float]) -> tuple[Figure, list[list[Axes]]]:
    """A page of small multiples, each with axes one above the other."""
    columns = min(COLUMNS, panels)
    rows = -(-panels // columns)
    width, height = 4.8 * columns, 4.4 * rows + 1
    with mpl.rc_context(SMALL):
        figure = Figure(figsize=(width, height))
        figure.text(0.7 / width, 1 - 0.35 / height, title, fontsize=17, va="center")
        margins = {"left": 0.7 / width, "right": 1 - 0.2 / width, "bottom": 0.6 / height, "top": 1 - 1 / height}
        grid = figure.add_gridspec(rows, columns, hspace=0.32, wspace=0.22, **margins)
        grids = [_stack(figure, grid[divmod(panel, columns)], ratios) for panel in range(panels)]
    return figure, grids


def _stack(figure: Figure, place: SubplotSpec, ratios: Sequence[float]) -> list[Axes]:
    inner = place.subgridspec(len(ratios), 1, height_ratios=ratios, hspace=0.06)
    top = figure.add_subplot(inner[0])
    top.tick_params(labelbottom=False)
    return [top, *(figure.add_subplot(inner[row], sharex=top) for row in range(1, len(ratios)))]


def fits(
    calibration: Calibration, derivation: QuantileCorrection, sample: str, label: str = ""
) -> tuple[Figure, pd.DataFrame]:
    """Every fit of one component in one sample, with pulls."""
    cells, fitted = derivation.cells, derivation.fits[sample]
    what = f"{label_of(derivation.estimator)}, {'data' if sample == 'data' else 'simulation'}"
    figure, grids = _page(len(cells), _title(what, label), (3, 1))
    frames = []
    with mpl.rc_context(SMALL):
        for (main, below), cell, fit in zip(grids, cells, fitted, strict=True):
            counts = calibration.residuals.counts(sample, derivation.estimator, derivation.component, cell)
            frames.append(_fit(main, below, _coarser(counts, fit.law.rms), fit, cell))
            below.set_xlabel(COMPONENTS[derivation.component])
        grids[0][0].legend(loc="upper left", frameon=False)
    return figure, pd.concat(frames)


def _title(what: str, label: str) -> str:
    return f"{label}: {what}" if label else what


def _coarser(counts: Counts, rms: float) -> Counts:
    """Bins of about a third of the RMS, for the eye."""
    step = max(int(rms / 3), 1)
    inner = np.flatnonzero(np.isclose(np.diff(counts.edges), 1.0))
    starts = np.concatenate([np.arange(inner[0]), inner[::step], np.arange(inner[-1] + 1, len(counts.values))])
    return counts.concatenate(starts)


def _fit(main: Axes, below: Axes, counts: Counts, fit: Fit, cell: Cell) -> pd.DataFrame:
    width = np.diff(counts.edges)
    expected, error = predicted(counts, fit.law), np.sqrt(counts.variances)
    scale = counts.variances.sum() / counts.values.sum()
    pulls = (counts.values - expected) / np.sqrt(np.maximum(expected * scale, 1e-12))
    shown = np.abs(counts.centres - fit.law.mean) < 4.5 * fit.law.rms
    x = np.linspace(fit.law.mean - 4.5 * fit.law.rms, fit.law.mean + 4.5 * fit.law.rms, 300)
    total = counts.signal.values.sum()
    main.errorbar(
        counts.centres[shown],
        (counts.values / width)[shown],
        (error / width)[shown],
        fmt="o",
        color=DATA,
        label="events",
    )
    main.plot(x, total * fit.law.pdf(x), color=FIT, lw=2, label="fit")
    for fraction, part in _parts(fit.law) if fit.parameters.size else ():
        main.plot(x, total * fraction * part.pdf(x), color=FIT, lw=1, ls="--")
    if counts.background is not None:
        main.stairs(counts.expected_background / width, counts.edges, fill=True, color=BACKGROUND, label="background")
    main.set_xlim(x[0], x[-1])
    main.set_ylim(0, 1.35 * (counts.values / width).max())
    main.set_title(cell.title, loc="left")
    quality = f"$\\chi^2$ = {fit.chi2:.0f}/{fit.ndof}" if fit.ndof > 0 else ""
    note = "" if fit.status == "fitted" else fit.status
    main.text(0.97, 0.95, "\n".join(filter(None, [quality, note])), transform=main.transAxes, ha="right", va="top")
    below.axhline(0, color="0.6", lw=1)
    below.plot(counts.centres[shown], pulls[shown], "o", color=DATA)
    below.set_ylim(-4, 4)
    below.set_ylabel("pull")
    return pd.DataFrame(
        {
            "qt_low": cell.qt[0], "qt_high": cell.qt[1], "njets": cell.jets, "low": counts.edges[:-1],
            "high": counts.edges[1:], "value": counts.values, "error": error, "expected": expected, "pull": pulls,
        }
    )  # fmt: skip


def _parts(law: Mixture) -> list[tuple[float, Mixture]]:
    """Fraction and density of each Gaussian of a sum of several."""
    if len(law.fractions) == 1:
        return []
    one = np.ones(1)
    parts = zip(law.fractions, law.means, law.widths, strict=True)
    return [(fraction, Mixture(one, mean * one, width * one)) for fraction, mean, width in parts]


def maps(derivation: QuantileCorrection, label: str = "") -> tuple[Figure, pd.DataFrame]:
    """Cumulative distributions and the shift of the map in each cell, with the uncertainty split by source."""
    what = f"{label_of(derivation.estimator)}, from simulation to data"
    figure, grids = _page(len(derivation.cells), _title(what, label), (1, 1))
    frames = []
    with mpl.rc_context(SMALL):
        for number, (above, below) in enumerate(grids):
            frames.append(_map(above, below, derivation, number))
            below.set_xlabel(COMPONENTS[derivation.component])
        above, below = grids[0]
        above.legend(loc="upper left", frameon=False)
        figure.legend(*below.get_legend_handles_labels(), loc="upper right", ncols=6, frameon=False, fontsize=13)
    return figure, pd.concat(frames)


def _map(above: Axes, below: Axes, derivation: QuantileCorrection, number: int) -> pd.DataFrame:
    mc, data, cell = derivation.fits["mc"][number].law, derivation.fits["data"][number].law, derivation.cells[number]
    x = np.linspace(mc.mean - 3 * mc.rms, mc.mean + 3 * mc.rms, 121)
    above.plot(x, mc.cdf(x), color=MC, lw=2, label="simulation")
    above.plot(x, data.cdf(x), color=DATA, lw=1.5, ls="--", label="data")
    above.set_ylim(0, 1.1)
    above.set_ylabel("CDF")
    above.set_title(cell.title, loc="left")
    mapped = {name: derivation.map(name, number)(x) - x for name in derivation.maps}
    nominal = mapped.pop(NOMINAL)
    sizes = by_source({name: values - nominal for name, values in mapped.items()})
    _bands(below, x, nominal, sizes)
    below.plot(x, nominal, color=DATA, lw=1.5, label="shift")
    below.axhline(0, color="0.6", lw=1)
    reach = 1.3 * np.abs(nominal[20:-20]).max() + 2 * float(np.median(np.hypot.reduce(list(sizes.values()))))
    below.set_ylim(-reach, reach)
    below.set_xlim(x[0], x[-1])
    below.set_ylabel("shift (GeV)")
    where = {"qt_low": cell.qt[0], "qt_high": cell.qt[1], "njets": cell.jets}
    return pd.DataFrame({**where, "u": x, "cdf_mc": mc.cdf(x), "cdf_data": data.cdf(x), "shift": nominal, **sizes})


def _bands(ax: Axes, x: Array, centre: Array, sizes: Mapping[str, Array]) -> None:
    """Sources of uncertainty around a curve, each added in quadrature to those before it."""
    inner = np.zeros_like(centre)
    for name, size in sizes.items():
        outer = np.hypot(inner, np.nan_to_num(size))
        style: dict[str, Any] = {"color": SHADES[name], "lw": 0}
        ax.fill_between(x, centre + inner, centre + outer, label=name, **style)
        ax.fill_between(x, centre - outer, centre - inner, **style)
        inner = outer


def xy_lines(shifts: Mapping[str, Shift], estimator: str, label: str = "") -> tuple[Figure, pd.DataFrame]:
    """Mean pTmiss_x and pTmiss_y against nPV with the fitted lines."""
    rows = []
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(18, 8), layout="constrained")
        for ax, axis in zip(figure.subplots(1, 2), ("x", "y"), strict=True):
            for (sample, shift), colour in zip(shifts.items(), (DATA, MC), strict=True):
                line = getattr(shift, axis)
                name = f"{'data' if sample == 'data' else 'simulation'}, $\\chi^2$ = {line.chi2:.0f}/{line.ndof}"
                ax.errorbar(line.npv, line.mean, line.error, fmt="o", color=colour, markersize=6, label=name)
                ax.plot(line.npv, line(line.npv), color=colour, lw=2)
                points = {"npv": line.npv, "mean": line.mean, "error": line.error, "line": line(line.npv)}
                rows.append(pd.DataFrame({"sample": sample, "axis": axis, **points}))
            ax.set_xlabel("Number of primary vertices")
            ax.set_ylabel(rf"$\langle p_{{\mathrm{{T}},{axis}}}^\mathrm{{miss}}\rangle$ (GeV)")
            low, high = ax.get_ylim()
            ax.set_ylim(low, high + 0.3 * (high - low))
            ax.legend(loc="upper left", fontsize="small", title=label_of(estimator), title_fontsize="small")
        if label:
            figure.axes[0].text(0, 1.01, label, transform=figure.axes[0].transAxes, va="bottom", fontsize="small")
    return figure, pd.concat(rows)


def spectra(comparison: Comparison, estimator: str, variable: str, label: str = "") -> tuple[Figure, pd.DataFrame]:
    """Data and simulation before and after the correction, with the ratio and its uncertainty by source."""
    sides = {
        "before": (comparison.data, comparison.mc),
        "after": (comparison.corrected_data, comparison.corrected_mc),
    }
    rows = []
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(18, 10), layout="constrained")
        grid = figure.subplots(2, 2, sharex=True, gridspec_kw={"height_ratios": (2.2, 1), "hspace": 0.02})
        for number, (when, (data, mc)) in enumerate(sides.items()):
            frame = ratio_table(data[variable], mc[variable], estimator)
            _spectrum(grid[0, number], grid[1, number], frame)
            title = f"{label_of(estimator)}, {when} the calibration"
            if variable == "met_phi":
                title += _flat(data[variable], estimator)
            grid[0, number].set_title(_title(title, label) if not number else title, loc="left", fontsize="x-small")
            grid[1, number].set_xlabel(VARIABLES[variable])
            rows.append(frame.assign(when=when))
        top = max(ax.get_ylim()[1] for ax in grid[0])
        for ax in grid[0]:
            ax.set_ylim(0, 1.45 * top)
        grid[0, 0].set_ylabel("Events")
        grid[1, 0].set_ylabel("data / MC")
        grid[0, 1].legend(*_legend(grid[:, 1]), loc="upper right", fontsize="xx-small", ncols=2)
    return figure, pd.concat(rows)


def _legend(axes: Sequence[Axes]) -> tuple[list[Any], list[str]]:
    found = [pair for ax in axes for pair in zip(*ax.get_legend_handles_labels(), strict=True)]
    handles, labels = zip(*found, strict=True)
    return list(handles), list(labels)


def _flat(histogram: hist.Hist, estimator: str) -> str:
    value, ndof, probability = flatness(histogram[{"estimator": estimator, "systematic": NOMINAL}])
    return f"\n data against a constant: $\\chi^2$ = {value:.0f}/{ndof} (p = {probability:.2g})"


def ratio_table(data: hist.Hist, mc: hist.Hist, estimator: str) -> pd.DataFrame:
    """Data, simulation scaled to as many events, and the relative size of each source of uncertainty, bin by bin."""
    part = {"estimator": estimator}
    shapes = {name: _rebinned(mc[{**part, "systematic": name}]) for name in mc.axes["systematic"]}
    recorded = _rebinned(data[{**part, "systematic": NOMINAL}])
    total = recorded.sum().value
    contents = {name: h.values() * total / h.sum().value for name, h in shapes.items()}
    nominal = contents.pop(NOMINAL)
    error = np.sqrt(shapes[NOMINAL].variances()) * total / shapes[NOMINAL].sum().value
    safe = np.where(nominal > 0, nominal, np.nan)
    sizes = {"MC events": error, **by_source({name: values - nominal for name, values in contents.items()})}
    edges = recorded.axes[0].edges
    return pd.DataFrame(
        {
            "low": edges[:-1], "high": edges[1:], "data": recorded.values(), "data_error": np.sqrt(recorded.variances()),
            "mc": nominal, "ratio": recorded.values() / safe, "ratio_error": np.sqrt(recorded.variances()) / safe,
            **{name: size / safe for name, size in sizes.items()},
        }
    )  # fmt: skip


def _rebinned(histogram: hist.Hist) -> hist.Hist:
    return histogram[:: hist.rebin(2)]


def _spectrum(main: Axes, below: Axes, frame: pd.DataFrame) -> None:
    edges = np.append(frame["low"].to_numpy(), frame["high"].iloc[-1])
    centres = (edges[1:] + edges[:-1]) / 2
    main.stairs(frame["mc"], edges, fill=True, color=MC, alpha=0.35, label="simulation")
    main.stairs(frame["mc"], edges, color=MC, lw=2)
    main.errorbar(
        centres, frame["data"], frame["data_error"], fmt="o", color=DATA, markersize=5, label="data - background"
    )
    sizes = {name: np.repeat(frame[name].to_numpy(), 2) for name in SHADES if name in frame}
    _bands(below, np.repeat(edges, 2)[1:-1], np.ones(2 * len(frame)), sizes)
    good = (frame["ratio_error"] < 0.5).to_numpy()
    below.errorbar(centres[good], frame["ratio"][good], frame["ratio_error"][good], fmt="o", color=DATA, markersize=5)
    below.axhline(1, color="0.3", lw=1)
    below.set_ylim(0.55, 1.45)
    filled = np.flatnonzero(frame["data"].cumsum().between(0.001 * frame["data"].sum(), 0.999 * frame["data"].sum()))
    below.set_xlim(edges[filled[0]], edges[filled[-1] + 1])


def closure(table: pd.DataFrame, label: str = "") -> Figure:
    """Data over simulation in every region, before and after."""
    estimators = list(table["estimator"].unique())
    with mpl.rc_context(SMALL):
        figure = Figure(figsize=(6.2 * len(QUANTITIES), 3.4 * len(estimators) + 1.2), layout="constrained")
        grid = figure.subplots(len(estimators), len(QUANTITIES), squeeze=False)
        for (row, estimator), (column, quantity) in product(enumerate(estimators), enumerate(QUANTITIES)):
            part = table[(table["estimator"] == estimator) & (table["quantity"] == quantity)]
            _regions(grid[row, column], part)
            grid[row, column].set_title(f"{label_of(estimator)}: {RATIOS[quantity]}, data / simulation", loc="left")
        grid[0, 0].legend(loc="best")
        if label:
            figure.suptitle(label, fontsize=15, x=0.01, ha="left")
    return figure


def _regions(ax: Axes, part: pd.DataFrame) -> None:
    x = np.arange(len(part))
    total = np.hypot(part["after_error"], part["systematic"])
    ax.bar(
        x,
        2 * part["systematic"],
        bottom=1 - part["systematic"],
        width=0.9,
        color="#f3dca6",
        label="correction's uncertainty",
    )
    ax.errorbar(x - 0.15, part["before"], part["before_error"], fmt="s", color=BACKGROUND, markersize=5, label="before")
    ax.errorbar(x + 0.15, part["after"], part["after_error"], fmt="o", color=FIT, markersize=5, label="after")
    ax.axhline(1, color="0.3", lw=1)
    names = [
        f"{low:g} to {high:g}" if np.isfinite(high) else f"> {low:g}"
        for low, high in zip(part["qt_low"], part["qt_high"], strict=True)
    ]
    jets = list(JETS)
    ax.set_xticks(x, [f"{name}\n{jets.index(number)}j" for name, number in zip(names, part["njets"], strict=True)])
    ax.minorticks_off()
    ax.set_xlabel(r"$q_\mathrm{T}$ (GeV), number of jets")
    reach = np.clip(
        1.4 * np.nanmax([np.abs(part["before"] - 1) + part["before_error"], np.abs(part["after"] - 1) + total]),
        0.05,
        0.6,
    )
    ax.set_ylim(1 - reach, 1 + reach)

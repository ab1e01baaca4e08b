"""Figures of a calibration, each with a table: fits, maps, XY lines, data against simulation, closure."""

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

from ptmiss.corrections import NOMINAL
from ptmiss.plots import STYLE, label_of, save

from . import law_figures
from .calibrate import Calibration
from .closure import JETS, QUANTITIES, SPECTRA, Comparison, by_source
from .panels import BACKGROUND, DATA, FIT, MC, SHADES, SMALL, bands, title
from .xy import Shift, flatness

VARIABLES = {
    "u_par": r"$u_\parallel$ (GeV)",
    "u_perp": r"$u_\perp$ (GeV)",
    "met": r"$p_\mathrm{T}^\mathrm{miss}$ (GeV)",
    "met_phi": r"$\phi(p_\mathrm{T}^\mathrm{miss})$ (rad)",
}
RATIOS = {"response": "Response", "rms_par": r"RMS of $u_\parallel - q_\mathrm{T}$", "rms_perp": r"RMS of $u_\perp$"}


def draw(calibration: Calibration, comparison: Comparison | None, directory: Path, label: str = "") -> list[Path]:
    """Every figure and its table; return the figures."""
    pages: list[tuple[str, Figure, pd.DataFrame]] = []
    for derivation in calibration.derivations.values():
        for sample in ("mc", "data"):
            pages.append((f"fits_{derivation.name}_{sample}", *law_figures.fits(derivation, sample, label)))
        pages.append((f"maps_{derivation.name}", *law_figures.maps(derivation, label)))
        pages.append((f"laws_{derivation.name}", *law_figures.laws(derivation, label)))
    for estimator in calibration.estimators:
        if comparison is not None:
            pages += [(f"{estimator}_{v}", *spectra(comparison, estimator, v, label)) for v in SPECTRA]
    lines = draw_lines(calibration.preparation.shifts, directory, label)
    return lines + [path for page in pages for path in _write(directory, *page)]


def draw_lines(shifts: Mapping[str, Mapping[str, Shift]], directory: Path, label: str = "") -> list[Path]:
    """The XY lines of every estimator, and their tables; return the figures. shifts: by sample and estimator."""
    out = []
    for estimator in shifts["mc"]:
        of_both = {sample: shifts[sample][estimator] for sample in ("data", "mc")}
        out += _write(directory, f"xy_{estimator}", *xy_lines(of_both, estimator, label))
    return out


def _write(directory: Path, name: str, figure: Figure, table: pd.DataFrame) -> list[Path]:
    table.to_csv(directory / f"{name}.csv", index=False, float_format="%.6g")
    small = not name.startswith(("fits_", "maps_"))  # pages of many panels would be large
    return save(figure, directory / name, ("png", "svg") if small else ("png",))


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
            what = f"{label_of(estimator)}, {when} the calibration"
            if variable == "met_phi":
                what += _flat(data[variable], estimator)
            grid[0, number].set_title(what if number else title(what, label), loc="left", fontsize="x-small")
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
    shapes = {name: _rebin(mc[{**part, "systematic": name}]) for name in mc.axes["systematic"]}
    recorded = _rebin(data[{**part, "systematic": NOMINAL}])
    total = recorded.sum().value
    contents = {name: h.values() * total / h.sum().value for name, h in shapes.items()}
    nominal = contents.pop(NOMINAL)
    error = np.sqrt(shapes[NOMINAL].variances()) * total / shapes[NOMINAL].sum().value
    safe = np.where(nominal > 0, nominal, np.nan)
    sizes = {"MC events": error, **by_source({name: values - nominal for name, values in contents.items()})}
    edges = recorded.axes[0].edges
    error = np.sqrt(recorded.variances())
    return pd.DataFrame(
        {
            "low": edges[:-1], "high": edges[1:], "data": recorded.values(), "data_error": error,
            "mc": nominal, "ratio": recorded.values() / safe, "ratio_error": error / safe,
            **{name: size / safe for name, size in sizes.items()},
        }
    )  # fmt: skip


def _rebin(histogram: hist.Hist) -> hist.Hist:
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
    bands(below, np.repeat(edges, 2)[1:-1], np.ones(2 * len(frame)), sizes)
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

"""Figures of a calibration, each with a table: fits, maps, XY lines, data against simulation, closure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from pathlib import Path

import hist
import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ptmiss import processes
from ptmiss.histograms.stacks import per_bin
from ptmiss.plots import RATIO_RANGE, STYLE, arrows, edges_of, filled_range, label_of, mark, ratios, save
from ptmiss.systematics import NOMINAL

from . import conditions, law_figures
from .calibrate import Calibration
from .closure import JETS, QUANTITIES, SPECTRA, Comparison, by_source
from .panels import BACKGROUND, DATA, FIT, MC, SHADES, SMALL, UNNAMED, Names, bands, handles_of
from .xy import Shift, flatness

Drawing = Callable[[], tuple[Figure, pd.DataFrame]]

VARIABLES = {
    "u_par": r"$u_\parallel$ (GeV)",
    "u_perp": r"$u_\perp$ (GeV)",
    "met": r"$p_\mathrm{T}^\mathrm{miss}$ (GeV)",
    "met_phi": r"$\phi(p_\mathrm{T}^\mathrm{miss})$ (rad)",
}
WHEN = {"before": ("s", BACKGROUND), "after": ("o", FIT)}
CONDITIONS = "conditions"
LEAST_CHANCE = 0.001  # of a fit; a smaller one is said to be below it
LEAST_REACH, REACH = 0.05, 0.35  # of a ratio's axis on either side of 1
RATIOS = {"response": "Response", "rms_par": r"RMS of $u_\parallel - q_\mathrm{T}$", "rms_perp": r"RMS of $u_\perp$"}


def draw(
    calibration: Calibration,
    comparison: Comparison | None,
    directory: Path,
    names: Names = UNNAMED,
    workers: int = 1,
) -> list[Path]:
    """Every figure and its table; return the figures. workers: processes that draw."""
    pages: list[tuple[str, Drawing]] = []
    for derivation in calibration.derivations.values():
        for sample in ("mc", "data"):
            pages.append((f"fits_{derivation.name}_{sample}", partial(law_figures.fits, derivation, sample, names)))
        pages.append((f"maps_{derivation.name}", partial(law_figures.maps, derivation, names)))
        pages.append((f"laws_{derivation.name}", partial(law_figures.laws, derivation, names)))
    if comparison is not None:
        pages.append((CONDITIONS, partial(conditions.draw, conditions.tabulate(comparison), names)))
        for estimator, v in product(calibration.estimators, SPECTRA):
            pages.append((f"{estimator}_{v}", partial(spectra, comparison.only(v), estimator, v, names)))
    lines = draw_lines(calibration.preparation.shifts, directory, names)
    drawn = processes.each(_draw, [(directory, *page) for page in pages], workers)
    return lines + [path for paths in drawn for path in paths]


def _draw(page: tuple[Path, str, Drawing]) -> list[Path]:
    directory, name, drawing = page
    return _write(directory, name, *drawing())


def draw_lines(shifts: Mapping[str, Mapping[str, Shift]], directory: Path, names: Names = UNNAMED) -> list[Path]:
    """The XY lines of every estimator, and their tables; return the figures. shifts: by sample and estimator."""
    out = []
    for estimator in shifts["mc"]:
        of_both = {sample: shifts[sample][estimator] for sample in ("data", "mc")}
        out += _write(directory, f"xy_{estimator}", *xy_lines(of_both, estimator, names))
    return out


def _write(directory: Path, name: str, figure: Figure, table: pd.DataFrame) -> list[Path]:
    table.to_csv(directory / f"{name}.csv", index=False, float_format="%.6g")
    small = not name.startswith(("fits_", "maps_"))  # pages of many panels would be large
    return save(figure, directory / name, ("png", "svg") if small else ("png",))


def xy_lines(shifts: Mapping[str, Shift], estimator: str, names: Names = UNNAMED) -> tuple[Figure, pd.DataFrame]:
    """Mean pTmiss_x and pTmiss_y against nPV with the fitted lines."""
    rows = []
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(18, 8), layout="constrained")
        for ax, axis in zip(figure.subplots(1, 2), ("x", "y"), strict=True):
            for (sample, shift), colour in zip(shifts.items(), (DATA, MC), strict=True):
                line = getattr(shift, axis)
                name = f"{names.of(sample)}, $\\chi^2$ = {line.chi2:.0f}/{line.ndof}"
                ax.errorbar(line.npv, line.mean, line.error, fmt="o", color=colour, markersize=6, label=name)
                ax.plot(line.npv, line(line.npv), color=colour, lw=2)
                points = {"npv": line.npv, "mean": line.mean, "error": line.error, "line": line(line.npv)}
                rows.append(pd.DataFrame({"sample": sample, "axis": axis, **points}))
            ax.set_xlabel("Number of primary vertices")
            ax.set_ylabel(rf"$\langle p_{{\mathrm{{T}},{axis}}}^\mathrm{{miss}}\rangle$ (GeV)")
            low, high = ax.get_ylim()
            ax.set_ylim(low, high + 0.35 * (high - low))
            ax.legend(loc="upper left", fontsize="x-small", title=label_of(estimator), title_fontsize="x-small")
        mark(figure.axes[0], names.label)
    return figure, pd.concat(rows)


def spectra(
    comparison: Comparison, estimator: str, variable: str, names: Names = UNNAMED
) -> tuple[Figure, pd.DataFrame]:
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
            _spectrum(grid[0, number], grid[1, number], frame, names)
            what = f"{label_of(estimator)}, {when} the calibration"
            if variable == "met_phi":
                what += f"\n{names.recorded} against a constant: {_flat(data[variable], estimator)}"
            grid[0, number].text(0.04, 0.96, what, transform=grid[0, number].transAxes, va="top", fontsize="x-small")
            grid[1, number].set_xlabel(VARIABLES[variable])
            rows.append(frame.assign(when=when))
        top = max(ax.get_ylim()[1] for ax in grid[0])
        for ax in grid[0]:
            ax.set_ylim(0, 1.3 * top)
        grid[0, 0].set_ylabel(per_bin(edges_of(frame), VARIABLES[variable]))
        grid[1, 0].set_ylabel(f"{names.recorded.capitalize()} / sim.", fontsize="x-small", loc="center")
        figure.legend(*handles_of(grid[:, 1]), loc="outside lower center", fontsize="x-small", ncols=4)
        mark(grid[0, 0], names.label)
    return figure, pd.concat(rows)


def _flat(histogram: hist.Hist, estimator: str) -> str:
    value, ndof, probability = flatness(_rebin(histogram[{"estimator": estimator, "systematic": NOMINAL}]))
    chance = f"p = {probability:.2g}" if probability >= LEAST_CHANCE else f"p < {LEAST_CHANCE:g}"
    return f"$\\chi^2$ = {value:.0f}/{ndof}, {chance}"


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


def _spectrum(main: Axes, below: Axes, frame: pd.DataFrame, names: Names) -> None:
    edges = edges_of(frame)
    centres = (edges[1:] + edges[:-1]) / 2
    main.stairs(frame["mc"], edges, fill=True, color=MC, alpha=0.35, label="simulation")
    main.stairs(frame["mc"], edges, color=MC, lw=2)
    main.errorbar(
        centres, frame["data"], frame["data_error"], fmt="o", color=DATA, markersize=5,
        label=f"{names.recorded}, background subtracted",
    )  # fmt: skip
    sizes = {name: np.repeat(frame[name].to_numpy(), 2) for name in SHADES if name in frame}
    bands(below, np.repeat(edges, 2)[1:-1], np.ones(2 * len(frame)), sizes)
    below.set_xlim(filled_range(edges, frame["data"].to_numpy()))
    ratios(below, centres, frame["ratio"].to_numpy(), frame["ratio_error"].to_numpy(), RATIO_RANGE, DATA)
    below.axhline(1, color="0.3", lw=1)
    below.set_ylim(RATIO_RANGE)


def closure(table: pd.DataFrame, names: Names = UNNAMED) -> Figure:
    """Data over simulation in every region, before and after."""
    estimators = list(table["estimator"].unique())
    with mpl.rc_context(SMALL):
        figure = Figure(figsize=(6.2 * len(QUANTITIES), 4.2 * len(estimators) + 1.2), layout="constrained")
        grid = figure.subplots(len(estimators), len(QUANTITIES), squeeze=False)
        for (row, estimator), (column, quantity) in product(enumerate(estimators), enumerate(QUANTITIES)):
            part = table[(table["estimator"] == estimator) & (table["quantity"] == quantity)]
            _regions(grid[row, column], part)
            grid[row, column].set_title(f"{label_of(estimator)}: {RATIOS[quantity]}", loc="left")
        for ax in grid[:, 0]:
            ax.set_ylabel(f"{names.recorded.capitalize()} / simulation")
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=3)
        if names.label:
            figure.suptitle(names.label, fontsize=20, x=0.01, ha="left")
    return figure


def _regions(ax: Axes, part: pd.DataFrame) -> None:
    """One estimator's ratios in each region; an arrow stands for a point outside of the frame."""
    x, size = np.arange(len(part)), part["systematic"]
    ax.bar(x, 2 * size, bottom=1 - size, width=0.9, color="#f3dca6", label="correction's uncertainty")
    away = np.concatenate([np.abs(part[when] - 1) + part[f"{when}_error"] for when in WHEN])
    reach = float(np.clip(1.1 * np.nanmax(away, initial=0.0), LEAST_REACH, REACH))
    for (when, (marker, colour)), shift in zip(WHEN.items(), (-0.15, 0.15), strict=True):
        shown = (np.abs(part[when] - 1) < reach).to_numpy()
        points = (x[shown] + shift, part[when][shown], part[f"{when}_error"][shown])
        ax.errorbar(*points, fmt=marker, color=colour, markersize=6, label=when)
        arrows(ax, x.astype(float) + shift, part[when].to_numpy(), (1 - reach, 1 + reach), colour)
    ax.axhline(1, color="0.3", lw=1)
    ax.set_xticks(x, [_region(*row) for row in part[["qt_low", "qt_high", "njets"]].itertuples(index=False)])
    ax.tick_params(axis="x", labelsize=13)
    ax.minorticks_off()
    ax.set_xlabel(r"$q_\mathrm{T}$ (GeV), number of jets")
    ax.set_ylim(1 - reach, 1 + reach)


def _region(low: float, high: float, jets: str) -> str:
    """A region below the axis, in two lines."""
    qt = f"{low:g}-{high:g}" if np.isfinite(high) else f"> {low:g}"
    return f"{qt}\n{list(JETS).index(jets)} j"

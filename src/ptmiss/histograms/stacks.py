"""Data of a run over its simulation: spectra of an estimator, stacked datasets, and their uncertainty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import hist
import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from matplotlib.ticker import EngFormatter
from numpy.typing import NDArray

from ptmiss import normalisation
from ptmiss.errors import LedgerError
from ptmiss.files.provenance import samples
from ptmiss.histograms import OBSERVABLES
from ptmiss.plots import (
    RATIO_RANGE,
    STYLE,
    axes_of,
    filled_range,
    label_of,
    luminosity_text,
    mark,
    ratios,
    room,
    whole,
)
from ptmiss.results import RunResult
from ptmiss.systematics import NOMINAL, sizes, total
from ptmiss.typing import Array

FILLS = ("#8fbbda", "#f3c178", "#a6d8c3", "#e3b9d0", "#c9c9c9", "#f2e58f")
TO_DATA = "simulation scaled to {}"
EXPECTED = "expected"
MANY = 1e5  # events in a bin: from here on as 200k and 1M, for a power of ten would be where the label is
SOURCE = "systematic_"  # begins the columns of single systematics
SHOWN = 3  # systematics that have a band of their own
SHADES = ("0.75", "#9cc7ec", "#ffd48a", "#e6a297", "#dcd0ea")


class Stack(NamedTuple):
    """Compared histograms. data: by name, summed; simulation: of each dataset, scaled.

    luminosity: of the data, fb^-1, to which simulation is scaled; None where it is scaled to as many events as data;
    recorded: ``data``, or ``pseudo-data`` where simulation stands for them.
    """

    data: Mapping[str, hist.Hist]
    simulation: Mapping[str, Mapping[str, hist.Hist]]
    luminosity: float | None
    recorded: str = "data"


def of_run(result: RunResult) -> Stack | None:
    """The data and the simulation of a run; None unless there are both.

    Simulation has the luminosity of the data where they state one, and else, all of it by one factor for each
    histogram, as many events. Several simulated datasets need cross sections: OptionError names one without.
    """
    about = result.manifest["datasets"]
    if len(result.histograms) < 2:
        return None
    kinds = {name: normalisation.kind_of(name, about[name]) for name in result.histograms}
    data, simulated = ([name for name, kind in kinds.items() if kind == wanted] for wanted in ("data", "mc"))
    if not data or not simulated:
        return None
    normalisation.require_distinct({name: about[name] for name in data})
    factors, luminosity = normalise({name: about[name] for name in simulated}, {name: about[name] for name in data})
    recorded = {which: sum_of([result.histograms[name][which] for name in data]) for which in common_spectra(result)}
    scaled = {
        f"{name} (dataset)" if name in COLUMNS else name: {
            which: result.histograms[name][which] * factors[name] for which in recorded
        }
        for name in simulated
    }
    return Stack(recorded, scaled, luminosity, samples({"datasets": {name: about[name] for name in data}}))


def expected(result: RunResult) -> Stack | None:
    """The simulation of a run without data at 1 fb^-1, whose sum stands for data with their errors.

    None unless there are several simulated datasets, all with cross sections, and nothing else.
    """
    about = {name: result.manifest["datasets"][name] for name in result.histograms}
    simulated = all(normalisation.kind_of(name, each) == "mc" for name, each in about.items())
    if len(about) < 2 or not simulated or not all("cross_section" in each["metadata"] for each in about.values()):
        return None
    factors = {name: normalisation.factor(name, each, 1.0, rescale=True) for name, each in about.items()}
    which = common_spectra(result)
    scaled = {name: {w: result.histograms[name][w] * factor for w in which} for name, factor in factors.items()}
    return Stack({w: counts(sum_of([each[w] for each in scaled.values()])) for w in which}, scaled, 1.0, EXPECTED)


def counts(histogram: hist.Hist) -> hist.Hist:
    """A histogram with the errors of as many recorded events."""
    out = histogram.copy()
    view: Any = out.view(flow=True)
    view["variance"] = np.abs(view["value"])
    return out


def common_spectra(result: RunResult) -> list[str]:
    """Spectra that all datasets have."""
    return [which for which in OBSERVABLES if all(which in histograms for histograms in result.histograms.values())]


def sum_of(histograms: list[hist.Hist]) -> hist.Hist:
    """Their sum."""
    total = histograms[0].copy()
    for other in histograms[1:]:
        total += other
    return total


def normalise(simulation: Mapping[str, Any], data: Mapping[str, Any]) -> tuple[dict[str, float], float | None]:
    """Factor of each simulated dataset, and the luminosity that they have then; datasets are those of a manifest.

    One simulated dataset without a cross section has the size of the data; several would mix raw weights.
    """
    if len(simulation) == 1 and not any("cross_section" in about["metadata"] for about in simulation.values()):
        return dict.fromkeys(simulation, 1.0), None
    factors = {name: normalisation.factor(name, about, 1.0, rescale=True) for name, about in simulation.items()}
    if not all("luminosity" in about["metadata"] for about in data.values()):
        return factors, None
    luminosity = normalisation.luminosities(data, rescale=True)
    return {name: factor * luminosity for name, factor in factors.items()}, luminosity


COLUMNS = ("estimator", "axis", "low", "high", "data", "simulation", "systematic", "ratio")
"""Columns of a table of a stack: a simulated dataset of such a name has another there."""


def rows(stack: Stack, which: str, estimator: str) -> pd.DataFrame:
    """Data, each simulated dataset, all of them, and their ratio in bins, with errors.

    ``simulation_error`` is that of the simulated events; ``systematic`` is relative to the simulation: the size of all
    systematics, ``systematic_<source>`` that of one (see ptmiss.systematics).
    """
    data = spectrum(stack.data[which], estimator, NOMINAL)
    parts = {name: spectrum(h[which], estimator, NOMINAL) for name, h in stack.simulation.items()}
    simulation = sum_of(list(parts.values()))
    sums = data.sum().value, simulation.sum().value
    scale = to_data(*sums, f"{which}, {estimator}") if stack.luminosity is None else 1.0
    table = tabulate(
        data.axes[0].edges,
        (data.values(), np.sqrt(data.variances())),
        {name: h.values() * scale for name, h in parts.items()},
        (simulation.values() * scale, np.sqrt(simulation.variances()) * scale),
        shifts(stack, which, estimator, scale),
    )
    return pd.DataFrame({"estimator": estimator, "axis": which, **table})


def to_data(data: float, simulation: float, what: str) -> float:
    """What gives simulation as many events as data; 1 where there is none. LedgerError if its weights are negative."""
    if not simulation >= 0:
        raise LedgerError(
            f"{what}: the weights of simulation add up to {simulation:g}, expected more than 0 to scale it to the data"
        )
    return data / simulation if simulation > 0 else 1.0


def tabulate(
    edges: Array,
    data: tuple[Array, Array],
    parts: Mapping[str, Array],
    simulation: tuple[Array, Array],
    shifts: Mapping[str, Array],
) -> dict[str, Array]:
    """Columns, (bins,) each, of data over stacked parts.

    data, simulation: events and their errors; parts: events of each; shifts: by variation, in events.
    """
    (count, error), (nominal, nominal_error) = data, simulation
    safe = np.where(nominal > 0, nominal, np.nan)
    whole = total(shifts) * np.ones_like(count)
    moved = {source: size for source, size in sizes(shifts).items() if size.any()}
    return {
        "low": edges[:-1], "high": edges[1:], "data": count, "data_error": error, **parts,
        "simulation": nominal, "simulation_error": nominal_error, "systematic": whole / safe,
        "ratio": count / safe, "ratio_error": error / safe,
        **{f"{SOURCE}{source}": size / safe for source, size in moved.items()},
    }  # fmt: skip


def spectrum(histogram: hist.Hist, estimator: str, systematic: str) -> hist.Hist:
    """One spectrum, in bins of twice the width; empty if no event was selected."""
    if systematic not in histogram.axes["systematic"]:
        return hist.Hist(histogram.axes[-1], storage=hist.storage.Weight())[:: hist.rebin(2)]
    return histogram[{"estimator": estimator, "systematic": systematic}][:: hist.rebin(2)]


def shifts(stack: Stack, which: str, estimator: str, scale: float) -> dict[str, Array]:
    """(bins,) how each variation of the simulation moves events between bins, in events."""
    histograms = [h[which] for h in stack.simulation.values()]
    names = sorted({name for h in histograms for name in h.axes["systematic"]} - {NOMINAL})
    return {name: scale * np.sum([shift(h, estimator, name) for h in histograms], axis=0) for name in names}


def shift(histogram: hist.Hist, estimator: str, systematic: str) -> NDArray[np.float64]:
    """(bins,) how a systematic moves events between bins; not at all where a dataset does not have it."""
    nominal = spectrum(histogram, estimator, NOMINAL).values()
    if systematic not in histogram.axes["systematic"]:
        return np.zeros_like(nominal)
    return spectrum(histogram, estimator, systematic).values() - nominal


def figure(
    table: pd.DataFrame, title: str, luminosity: float | None = None, label: str = "", recorded: str = "data"
) -> Figure:
    """Data over the stack, and their ratio with the band of the simulation's uncertainty.

    title: of the axis; luminosity: fb^-1, None where simulation is scaled to the data; recorded: what data are.
    """
    columns = list(table.columns)
    names = columns[columns.index("data_error") + 1 : columns.index("simulation")]
    with mpl.rc_context(STYLE):
        main, below = axes_of(1, 1, ratio=True)[0]
        edges = np.append(table["low"].to_numpy(), table["high"].iloc[-1])
        draw_stack(main, table, names, edges, recorded)
        main.set_ylabel(per_bin(edges, title))
        draw_ratio(below, table, edges, recorded)
        handles = [*main.get_legend_handles_labels()[0], *band_handles(below)]
        scaled = f"\n{TO_DATA.format(recorded)}" if luminosity is None else ""
        words = f"{label_of(table['estimator'].iloc[0])}{scaled}"
        lines = words.count("\n") + 1 + -(-len(handles) // 2)
        main.set_ylim(0, main.get_ylim()[1] * (1 + room(lines)))
        main.legend(handles=handles, title=words, title_fontsize="x-small", fontsize="x-small", ncols=2)
        below.set_xlabel(title)
        mark(main, label, "" if luminosity is None else luminosity_text(luminosity))
    return whole(main)


def draw_stack(ax: Axes, table: pd.DataFrame, names: list[str], edges: NDArray[np.float64], recorded: str) -> None:
    """The datasets, the largest on top, the band around their sum, and the data; edges: (bins + 1,)."""
    base = np.zeros(len(table))
    for number, name in enumerate(sorted(names, key=lambda n: table[n].sum())):
        top = base + table[name].to_numpy()
        ax.stairs(top, edges, baseline=base, fill=True, color=FILLS[number % len(FILLS)], label=name)
        base = top
    size = base * band(table)
    hatched: dict[str, Any] = {"fill": True, "facecolor": "none", "edgecolor": "0.35", "hatch": "////", "lw": 0}
    ax.stairs(base + size, edges, baseline=base - size, label="uncertainty", **hatched)
    centre = (edges[1:] + edges[:-1]) / 2
    ax.errorbar(centre, table["data"], table["data_error"], fmt="o", color="black", markersize=5, label=recorded)
    top = max((table["data"] + table["data_error"]).max(), (base + size).max())
    ax.set_ylim(0, top)
    if top > MANY:
        ax.yaxis.set_major_formatter(EngFormatter(sep=""))
    ax.tick_params(labelbottom=False)


def per_bin(edges: NDArray[np.float64], title: str) -> str:
    """The label of an axis of events, with the width of the bins where all have one; title: of the axis below."""
    widths = np.diff(edges)
    unit = next((unit for unit in ("GeV", "rad") if title.endswith(f"({unit})")), "")
    return f"Events / {widths[0]:.2g} {unit}".rstrip() if np.allclose(widths, widths[0]) else "Events / bin"


def band_handles(ax: Axes) -> list[Any]:
    """What a legend shows of the bands around a ratio, from the innermost on; nothing if there is only one."""
    return [handle for handle in reversed(ax.get_legend_handles_labels()[0]) if isinstance(handle, StepPatch)]


def draw_ratio(ax: Axes, table: pd.DataFrame, edges: NDArray[np.float64], recorded: str) -> None:
    """Data over simulation; the band is the simulation's uncertainty; edges: (bins + 1,)."""
    centre = (edges[1:] + edges[:-1]) / 2
    for label, size, colour in reversed(bands(table)):
        ax.stairs(1 + size, edges, baseline=1 - size, fill=True, color=colour, label=label)
    limits = ratio_range(table)
    ax.set_xlim(filled_range(edges, table["data"].to_numpy()))
    ratios(ax, centre, table["ratio"].to_numpy(), table["ratio_error"].to_numpy(), limits, "black")
    ax.axhline(1, color="0.3", lw=1)
    ax.set_ylim(limits)
    ax.set_ylabel(f"{recorded.capitalize()} / sim.", fontsize="x-small", loc="center")


def sources_of(table: pd.DataFrame) -> list[str]:
    """The columns of single systematics, the largest first."""
    columns = [column for column in table.columns if column.startswith(SOURCE)]
    weight = table["simulation"].to_numpy() ** 2
    return sorted(columns, key=lambda column: -float(np.nansum(weight * table[column].to_numpy() ** 2)))


def ratio_range(table: pd.DataFrame) -> tuple[float, float]:
    """Of data over simulation: RATIO_RANGE, or as much wider as the widest band needs, down to zero."""
    half = min(max(RATIO_RANGE[1] - 1, 1.1 * float(band(table).max())), 1.0)
    return 1 - half, 1 + half


def bands(table: pd.DataFrame) -> list[tuple[str, Array, str]]:
    """Name, half width relative to the simulation, (bins,), and colour of nested bands, from the innermost on.

    The first is that of the simulated events. Each of the largest systematics is added to it, then the rest.
    """
    sources = sources_of(table)
    if not sources:
        return [("", band(table), "0.8")]
    named = [(column.removeprefix(SOURCE), [column]) for column in sources[:SHOWN]]
    named += [("others", sources[SHOWN:])] if sources[SHOWN:] else []
    square = band(table.assign(systematic=0.0)) ** 2
    found = [("sim. events", np.sqrt(square), SHADES[0])]
    for (label, columns), colour in zip(named, SHADES[1:], strict=False):
        square = square + sum(np.nan_to_num(table[column].to_numpy()) ** 2 for column in columns)
        found.append((f"+ {label.replace('_', ' ')}", np.sqrt(square), colour))
    return found


def band(table: pd.DataFrame) -> NDArray[np.float64]:
    """(bins,) uncertainty of the simulation relative to it: that of its events and all systematics."""
    nominal = table["simulation"].to_numpy()
    events = np.divide(table["simulation_error"], nominal, out=np.zeros(len(table)), where=nominal > 0)
    return np.hypot(events, np.nan_to_num(table["systematic"].to_numpy()))

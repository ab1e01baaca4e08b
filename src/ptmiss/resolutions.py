"""Response and resolution of the recoil, from a run's histograms or from a recoil table, with the same numbers.

Response in a bin of qT is ``<u_par> / <qT>``, a ratio of weighted means. Resolution is the weighted RMS about the mean
of ``u_par / R - qT`` and of ``u_perp / R``, taken from moments and so over all events; beside it half the distance between the 16 % and 84 % quantiles, from spectra, with a bootstrap
error. The response correction ``R`` is 1 (``none``), the response for 150 < qT < 1000 GeV (``plateau``), or the
response of each stored qT bin above 10 GeV (``bin``; events below are left out, since a ratio of sums says nothing there).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import comb
from typing import Any

import hist
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ptmiss import normalisation
from ptmiss.errors import OptionError, UnknownName
from ptmiss.histograms import (
    COMPONENTS,
    MOMENTS,
    PLATEAU,
    QT_EDGES,
    QT_STORED,
    Moment,
    book_recoil,
    fill_recoil,
    scaled,
    subtracted,
)
from ptmiss.recoil import Recoil, Vector, magnitude, project, recoil
from ptmiss.results import RunResult
from ptmiss.table import RecoilTable

CORRECTIONS = ("none", "plateau", "bin")
BIN_MINIMUM = 10.0  # GeV
QUANTILES = (0.16, 0.84)
REPLICAS = 100
GRID = np.linspace(-400.0, 400.0, 801)  # GeV: edges of a corrected spectrum

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sums:
    """Moments of one estimator (see histograms.Moment), each of shape (qt, npv, njets) with flow bins."""

    moments: Mapping[Moment, Array]

    def __call__(self, weight: int = 1, par: int = 0, perp: int = 0, qt: int = 0) -> Array:
        """The sum of ``w^weight u_par^par u_perp^perp qT^qt``."""
        return self.moments[Moment(weight, par, perp, qt)]

    def part(self, where: Any) -> Sums:
        """Sums over part of the grid: an index or mask over (qt, npv, njets)."""
        return Sums({moment: np.asarray(m[where]).sum() for moment, m in self.moments.items()})

    def by_qt(self) -> Sums:
        """Sums over nPV and nJets: one value for each qT bin."""
        return Sums({moment: m.sum(axis=(1, 2)) for moment, m in self.moments.items()})

    def corrected(self, response: Array) -> Sums:
        """Moments of ``u / R``, for one response R or one for each qT bin; where R is NaN the events are left out."""
        r = np.reshape(response, (-1, 1, 1))
        keep = np.broadcast_to(np.isfinite(r), self().shape)
        return Sums(
            {
                moment: np.divide(m, r ** (moment.par + moment.perp), out=np.zeros_like(m), where=keep)
                for moment, m in self.moments.items()
            }
        )

    def central(self, component: str, order: int, about: Array, weight: int = 1) -> Array:
        """Sum of ``w^weight (x - about)^order`` of a residual x: ``u_par - qT`` or ``u_perp``."""
        total = np.zeros_like(np.asarray(self()))
        for power in range(order + 1):
            shift = comb(order, power) * (-about) ** (order - power)
            if component == "perp":
                total = total + shift * self(weight, perp=power)
                continue
            for qt in range(power + 1):
                total = total + shift * comb(power, qt) * (-1) ** qt * self(weight, par=power - qt, qt=qt)
        return total


def sums(moments: hist.Hist, estimator: str, systematic: str = "nominal") -> Sums:
    """Moments of one estimator out of the histogram that a processor fills."""
    if estimator not in list(moments.axes["estimator"]):
        raise UnknownName("estimator in the histograms", estimator, moments.axes["estimator"])
    if systematic not in list(moments.axes["systematic"]):
        raise OptionError(f"the histograms of estimator {estimator!r} are empty: no event was selected")
    view = moments[{"systematic": systematic, "estimator": estimator}].view(flow=True)
    return Sums(dict(zip(MOMENTS, np.moveaxis(view, -1, 0), strict=True)))


def ratio(numerator: Any, denominator: Any) -> Array:
    """Numerator over denominator; NaN where the denominator is 0."""
    numerator, denominator = np.asarray(numerator, float), np.asarray(denominator, float)
    return np.divide(numerator, denominator, out=np.full_like(denominator, np.nan), where=denominator != 0)


def response(s: Sums) -> tuple[Array, Array]:
    """``<u_par> / <qT>`` and its error, from the weighted spread of ``u_par - R qT``."""
    r = ratio(s(par=1), s(qt=1))
    spread = s(2, par=2) - 2 * r * s(2, par=1, qt=1) + r**2 * s(2, qt=2)
    return r, np.abs(ratio(np.sqrt(np.maximum(spread, 0)), s(qt=1)))


def slope(s: Sums) -> Array:
    """``<u_par qT> / <qT²>``: against a true pTmiss in place of qT, what a network gains by shrinking shows here."""
    return ratio(s(par=1, qt=1), s(qt=2))


def n_effective(s: Sums) -> Array:
    """(Σ w)² / Σ w²."""
    return ratio(np.asarray(s()) ** 2, s(2))


def rms(s: Sums, component: str) -> tuple[Array, Array]:
    """RMS about the mean of ``u_par - qT`` or of ``u_perp``, GeV, and its error.

    The error is that of the weighted second moment, ``sqrt(Σ w² ((x - <x>)² - RMS²)²) / (2 RMS Σ w)``. For a Gaussian
    it is ``RMS / sqrt(2 N_eff)``; with tails, or a background subtracted, that would be too small.
    """
    mean = ratio(s.central(component, 1, np.zeros(())), s())
    variance = ratio(s.central(component, 2, mean), s())
    value = np.sqrt(np.where((variance >= 0) & (n_effective(s) > 1.001), variance, np.nan))  # one event has no width
    spread = (
        s.central(component, 4, mean, weight=2)
        - 2 * variance * s.central(component, 2, mean, weight=2)
        + variance**2 * s(2)
    )
    return value, ratio(np.sqrt(np.maximum(spread, 0)), np.abs(2 * value * s()))


def correction(s: Sums, kind: str) -> Array:
    """The response to divide by: one number for all, or one for each stored qT bin with flow bins."""
    if kind == "none":
        return np.ones(1)
    if kind == "plateau":
        value = response(s.part(qt_range(*PLATEAU)))[0]
        if not value > 0:
            raise OptionError(
                f"no plateau response: no events with {PLATEAU[0]} < qT < {PLATEAU[1]} GeV; "
                "use --correction none or bin"
            )
        return value.reshape(1)
    if kind == "bin":
        value = response(s.by_qt())[0]
        low_edge = np.asarray([-np.inf, *QT_STORED])
        return np.where((value > 0) & (low_edge >= BIN_MINIMUM), value, np.nan)
    raise UnknownName("response correction", kind, CORRECTIONS)


@dataclass(frozen=True)
class Spectrum:
    """Weights and their variances in the bins of GRID, with under- and overflow, of one residual in GeV."""

    values: Array
    variances: Array

    def half_width(self) -> tuple[float, float]:
        """Half the distance between the 16 % and 84 % quantiles and its bootstrap error, GeV."""
        spread = np.sqrt(np.maximum(self.variances, 0))
        replicas = np.repeat(self.values[np.newaxis], REPLICAS, axis=0)
        filled = np.flatnonzero(spread)
        replicas[:, filled] += np.random.default_rng(0).standard_normal((REPLICAS, len(filled))) * spread[filled]
        low, high = (quantile(np.vstack([self.values, replicas]), q) for q in QUANTILES)
        widths = (high - low) / 2
        good = widths[1:][np.isfinite(widths[1:])]
        return float(widths[0]), float(good.std()) if len(good) > REPLICAS / 2 else float("nan")

    def windowed_rms(self, window: float) -> tuple[float, float]:
        """RMS of the bins' centres inside ±window, GeV, and its error: for comparison with code that truncates."""
        centres = (GRID[1:] + GRID[:-1]) / 2
        inside = np.abs(centres) < window
        w, x, v = self.values[1:-1][inside], centres[inside], self.variances[1:-1][inside]
        total = w.sum()
        if total <= 0:
            return float("nan"), float("nan")
        mean = (w * x).sum() / total
        value = np.sqrt(max((w * (x - mean) ** 2).sum() / total, 0))
        return float(value), float(value / np.sqrt(2 * total**2 / v.sum()))


def quantile(values: Array, q: float) -> Array:
    """Quantile of each row of bin contents (rows, bins of GRID with flow), GeV; NaN where it is in the flow."""
    cumulative = np.cumsum(values, axis=1)
    total = cumulative[:, -1:]
    rising = np.maximum.accumulate(ratio(cumulative, np.broadcast_to(total, cumulative.shape)), axis=1)
    above = np.argmax(rising >= q, axis=1)  # the quantile is in this bin
    inside = (above >= 1) & (above <= len(GRID) - 1) & (total[:, 0] > 0)
    above = np.where(inside, above, 1)
    rows = np.arange(len(values))
    before, after = rising[rows, above - 1], rising[rows, above]
    fraction = ratio(q - before, after - before)
    return np.where(inside, GRID[above - 1] + fraction * (GRID[above] - GRID[above - 1]), np.nan)


def stretched(histogram: hist.Hist, estimator: str, s: Sums, response: Array) -> dict[str, Spectrum]:
    """Response-corrected spectra of both components, each of shape (qt, npv, njets, bins of GRID with flow).

    A residual ``u_par - qT`` becomes ``u_par / R - qT`` with the mean qT of its bin; the spread of qT inside a bin is
    neglected. Bins without a response stay empty.
    """
    view = histogram[{"estimator": estimator}].view(flow=True)
    edges = histogram.axes["residual"].edges
    mean_qt = ratio(s.by_qt()(qt=1), s.by_qt()())
    r = np.broadcast_to(response, mean_qt.shape)
    out = {}
    for number, component in enumerate(COMPONENTS):
        shift = mean_qt * (1 / r - 1) if component == "par" else np.zeros_like(mean_qt)
        parts = {"value": np.zeros((*view.shape[:3], len(GRID) + 1))}
        parts["variance"] = parts["value"].copy()
        for i in np.flatnonzero(np.isfinite(r) & np.isfinite(mean_qt)):
            share = overlaps(edges, 1 / r[i], shift[i])
            for name, part in parts.items():
                part[i] = view[i, :, :, number][name] @ share
        out[component] = Spectrum(parts["value"], parts["variance"])
    return out


def overlaps(edges: Array, factor: float, shift: float) -> Array:
    """Share of each bin, flow included, that ``factor * residual + shift`` brings into each bin of GRID, flow included."""
    back = np.concatenate([[-np.inf], (GRID - shift) / factor, [np.inf]])[:, np.newaxis]
    below = np.clip((back - edges[:-1]) / np.diff(edges), 0, 1)
    return np.diff(np.hstack([back >= edges[0], below, back == np.inf]).astype(float), axis=0).T


@dataclass(frozen=True)
class Measurement:
    """What the histograms say of one estimator, before and after the response correction."""

    raw: Sums
    corrected: Sums
    spectra: Mapping[str, Spectrum]

    def row(self, where: Any, window: float | None = None) -> dict[str, float]:
        """Response and resolutions over part of the grid: an index over (qt, npv, njets) with flow bins."""
        raw, corrected = self.raw.part(where), self.corrected.part(where)
        value, error = response(raw)
        row = {
            "n_eff": float(np.nan_to_num(n_effective(corrected))),
            "qt_mean": float(ratio(raw(qt=1), raw())),
            "response": float(value),
            "response_error": float(error),
            "slope": float(slope(raw)),
        }
        for component in COMPONENTS:
            width, width_error = rms(corrected, component)
            row |= {f"rms_{component}": float(width), f"rms_{component}_error": float(width_error)}
            cells = self.spectra[component]
            values, variances = (part[where].reshape(-1, len(GRID) + 1) for part in (cells.values, cells.variances))
            spectrum = Spectrum(values.sum(axis=0), variances.sum(axis=0))
            half, half_error = spectrum.half_width()
            row |= {f"quantile_{component}": half, f"quantile_{component}_error": half_error}
            if window:
                inside, inside_error = spectrum.windowed_rms(window)
                row |= {f"rms_{component}_window": inside, f"rms_{component}_window_error": inside_error}
        return row


def measure(histograms: Mapping[str, hist.Hist], estimator: str, kind: str = "plateau") -> Measurement:
    """Apply a response correction (see CORRECTIONS) to one estimator's histograms."""
    s = sums(histograms["moments"], estimator)
    r = correction(s, kind)
    return Measurement(s, s.corrected(r), stretched(histograms["spectra"], estimator, s, r))


def tabulate(histograms: Mapping[str, hist.Hist], kind: str = "plateau", window: float | None = None) -> pd.DataFrame:
    """One row for each estimator, region and bin.

    Columns: estimator, correction, region, axis (qt, npv or inclusive), low, high, and those of Measurement.row.
    """
    rows = []
    for estimator in histograms["moments"].axes["estimator"]:
        measurement = measure(histograms, estimator, kind)
        for region, axis, low, high, where in bins(histograms):
            bin_ = {"region": region, "axis": axis, "low": low, "high": high}
            rows.append({"estimator": estimator, "correction": kind, **bin_, **measurement.row(where, window)})
    return pd.DataFrame(rows)


def bins(histograms: Mapping[str, hist.Hist]) -> Iterator[tuple[str, str, float, float, Any]]:
    """Region, axis, edges and index of each bin that is shown."""
    npv = histograms["moments"].axes["npv"].edges
    everywhere = slice(None)
    below, above = qt_range(0, 50)[0], qt_range(50, np.inf)[0]
    jets = {"0 jets": 0, "1 jet": 1, "2 or more jets": 2}
    regions: dict[str, tuple[slice, Any]] = {
        "inclusive": (everywhere, everywhere),
        "qT < 50 GeV": (below, everywhere),
        "qT ≥ 50 GeV": (above, everywhere),
    }
    regions |= {name: (everywhere, number) for name, number in jets.items()}
    for region, (qt, njets) in regions.items():
        yield region, "inclusive", 0.0, np.inf, (qt, everywhere, njets)
        for i, (low, high) in enumerate(pairwise(npv), start=1):
            yield region, "npv", low, high, (qt, i, njets)
        if qt == everywhere:
            for low, high in pairwise(QT_EDGES):
                yield region, "qt", float(low), float(high), (qt_range(low, high)[0], everywhere, njets)


def qt_range(low: float, high: float) -> tuple[slice, slice, slice]:
    """Index of the stored qT bins between two edges; an infinite edge takes the overflow along."""
    edges = list(map(float, QT_STORED))
    stop = None if high == np.inf else edges.index(high) + 1
    return slice(edges.index(low) + 1, stop), slice(None), slice(None)


def from_table(
    table: RecoilTable, boson: str = "boson", mass: tuple[float, float] | None = (80, 100)
) -> dict[str, hist.Hist]:
    """Histograms of every estimator of a recoil table, as a run fills them; see :func:`recoils`."""
    table, found = recoils(table, boson, mass)
    histograms = book_recoil(table.estimators)
    for name, u in found.items():
        fill_recoil(histograms, name, u, table["npv"], table["njets"], table["weight"])
    return histograms


def recoils(
    table: RecoilTable, boson: str = "boson", mass: tuple[float, float] | None = (80, 100)
) -> tuple[RecoilTable, dict[str, Recoil]]:
    """The events of a table that have a boson, and their recoil by estimator.

    boson: ``boson`` (the selected muon pair, in a window of its mass), ``genboson`` (of events with a selected muon or
    pair: their lepton is not lost), or ``genmet`` (pTmiss against the generated one, as the validation processor has it).
    """
    axis = table.vector(boson)
    keep = np.isfinite(axis[:, 0])
    if boson == "boson" and mass is not None:
        keep &= (table["boson_mass"] > mass[0]) & (table["boson_mass"] < mass[1])
    if boson == "genboson":
        keep &= np.isfinite(table["boson_pt"]) | np.isfinite(table["lepton_pt"])
    if not keep.any():
        raise OptionError(f"no event of the table has a {boson}: --boson takes boson, genboson or genmet")
    table, axis = table.select(keep), axis[keep]
    along: Callable[[Vector], Recoil] = partial(recoil, axis, visible=seen(table) if boson == "genboson" else None)
    if boson == "genmet":
        along = lambda met: Recoil(*project(met, axis), magnitude(axis))
    return table, {name: along(table.met(name)) for name in table.estimators}


def seen(table: RecoilTable) -> Vector:
    """(events, 2) what the selection sees of the boson: the muon pair, or the single muon."""
    pair = table.vector("boson")
    return np.where(np.isfinite(pair), pair, table.vector("lepton"))


def without_backgrounds(
    result: RunResult, data: str, backgrounds: Mapping[str, float], rescale: bool = False
) -> dict[str, hist.Hist]:
    """Histograms of a dataset less those of the backgrounds, each at the data's luminosity times a factor of its own.

    LedgerError if the run skipped something of either, unless ``rescale`` (see ptmiss.normalisation).
    """
    for name in (data, *backgrounds):
        if name not in result.histograms:
            raise UnknownName("dataset in the run", name, result.histograms)
    described = result.manifest["datasets"]
    if not backgrounds:
        return dict(result.histograms[data])
    luminosity = normalisation.luminosity(data, described[data], rescale)
    histograms = dict(result.histograms[data])
    for background, factor in backgrounds.items():
        scale = factor * normalisation.factor(background, described[background], luminosity, rescale)
        for name in ("moments", "spectra"):
            histograms[name] = subtracted(histograms[name], scaled(result.histograms[background][name], scale))
    return histograms

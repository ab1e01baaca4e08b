"""Response and resolution of the recoil, from a run's histograms or from a recoil table, with the same numbers.

Response in a bin of qT is ``<u_par> / <qT>``, a ratio of weighted means. Resolution is the weighted RMS about the mean
of ``u_par / R - qT`` and of ``u_perp / R``, taken from moments and so over all events; beside it half the distance
between the 16 % and 84 % quantiles, from spectra. Errors contain that of R (see ptmiss.resolutions.responses). Beside
them, and not in them, is what systematics change (see ptmiss.resolutions.systematics).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import hist
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ptmiss import binning, normalisation
from ptmiss.errors import OptionError, UnknownName
from ptmiss.histograms import COMPONENTS, book_recoil, fill_recoil, fill_variations, scale, subtract
from ptmiss.recoil import Recoil, along, components, direction, magnitude, recoil
from ptmiss.results import RunResult
from ptmiss.selections import selection_of
from ptmiss.systematics import NOMINAL
from ptmiss.table import RecoilTable
from ptmiss.table.columns import MOVED, SIGNIFICANCE, WEIGHT, Table
from ptmiss.typing import Array, Vector

from .moments import Sums, n_effective, ratio, response, slope, sums
from .responses import ResponseCorrection, Width, corrected_rms, correction
from .spectra import Spectra, corrected_spectra
from .systematics import Systematics, complete, systematics

MEASURED_AGAINST = {
    "boson": "selected boson",
    "genboson": "generated boson and a selected lepton",
    "genmet": "generated pTmiss",
}


@dataclass(frozen=True)
class Measurement:
    """What the histograms say of one estimator, before and after the response correction."""

    raw: Sums
    corrected: Sums
    spectra: Mapping[str, Spectra]
    response: ResponseCorrection
    systematics: Systematics = field(default_factory=Systematics)

    def row(self, where: tuple[slice, Any, Any], window: float | None = None) -> dict[str, float]:
        """Response and resolutions over part of the grid: an index over (qt, npv, njets) with flow bins."""
        raw, corrected, r = self.raw.part(where), self.corrected.along_qt(where), self.response.part(where[0])
        value, error = response(raw)
        row = {
            "n_eff": float(np.nan_to_num(n_effective(corrected.total()))),
            "qt_mean": float(ratio(raw(qt=1), raw())),
            "response": float(value),
            "response_error": float(error),
            "slope": float(slope(raw)),
        }
        for component in COMPONENTS:
            spectra = self.spectra[component].part(where)
            row |= columns(f"rms_{component}", corrected_rms(corrected, r, component))
            row |= columns(f"half_width_{component}", spectra.half_width(r))
            if window:
                row |= columns(f"rms_{component}_window", spectra.windowed_rms(window, r))
        return row | self.systematics.row(where)


def columns(name: str, width: Width) -> dict[str, float]:
    """A width as columns: ``name``, ``name_error`` and, part of that, ``name_common`` (see ``responses.Width``)."""
    return {name: width.value, f"{name}_error": width.error, f"{name}_common": width.common}


def measure(histograms: Mapping[str, hist.Hist], estimator: str, kind: str = "plateau") -> Measurement:
    """Apply a response correction (see CORRECTIONS) to one estimator's histograms."""
    s = sums(histograms["moments"], estimator)
    r = correction(s, kind)
    spectra = corrected_spectra(histograms["spectra"], estimator, s, r)
    return Measurement(s, s.correct(r.value), spectra, r, systematics(histograms["moments"], estimator, kind))


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
    everywhere, binned = slice(None), binning.of(histograms["moments"])
    below, above = binned.qt_range(0, binning.SPLIT)[0], binned.qt_range(binning.SPLIT, np.inf)[0]
    regions: dict[str, tuple[slice, Any]] = {
        "inclusive": (everywhere, everywhere),
        f"qT < {binning.SPLIT:g} GeV": (below, everywhere),
        f"qT ≥ {binning.SPLIT:g} GeV": (above, everywhere),
    }
    regions |= {name: (everywhere, number) for number, name in enumerate(binned.jet_classes)}
    for region, (qt, njets) in regions.items():
        yield region, "inclusive", 0.0, np.inf, (qt, everywhere, njets)
        for i, (low, high) in enumerate(pairwise(npv), start=1):
            yield region, "npv", low, high, (qt, i, njets)
        if qt == everywhere:
            for low, high in pairwise(binned.qt):
                yield region, "qt", float(low), float(high), (binned.qt_range(low, high)[0], everywhere, njets)


class Filled(NamedTuple):
    """Histograms of the recoil, and how many events with a boson count for no estimator."""

    histograms: dict[str, hist.Hist]
    left_out: int = 0


def from_table(table: Table, boson: str = "boson") -> dict[str, hist.Hist]:
    """Histograms of every estimator of a recoil table, as a run fills them; see :func:`fill`."""
    return fill(table, boson).histograms


def fill(table: Table, boson: str = "boson") -> Filled:
    """Histograms of every estimator of a recoil table, some rows at a time; see :func:`recoils`.

    Variations of pTmiss are measured against the nominal boson, but those of corrected momenta of the leptons against
    the boson that they change. Sums over a table in memory, and over the same rows on disk, are the same to the last
    bit.
    """
    table = table.of()
    table.require(*(f"{boson}_{part}" for part in ("pt", "phi")))
    histograms, there, finite, counted = book_recoil(table.estimators, selection_of(table.provenance).binning), 0, 0, 0
    for batch in table.batches(columns_of(table, boson)):
        with_boson = has_boson(batch, boson)
        chosen, found = _recoils(batch, with_boson, boson)
        fill_batch(histograms, chosen, found, boson)
        there, counted = there + int(np.count_nonzero(with_boson)), counted + len(chosen)
        finite += int(np.isfinite(batch[f"{boson}_pt"]).sum())
    require_events(table, boson, there, finite)
    return Filled(histograms, there - counted)


def fill_batch(histograms: Mapping[str, hist.Hist], rows: RecoilTable, found: Mapping[str, Recoil], boson: str) -> None:
    """Fill the recoil of some rows by estimator, with every variation that they have."""
    of, npv, njets = recoil_along(rows, boson), rows["npv"], rows["njets"]
    weights = {each: rows.weight(each) for each in (NOMINAL, *rows.weights)}
    for name, u in found.items():
        fill_variations(histograms, name, u, npv, njets, weights)
        for systematic in rows.systematics(name):
            shifted = of(rows.varied_met(name, systematic), systematic)
            fill_recoil(histograms, name, shifted, npv, njets, weights[NOMINAL], systematic)


def columns_of(table: Table, boson: str) -> list[str]:
    """The columns of a table that a recoil along a boson needs."""
    starts = [boson, "boson", "lepton", "genseen"] if boson == "genboson" else [boson]
    ends = tuple(f"_{end}" for end in SIGNIFICANCE)
    varied = MOVED if any(table.systematics(name) for name in table.estimators) else ()
    beside = ("weight", "npv", "njets", *(f"{start}_{part}" for start in starts for part in ("pt", "phi", "mass")))
    return [
        c for c in table.columns if c in beside or (c.startswith(("met_", WEIGHT, *varied)) and not c.endswith(ends))
    ]


def as_run(table: Table, boson: str = "boson") -> RunResult:
    """Histograms of each dataset of a recoil table, as a run over the same events has them."""
    if not table.datasets:
        raise OptionError("--background needs a table with datasets, as ptmiss skim --fileset makes it")
    histograms = {name: from_table(table.of(name), boson) for name in table.datasets}
    return RunResult({"datasets": table.datasets}, histograms)


def recoils(table: RecoilTable, boson: str = "boson", common: bool = True) -> tuple[RecoilTable, dict[str, Recoil]]:
    """The events of a table that have a boson, and their recoil by estimator.

    Events in which an estimator's pTmiss is not finite are left out for all of them, unless ``common`` is false.

    boson: ``boson`` (the selected lepton pair in its window of mass, or photon), ``genboson`` (of events with a
    selected boson or lepton: their lepton is not lost), or ``genmet`` (pTmiss against the generated one, as the
    validation processor has it).
    """
    table = table.of()
    keep = has_boson(table, boson)
    require_events(table, boson, int(np.count_nonzero(keep)), int(np.isfinite(table[f"{boson}_pt"]).sum()))
    return _recoils(table, keep, boson, common)


def _recoils(
    table: RecoilTable, keep: NDArray[np.bool_], boson: str, common: bool = True
) -> tuple[RecoilTable, dict[str, Recoil]]:
    if common:
        polar = (f"met_{name}_{part}" for name in table.estimators for part in ("pt", "phi"))
        keep = np.logical_and.reduce([keep, *(np.isfinite(table[column]) for column in polar)])
    if not keep.all():
        table = table.select(keep)
    of = recoil_along(table, boson)
    return table, {name: of(table.met(name)) for name in table.estimators}


def recoil_along(table: RecoilTable, boson: str) -> Callable[..., Recoil]:
    """What makes a recoil of (events, 2) pTmiss, GeV, and a systematic, in all events of a table (see :func:`recoils`).

    A systematic of the leptons changes the boson, or what is seen of the generated one.
    """
    axis = table.vector(boson)
    t, qt = direction(axis), magnitude(axis)
    nominal = along(axis, visible(table) if boson == "genboson" else None)

    def of(met: Vector, systematic: str = "") -> Recoil:
        if boson == "genmet":
            return Recoil(*components(met, t), qt)
        if not systematic:
            return nominal(met)
        if boson == "genboson":
            return recoil(axis, met, visible(table) + lepton_shift(table, systematic))
        return recoil(axis + lepton_shift(table, systematic), met)

    return of


def lepton_shift(table: RecoilTable, systematic: str) -> Vector:
    """(events, 2) by how much a systematic changes the sum of the selected leptons, GeV."""
    of_pair, of_one = (table.vector(name, systematic) - table.vector(name) for name in ("boson", "lepton"))
    return np.nan_to_num(np.where(np.isfinite(of_pair), of_pair, of_one))


def has_boson(table: RecoilTable, boson: str) -> NDArray[np.bool_]:
    """(events,) mask of the events with this boson (see :func:`recoils`)."""
    keep = np.isfinite(table[f"{boson}_pt"]) & np.isfinite(table[f"{boson}_phi"])
    if boson == "boson":
        keep &= in_window(table["boson_mass"], selection_of(table.provenance).window)
    if boson == "genboson":
        keep &= np.isfinite(table["boson_pt"]) | np.isfinite(table["lepton_pt"])
    return keep


def in_window(mass: Array, window: tuple[float, float] | None) -> NDArray[np.bool_]:
    """(events,) those whose boson has a mass in the window of a selection, GeV; all where it has no window."""
    return np.full(len(mass), True) if window is None else (mass > window[0]) & (mass < window[1])


def require_events(table: Table, boson: str, number: int, finite: int) -> None:
    """Raise OptionError where no event of a table has this boson; finite: how many have one, whatever its mass."""
    window = selection_of(table.provenance).window
    if not number and finite and boson == "boson" and window:
        masses = f"a mass in the window of the selection, {window[0]:g} to {window[1]:g} GeV"
        raise OptionError(f"{finite} events of the table have a boson, none of them with {masses}")
    if not number:
        others = [name for name in MEASURED_AGAINST if name != boson and f"{name}_pt" in table.columns]
        there = ", ".join(f"--boson {name} is the {MEASURED_AGAINST[name]}" for name in others)
        raise OptionError(f"no event of the table has a {MEASURED_AGAINST[boson]}; {there or 'nor is there another'}")


def visible(table: RecoilTable) -> Vector:
    """(events, 2) visible part of the generated boson; else the selected muon pair, or the single muon, GeV."""
    if "genseen_pt" in table.data.column_names:
        return table.vector("genseen")
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
        size = factor * normalisation.factor(background, described[background], luminosity, rescale)
        histograms["spectra"] = subtract(histograms["spectra"], scale(result.histograms[background]["spectra"], size))
        moments, other = same_variations(histograms["moments"], result.histograms[background]["moments"])
        histograms["moments"] = subtract(moments, scale(other, size))
    return histograms


def same_variations(*moments: hist.Hist) -> list[hist.Hist]:
    """Moments of several datasets with the variations of any of them, nominal where one does not have it."""
    names = dict.fromkeys(name for one in moments for name in one.axes["systematic"] if name != NOMINAL)
    return [complete(one, names) for one in moments] if names else list(moments)

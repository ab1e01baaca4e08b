"""The spectrum of an observable in each dataset of a recoil table, as a run over the same events fills it.

Rows are read some at a time, once for all datasets, estimators and variations. Where a skim applied corrections the
corrected pTmiss counts, with its variations, and simulation has the weights of the corrections by number of vertices. A
cut on pTmiss is that of nominal pTmiss, for variations too; a run varies it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import hist
import numpy as np

from ptmiss import normalisation
from ptmiss.binning import Binning
from ptmiss.errors import OptionError, UnknownName
from ptmiss.histograms import book_met, book_mt, book_recoil, book_significance
from ptmiss.recoil import azimuth, finite_in_all, magnitude, transverse_mass
from ptmiss.resolutions import has_boson, recoil_along
from ptmiss.results import RunResult
from ptmiss.selections import WENU, WMUNU, Selection, of_channel, selection_of
from ptmiss.significance import significance
from ptmiss.systematics import NOMINAL
from ptmiss.table import CORRECTED, DATASET, MOVED, SIGNIFICANCE, WEIGHT, RecoilTable, StoredTable, Table
from ptmiss.typing import Array, Vector

SINGLE = (WMUNU, WENU)
"""Channels with a single lepton."""


def of_table(
    table: StoredTable, observable: str, estimators: Sequence[str] = (), channel: str | None = None
) -> RunResult:
    """Histograms (systematic, estimator, observable) of each dataset of a recoil table.

    estimators: all of the table if empty. channel: whose events count, ``zmumu`` or any other of the selection; None
    for the only one that has the observable.
    """
    if not table.datasets:
        raise OptionError("templates need a table that says what its datasets are, as ptmiss skim --fileset makes it")
    names = list(estimators) or [
        n for n in table.estimators if observable != "significance" or has_covariance(table, n)
    ]
    for name in names:
        if name not in table.estimators:
            raise UnknownName("estimator in the table", name, table.estimators)
    selection = selection_of(table.provenance)
    chosen = channel_of(selection, observable, channel)
    table.require(*needed(observable, chosen))
    filled = {name: {observable: book(observable, names, selection.binning)} for name in table.datasets}
    for batch in table.batches(columns_of(table, observable, names, chosen)):
        for dataset, rows in by_dataset(batch, chosen):
            fill(filled[dataset][observable], rows, chosen)
    return RunResult({"datasets": table.datasets, "sha256": table.sha256}, filled)


def has_covariance(table: Table, estimator: str) -> bool:
    """Whether a table has the covariance of an estimator's pTmiss."""
    return f"met_{estimator}_{SIGNIFICANCE[1]}" in table.columns


def channel_of(selection: Selection, observable: str, given: str | None = None) -> str:
    """The channel whose events count; OptionError if the selection has not that one, or several and none is given."""
    if given is not None:
        of_channel(selection, given)
    there = [each for each in selection.channels if observable != "mt" or each in SINGLE]
    found = [each for each in there if given in (None, each)]
    if not found:
        raise OptionError(f"{observable} needs a lepton, the table has {', '.join(selection.channels) or 'none'}")
    if len(found) > 1:
        raise OptionError(f"the table has events of {' and '.join(found)}: expected --channel with one of them")
    return found[0]


def book(observable: str, estimators: Sequence[str], bins: Binning) -> hist.Hist:
    """The empty histogram of an observable, in the bins of a selection."""
    booked = book_recoil(estimators, bins) | book_met(estimators, bins) | book_mt(estimators, bins)
    return (booked | book_significance(estimators))[observable]


def needed(observable: str, channel: str) -> list[str]:
    """The columns without which an observable cannot be had in a channel."""
    start = "lepton" if channel in SINGLE else "boson"
    truth = ["genboson"] if channel in SINGLE and observable in ("u_par", "u_perp") else []
    return [f"{name}_{part}" for name in (start, *truth) for part in ("pt", "phi")]


def columns_of(table: Table, observable: str, estimators: Sequence[str], channel: str) -> list[str]:
    """The columns of a table from which the spectra of estimators follow, with their variations."""
    every = [f"met_{name}_{part}" for name in table.estimators for part in ("pt", "phi")]
    varied = tuple(f"met_{name}_{part}_" for name in estimators for part in ("pt", "phi"))
    covariance = [f"met_{name}_{end}" for name in estimators for end in SIGNIFICANCE if observable == "significance"]
    objects = (*MOVED, *(("genboson_", "genseen_") if channel in SINGLE else ()))
    beside = (DATASET, "weight", "npv", *every, *covariance)
    return [c for c in table.columns if c in beside or c.startswith((*objects, WEIGHT, *varied))]


def by_dataset(batch: RecoilTable, channel: str) -> Iterator[tuple[str, RecoilTable]]:
    """The rows of each dataset that a run of a channel would take: with its boson or lepton, and pTmiss of all."""
    single = np.isfinite(batch["lepton_pt"]) if channel in SINGLE else has_boson(batch, "boson")
    keep = single & finite_in_all([batch.met(name) for name in batch.estimators])
    for name in batch.datasets:
        if (mask := keep & (batch[DATASET] == name)).any():
            yield name, RecoilTable(batch.select(mask).data, batch.provenance_of(name))


def fill(histogram: hist.Hist, rows: RecoilTable, channel: str) -> None:
    """Fill the spectrum of every estimator with rows of one dataset; variations are of simulation alone."""
    ((name, about),) = rows.datasets.items()
    simulated = normalisation.kind_of(name, about) == "mc"
    factor, weights = of_vertices(rows) if simulated else 1.0, rows.weights if simulated else []
    for estimator in histogram.axes["estimator"]:
        for systematic, ending in endings(rows, estimator, simulated).items():
            value = evaluate(rows, estimator, ending, histogram.axes[-1].name, channel)
            finite = np.isfinite(value)
            for each in (NOMINAL, *weights) if systematic == NOMINAL else (systematic,):
                weight = factor * rows.weight(each if systematic == NOMINAL else NOMINAL)
                histogram.fill(each, estimator, value[finite], weight=weight[finite])


def endings(rows: RecoilTable, estimator: str, varied: bool) -> dict[str, str]:
    """Systematics of an estimator's pTmiss, the nominal one first, and how the names of their columns end."""
    corrected, there = CORRECTED[1:], rows.systematics(estimator)
    if corrected in there:
        start = f"{corrected}_"
        of = {NOMINAL: corrected} | {each.removeprefix(start): each for each in there if each.startswith(start)}
    else:
        of = {NOMINAL: ""} | {each: each for each in there}
    return of if varied else {NOMINAL: of[NOMINAL]}


def evaluate(rows: RecoilTable, estimator: str, ending: str, observable: str, channel: str) -> Array:
    """(events,) an observable of an estimator, GeV or rad; ending: of its columns, empty for pTmiss as it comes."""
    met = rows.varied_met(estimator, ending) if ending else rows.met(estimator)
    match observable:
        case "mt":
            return np.asarray(transverse_mass(rows.vector("lepton", ending), met))
        case "u_par" | "u_perp":
            u = recoil_along(rows, "genboson" if channel in SINGLE else "boson")(met, ending)
            return np.asarray(getattr(u, observable))
        case "significance":
            return significance(met, covariance_of(rows, estimator))
    return np.asarray(magnitude(met) if observable == "met" else azimuth(met))


def covariance_of(rows: RecoilTable, estimator: str) -> Vector:
    """(events, 2, 2) covariance of an estimator's pTmiss, GeV²; ColumnError where it has none."""
    xx, xy, yy = (rows[f"met_{estimator}_{end}"].astype(np.float64) for end in SIGNIFICANCE[1:])
    return np.stack([np.stack([xx, xy], axis=-1), np.stack([xy, yy], axis=-1)], axis=-2)


def of_vertices(rows: RecoilTable) -> Array | float:
    """(events,) weights by number of vertices of the corrections that a skim applied; 1 where it applied none."""
    applied: Mapping[str, Any] = rows.provenance.get("corrections") or {}
    if not (known := applied.get("pileup")):
        return 1.0
    from ptmiss.calibration.pileup import PileUp

    return PileUp(np.asarray(known["edges"]), np.asarray(known["weights"]))(rows["npv"])

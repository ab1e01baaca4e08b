"""What a calibration starts from: recoil tables, or datasets of runs, as histograms of every estimator.

A source is written ``table.parquet`` or ``run_directory``, with ``:dataset`` behind it where there are several; a
background may add ``=FACTOR``.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import hist
import numpy as np
from numpy.typing import NDArray

from ptmiss import binning as binnings
from ptmiss import normalisation, results
from ptmiss.binning import Binning
from ptmiss.errors import ColumnError, OptionError, UnknownName
from ptmiss.files import as_path, digest
from ptmiss.files.provenance import samples
from ptmiss.histograms import (
    book_calibration,
    book_met,
    book_recoil,
    fill_met,
    fill_met_xy,
    fill_recoil,
    fill_residuals,
    scale,
    subtract,
)
from ptmiss.recoil import recoil
from ptmiss.resolutions import has_boson
from ptmiss.selections import selection_of
from ptmiss.table import RecoilTable, open_table
from ptmiss.table.columns import Table

from .xy import Shift

Histograms = Mapping[str, hist.Hist]
BOSON = ("boson_pt", "boson_phi", "boson_mass")
MOST_CLASSES = 3  # of nJets: the laws have a term for the last one, see ptmiss.calibration.laws
NEEDED = ("residuals", "met_xy", "moments")
BOOKS = (book_calibration, book_recoil, book_met)


@dataclass(frozen=True)
class Sample:
    """One sample: a recoil table, of which the muon pairs in the mass window count, or the histograms of a run.

    name: as it was given; sha256: of the files; datasets: what a manifest or a table keeps of each of its datasets;
    corrections: what a run's manifest says of those that it applied, None where it applied none. number, parts: of the
    table's selected events those whose position is ``number`` modulo ``parts``.
    """

    name: str
    sha256: str
    datasets: Mapping[str, Any]
    table: Table | None = None
    filled: Histograms | None = None
    corrections: Mapping[str, Any] | None = None
    number: int = 0
    parts: int = 1

    @property
    def estimators(self) -> list[str]:
        """Estimators that are there."""
        if self.table is not None:
            return self.table.estimators
        return list(self.filled["residuals"].axes["estimator"]) if self.filled else []

    @property
    def recorded(self) -> str:
        """What it is as data: ``pseudo-data`` where simulation stands for them."""
        made = self.table.provenance if self.table is not None else {"datasets": self.datasets}
        return samples(made) or "data"

    @property
    def binning(self) -> Binning:
        """The bins of the selection that it was made with."""
        if self.table is not None:
            return selection_of(self.table.provenance).binning
        return binnings.of((self.filled or {})["residuals"])

    @property
    def record(self) -> dict[str, Any]:
        """What a correction file keeps of it."""
        return {"name": self.name, "sha256": self.sha256, "events": self.size}

    @cached_property
    def size(self) -> int | None:
        """How many events of a table count; None of a run."""
        return None if self.table is None else sum(len(batch) for batch in self.batches(("npv",)))

    @property
    def events(self) -> RecoilTable:
        """The events of a table that count, in memory; OptionError of a run, which has none."""
        (selected,) = self._selected([self._events.read()])
        return selected

    def batches(self, columns: Iterable[str]) -> Iterator[RecoilTable]:
        """The same some at a time; columns: those that are needed beside the boson's."""
        return self._selected(self._events.batches([*BOSON, *columns]))

    @property
    def _events(self) -> Table:
        if self.table is None:
            raise OptionError(f"{self.name} is a run: it keeps no events, a recoil table does")
        return self.table

    def _selected(self, batches: Iterable[RecoilTable]) -> Iterator[RecoilTable]:
        first = 0
        for batch in batches:
            selected = batch.select(has_boson(batch, "boson"))
            position = np.arange(first, first + len(selected))
            first += len(selected)
            yield selected if self.parts == 1 else selected.select(position % self.parts == self.number)

    def part(self, number: int, parts: int) -> Sample:
        """Every n-th of a table's events."""
        return replace(self, number=number, parts=parts)

    def met_xy(self, estimators: Sequence[str]) -> hist.Hist:
        """The histogram ``met_xy``: pTmiss as it comes."""
        if self.table is None:
            return (self.filled or {})["met_xy"]
        out = book_calibration(estimators, self.binning)
        for events in self.batches(needed(estimators)):
            for name in estimators:
                fill_met_xy(out, name, events.met(name), events["npv"], events["weight"])
        return out["met_xy"]

    def histograms(
        self,
        estimators: Sequence[str],
        shifts: Mapping[str, Shift],
        weigh: Callable[[NDArray], NDArray[np.float64]] | None = None,
    ) -> Histograms:
        """Histograms after the XY correction, with weights (events,) that depend on nPV; a run was filled so."""
        if self.table is None:
            return self.filled or {}
        out = {name: h for book in BOOKS for name, h in book(estimators, self.binning).items()}
        for events in self.batches(needed(estimators)):
            boson, npv, njets = events.vector("boson"), events["npv"], events["njets"]
            weight = events["weight"] * (weigh(npv) if weigh else 1.0)
            for name in estimators:
                fill_met_xy(out, name, events.met(name), npv, weight)
                met = events.met(name) - shifts[name](npv)
                u = recoil(boson, met)
                fill_residuals(out, name, u, njets, weight)
                fill_recoil(out, name, u, npv, njets, weight)
                fill_met(out, name, met, weight)
        return out


def needed(estimators: Iterable[str]) -> list[str]:
    """The columns of a table beside the boson's that a calibration of these estimators needs."""
    return ["weight", "npv", "njets", *(f"met_{name}_{part}" for name in estimators for part in ("pt", "phi"))]


def read(given: str) -> Sample:
    """A source from its name."""
    path, dataset = Path(given), None
    if not path.exists() and not glob.has_magic(given) and ":" in given:
        head, _, dataset = given.rpartition(":")
        path = Path(head)
    return _of_run(given, path, dataset) if results.is_run(path) else _of_table(given, path, dataset)


def _of_table(given: str, path: Path, dataset: str | None) -> Sample:
    stored = open_table(path)
    table = stored.of(dataset)
    content = ":".join([stored.sha256, *([dataset] if dataset else [])])
    sample = Sample(given, content, table.datasets, table=table)
    if not sample.size:
        raise OptionError(f"{given}: no event has a boson of the selection, in its window of mass")
    return sample


def _of_run(given: str, path: Path, dataset: str | None) -> Sample:
    run = results.load(path)
    if dataset is None and len(run.histograms) != 1:
        raise OptionError(f"{path} has several datasets, expected {path}:NAME with one of {', '.join(run.histograms)}")
    name = dataset or next(iter(run.histograms))
    if name not in run.histograms:
        raise UnknownName(f"dataset in {path}", name, run.histograms)
    missing = [needed for needed in NEEDED if needed not in run.histograms[name]]
    if missing:
        raise ColumnError(f"{given} has no histogram {', '.join(missing)}: a run of the processor zmumu keeps them")
    content = f"{digest(path / results.HISTOGRAMS)}:{name}"
    about, applied = {name: run.manifest["datasets"][name]}, run.manifest.get("corrections")
    return Sample(given, content, about, None, run.histograms[name], applied)


@dataclass(frozen=True)
class Background:
    """A simulated background and the factor that brings its weights to the data's luminosity."""

    source: Sample
    factor: float


def background(given: str, data: Sample) -> Background:
    """A background, ``SOURCE`` or ``SOURCE=FACTOR``; without one the factor comes from both samples' metadata."""
    name, _, factor = (given, "", "") if as_path(given).exists() else given.rpartition("=")
    source = read(name or given)
    _require(source, "--background", "mc", "background")
    return Background(source, _number(given, factor) if name and factor else _normalisation(source, data))


def _number(given: str, factor: str) -> float:
    try:
        value = float(factor)
    except ValueError:
        value = -1.0
    if not value > 0:
        raise OptionError(f"--background {given}: expected a positive number after =, not {factor!r}")
    return value


def _normalisation(source: Sample, data: Sample) -> float:
    way_out = f"--background {source.name}=FACTOR, what its weights are multiplied by"
    for sample, key in ((source, "cross_section (pb)"), (data, "luminosity (fb^-1)")):
        known = [key.partition(" ")[0] in about["metadata"] for about in sample.datasets.values()]
        if not known or not all(known):
            raise OptionError(f"{sample.name} has no {key} in its metadata: expected {way_out}")
    luminosity = normalisation.luminosities(data.datasets, otherwise=f"expected {way_out}")
    return normalisation.common_factor(source.datasets, luminosity, f"expected {way_out}")


def check(data: Sample, mc: Sample, estimators: Sequence[str]) -> None:
    """Raise OptionError if data and MC are the same or not what they should be, UnknownName without an estimator."""
    if data.sha256 == mc.sha256:
        raise OptionError(f"--data {data.name} and --mc {mc.name} are the same sample")
    if _is_simulation(data) is True and _is_simulation(mc) is False:
        raise OptionError(f"--data {data.name} is simulation and --mc {mc.name} is not: swapped?")
    _require(data, "--data", "data")
    _require(mc, "--mc", "mc", "signal")
    check_binning([data, mc])
    for source in (data, mc):
        for name in estimators:
            if name not in source.estimators:
                raise UnknownName(f"estimator in {source.name}", name, source.estimators)


def check_binning(samples: Sequence[Sample]) -> None:
    """Raise OptionError unless samples have one binning, in classes of nJets that a calibration can take."""
    first, *others = samples
    for other in others:
        if other.binning != first.binning:
            keys = [name for name, value in first.binning if value != getattr(other.binning, name)]
            raise OptionError(
                f"{first.name} and {other.name} have other bins of {', '.join(keys)}: expected the same binning"
            )
    if len(first.binning.njets) > MOST_CLASSES:
        raise OptionError(
            f"{first.name} has {len(first.binning.njets)} classes of nJets, {list(first.binning.njets)}: a calibration "
            f"takes {MOST_CLASSES} at most"
        )


def _require(source: Sample, option: str, kind: str, role: str | None = None) -> None:
    """Raise OptionError where a sample's metadata contradict the option that names it, or leave its kind open."""
    for name, about in source.datasets.items():
        found = normalisation.kind_of(name, about)
        other = about["metadata"].get("role") or role
        if found != kind:
            more = ', with "pseudo_data": true where simulation stands for data' if kind == "data" else ""
            raise OptionError(f"{option} {source.name}: dataset {name!r} has kind {found!r}, expected {kind!r}{more}")
        if other != role:
            raise OptionError(f"{option} {source.name}: dataset {name!r} has role {other!r}, expected {role!r}")


def _is_simulation(source: Sample) -> bool | None:
    """By the metadata of its datasets, or by the columns of a table without; None where nothing says it."""
    if source.datasets:
        return any(normalisation.kind_of(name, about) == "mc" for name, about in source.datasets.items())
    return None if source.table is None else "genmet_pt" in source.table.columns


def add(backgrounds: Iterable[Histograms], factors: Sequence[float], names: Sequence[str] = ()) -> dict[str, hist.Hist]:
    """Histograms of all backgrounds at the data's luminosity: those named, or all of them."""
    out: dict[str, hist.Hist] = {}
    for histograms, factor in zip(backgrounds, factors, strict=True):
        for name in names or histograms:
            part = scale(histograms[name], factor)
            out[name] = out[name] + part if name in out else part
    return out


def less(data: Histograms, background: Histograms) -> dict[str, hist.Hist]:
    """Data with the background subtracted from what a background is known of."""
    return {name: subtract(h, background[name]) if name in background else h for name, h in data.items()}

"""What a calibration starts from: recoil tables, or datasets of runs, as histograms of every estimator.

A source is written ``table.parquet``, ``run_directory`` or ``run_directory:dataset``; a background may add ``=FACTOR``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import hist
import numpy as np
from numpy.typing import NDArray

from ptmiss import normalisation, results
from ptmiss import table as tables
from ptmiss.errors import ColumnError, LedgerError, OptionError, UnknownName
from ptmiss.histograms import (
    book_calibration,
    book_met,
    book_recoil,
    fill_calibration,
    fill_met,
    fill_recoil,
    scaled,
    subtracted,
)
from ptmiss.recoil import recoil

from .xy import Shift

Histograms = Mapping[str, hist.Hist]
NEEDED = ("residuals", "met_xy", "moments")
MASS = (80.0, 100.0)  # GeV, of the muon pair


@dataclass(frozen=True)
class Sample:
    """One sample: a recoil table with its muon pairs in the mass window selected, or the histograms of a run.

    name: as it was given; sha256: of the file; events: selected, of a table; total: sum of weights of all events;
    metadata: of its fileset; dataset: what a manifest keeps of it, with its ledger, where there is one manifest.
    """

    name: str
    sha256: str
    metadata: Mapping[str, Any]
    total: float
    table: tables.RecoilTable | None = None
    filled: Histograms | None = None
    dataset: Mapping[str, Any] | None = None

    @property
    def estimators(self) -> list[str]:
        """Estimators that are there."""
        if self.table is not None:
            return self.table.estimators
        return list(self.filled["residuals"].axes["estimator"]) if self.filled else []

    @property
    def record(self) -> dict[str, Any]:
        """What a correction file keeps of it."""
        return {"name": self.name, "sha256": self.sha256, "events": len(self.table) if self.table else None}

    @property
    def events(self) -> tables.RecoilTable:
        """The selected events of a table; OptionError of a run, which has none."""
        if self.table is None:
            raise OptionError(f"{self.name} is a run: it keeps no events, a recoil table does")
        return self.table

    def part(self, number: int, parts: int) -> Sample:
        """Every n-th of a table's events."""
        return replace(self, table=self.events.select(np.arange(len(self.events)) % parts == number))

    def histograms(
        self,
        estimators: Sequence[str],
        shifts: Mapping[str, Shift] | None = None,
        weigh: Callable[[NDArray], NDArray[np.float64]] | None = None,
    ) -> Histograms:
        """Histograms as a run fills them: of a table after the XY correction and with weights that depend on nPV."""
        if self.table is None:
            return self.filled or {}
        events, boson = self.table, self.table.vector("boson")
        npv, njets = events["npv"], events["njets"]
        weight = events["weight"] * (weigh(npv) if weigh else 1.0)
        out = book_calibration(estimators) | book_recoil(estimators) | book_met(estimators)
        for name in estimators:
            met = events.met(name) - (shifts[name](npv) if shifts else 0.0)
            fill_calibration(out, name, boson, met, npv, njets, weight)
            fill_recoil(out, name, recoil(boson, met), npv, njets, weight)
            fill_met(out, name, met, weight)
        return out


def read(given: str) -> Sample:
    """A source from its name."""
    path, dataset = Path(given), None
    if not path.exists() and ":" in given:
        head, _, dataset = given.rpartition(":")
        path = Path(head)
    return _of_run(given, path, dataset) if path.is_dir() else _of_table(given, path)


def _of_table(given: str, path: Path) -> Sample:
    events = tables.read(path)
    described = list(events.provenance.get("datasets", {}).values())
    dataset = described[0] if len(described) == 1 else None
    metadata = dataset["metadata"] if dataset else {}
    total = float(events["weight"].sum())
    mass = events["boson_mass"]
    selected = events.select(np.isfinite(events["boson_pt"]) & (mass > MASS[0]) & (mass < MASS[1]))
    if not len(selected):
        raise OptionError(f"{given}: no event has a muon pair with {MASS[0]:g} < mass < {MASS[1]:g} GeV")
    return Sample(given, _digest(path), metadata, total, table=selected, dataset=dataset)


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
    described = run.manifest["datasets"][name]
    total = described["cutflow"]["sum of weights"]["all"]
    digest = f"{_digest(path / results.HISTOGRAMS)}:{name}"
    return Sample(given, digest, described["metadata"], total, filled=run.histograms[name], dataset=described)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Background:
    """A simulated background and the factor that brings its weights to the data's luminosity."""

    source: Sample
    factor: float


def background(given: str, data: Sample) -> Background:
    """A background, ``SOURCE`` or ``SOURCE=FACTOR``; without one the factor comes from both samples' metadata."""
    name, _, factor = given.partition("=")
    source = read(name)
    return Background(source, _number(given, factor) if factor else _normalisation(source, data))


def _number(given: str, factor: str) -> float:
    try:
        value = float(factor)
    except ValueError:
        value = -1.0
    if not value > 0:
        raise OptionError(f"--background {given}: expected a positive number after =, not {factor!r}")
    return value


def _normalisation(source: Sample, data: Sample) -> float:
    cross_section, luminosity = source.metadata.get("cross_section"), data.metadata.get("luminosity")
    if cross_section is None or luminosity is None:
        what = f"{source.name} has no cross_section (pb)" if cross_section is None else f"{data.name} no luminosity"
        raise OptionError(
            f"{what} in its metadata: expected --background {source.name}=FACTOR, what its weights are multiplied by"
        )
    for sample in (source, data):
        if sample.dataset and "ledger" in sample.dataset:
            otherwise = f"--background {source.name}=FACTOR says what its weights are multiplied by"
            normalisation.require_complete(sample.name, sample.dataset, otherwise)
    if not source.total > 0:
        raise LedgerError(
            f"{source.name}: the weights of its events add up to {source.total:g}, which scales to nothing"
        )
    return float(normalisation.PER_FB * cross_section * luminosity / source.total)


def check(data: Sample, mc: Sample, estimators: Sequence[str]) -> None:
    """Raise OptionError if data and MC are the same or swapped, UnknownName if an estimator is not in both."""
    if data.sha256 == mc.sha256:
        raise OptionError(f"--data {data.name} and --mc {mc.name} are the same sample")
    if _is_simulation(data) is True and _is_simulation(mc) is False:
        raise OptionError(f"--data {data.name} is simulation and --mc {mc.name} is not: swapped?")
    if mc.metadata.get("kind") == "data":
        raise OptionError(f"--mc {mc.name} is recorded data by its metadata")
    for source in (data, mc):
        for name in estimators:
            if name not in source.estimators:
                raise UnknownName(f"estimator in {source.name}", name, source.estimators)


def _is_simulation(source: Sample) -> bool | None:
    """By the columns of a table, or by the metadata of a run; None where nothing says it."""
    if source.table is not None:
        return "genmet_pt" in source.table.data.column_names
    kind = source.metadata.get("kind")
    return kind == "mc" if kind else None


def summed(backgrounds: Sequence[Histograms], factors: Sequence[float]) -> dict[str, hist.Hist]:
    """Residuals and moments of all backgrounds at the data's luminosity."""
    out: dict[str, hist.Hist] = {}
    for histograms, factor in zip(backgrounds, factors, strict=True):
        for name in ("residuals", "moments"):
            part = scaled(histograms[name], factor)
            out[name] = out[name] + part if name in out else part
    return out


def less(data: Histograms, background: Histograms) -> dict[str, hist.Hist]:
    """Data with the background subtracted from what a background is known of."""
    return {name: subtracted(h, background[name]) if name in background else h for name, h in data.items()}

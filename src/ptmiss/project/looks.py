"""What event files allow: estimators, and a channel with a boson to measure the recoil against."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ptmiss import candidates
from ptmiss.errors import ColumnError, PtmissError
from ptmiss.estimators import make_estimators
from ptmiss.events import EventFile
from ptmiss.resolutions import has_boson
from ptmiss.table import RecoilTable

WANTED = ("pf", "puppi", "deepmet", "stored.PuppiMET", "stored.MET", "stored.DeepMETResolutionTune")
CHANNELS = {"default": "Z → μμ", "z-ee": "Z → ee", "gamma-jet": "γ + jets", "w-mu": "W → μν", "w-e": "W → eν"}  # noqa: RUF001
"""Selections that are tried, and what they are of."""
EVENTS = 2000  # of a file that are looked at
SHARE = 0.5  # of selected events of simulation that have a generated boson, or else they are of none
BOSON, GENERATED, MET = "boson", "genboson", "genmet"  # what a recoil is measured against, see ptmiss resolution


class Look(NamedTuple):
    """What the first events of a file are.

    against: what their recoil can be measured against; None if nothing. found: how many of those that were looked at
    the selection takes.
    """

    selection: str
    against: str | None
    found: int
    looked: int

    def __str__(self) -> str:
        return f"{self.found} of its first {self.looked} events pass that of {CHANNELS[self.selection]}"


def look(file: EventFile) -> Look:
    """The channel of a file: that with most bosons that are seen, or else that with most single leptons."""
    events = file.events(0, min(EVENTS, file.entries))
    looks = [_look(file, events, selection) for selection in CHANNELS]
    seen = [each for each in looks if each.against == BOSON]
    return max(seen or looks, key=lambda each: each.found)


def _look(file: EventFile, events: Any, selection: str) -> Look:
    """What a file has of one channel."""
    try:
        table = _table(file, events, selection)
    except PtmissError:  # it lacks a column
        return Look(selection, None, 0, len(events))
    lepton = np.isfinite(table["lepton_pt"]) & (selection in ("w-mu", "w-e"))
    chosen = has_boson(table, BOSON) | lepton
    if f"{GENERATED}_pt" not in table.columns:
        against = BOSON if chosen.any() and not lepton.any() else None
    elif np.isfinite(table[f"{GENERATED}_pt"][chosen]).sum() > SHARE * chosen.sum():
        against = GENERATED if lepton.any() else BOSON
    else:
        against = MET
    return Look(selection, against, int(chosen.sum()), len(events))


def _table(file: EventFile, events: Any, selection: str) -> RecoilTable:
    """The recoil table of events of a file, without an estimator."""
    from ptmiss.processors.skim import Skim

    processor = Skim([], selection)
    processor.require(file.branches, file.path, {"kind": file.kind})
    rows = processor.process(events)["rows"]
    return RecoilTable(rows, {"selection": processor.selection.model_dump(mode="json")})


def estimators(file: EventFile) -> list[str]:
    """Names of the usual estimators that a file has what it takes for."""
    found = list(_possible(file))
    if not found:
        raise ColumnError(f"{file.path} has neither PF candidates nor a stored MET")
    return found


def _possible(file: EventFile) -> Iterator[str]:
    whole = candidates.collection(file.branches) != candidates.OF_NANOAOD  # the candidates of large jets alone
    for estimator in make_estimators(WANTED):
        try:
            estimator.require(file.branches, file.path)
        except ColumnError:
            continue
        if whole or not estimator.columns:
            yield estimator.name

"""What every conversion has to satisfy: each target once, energy kept, clusters neutral, everything finite."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ptmiss.conversion.contents import Contents
from ptmiss.elements import TRACK
from ptmiss.errors import FileError
from ptmiss.estimators.reconstruction import CHARGED_HADRON, ELECTRON, MUON, NONE
from ptmiss.segments import Rows, event_of

BALANCE = 1e-2  # GeV
CHARGED = (CHARGED_HADRON, ELECTRON, MUON)
FOUR_MOMENTUM = ("pt", "eta", "phi", "energy")

Mask = NDArray[np.bool_]


def check(found: Contents, path: str, first: int = 0) -> None:
    """Raise FileError for the first gate that an event does not pass; first: number of the first event."""
    for what, gate in GATES.items():
        bad = gate(found)
        if bad.any():
            event = first + int(np.argmax(bad))
            raise FileError(f"{path}: {what} in {np.count_nonzero(bad)} of {len(found)} events, first in event {event}")


def not_finite(found: Contents) -> Mask:
    """(events,) mask of those with a value that is no finite number."""
    numbers = np.column_stack([found.neutrinos, found.beams, found.balance])
    bad: Mask = np.any(~np.isfinite(numbers), axis=1)
    for rows in (found.elements, found.targets, found.candidates):
        for column in rows.columns.values():
            if column.dtype.kind == "f":
                bad |= events_with(~np.isfinite(column), rows)
    return bad


def twice(found: Contents) -> Mask:
    """(events,) mask of those where two elements stand for the same particle."""
    filled = np.flatnonzero(found.targets["type"] != NONE)
    event = event_of(found.targets.offsets)[filled]
    rows = np.column_stack([event, *(found.targets[name][filled] for name in FOUR_MOMENTUM)])
    _, first, counts = np.unique(rows, axis=0, return_index=True, return_counts=True)
    bad = np.zeros(len(found), bool)
    bad[event[first[counts > 1]]] = True
    return bad


def unbalanced(found: Contents) -> Mask:
    """(events,) mask of those whose targets have more or less energy than what they stand for."""
    return np.greater(np.abs(found.balance), BALANCE)


def charged_clusters(found: Contents) -> Mask:
    """(events,) mask of those with a cluster that stands for a charged particle."""
    charged = np.isin(found.targets["type"], CHARGED) | (found.targets["charge"] != 0)
    return events_with((found.elements["type"] != TRACK) & charged, found.elements)


def neutral_tracks(found: Contents) -> Mask:
    """(events,) mask of those with a track that stands for a neutral particle."""
    neutral = ~np.isin(found.targets["type"], (NONE, *CHARGED))
    return events_with((found.elements["type"] == TRACK) & neutral, found.elements)


def events_with(rows: Mask, table: Rows) -> Mask:
    """(events,) mask of those with a row of a mask (rows,)."""
    return np.diff(np.concatenate([[0], np.cumsum(rows)])[table.offsets]) > 0


GATES: dict[str, Callable[[Contents], Mask]] = {
    "values that are not finite": not_finite,
    "a target that two elements have": twice,
    f"energy of targets off by more than {BALANCE:g} GeV": unbalanced,
    "a cluster with a charged target": charged_clusters,
    "a track with a neutral target": neutral_tracks,
}
"""The gates, by what is wrong where they are not passed."""

"""Particle-flow elements of many events, and the particle behind each, as flat columns and offsets.

Elements are what a detector sees before particle flow: tracks, clusters, the halves of HF towers. Files of ``ptmiss
simulate`` have them (``PFElement_*``) and the truth beside them, row by row (``PFElementTarget_*``). NanoAOD has only
the candidates that particle flow made of them. Nothing is repaired here: a value that cannot be right is an error with
its place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss import links
from ptmiss.errors import ColumnError
from ptmiss.segments import Offsets, Rows, from_counts, select

COLLECTION, TARGETS = "PFElement", "PFElementTarget"
TYPES = {1: "track", 4: "ECAL cluster", 5: "HCAL cluster", 8: "HF electromagnetic", 9: "HF hadronic"}
"""The types of elements, numbered as in the public MLPF."""

TRACK, ECAL, HCAL, HF_EM, HF_HAD = TYPES
DETAILS = "PFElementDetail"
REPEATED = {links.GSF: "GSF track", links.BREM: "brem point", links.SUPERCLUSTER: "supercluster"}
"""What a simulation with material in the tracker adds: a collection beside the elements, and types that repeat what
tracks and ECAL clusters have. These stand for no particle, and are left out where elements are read. A GSF track
without a general track repeats nothing: it is read as a track, and stands for its electron."""
CLASSES = (
    "none",
    "charged hadron",
    "neutral hadron",
    "photon",
    "electron",
    "muon",
    "HF hadron",
    "HF photon",
)
"""The classes of particles behind an element, in the order of ``PFElementTarget_type``."""

COLUMNS = {
    "type": np.int32,
    "pt": np.float32,
    "eta": np.float32,
    "phi": np.float32,
    "energy": np.float32,
    "caloEta": np.float32,
    "caloPhi": np.float32,
    "charge": np.int32,
    "d0": np.float32,
    "dz": np.float32,
    "ptError": np.float32,
    "d0Error": np.float32,
    "dzError": np.float32,
    "fromPV": np.int32,
    "pvAssocQuality": np.int32,
    "isMuon": np.bool_,
    "isElectron": np.bool_,
    "width": np.float32,
    "nCells": np.int32,
}
"""Columns of elements (GeV, cm, rad); ptmiss.simulation.schema explains each."""

DETAIL_COLUMNS = {
    **dict.fromkeys(("ptOut", "deltaP", "deltaPError", "correctedEnergy"), np.float32),
    **dict.fromkeys(("trajectoryPoint", "seed", "nHits", "nDTHits", "nCSCHits", "parent"), np.int32),
}
"""Columns of DETAILS: GeV; ptmiss.simulation.schema explains each. ptmiss.links adds what is linked to an element."""

FULL_COLUMNS = (
    *("chi2", "ndf", "dEdx", "dEdxError", "innerRadius", "tanLambda", "omega", "time"),
    *("x", "y", "z", "iTheta", "ecalEnergy", "hcalEnergy", "otherEnergy", "sigmaX", "sigmaY", "sigmaZ"),
)
"""Columns that only full simulation has, float32: of tracks, then of clusters, 0 for the others.

Units are those of EDM4hep: GeV, mm, ns, rad. ``ptmiss convert`` writes them.
"""

TARGET_COLUMNS = {
    "type": np.int32,
    "charge": np.int32,
    "pt": np.float32,
    "eta": np.float32,
    "phi": np.float32,
    "energy": np.float32,
    "pileupFraction": np.float32,
    "emEnergy": np.float32,
    "hadEnergy": np.float32,
    "nParticles": np.int32,
}
"""Columns of targets: GeV, rad."""

TRACKLESS = "tracklessFraction"
"""A float32 column of targets that files have if ``ptmiss simulate`` of today made them: the share of a deposit that
particles without a track left."""

PART = 1 << 15  # elements that are processed together


@dataclass(frozen=True)
class Elements(Rows):
    """Elements of many events.

    columns: flat arrays, shape (elements,), by name (see COLUMNS), and those of FULL_COLUMNS and DETAIL_COLUMNS that a
        file has.
    offsets: (events + 1,) int64.
    """

    @staticmethod
    def of_events(events: ak.Array, repeated: bool = False) -> Elements:
        """The checked elements, flat columns (elements,), of NanoEvents from a file that ``require`` accepts.

        repeated: also those of the types REPEATED, in whose rows ``parent`` counts.
        """
        there = events[COLLECTION].fields if COLLECTION in events.fields else ()
        full = {name: np.float32 for name in FULL_COLUMNS if name in there}
        elements = Elements(*_read(events, COLLECTION, {**COLUMNS, **full}))
        if DETAILS in events.fields:
            elements = elements.beside({name: _flat(events[DETAILS][name], t) for name, t in DETAIL_COLUMNS.items()})
        elements.check()
        if repeated:
            return elements
        if DETAILS not in events.fields:
            return elements.keep(_own(events))
        elements = elements.beside(links.link(elements.columns, elements.offsets)).keep(_own(events))
        return elements.beside({"type": np.where(elements["type"] == links.GSF, TRACK, elements["type"])})

    def beside(self, columns: dict[str, NDArray]) -> Elements:
        """The same with more columns, each (elements,)."""
        return Elements({**self.columns, **columns}, self.offsets)

    def keep(self, mask: NDArray[np.bool_]) -> Elements:
        """The elements of a mask (elements,); without ``parent``, whose rows are others, if any is left out."""
        if mask.all():
            return self
        kept = {name: column[mask] for name, column in self.columns.items() if name != "parent"}
        return Elements(kept, select(mask, self.offsets))

    def check(self) -> None:
        """Raise ColumnError for an unknown type, a value that is not finite, and a parent in another event."""
        _check_types(self, COLLECTION, TYPES | REPEATED)
        _check_finite(self, COLLECTION)
        if "parent" in self.columns:
            _check_parents(self)


@dataclass(frozen=True)
class Targets(Rows):
    """The particles that each element stands for, row by row beside the elements (see TARGET_COLUMNS)."""

    @staticmethod
    def of_events(events: ak.Array) -> Targets:
        """The checked targets of these events, flat columns (elements,)."""
        there = events[TARGETS].fields if TARGETS in events.fields else ()
        extra = {TRACKLESS: np.float32} if TRACKLESS in there else {}
        targets = Targets(*_read(events, TARGETS, {**TARGET_COLUMNS, **extra}))
        _check_types(targets, TARGETS, dict(enumerate(CLASSES)))
        _check_finite(targets, TARGETS)
        mask = _own(events)
        if mask.all():
            return targets
        return Targets({name: column[mask] for name, column in targets.columns.items()}, select(mask, targets.offsets))


class Prediction(NamedTuple):
    """The particles behind elements, row by row.

    kind: (elements,) most likely class, numbered as CLASSES. pt, energy: (elements,) expectations in GeV, multiplied by
    1 - P(none). eta, phi: (elements,), rad. probability: (elements, 8) of each class. latents: (elements, width) what
    an MLPF makes all this of, if it was asked for.
    """

    kind: NDArray[np.integer]
    pt: NDArray[np.floating]
    eta: NDArray[np.floating]
    phi: NDArray[np.floating]
    energy: NDArray[np.floating]
    probability: NDArray[np.floating]
    latents: NDArray[np.float16] | None = None


def not_repeated(types: NDArray[np.integer]) -> NDArray[np.bool_]:
    """(elements,) where an element, by its type, is none of those that repeat what others have."""
    return ~np.isin(types, list(REPEATED))


def _own(events: ak.Array) -> NDArray[np.bool_]:
    """(elements,) where an element of these events repeats no other, GSF tracks without a general track among them."""
    types = _flat(events[COLLECTION]["type"], np.int32)
    if DETAILS not in events.fields:
        return not_repeated(types)
    return not_repeated(types) | ((types == links.GSF) & (_flat(events[DETAILS]["parent"], np.int32) < 0))


def require(branches: Collection[str], path: str, targets: bool = False) -> None:
    """Raise ColumnError unless a file with these branches has elements, and with ``targets`` also these."""
    if f"{COLLECTION}_pt" not in branches:
        raise ColumnError(
            f"{path} has no particle-flow elements ({COLLECTION}_*): NanoAOD has candidates, not elements; "
            "ptmiss simulate --elements -1 writes them"
        )
    wanted = [f"{COLLECTION}_{name}" for name in COLUMNS]
    wanted += [f"{TARGETS}_{name}" for name in TARGET_COLUMNS] if targets else []
    if missing := [name for name in wanted if name not in branches]:
        collection = missing[0].partition("_")[0]
        there = sorted(name for name in branches if name.startswith(f"{collection}_"))
        raise ColumnError(f"{path} lacks {', '.join(missing)}; there: {', '.join(there) or f'no {collection}_*'}")


def _read(events: ak.Array, name: str, columns: Mapping[str, Any]) -> tuple[dict[str, NDArray], Offsets]:
    """Flat columns and offsets of a collection."""
    branches = [f"{c}_{field}" for c in (COLLECTION, TARGETS) if c in events.fields for field in events[c].fields]
    require(branches, _origin(events), targets=name == TARGETS)
    record = events[name]
    flat = {c: _flat(record[c], dtype) for c, dtype in columns.items()}
    return flat, from_counts(ak.to_numpy(ak.num(record["pt"])))


def _flat(column: ak.Array, dtype: Any) -> NDArray:
    """(rows,) all rows of a jagged column."""
    return ak.to_numpy(ak.flatten(column)).astype(dtype, copy=False)


def _origin(events: ak.Array) -> str:
    """The name of the events' file, for an error."""
    metadata = getattr(events, "metadata", None) or {}
    return str(metadata.get("filename", "this array of events"))


def _check_types(rows: Rows, name: str, known: Mapping[int, str]) -> None:
    odd = ~np.isin(rows["type"], list(known))
    if odd.any():
        values = ", ".join(map(str, np.unique(rows["type"][odd]).tolist()))
        meant = ", ".join(f"{code} {what}" for code, what in known.items())
        raise ColumnError(f"unknown {name}_type {values} in {_where(rows, odd)}; known: {meant}")


def _check_finite(rows: Rows, name: str) -> None:
    for column, values in rows.columns.items():
        if values.dtype.kind == "f" and not (good := np.isfinite(values)).all():
            raise ColumnError(f"{name}_{column} is not a finite number in {_where(rows, ~good)}")


def _check_parents(rows: Elements) -> None:
    counts = np.diff(rows.offsets)
    odd = rows["parent"] >= np.repeat(counts, counts)
    if odd.any():
        raise ColumnError(f"{DETAILS}_parent is a row that the event does not have in {_where(rows, odd)}")


def _where(rows: Rows, odd: NDArray[np.bool_]) -> str:
    """How many rows, and the first event that has one."""
    first = int(np.searchsorted(rows.offsets, np.argmax(odd), side="right")) - 1
    return f"{np.count_nonzero(odd)} of {len(odd)} elements, first in event {first}"

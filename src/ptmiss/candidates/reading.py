"""Particle-flow candidates of many events as flat columns and offsets, with uniform names and categories.

Three layouts are read: PFNano (``PFCands_*``), NanoAOD v15 (``PFCand_*``, only some candidates and columns) and the
files of ``ptmiss simulate`` (``PFCands_*`` with ``fromPV``). A column that a file does not store is derived if there is
a rule for it. A value that makes no sense is repaired, and the repairs are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss.errors import ColumnError
from ptmiss.segments import Offsets, Rows, from_counts

OF_NANOAOD = "PFCand"
COLLECTIONS = ("PFCands", OF_NANOAOD)
BRANCHES = {
    "pt": ("pt",),
    "eta": ("eta",),
    "phi": ("phi",),
    "mass": ("mass",),
    "charge": ("charge",),
    "pdgId": ("pdgId",),
    "dxy": ("dxy", "d0"),
    "dz": ("dz",),
    "puppiWeight": ("puppiWeight",),
    "fromPV": ("fromPV",),
    "pvAssocQuality": ("pvAssocQuality",),
}
"""Columns of the record (GeV, cm, rad), and the branch suffixes that may hold each: the first that exists counts."""

LATENTS = "latents"
"""A column that no file holds, shape (candidates, width): what the MLPF that made the candidates knows of each."""

DERIVED_FROM = {
    "charge": ("pdgId",),
    "fromPV": ("charge", "pdgId", "pvAssocQuality", "puppiWeight"),
    "puppiWeight": ("pt", "eta", "phi", "charge", "fromPV", "dz"),
}
"""Columns from which another is derived if no branch holds it."""

TRACK_DETAILS = ("dxy", "dz")

PART = 1 << 16  # candidates that are processed together: few enough for the cache

CHARGES = {11: -1, 13: -1, 211: 1}
CATEGORIES = ("charge", "pdgId", "fromPV")
VOCABULARY = {
    "charge": (-1, 0, 1),
    "pdgId": (-211, -13, -11, 0, 1, 2, 11, 13, 22, 130, 211),
    "fromPV": (0, 1, 2, 3),
}
"""The values that each category of a candidate can have."""

INTEGERS = ("charge", "pdgId", "fromPV", "pvAssocQuality")
NO_TRACK = -1.0  # cm: what PFNano writes for d0 and dz of a candidate without track details


@dataclass(frozen=True)
class Candidates(Rows):
    """PF candidates of many events.

    columns: flat arrays, shape (candidates,), float32 or int32, by name (see BRANCHES).
    offsets: (events + 1,) int64; event i owns ``column[offsets[i]:offsets[i + 1]]``.
    repaired: number of repaired candidates for each fault.
    """

    repaired: Mapping[str, int] = field(default_factory=dict)

    def keep(self, mask: NDArray[np.bool_]) -> Candidates:
        """The candidates in a mask, shape (candidates,); the number of events stays the same."""
        if mask.all():
            return self
        rows = np.flatnonzero(mask)
        columns = {name: column[rows] for name, column in self.columns.items()}
        return replace(self, columns=columns, offsets=np.searchsorted(rows, self.offsets))


def collection(branches: Collection[str]) -> str | None:
    """Name of the collection of candidates in a file with these branches, or None."""
    return next((name for name in COLLECTIONS if f"{name}_pt" in branches), None)


def suffix_of(column: str, suffixes: Collection[str]) -> str | None:
    """The branch suffix that holds a column, or None."""
    return next((suffix for suffix in BRANCHES.get(column, ()) if suffix in suffixes), None)


def inputs(column: str, suffixes: Collection[str], wanted_by: tuple[str, ...] = ()) -> set[str]:
    """The columns to read for one column, stored or derived; ColumnError names the first that is missing."""
    if suffix_of(column, suffixes):
        beside = ("charge",) if column in TRACK_DETAILS else ()
        return {column}.union(*(inputs(c, suffixes) for c in beside))
    if column not in DERIVED_FROM or column in wanted_by:
        raise ColumnError(f"{column!r}")
    return set().union(*(inputs(c, suffixes, (*wanted_by, column)) for c in DERIVED_FROM[column]))


def require(columns: Iterable[str], branches: Collection[str], estimator: str, path: str) -> None:
    """Raise ColumnError unless a file with these branches can give the columns, stored or derived."""
    name = collection(branches)
    if name is None:
        stored = sorted(
            branch.removesuffix("_pt") for branch in branches if branch.endswith("MET_pt") and branch[:3] != "Gen"
        )
        hint = f"; of what it stores: --estimators {','.join(f'stored.{met}' for met in stored)}" if stored else ""
        raise ColumnError(f"estimator {estimator!r} needs PF candidates (PFCands_* or PFCand_*); {path} has none{hint}")
    there = {branch.removeprefix(f"{name}_") for branch in branches if branch.startswith(f"{name}_")}
    for column in columns:
        try:
            inputs(column, there)
        except ColumnError as missing:
            origin = f" nor {missing} to derive it from" if str(missing) != repr(column) else ""
            raise ColumnError(
                f"estimator {estimator!r} needs {name} column {column!r}, which {path} does not have{origin}; "
                f"there: {', '.join(sorted(there))}"
            ) from None


def read(events: ak.Array, columns: Iterable[str]) -> Candidates:
    """The cleaned candidates of these events, with flat columns (candidates,). Only the branches of these are read.

    events: an array of events with a collection ``PFCands`` or ``PFCand``, for example coffea's NanoEvents.
    """
    name = next((c for c in COLLECTIONS if c in events.fields), None)
    if name is None:
        raise ColumnError(f"no PF candidates in these events; fields: {', '.join(events.fields)}")
    record = events[name]
    wanted = {"pt", *columns}
    touched = set().union(*(inputs(c, record.fields) for c in wanted))
    raw = {c: flat(record[suffix_of(c, record.fields)], c) for c in touched}
    offsets = from_counts(ak.to_numpy(ak.num(record["pt"])))
    complete = derive(raw, wanted)
    if "puppiWeight" in wanted and "puppiWeight" not in complete:
        complete["puppiWeight"] = puppi_weights(complete, offsets, good_vertices(events))
    return clean(Candidates({c: complete[c] for c in BRANCHES if c in wanted}, offsets))


def good_vertices(events: ak.Array) -> NDArray:
    """(events,) number of good vertices, or of all vertices in a file without ``PV_npvsGood``."""
    return ak.to_numpy(events.PV["npvsGood" if "npvsGood" in events.PV.fields else "npvs"])


def puppi_weights(columns: Mapping[str, NDArray], offsets: Offsets, npv: NDArray) -> NDArray[np.float32]:
    """(candidates,) PUPPI weights for files that store none; npv: (events,) good vertices."""
    from ptmiss.candidates import puppi  # imports numba, which most uses do not need

    origin = puppi.charged_origin(columns["charge"], columns["fromPV"], columns["dz"])
    return puppi.weights(columns["pt"], columns["eta"], columns["phi"], origin, offsets, npv)


def flat(column: Any, name: str) -> NDArray:
    """A jagged column as one flat array (candidates,): int32 for categories, float32 otherwise."""
    values = ak.to_numpy(ak.flatten(column))
    return values.astype(np.int32 if name in INTEGERS else np.float32, copy=False)


def derive(raw: Mapping[str, NDArray], wanted: Collection[str]) -> dict[str, NDArray]:
    """The columns that were read, each (candidates,), and those derived from them.

    Neutral candidates without track details get dxy = dz = 0.
    """
    columns = dict(raw)
    if "charge" not in columns and "pdgId" in columns:
        columns["charge"] = charge_of(columns["pdgId"])
    if "fromPV" in wanted and "fromPV" not in columns:
        columns["fromPV"] = from_pv(*(columns[c] for c in DERIVED_FROM["fromPV"]))
    for name in TRACK_DETAILS:
        if name in columns:
            lost = (columns["charge"] == 0) & (columns[name] == NO_TRACK)
            columns[name] = np.where(lost, np.float32(0), columns[name])
    return columns


def charge_of(pdg_id: NDArray[np.integer]) -> NDArray[np.int32]:
    """(candidates,) charge from pdgId: that of a lepton has the opposite sign of its code, HF candidates have none."""
    charge = np.zeros(len(pdg_id), np.int32)
    for code, sign in CHARGES.items():
        charge[pdg_id == code], charge[pdg_id == -code] = sign, -sign
    return charge


def from_pv(
    charge: NDArray[np.integer],
    pdg_id: NDArray[np.integer],
    pv_assoc_quality: NDArray[np.integer],
    puppi_weight: NDArray[np.floating],
) -> NDArray[np.int32]:
    """(candidates,) ``fromPV``, 0 to 3, for PFNano files, which do not store it.

    * Neutral candidates have 3.
    * Charged ones with a PUPPI weight of one have 3 if the vertex fit used their track (pvAssocQuality 7), else 2.
    * Other electrons and muons have 2.
    * Other charged ones have 1 if the association is loose (pvAssocQuality below 6), else 0.

    With this rule the released DeepMET weights agree with the values that CMSSW stored in real PFNano events: in the
    median to 2.0 GeV (resolution tune) and 2.8 GeV (response tune).
    """
    lepton = np.isin(np.abs(pdg_id), (11, 13))
    of_vertex = puppi_weight > 0.999
    return np.select(
        [charge == 0, of_vertex & (pv_assoc_quality == 7), of_vertex | lepton, pv_assoc_quality < 6], [3, 3, 2, 1], 0
    ).astype(np.int32)


def clean(candidates: Candidates) -> Candidates:
    """Candidates whose values every estimator can use; each kind of repair is counted.

    A candidate without a finite momentum is dropped. Another value that is not finite becomes 0. An unknown pdgId
    becomes that of a charged (211) or neutral (130) hadron, by the charge. ``charge`` and ``fromPV`` are clipped to
    their ranges.
    """
    repaired: Counter[str] = Counter()
    finite = np.ones(candidates.offsets[-1], bool)
    for name in candidates.columns.keys() & {"pt", "eta", "phi"}:
        finite &= np.isfinite(candidates[name])
    repaired["momentum not finite"] = int(np.count_nonzero(~finite))
    candidates = candidates.keep(finite)
    columns = dict(candidates.columns)
    for name, column in candidates.columns.items():
        if name not in INTEGERS and not (good := np.isfinite(column)).all():
            repaired[f"{name} not finite"] = int(np.count_nonzero(~good))
            columns[name] = np.where(good, column, np.float32(0))
    for name in ("charge", "fromPV"):
        if name in columns:
            inside = np.clip(columns[name], VOCABULARY[name][0], VOCABULARY[name][-1])
            repaired[f"{name} out of range"] = int(np.count_nonzero(inside != columns[name]))
            columns[name] = inside
    if "pdgId" in columns:
        known = np.isin(columns["pdgId"], VOCABULARY["pdgId"])
        repaired["pdgId unknown"] = int(np.count_nonzero(~known))
        columns["pdgId"] = hadron_unless(known, columns)
    return replace(candidates, columns=columns, repaired={what: n for what, n in repaired.items() if n})


def hadron_unless(known: NDArray[np.bool_], columns: Mapping[str, NDArray]) -> NDArray[np.int32]:
    """(candidates,) pdgId, in which unknown codes are replaced by a hadron of the same charge, neutral without one."""
    if known.all():
        return columns["pdgId"]
    charge = columns.get("charge", np.zeros_like(columns["pdgId"]))
    return np.where(known, columns["pdgId"], np.select([charge > 0, charge < 0], [211, -211], 130)).astype(np.int32)

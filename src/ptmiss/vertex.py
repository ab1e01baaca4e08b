"""The vertex of the lepton: candidates of single-lepton events with respect to the vertex closest to the lepton.

This is the PV-agnostic variant of CMS-JME-24-001. The primary vertex is the one closest in z to the lepton, or the beam
spot if none is within 0.2 cm. ``dz``, ``fromPV`` and the PUPPI weights are computed anew for it before the estimators
run. :func:`at_lepton` does this for events; :func:`choose` and :func:`move` work on flat arrays. Lengths are in cm.

Events that keep the file's vertex, and events without exactly one lepton, keep every value bit by bit. In the others:

* exact: z of the vertex and the shift of ``dz``; the tracks in the fit of the file's vertex, which are now in another
  vertex's fit; the tracks in no fit; the PUPPI weights that follow from ``fromPV`` and ``dz``
* approximate: the other vertex that a track is nearest to or was fitted to. Files do not store it, so it is the nearest
  in z among the vertices that the file lists, by the stored ``dz`` (8 bits in simulated files: to 0.008 cm at 4 to
  8 cm). CMS's NanoAOD lists three other vertices, simulated files list all
* unchanged: ``dxy`` (files store no x and y of other vertices), ``pvAssocQuality`` (it describes a track and its own
  vertex), jets, muon isolation and stored METs; neutral candidates but for their weights; ``dz`` of candidates without
  track details in PFNano

At the beam spot the lepton itself is in another vertex's fit, or in none: ``puppi`` and ``track`` may lose it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss import candidates as pf_candidates
from ptmiss.candidates import NO_TRACK, Candidates
from ptmiss.errors import ColumnError, UnknownName
from ptmiss.segments import Offsets, event_of, from_counts

DEFAULT, LEPTON = "default", "lepton"
CHOICES = (DEFAULT, LEPTON)
MAX_DZ = 0.2  # cm between lepton and vertex
BEAM_SPOT = -1

BRANCHES = ("PV_z", "OtherPV_z", "Muon_dz")
AFFECTED = frozenset({"dz", "fromPV", "puppiWeight"})
"""Columns of candidates that depend on the vertex."""
TRACK_COLUMNS = frozenset({"charge", "dxy", "dz", "fromPV"})
PUPPI_COLUMNS = frozenset({"pt", "eta", "phi"})

FAR = 500.0  # cm, beyond any z
GAP = 4 * FAR


class Vertices(NamedTuple):
    """Vertices of many events: z (vertices,) in cm, and offsets. Each event begins with the file's primary vertex."""

    z: NDArray[np.float64]
    offsets: Offsets

    @property
    def first(self) -> NDArray[np.float64]:
        """(events,) z of the file's primary vertex, cm."""
        return self.z[self.offsets[:-1]]


class Choice(NamedTuple):
    """The chosen vertex of each event, both (events,): number in the event (0 the file's, or BEAM_SPOT), z in cm."""

    number: NDArray[np.int64]
    z: NDArray[np.float64]


@dataclass(frozen=True)
class Lepton:
    """The inputs to the choice of a vertex.

    z: (events,) of the single lepton, cm; NaN in events without exactly one. beam_spot: (events,) its z, cm. npv:
    (events,) good vertices, for PUPPI.
    """

    z: NDArray[np.float64]
    beam_spot: NDArray[np.float64]
    vertices: Vertices
    npv: NDArray


def check(name: str) -> str:
    """The name of a choice of vertex; UnknownName for any other."""
    if name not in CHOICES:
        raise UnknownName("vertex", name, CHOICES)
    return name


def needs(columns: Collection[str]) -> set[str]:
    """The additional columns with which an estimator's own can be computed for another vertex."""
    if not AFFECTED.intersection(columns):
        return set()
    return {*TRACK_COLUMNS, *(PUPPI_COLUMNS if "puppiWeight" in columns else ())}


def require(columns: Mapping[str, Collection[str]], branches: Collection[str], path: str) -> None:
    """Raise ColumnError unless the file has what each estimator's columns need for the lepton's vertex."""
    missing = [name for name in BRANCHES if name not in branches]
    if missing:
        raise ColumnError(f"the vertex of the lepton needs branch {missing[0]}, which {path} does not have")
    for estimator, own in columns.items():
        if wanted := needs(own):
            pf_candidates.require(sorted(wanted), branches, estimator, path)


def at_lepton(candidates: Candidates, events: Any, leptons: ak.Array, notes: Counter[str]) -> Candidates:
    """Candidates with respect to the vertex of each event's single lepton. The notes count the choices.

    leptons: (events, var) records with dz in cm, from the file's primary vertex. Events with none or several of them do
    not change.
    """
    seen = of_events(events, leptons)
    choice = choose(seen.vertices, seen.z, seen.beam_spot)
    notes["event with another vertex than the file's, its lepton's"] += int(np.count_nonzero(choice.number > 0))
    fallen = int(np.count_nonzero(choice.number == BEAM_SPOT))
    notes[f"event at the beam spot, no vertex within {MAX_DZ} cm of its lepton"] += fallen
    return move(candidates, seen.vertices, choice, seen.npv)


def of_events(events: Any, leptons: ak.Array) -> Lepton:
    """The leptons and vertices of events, in cm; the beam spot is at z = 0 unless the file has BeamSpot_z.

    leptons: (events, var) records with dz in cm.
    """
    first, others = ak.to_numpy(events.PV.z).astype(np.float64), events.OtherPV.z
    vertices = concatenate(first, ak.to_numpy(ak.flatten(others)).astype(np.float64), ak.to_numpy(ak.num(others)))
    single = ak.to_numpy(ak.num(leptons) == 1)
    dz = np.full(len(first), np.nan)
    dz[single] = ak.to_numpy(ak.flatten(leptons.dz[single]))
    beam_spot = np.zeros(len(first))
    if "BeamSpot" in events.fields:
        beam_spot = ak.to_numpy(events.BeamSpot.z).astype(np.float64)
    return Lepton(first + dz, beam_spot, vertices, pf_candidates.good_vertices(events))


def concatenate(first: NDArray, others: NDArray, counts: NDArray[np.integer]) -> Vertices:
    """Vertices from z of the primary ones, (events,), and of others, flat, ``counts`` (events,) in each event; cm."""
    offsets = from_counts(counts + 1)
    return Vertices(np.insert(others, offsets[:-1] - np.arange(len(first)), first), offsets)


def choose(vertices: Vertices, lepton_z: NDArray[np.floating], beam_spot: NDArray[np.floating]) -> Choice:
    """The vertex closest in z to each event's lepton.

    It is the beam spot if none is within MAX_DZ, and the file's vertex if the lepton's z is NaN. lepton_z, beam_spot:
    (events,), cm.
    """
    known = np.isfinite(lepton_z)
    point = np.where(known, lepton_z, vertices.first)
    number = np.where(known, nearest(point, np.arange(len(point)), vertices), 0)
    z = vertices.z[vertices.offsets[:-1] + number]
    none = np.abs(z - point) > MAX_DZ
    return Choice(np.where(none, BEAM_SPOT, number), np.where(none, beam_spot, z))


def nearest(z: NDArray[np.floating], event: NDArray[np.integer], vertices: Vertices) -> NDArray[np.int64]:
    """(points,) number, in its event, of the vertex closest to each point; z (points,) in cm, event (points,)."""
    owner = event_of(vertices.offsets)
    order = np.lexsort((vertices.z, owner))
    # one sorted axis for all events, on which each has a range of its own: one search finds all neighbours
    axis = (owner * GAP + np.clip(vertices.z, -FAR, FAR))[order]
    right = np.searchsorted(axis, event * GAP + np.clip(z, -FAR, FAR))
    begin, end = vertices.offsets[event], vertices.offsets[event + 1]
    right = np.clip(right, begin, end - 1)
    left = np.maximum(right - 1, begin)
    left_is_nearer = np.abs(z - vertices.z[order[left]]) <= np.abs(z - vertices.z[order[right]])
    return order[np.where(left_is_nearer, left, right)] - begin


def move(candidates: Candidates, vertices: Vertices, choice: Choice, npv: NDArray) -> Candidates:
    """Candidates with dz, fromPV and PUPPI weights with respect to the chosen vertex of each event.

    Only columns that the candidates have are computed. Events that keep the file's vertex keep their values. npv:
    (events,) good vertices, for PUPPI.
    """
    which = np.flatnonzero(choice.number != 0)
    if not len(which) or not AFFECTED & candidates.columns.keys():
        return candidates
    counts = np.diff(candidates.offsets)
    mask = np.repeat(choice.number != 0, counts)
    here = {name: column[mask] for name, column in candidates.columns.items()}
    here |= move_tracks(here, np.repeat(which, counts[which]), vertices, choice)
    if "puppiWeight" in here:
        here["puppiWeight"] = pf_candidates.puppi_weights(here, from_counts(counts[which]), npv[which])
    columns = dict(candidates.columns)
    for name in AFFECTED & columns.keys():
        columns[name] = columns[name].copy()
        columns[name][mask] = here[name]
    return replace(candidates, columns=columns)


def move_tracks(
    columns: dict[str, NDArray], event: NDArray[np.int64], vertices: Vertices, choice: Choice
) -> dict[str, NDArray]:
    """The new dz (cm) and fromPV, each (candidates,); event: (candidates,) of each. Neutral candidates keep theirs."""
    dz, charged = columns["dz"], columns["charge"] != 0
    measured = charged & ~((dz == NO_TRACK) & (columns["dxy"] == NO_TRACK))
    z = np.where(measured, dz + vertices.first[event], np.inf)
    shifted = np.where(measured, z - choice.z[event], dz)
    from_pv = np.where(charged, from_pv_at_choice(columns["fromPV"], z, event, vertices, choice), columns["fromPV"])
    return {"dz": shifted.astype(dz.dtype), "fromPV": from_pv.astype(columns["fromPV"].dtype)}


def from_pv_at_choice(
    from_pv: NDArray[np.integer],
    z: NDArray[np.floating],
    event: NDArray[np.int64],
    vertices: Vertices,
    choice: Choice,
) -> NDArray[np.int64]:
    """(tracks,) ``fromPV`` with respect to a vertex that is not the file's.

    * A track in the fit of the file's vertex (3) is now in another vertex's fit (0).
    * A track in another vertex's fit (0) has 3 if the chosen vertex is the nearest, since vertices fit the tracks near
      them, else 0. No track is in a fit of the beam spot.
    * A track in no fit (1, 2) has 2 if the chosen vertex or the beam spot is the nearest, else 1.

    z: (tracks,) cm, infinite if unknown. event: (tracks,).
    """
    to_nearest = np.abs(z - vertices.z[vertices.offsets[event] + nearest(z, event, vertices)])
    near = np.isfinite(z) & (np.abs(z - choice.z[event]) <= to_nearest)
    fits = near & (choice.number[event] != BEAM_SPOT)
    return np.select([from_pv == 3, (from_pv == 0) & fits, from_pv == 0, near], [0, 3, 0, 2], 1)

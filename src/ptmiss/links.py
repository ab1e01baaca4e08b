"""What GSF tracks, brem points and superclusters say of the tracks and ECAL clusters that they belong to.

A GSF track points to the supercluster with most energy that is near, harder tracks first, and no supercluster is taken
twice: the rule of PF electrons (ptmiss.simulation.electrons) without its identification, which is left to networks. It
is near where the track arrives; if a supercluster seeded the track, also near the direction in which the track begins,
which is that of the photons of an electron that lost nearly everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ptmiss.angles import separation, wrap
from ptmiss.segments import Offsets, event_of

ECAL, GSF, BREM, SUPERCLUSTER = 4, 6, 7, 10
WINDOW = (0.05, 0.15)
"""Largest distances in eta and phi of a GSF track and its supercluster."""
MIN_E_OVER_P = 0.5
"""Least corrected energy of the supercluster over the inner momentum."""
TRACKER_SEED, ECAL_SEED = 1, 2
"""Bits of a GSF track's seed: a general track that looks like an electron; a supercluster with hits in the pixels."""
NONE = -1


class _Rows(NamedTuple):
    """Columns of all elements with what they belong to, each (elements,), in the order that numba needs."""

    kind: NDArray[np.int32]
    pt: NDArray[np.float32]
    energy: NDArray[np.float32]
    eta: NDArray[np.float32]
    phi: NDArray[np.float32]
    seed: NDArray[np.int32]
    calo_eta: NDArray[np.float32]
    calo_phi: NDArray[np.float32]
    corrected: NDArray[np.float32]
    parent: NDArray[np.int64]


def link(columns: Mapping[str, NDArray], offsets: Offsets) -> dict[str, NDArray]:
    """Columns of LINK_COLUMNS and ``correctedEnergy``, each (elements,), of all elements of files with material.

    columns: those of elements and their details. offsets: (events + 1,).
    """
    event = event_of(offsets)
    names = ("type", "pt", "energy", "eta", "phi", "seed", "caloEta", "caloPhi", "correctedEnergy")
    parent = np.where(columns["parent"] >= 0, columns["parent"] + offsets[event], NONE)
    rows = _Rows._make([*(columns[name] for name in names), parent])
    gsf = np.flatnonzero(rows.kind == GSF)
    place = np.where(parent[gsf] >= 0, parent[gsf], gsf)  # of its general track, if it has one
    to = superclusters(rows, event, len(offsets) - 1)
    out = _empty(len(parent), columns)
    out["gsfEnergy"][place], out["gsfAlone"][gsf] = rows.energy[gsf], parent[gsf] == NONE
    points = np.bincount(parent[(rows.kind == BREM) & (parent >= 0)], minlength=len(parent))
    out["nBrems"][place] = points[gsf]
    has = to[gsf] >= 0
    _fill(out, place[has], gsf[has], to[gsf[has]], rows, columns["nCells"])
    members = np.flatnonzero((rows.kind == ECAL) & (parent >= 0))
    _fill(out, members, members, parent[members], rows, columns["nCells"])
    momentum = np.zeros(len(parent), np.float32)
    momentum[to[gsf[has]]] = rows.energy[gsf[has]]
    out["gsfEnergy"][members] = momentum[parent[members]]
    return out


def _empty(n: int, columns: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """The columns without any link; superclusters and their clusters know the energy from the file."""
    zeros: dict[str, NDArray] = {name: np.zeros(n, dtype) for name, dtype in LINK_COLUMNS.items()}
    return zeros | {"correctedEnergy": columns["correctedEnergy"].copy()}


def _fill(
    out: dict[str, NDArray],
    at: NDArray[np.int64],
    own: NDArray[np.int64],
    of: NDArray[np.int64],
    rows: _Rows,
    clusters: NDArray[np.integer],
) -> None:
    """What superclusters (rows ``of``) say at the rows ``at``, seen from the place of the rows ``own``."""
    out["correctedEnergy"][at] = rows.corrected[of]
    out["superclusterSize"][at] = clusters[of]
    out["superclusterEta"][at] = np.abs(rows.calo_eta[own] - rows.calo_eta[of])
    out["superclusterPhi"][at] = np.abs(wrap(rows.calo_phi[own] - rows.calo_phi[of]))


def superclusters(rows: _Rows, event: NDArray[np.int64], events: int) -> NDArray[np.int64]:
    """(elements,) row of the supercluster that each GSF track points to; NONE for none and for other types."""
    tracks, found = (np.flatnonzero(rows.kind == kind) for kind in (GSF, SUPERCLUSTER))
    order = tracks[np.lexsort((-rows.pt[tracks], event[tracks]))]
    bounds = np.searchsorted(event[found], np.arange(events + 1))
    begins = np.where(rows.seed & ECAL_SEED > 0, rows.phi, rows.calo_phi)
    return _point(order, found, bounds, event, rows.energy, rows.eta, begins, rows.calo_phi, rows.corrected)


@njit(cache=True)
def _point(order, found, bounds, event, energy, eta, begins, calo_phi, corrected):  # type: ignore[no-untyped-def]
    out, free = np.full(len(energy), NONE), np.ones(len(energy), np.bool_)
    for i in order:
        most = MIN_E_OVER_P * energy[i]
        for j in found[bounds[event[i]] : bounds[event[i] + 1]]:
            away = min(separation(begins[i], calo_phi[j]), separation(calo_phi[i], calo_phi[j]))
            near = abs(eta[i] - eta[j]) < WINDOW[0] and away < WINDOW[1]
            if near and free[j] and corrected[j] > most:
                out[i], most = j, corrected[j]
        if out[i] != NONE:
            free[out[i]] = False
    return out


LINK_COLUMNS = {
    **dict.fromkeys(("gsfEnergy", "superclusterEta", "superclusterPhi"), np.float32),
    **dict.fromkeys(("nBrems", "superclusterSize"), np.int32),
    "gsfAlone": np.bool_,
}
"""Columns beside those of files: gsfEnergy (GeV) is the inner momentum of the GSF track of a track, and, of a cluster,
of that which points to its supercluster; nBrems its brem points; superclusterSize the clusters of the supercluster that
is pointed to or that a cluster is in, and superclusterEta and superclusterPhi the distances to it on the calorimeter.
gsfAlone marks GSF tracks without a general track. 0 where there is none."""

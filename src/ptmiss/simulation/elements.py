"""Particle-flow elements in one flat record: tracks, ECAL clusters, HCAL clusters, and the two halves of HF towers.

Types are numbered as in the public MLPF: 1 track, 4 ECAL cluster, 5 HCAL cluster, 8 HF electromagnetic, 9 HF hadronic.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptmiss.simulation.calorimeter import ECAL_CLUSTER, HCAL_CLUSTER, Clusters, Towers
from ptmiss.simulation.helix import NOWHERE
from ptmiss.simulation.tracks import Tracks
from ptmiss.simulation.vertices import Association

TRACK, ECAL, HCAL, HF_EM, HF_HAD = 1, ECAL_CLUSTER, HCAL_CLUSTER, 8, 9
GSF, BREM, SUPERCLUSTER = 6, 7, 10
"""Kinds that matter in the tracker adds, see ptmiss.simulation.details."""


class Elements(NamedTuple):
    """Elements, each array of shape (elements,): GeV, cm, rad. A column that makes no sense for a type is 0.

    ``eta``, ``phi``: direction at the beam (tracks) or from the primary vertex (deposits); ``calo_eta``, ``calo_phi``:
    position on the calorimeter's face, seen from the centre of the detector. ``energy`` of a deposit is uncalibrated.
    ``width`` is the deposit's RMS radius.
    """

    type: NDArray
    pt: NDArray
    eta: NDArray
    phi: NDArray
    energy: NDArray
    calo_eta: NDArray
    calo_phi: NDArray
    charge: NDArray
    dxy: NDArray
    dz: NDArray
    pt_error: NDArray
    dxy_error: NDArray
    dz_error: NDArray
    from_pv: NDArray
    quality: NDArray
    muon: NDArray
    electron: NDArray
    width: NDArray
    cells: NDArray

    def of(self, kind: int) -> Elements:
        """The elements of a type, which are consecutive."""
        first, last = np.searchsorted(self.type, [kind, kind + 1])
        return Elements(*(column[first:last] for column in self))


def collect(
    tracks: Tracks,
    association: Association,
    impact: tuple[NDArray[np.int8], NDArray],
    clusters: Clusters,
    towers: Towers,
    vertex: NDArray,
) -> Elements:
    """One record of all elements; impact: region (tracks,) and point (tracks, 3) in cm of tracks at a calorimeter."""
    parts = [
        of_tracks(tracks, association, impact),
        of_deposits(clusters.kind, clusters.energy, clusters.position, vertex, clusters.width, clusters.cells),
        *(
            _of_towers(kind, energy, towers.position, vertex)
            for kind, energy in ((HF_EM, towers.em), (HF_HAD, towers.had))
        ),
    ]
    return Elements(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def direction(position: NDArray, origin: NDArray | float = 0.0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(points,) eta and phi of points (points, 3), seen from an origin; cm."""
    dx, dy, dz = (position - origin).T
    return np.arcsinh(dz / np.maximum(np.hypot(dx, dy), 1e-6)), np.arctan2(dy, dx)


def of_tracks(tracks: Tracks, association: Association, impact: tuple[NDArray[np.int8], NDArray]) -> Elements:
    n = len(tracks.pt)
    calo_eta, calo_phi = direction(impact[1])
    arrives = impact[0] != NOWHERE
    return Elements(
        np.full(n, TRACK, dtype=np.int32),
        tracks.pt,
        tracks.eta,
        tracks.phi,
        tracks.pt * np.cosh(tracks.eta),
        np.where(arrives, calo_eta, 0.0),
        np.where(arrives, calo_phi, 0.0),
        tracks.charge.astype(np.int32),
        association.dxy,
        association.dz,
        tracks.pt_error,
        tracks.dxy_error,
        tracks.dz_error,
        association.from_pv,
        association.quality,
        tracks.muon,
        tracks.electron,
        np.zeros(n),
        np.zeros(n, dtype=np.int32),
    )


def of_deposits(
    kind: NDArray[np.int32],
    energy: NDArray,
    position: NDArray,
    vertex: NDArray,
    width: NDArray,
    cells: NDArray[np.int32],
) -> Elements:
    n = len(kind)
    eta, phi = direction(position, vertex)
    calo_eta, calo_phi = direction(position)
    zeros, none, no = np.zeros(n), np.zeros(n, dtype=np.int32), np.zeros(n, dtype=np.bool_)
    return Elements(
        kind,
        energy / np.cosh(eta),
        eta,
        phi,
        energy,
        calo_eta,
        calo_phi,
        none,
        zeros,
        zeros,
        zeros,
        zeros,
        zeros,
        none,
        none,
        no,
        no,
        width,
        cells,
    )


def _of_towers(kind: int, energy: NDArray, position: NDArray, vertex: NDArray) -> Elements:
    lit = energy > 0
    n = int(lit.sum())
    kinds, ones = np.full(n, kind, dtype=np.int32), np.ones(n, dtype=np.int32)
    return of_deposits(kinds, energy[lit], position[lit], vertex, np.zeros(n), ones)

"""Superclusters by rule: the ECAL clusters of one electron or photon, in a window shaped like a moustache.

A helix that turns by dphi between its origin and the calorimeter arrives at sinh(eta) larger by dphi / sin(dphi), on
the barrel as on the endcaps. So what an electron leaves lies between the eta of its seed and this curve, to both sides
in phi. The window reaches as far as a remainder of REMAINDER of the seed's transverse energy is bent, at most MAX_DPHI.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ptmiss.angles import separation
from ptmiss.simulation.calorimeter import ECAL_CLUSTER, Clusters
from ptmiss.simulation.elements import direction
from ptmiss.simulation.geometry import CRYSTAL
from ptmiss.simulation.helix import BARREL_ETA, BARREL_RADIUS, ENDCAP_Z
from ptmiss.simulation.parameters import Detector

SEED_ET, MIN_ET = 1.0, 4.0
"""Least transverse energies (GeV) of a seed and of a supercluster."""
REMAINDER, MAX_DPHI, MARGIN = 0.05, 0.6, 1.5
"""Share of the seed's transverse energy; largest window in rad; margin in eta in units of a cell."""
_CELL = 0.0175
_CORRECTION_ETA = (0.4, 1.0, 1.32, 1.75, 2.25)
CORRECTION = (1.003, 1.009, 1.026, 1.037, 1.019)
"""Mean true over clustered energy against abs eta, measured with 1500 photons of 20 to 60 GeV without pile-up."""
_BEND = 0.5 * 0.299792458e-2 * Detector().solenoid
"""Radians of a GeV and a centimetre of radius."""


class Superclusters(NamedTuple):
    """Superclusters, each array of shape (superclusters,): GeV and cm.

    position: (superclusters, 3) mean of their clusters, weighted with energy. seed: row of the seed among the ECAL
    clusters. clusters: their number. member: (ECAL clusters,) the supercluster of each, -1 for none.
    """

    energy: NDArray[np.float64]
    position: NDArray[np.float64]
    seed: NDArray[np.int64]
    clusters: NDArray[np.int64]
    member: NDArray[np.int64]

    @property
    def corrected(self) -> NDArray[np.float64]:
        """(superclusters,) energy (GeV) that an electron or photon has in the mean, see CORRECTION."""
        eta, _ = direction(self.position)
        return self.energy * np.interp(np.abs(eta), _CORRECTION_ETA, CORRECTION)


def build(clusters: Clusters) -> Superclusters:
    """The superclusters of an event, by falling transverse energy of their seeds."""
    ecal = clusters.kind == ECAL_CLUSTER
    energy, position = clusters.energy[ecal], clusters.position[ecal]
    eta, phi = direction(position)
    et = energy / np.cosh(eta)
    member, seed = _collect(eta, phi, et, np.argsort(-et, kind="stable"))
    inside, n = member >= 0, len(seed)
    own = member[inside]
    total = np.bincount(own, energy[inside], minlength=n).astype(np.float64)
    mean = [np.bincount(own, energy[inside] * position[inside, axis], minlength=n) for axis in range(3)]
    return Superclusters(
        total, np.stack(mean, axis=1) / np.maximum(total, 1e-9)[:, None], seed, np.bincount(own, minlength=n), member
    )


@njit(cache=True)
def in_moustache(seed_eta, seed_phi, seed_et, eta, phi):  # type: ignore[no-untyped-def]
    """Whether a cluster at eta and phi belongs to a seed with this transverse energy (GeV)."""
    steep = abs(seed_eta)
    radius, cell = BARREL_RADIUS, _CELL
    if steep > BARREL_ETA:
        radius = ENDCAP_Z / math.sinh(steep)
        cell = CRYSTAL / radius * math.tanh(steep)
    dphi = abs(separation(phi, seed_phi))
    if dphi > max(min(_BEND * radius / (REMAINDER * seed_et), MAX_DPHI), MARGIN * cell):
        return False
    stretch = dphi / math.sin(dphi) if dphi > 1e-6 else 1.0
    further = math.copysign(1.0, seed_eta) * (eta - seed_eta)
    return -MARGIN * cell < further < math.asinh(stretch * math.sinh(steep)) - steep + MARGIN * cell


@njit(cache=True)
def _collect(eta, phi, et, order):  # type: ignore[no-untyped-def]
    """Supercluster of each cluster, -1 for none, and the seeds; each takes the free clusters in its window."""
    member = np.full(len(et), -1, dtype=np.int64)
    seeds = np.zeros(len(et), dtype=np.int64)
    count = 0
    for i in order:
        if et[i] < SEED_ET:
            break
        if member[i] >= 0:
            continue
        total = 0.0
        for j in range(len(et)):
            if member[j] < 0 and (j == i or in_moustache(eta[i], phi[i], et[i], eta[j], phi[j])):
                member[j] = count
                total += et[j]
        if total < MIN_ET:
            member[member == count] = -1
            continue
        seeds[count] = i
        count += 1
    return member, seeds[:count]

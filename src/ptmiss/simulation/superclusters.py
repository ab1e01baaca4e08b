"""Superclusters: the ECAL clusters of one electron or photon, by a rule (ptmiss.simulation.moustache) or a network.

Seeds come by falling transverse energy, and each takes the free clusters around it that belong to it. The rule adds the
energies up and corrects for what is lost in the mean; the network says what the energy is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ptmiss.networks.superclusters import Network
from ptmiss.simulation.calorimeter import ECAL_CLUSTER, Clusters
from ptmiss.simulation.elements import direction
from ptmiss.simulation.moustache import in_moustache
from ptmiss.simulation.windows import Places, around

SEED_ET, MIN_ET = 1.0, 4.0
"""Least transverse energies (GeV) of a seed and of a supercluster."""
LIKELY = 0.5
"""Probability above which a cluster belongs to a seed."""
CORRECTION_ETA = (0.4, 1.0, 1.32, 1.75, 2.25)
CORRECTION = (1.003, 1.009, 1.026, 1.037, 1.019)
"""Mean true over clustered energy at these abs eta, of 1500 single photons from 20 to 60 GeV without pile-up.

``python docs/superclusters.py correction`` measures it again. 515 other photons (``gun_photon``, seed 191131) give
1.0039 ± 0.0008, 1.008 ± 0.002, 1.020 ± 0.004, 1.034 ± 0.005 and 1.017 ± 0.002; their medians are 1.003 to 1.015.
"""


class Superclusters(NamedTuple):
    """Superclusters, each array of shape (superclusters,): GeV and cm.

    position: (superclusters, 3) mean of their clusters, weighted with energy. corrected: energy that an electron or
    photon has in the mean. seed: row of the seed among the ECAL clusters. clusters: their number. member: (ECAL
    clusters,) the supercluster of each, -1 for none.
    """

    energy: NDArray[np.float64]
    corrected: NDArray[np.float64]
    position: NDArray[np.float64]
    seed: NDArray[np.int64]
    clusters: NDArray[np.int64]
    member: NDArray[np.int64]


def build(clusters: Clusters, network: Network | None = None) -> Superclusters:
    """The superclusters of an event, by falling transverse energy of their seeds; network: in place of the rule."""
    ecal = clusters.kind == ECAL_CLUSTER
    energy, position = clusters.energy[ecal], clusters.position[ecal]
    eta, phi = direction(position)
    places = Places(eta, phi, energy, clusters.width[ecal], clusters.cells[ecal])
    order = np.argsort(-places.et, kind="stable")
    if network is None:
        member, seed = _collect(eta, phi, places.et, order)
        return _summarise(energy, position, member, seed)
    windows = around(places, np.array([0, len(energy)]), SEED_ET)
    answer = network(windows.features, energy[windows.row], windows.offsets)
    number = np.full(len(energy), -1)
    number[windows.seed] = np.arange(len(windows.seed))
    member, seed = _take(places.et, order, number, windows, answer.probability > LIKELY)
    return _summarise(energy, position, member, seed)._replace(corrected=answer.energy[number[seed]])


def _summarise(energy: NDArray, position: NDArray, member: NDArray[np.int64], seed: NDArray[np.int64]) -> Superclusters:
    """Superclusters of clusters (clusters,) that are members of them, their energies corrected in the mean."""
    inside, n = member >= 0, len(seed)
    own = member[inside]
    total = np.bincount(own, energy[inside], minlength=n).astype(np.float64)
    sums = [np.bincount(own, energy[inside] * position[inside, axis], minlength=n) for axis in range(3)]
    mean = np.stack(sums, axis=1) / np.maximum(total, 1e-9)[:, None]
    return Superclusters(total, correct(total, mean), mean, seed, np.bincount(own, minlength=n), member)


def correct(energy: NDArray[np.float64], position: NDArray[np.float64]) -> NDArray[np.float64]:
    """(superclusters,) energies, GeV, with what photons lose in the mean added; position: (superclusters, 3), cm."""
    corrected: NDArray[np.float64] = energy * np.interp(np.abs(direction(position)[0]), CORRECTION_ETA, CORRECTION)
    return corrected


@njit(cache=True)
def _settle(member, seeds, count, seed, total):  # type: ignore[no-untyped-def]
    """Number of superclusters with that of a seed; one below MIN_ET gives its clusters back."""
    if total < MIN_ET:
        member[member == count] = -1
        return count
    seeds[count] = seed
    return count + 1


@njit(cache=True)
def _take(et, order, number, windows, belongs):  # type: ignore[no-untyped-def]
    """The same as _collect, of windows and what belongs to their seeds; number: (clusters,) window of each, or -1."""
    member = np.full(len(et), -1, dtype=np.int64)
    seeds = np.zeros(len(et), dtype=np.int64)
    count = 0
    for i in order:
        window = number[i]
        if window < 0 or member[i] >= 0:
            continue
        total = 0.0
        for at in range(windows.offsets[window], windows.offsets[window + 1]):
            j = windows.row[at]
            if member[j] < 0 and (j == i or belongs[at]):
                member[j] = count
                total += et[j]
        count = _settle(member, seeds, count, i, total)
    return member, seeds[:count]


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
        count = _settle(member, seeds, count, i, total)
    return member, seeds[:count]

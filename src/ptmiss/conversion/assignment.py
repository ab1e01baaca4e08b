"""Which element stands for which particle, from weighted links between both.

A charged particle with a track belongs to the track: to that of which it made most. Any other belongs to the cluster
that has most of its energy, and to a track only if it has no cluster. Particles that share an element are summed, and
the hardest gives the class. So each particle counts once: sum of targets and of what is lost = sum of particles. These
are the targets of this package's simulation (ptmiss.simulation.truth). The public MLPF lets particles share clusters
only where there are not enough of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptmiss.elements import TRACK, Elements, Targets
from ptmiss.estimators.reconstruction import CHARGED_HADRON, ELECTRON, MUON, NEUTRAL_HADRON, NONE, PHOTON

LOST = -1


class Particles(NamedTuple):
    """Generated particles of many events, flat.

    momentum: (n, 4) px, py, pz, E in GeV; code: (n,) PDG codes; charge, event: (n,).
    """

    momentum: NDArray[np.float64]
    code: NDArray[np.int64]
    charge: NDArray[np.int64]
    event: NDArray[np.int64]


class Pairs(NamedTuple):
    """Weighted pairs of a particle and an element, each (pairs,) rows of the flat tables."""

    particle: NDArray[np.int64]
    element: NDArray[np.int64]
    weight: NDArray[np.float64]


def owners(particles: Particles, tracks: Pairs, clusters: Pairs) -> NDArray[np.int64]:
    """(n,) row of the element that each particle belongs to; LOST for none."""
    n = len(particles.code)
    track, cluster = best(leading(tracks), n), best(total(clusters), n)
    charged = np.where(track != LOST, track, cluster)
    return np.where(particles.charge != 0, charged, np.where(cluster != LOST, cluster, track))


def total(pairs: Pairs) -> Pairs:
    """Each pair once, with the sum of its weights."""
    both, place = np.unique(np.stack([pairs.particle, pairs.element]), axis=1, return_inverse=True)
    weight = np.bincount(place.ravel(), pairs.weight, both.shape[1]).astype(np.float64)
    return Pairs(both[0], both[1], weight)


def leading(pairs: Pairs) -> Pairs:
    """For each element the pair of largest weight."""
    summed = total(pairs)
    order = np.lexsort((summed.weight, summed.element))
    last = order[np.flatnonzero(np.diff(summed.element[order], append=-1))]
    return Pairs(summed.particle[last], summed.element[last], summed.weight[last])


def best(pairs: Pairs, n: int) -> NDArray[np.int64]:
    """(n,) element of largest weight for each particle, LOST for none."""
    out = np.full(n, LOST, np.int64)
    order = np.argsort(pairs.weight, kind="stable")
    out[pairs.particle[order]] = pairs.element[order]  # the last one stays
    return out


def targets(particles: Particles, owner: NDArray[np.int64], elements: Elements) -> Targets:
    """Targets beside the elements, of particles with their owners (n,)."""
    n, found = int(elements.offsets[-1]), np.flatnonzero(owner != LOST)
    own = owner[found]
    px, py, pz, energy = (np.bincount(own, particles.momentum[found, i], n) for i in range(4))
    light = np.isin(np.abs(particles.code[found]), (11, 22))
    em = np.bincount(own, particles.momentum[found, 3] * light, n)
    count = np.bincount(own, minlength=n)
    hardest = np.full(n, LOST)
    order = found[np.argsort(np.hypot(*particles.momentum[found, :2].T), kind="stable")]
    hardest[owner[order]] = order
    filled, pt = count > 0, np.hypot(px, py)
    kind = np.where(filled, classes(particles, hardest, elements["type"] == TRACK), NONE)
    floats = {
        "pt": pt,
        "eta": np.arcsinh(pz / np.maximum(pt, 1e-9)) * filled,
        "phi": np.arctan2(py, px) * filled,
        "energy": energy,
        "pileupFraction": np.zeros(n),
        "emEnergy": em,
        "hadEnergy": energy - em,
    }
    integers = {"type": kind, "charge": np.where(filled, elements["charge"], 0), "nParticles": count}
    columns = {name: column.astype(np.float32) for name, column in floats.items()}
    return Targets(columns | {name: c.astype(np.int32) for name, c in integers.items()}, elements.offsets)


def classes(particles: Particles, which: NDArray[np.int64], track: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Classes of particles by their rows, in elements that are tracks or not: tracks are charged, clusters neutral."""
    code, charged = np.abs(particles.code[which]), particles.charge[which] != 0
    lepton = [track & (code == 11) & charged, track & (code == 13) & charged]
    return np.select(
        [*lepton, track, np.isin(code, (11, 22))], [ELECTRON, MUON, CHARGED_HADRON, PHOTON], NEUTRAL_HADRON
    )

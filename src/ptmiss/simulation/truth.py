"""Truth for MLPF: which element stands for which particles.

A charged particle with a track belongs to the track; with matter in the tracker, an electron that has only a GSF track
belongs to that; any other particle to the cluster or tower half that got most of its energy. A muon without a track is
lost: the little that it leaves in a calorimeter says nothing about its momentum. Particles that share an element are
summed, the class is the leading one's, and energy is conserved: sum of targets and of what is lost = sum of particles.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ptmiss.simulation.calorimeter import FIRST_TOWER_CELL, Clusters, Towers
from ptmiss.simulation.electrontracks import NO_TRACK, GsfTracks
from ptmiss.simulation.elements import BREM, ECAL, GSF, HCAL, HF_EM, HF_HAD, TRACK, Elements
from ptmiss.simulation.particles import Particles
from ptmiss.simulation.showers import MAX_HITS, Hits
from ptmiss.simulation.tracks import FAKE, Tracks

NONE, CHARGED_HADRON, NEUTRAL_HADRON, PHOTON, ELECTRON, MUON, HF_HADRON, HF_PHOTON = range(8)
"""Classes of targets."""
LOST = -1
NO_SHOWER = -1


class Targets(NamedTuple):
    """What each element stands for, each array of shape (elements,): GeV; zeros where there is nothing.

    ``pileup`` is the pile-up's share of the scalar pT; ``em_energy`` and ``had_energy`` split the energy into that of
    photons and electrons and that of everything else; ``particles`` counts; ``trackless`` is the share of a deposit
    that particles without a track left, 0 for tracks and noise. ``lost``, shape (4,), is px, py, pz, E of the particles
    that no element stands for, and ``owner``, shape (particles,), the element of each particle or -1.
    """

    kind: NDArray
    charge: NDArray
    pt: NDArray
    eta: NDArray
    phi: NDArray
    energy: NDArray
    pileup: NDArray
    em_energy: NDArray
    had_energy: NDArray
    particles: NDArray
    trackless: NDArray
    lost: NDArray
    owner: NDArray


class Showers(NamedTuple):
    """The electron or photon that left most of each element's energy, each (elements,): of ECAL clusters, others none.

    particle: its row in the event, NO_SHOWER for none; pdg_id; energy: GeV, as generated; share: of the energy
    deposited in the cluster.
    """

    particle: NDArray[np.int64]
    pdg_id: NDArray[np.int32]
    energy: NDArray[np.float64]
    share: NDArray[np.float64]


def showers(particles: Particles, hits: Hits, clusters: Clusters, kind: NDArray[np.int32]) -> Showers:
    """What showered in the ECAL clusters among elements of these types (elements,); hits: of generated particles."""
    ecal, n = kind == ECAL, int(np.sum(kind == ECAL))
    where, particle = clusters.label[hits.cell], np.repeat(np.arange(len(particles.px)), np.diff(hits.offsets))
    inside = (where >= 0) & (where < n)
    where, particle, energy = where[inside], particle[inside], hits.energy[inside].astype(np.float64)
    light = np.isin(np.abs(particles.pdg_id), (11, 22))[particle]
    pairs, row = np.unique(particle[light] * max(n, 1) + where[light], return_inverse=True)
    left = np.bincount(row, energy[light], minlength=len(pairs))
    best, rising = np.full(n, NO_SHOWER), np.argsort(left, kind="stable")
    best[(pairs % max(n, 1))[rising]] = rising  # of those of a cluster the last, which is the largest
    lit = best >= 0
    of = pairs[best[lit]] // max(n, 1)
    every = np.bincount(where, energy, minlength=n)
    at = np.flatnonzero(ecal)[lit]
    out = Showers(np.full(len(kind), NO_SHOWER), *(np.zeros(len(kind), t) for t in (np.int32, float, float)))
    out.particle[at], out.pdg_id[at], out.energy[at] = of, particles.pdg_id[of], particles.energy[of]
    out.share[at] = left[best[lit]] / every[lit]
    return out


def assign(
    particles: Particles,
    collision: NDArray[np.int32],
    tracks: Tracks,
    hits: Hits,
    clusters: Clusters,
    towers: Towers,
    elements: Elements,
    gsf: GsfTracks | None = None,
) -> Targets:
    """Targets of one event's elements, (elements,) each.

    collision: (particles,) the collision that each came from, 0 the hard one. gsf: GSF tracks, with matter."""
    code = np.abs(particles.pdg_id)
    light = np.isin(code, (11, 22))
    group = _groups(clusters, towers)
    between = int(np.isin(elements.type, (GSF, BREM)).sum())
    tracked = _tracked(tracks, gsf, len(tracks.pt) + len(clusters.energy))
    owner = _owners(light, code == 13, tracked, hits, group, len(tracks.pt), len(clusters.energy), towers, between)
    momentum = np.stack([particles.px, particles.py, particles.pz, particles.energy], axis=1).astype(np.float64)
    n, found = len(elements.pt), owner != LOST
    own = owner[found]
    total = np.stack([np.bincount(own, momentum[found, axis], minlength=n) for axis in range(4)], axis=1)
    pt = particles.pt.astype(np.float64)[found]
    scalar = np.bincount(own, pt, minlength=n)
    soft = np.bincount(own, pt * (collision[found] > 0), minlength=n)
    em = np.bincount(own, momentum[found, 3] * light[found], minlength=n)
    leading = _leading(own, pt, np.flatnonzero(found), n)
    filled = leading >= 0
    transverse = np.hypot(total[:, 0], total[:, 1])
    return Targets(
        np.where(filled, _classes(particles.pdg_id[leading], particles.charge[leading], elements.type), NONE).astype(
            np.int32
        ),
        np.where(filled & np.isin(elements.type, (TRACK, GSF)), particles.charge[leading], 0).astype(np.int32),
        transverse,
        np.arcsinh(total[:, 2] / np.maximum(transverse, 1e-9)) * filled,
        np.arctan2(total[:, 1], total[:, 0]) * filled,
        total[:, 3],
        soft / np.maximum(scalar, 1e-9),
        em,
        total[:, 3] - em,
        np.bincount(own, minlength=n).astype(np.int32),
        _trackless(tracked.particle, hits, group, len(clusters.energy), towers, elements.type),
        momentum[~found].sum(axis=0),
        owner,
    )


class _Tracked(NamedTuple):
    """True particles with a track, each (tracks,): row of the element and of the particle."""

    row: NDArray[np.int64]
    particle: NDArray[np.int64]


def _tracked(tracks: Tracks, gsf: GsfTracks | None, first_gsf: int) -> _Tracked:
    """Those of general tracks, and of GSF tracks that have none; first_gsf: row of the first GSF track's element."""
    rows, particle = np.arange(len(tracks.pt)), tracks.particle
    if gsf is not None:
        alone = np.flatnonzero(gsf.track == NO_TRACK)
        rows = np.concatenate([rows, first_gsf + alone])
        particle = np.concatenate([particle, gsf.tracks.particle[alone]])
    real = particle != FAKE
    return _Tracked(rows[real], particle[real])


def _groups(clusters: Clusters, towers: Towers) -> NDArray[np.int64]:
    """(cells,) the cluster, or the number of clusters plus the row of the tower, of each cell; -1 for none."""
    lit = np.where(towers.label >= 0, len(clusters.energy) + towers.label, -1)
    return np.concatenate([clusters.label[:FIRST_TOWER_CELL], lit, lit])


def _trackless(
    tracked: NDArray[np.int64],
    hits: Hits,
    group: NDArray[np.int64],
    n_clusters: int,
    towers: Towers,
    kind: NDArray[np.int32],
) -> NDArray[np.float64]:
    """(elements,) share of each deposit that particles without a track left; halves of a tower have the tower's.

    tracked: (tracks,) the particles with one.
    """
    without = np.ones(len(hits.offsets) - 1, bool)
    without[tracked] = False
    where, seen = group[hits.cell], np.repeat(without, np.diff(hits.offsets))
    inside, n = where >= 0, n_clusters + len(towers.em)
    every = np.bincount(where[inside], hits.energy[inside], minlength=n)
    share = np.bincount(where[inside], (hits.energy * seen)[inside], minlength=n) / np.maximum(every, 1e-9)
    of_tower, out = share[n_clusters:], np.zeros(len(kind))
    out[np.isin(kind, (ECAL, HCAL))] = share[:n_clusters]
    out[kind == HF_EM], out[kind == HF_HAD] = of_tower[towers.em > 0], of_tower[towers.had > 0]
    return out


def _owners(
    light: NDArray[np.bool_],
    muon: NDArray[np.bool_],
    tracked: _Tracked,
    hits: Hits,
    group: NDArray[np.int64],
    first: int,
    n_clusters: int,
    towers: Towers,
    between: int,
) -> NDArray[np.int64]:
    """Element of each particle, shape (particles,); in a tower, photons and electrons (light) prefer its EM half.

    first: number of tracks, which come before the clusters. between: number of elements between the clusters and the
    halves of towers, of which none is a deposit.
    """
    halves = first + n_clusters + between
    em, had = np.full(len(towers.em), LOST), np.full(len(towers.had), LOST)
    em[towers.em > 0] = halves + np.arange(np.sum(towers.em > 0))
    had[towers.had > 0] = halves + np.sum(towers.em > 0) + np.arange(np.sum(towers.had > 0))
    best = _best(group, hits.cell, hits.energy, hits.offsets)
    owner = np.where(best >= 0, first + best, LOST)
    in_tower = best >= n_clusters
    row = best[in_tower] - n_clusters
    prefers_em = (had[row] == LOST) | (light[in_tower] & (em[row] != LOST))
    owner[in_tower] = np.where(prefers_em, em[row], had[row])
    owner[muon] = LOST
    owner[tracked.particle] = tracked.row
    return owner


@njit(cache=True)
def _best(group, cell, energy, offsets):  # type: ignore[no-untyped-def]
    """Group (of cells, 0 or more) with the largest sum among each particle's hits, -1 for none."""
    best = np.full(len(offsets) - 1, -1, dtype=np.int64)
    most = MAX_HITS
    for i in range(len(best)):
        most = max(most, offsets[i + 1] - offsets[i])
    names, sums = np.zeros(most, dtype=np.int64), np.zeros(most)
    for i in range(len(best)):
        count, largest = 0, 0.0
        for j in range(offsets[i], offsets[i + 1]):
            name = group[cell[j]]
            if name < 0:
                continue
            k = 0
            while k < count and names[k] != name:
                k += 1
            if k == count:
                names[k], sums[k] = name, 0.0
                count += 1
            sums[k] += energy[j]
            if sums[k] > largest:
                largest, best[i] = sums[k], name
    return best


@njit(cache=True)
def _leading(owner, pt, index, n):  # type: ignore[no-untyped-def]
    """Index of the particle with the largest pT in each element, -1 for none."""
    leading, largest = np.full(n, -1, dtype=np.int64), np.zeros(n)
    for i in range(len(owner)):
        if pt[i] > largest[owner[i]]:
            largest[owner[i]], leading[owner[i]] = pt[i], index[i]
    return leading


def _classes(pdg_id: NDArray, charge: NDArray, element_type: NDArray) -> NDArray[np.int64]:
    """Class of a particle in an element of a type."""
    code = np.abs(pdg_id)
    central = np.select(
        [code == 22, code == 11, code == 13, charge != 0],
        [PHOTON, ELECTRON, MUON, CHARGED_HADRON],
        default=NEUTRAL_HADRON,
    )
    return np.select([element_type == HF_EM, element_type == HF_HAD], [HF_PHOTON, HF_HADRON], default=central)

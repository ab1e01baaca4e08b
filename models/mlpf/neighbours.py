"""Neighbours of an element on the calorimeter, in time linear in the number of elements.

There are sums over all neighbours, and blocks. A track belongs to the block of the nearest ECAL and HCAL cluster, an
ECAL cluster to that of the HCAL cluster of its nearest track, or else to the nearest one. The energy of a block beyond
its tracks is that of neutral particles.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ptmiss.angles import separation
from ptmiss.elements import ECAL, HCAL, HF_EM, TRACK, Elements

RADII = (0.05, 0.15)
KINDS = ("track_pv", "track_other", "em", "had")
NAMES = (*(f"{kind}_{radius}" for radius in RADII for kind in KINDS), "near", "energy_fraction")
"""``log(1 + sum of pT / GeV)`` of each kind within each radius, without the element itself; ``log(1 + number)`` within
the larger radius; the element's share of the deposits' pT within it."""
BLOCKS = (
    *("block_tracks", "block_ecal", "block_free_ecal", "block_hcal", "block_number", "block_excess"),
    *("block_excess_all", "block_share", "own_tracks", "to_ecal", "to_hcal"),
)
"""Features of the element's block:

* ``log(1 + energy / GeV)`` of tracks, of ECAL clusters with a track, of those without, and of the HCAL cluster
* ``log(1 + number of tracks)``
* the calorimeters' energy beyond the tracks, without and with the free ECAL clusters, over a hadron's resolution, as
  asinh
* the element's share of the energy of the tracks or the calorimeters
* ``log(1 + energy / GeV)`` of tracks that point at this very cluster
* distances of a track or ECAL cluster to its clusters, in units of the window; 1 for none
"""

CELL = RADII[1]
ETA_CELLS = 74  # of CELL, up to |eta| 5.5
PHI_CELLS = int(2 * np.pi / CELL)  # a little wider than CELL, so that neighbours are in the next cell
ECAL_WINDOW, HCAL_WINDOW = RADII  # of a link


class Near(NamedTuple):
    """The neighbours of n elements.

    sums: (n, 10), see NAMES. ecal: (n,) row of the nearest ECAL cluster in the window of a track; -1 for none. hcal:
    (n,) row of the nearest HCAL cluster of a track or ECAL cluster; -1 for none. distances: (n, 2) to these clusters.
    """

    sums: NDArray[np.float32]
    ecal: NDArray[np.int64]
    hcal: NDArray[np.int64]
    distances: NDArray[np.float32]


def near(elements: Elements, position: NDArray[np.float32]) -> Near:
    """The neighbours of elements at positions (n, 2), eta and phi, on the calorimeter."""
    types = elements["type"]
    kind = np.select([types == TRACK, (types == ECAL) | (types == HF_EM)], [1, 2], 3)
    kind[(types == TRACK) & (elements["fromPV"] >= 2)] = 0
    return Near(*_near(np.ascontiguousarray(position), kind, types, elements["pt"], elements.offsets))


def blocks(elements: Elements, found: Near) -> NDArray[np.float32]:
    """(n, 11) features of each element's block; see BLOCKS."""
    types, energy = elements["type"], elements["energy"].astype(np.float64)
    track, ecal, hcal = (types == kind for kind in (TRACK, ECAL, HCAL))
    n = len(types)
    block, tracked = _blocks(types, found.ecal, found.hcal, found.distances)

    def total(which: NDArray[np.bool_], of: NDArray = block, weight: NDArray | None = energy) -> NDArray:
        known = which & (of >= 0)
        return np.bincount(of[known], None if weight is None else weight[known], minlength=n)

    p, e, free, h = (total(which) for which in (track, ecal & tracked, ecal & ~tracked, hcal))
    number, own = total(track, weight=None), total(track, found.ecal)
    spread = np.sqrt(1 + p)
    mine = np.where(track, p[block], (e + free + h)[block])
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(mine > 0, energy / mine, 1.0)
    columns = [np.log1p(x)[block] for x in (p, e, free, h, number)]
    columns += [np.arcsinh((x - p) / spread)[block] for x in (e + h, e + free + h)]
    columns += [np.minimum(share, 1.0), np.log1p(own)]
    columns += [found.distances[:, i] / window for i, window in enumerate((ECAL_WINDOW, HCAL_WINDOW))]
    return np.stack(columns, axis=-1, dtype=np.float32)


@njit(cache=True)
def _near(position, kind, types, pt, offsets):  # type: ignore[no-untyped-def]
    n = len(pt)
    sums = np.zeros((n, len(NAMES)), dtype=np.float32)
    ecal, hcal = np.full(n, -1), np.full(n, -1)
    distances = np.empty((n, 2), dtype=np.float32)
    distances[:, 0], distances[:, 1] = ECAL_WINDOW, HCAL_WINDOW
    cell = np.empty(n, dtype=np.int64)
    for i in range(n):
        row = int((position[i, 0] + 5.55) / CELL)
        column = int((position[i, 1] + np.pi) / (2 * np.pi) * PHI_CELLS)
        cell[i] = min(max(row, 0), ETA_CELLS - 1) * PHI_CELLS + min(max(column, 0), PHI_CELLS - 1)
    for event in range(len(offsets) - 1):
        _event(position, kind, types, pt, cell, offsets[event], offsets[event + 1], sums, ecal, hcal, distances)
    return sums, ecal, hcal, distances


@njit(cache=True)
def _event(position, kind, types, pt, cell, first, last, sums, ecal, hcal, distances):  # type: ignore[no-untyped-def]
    """Fill the rows of one event, whose elements are first sorted by cell."""
    start = np.zeros(ETA_CELLS * PHI_CELLS + 1, dtype=np.int64)
    for i in range(first, last):
        start[cell[i] + 1] += 1
    for c in range(ETA_CELLS * PHI_CELLS):
        start[c + 1] += start[c]
    fill = start.copy()
    member = np.empty(last - first, dtype=np.int64)
    for i in range(first, last):
        member[fill[cell[i]]] = i
        fill[cell[i]] += 1
    for i in range(first, last):
        row, column = cell[i] // PHI_CELLS, cell[i] % PHI_CELLS
        for r in range(max(row - 1, 0), min(row + 2, ETA_CELLS)):
            for step in range(-1, 2):
                c = r * PHI_CELLS + (column + step) % PHI_CELLS
                for m in range(start[c], start[c + 1]):
                    _add(position, kind, types, pt, i, member[m], sums, ecal, hcal, distances)
        own = pt[i] if kind[i] >= 2 else np.float32(0)
        deposits = sums[i, 6] + sums[i, 7] + own
        sums[i, 9] = own / deposits if deposits > 0 else 0
        for k in range(9):
            sums[i, k] = np.log1p(sums[i, k])


@njit(cache=True)
def _add(position, kind, types, pt, i, j, sums, ecal, hcal, distances):  # type: ignore[no-untyped-def]
    """Add element j to the sums of element i if it is near, and link i to it if it is the nearest."""
    if i == j:
        return
    deta = position[i, 0] - position[j, 0]
    dphi = separation(position[i, 1], position[j, 1])
    square = deta * deta + dphi * dphi
    if square >= RADII[1] ** 2:
        return
    sums[i, 4 + kind[j]] += pt[j]
    sums[i, 8] += 1
    if square < RADII[0] ** 2:
        sums[i, kind[j]] += pt[j]
    distance = np.sqrt(square)
    if types[i] == TRACK and types[j] == ECAL and distance < distances[i, 0]:
        ecal[i], distances[i, 0] = j, distance
    if (types[i] == TRACK or types[i] == ECAL) and types[j] == HCAL and distance < distances[i, 1]:
        hcal[i], distances[i, 1] = j, distance


@njit(cache=True)
def _blocks(types, ecal, hcal, distances):  # type: ignore[no-untyped-def]
    """Row that represents the block of each element, and whether a track points at each ECAL cluster."""
    block = np.arange(len(types))
    closest = np.full(len(types), np.float32(1e9))
    tracked = np.zeros(len(types), dtype=np.bool_)
    for i in range(len(types)):
        if types[i] == ECAL and hcal[i] >= 0:
            block[i] = hcal[i]
    for i in range(len(types)):
        j = ecal[i]
        if j >= 0:
            tracked[j] = True
            if distances[i, 0] < closest[j] and hcal[i] >= 0:
                closest[j], block[j] = distances[i, 0], hcal[i]
    for i in range(len(types)):
        if types[i] == TRACK and hcal[i] >= 0:
            block[i] = hcal[i]
        elif types[i] == TRACK and ecal[i] >= 0:
            block[i] = block[ecal[i]]
    return block, tracked

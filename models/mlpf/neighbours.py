"""Sums over what is near an element on the calorimeter, in time linear in the number of elements."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ptmiss.elements import ECAL, HF_EM, TRACK, Elements

RADII = (0.05, 0.15)
KINDS = ("track_pv", "track_other", "em", "had")
NAMES = (*(f"{kind}_{radius}" for radius in RADII for kind in KINDS), "near", "energy_fraction")
"""``log(1 + sum of pT / GeV)`` of each kind within each radius, without the element itself; ``log(1 + number)`` within
the larger; the element's share of the deposits' pT there."""

CELL = RADII[1]
ETA_CELLS = 74  # of CELL, up to |eta| 5.5
PHI_CELLS = int(2 * np.pi / CELL)  # a little wider than CELL, so that neighbours are in the next cell


def sums(elements: Elements, position: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 10) sums around each element at a position (n, 2) on the calorimeter; see NAMES."""
    types = elements["type"]
    kind = np.select([types == TRACK, (types == ECAL) | (types == HF_EM)], [1, 2], 3)
    kind[(types == TRACK) & (elements["fromPV"] >= 2)] = 0
    return _sums(np.ascontiguousarray(position), kind, elements["pt"], elements.offsets)


@njit(cache=True)
def _sums(position, kind, pt, offsets):  # type: ignore[no-untyped-def]
    n = len(pt)
    out = np.zeros((n, len(NAMES)), dtype=np.float32)
    cell = np.empty(n, dtype=np.int64)
    for i in range(n):
        row = int((position[i, 0] + 5.55) / CELL)
        column = int((position[i, 1] + np.pi) / (2 * np.pi) * PHI_CELLS)
        cell[i] = min(max(row, 0), ETA_CELLS - 1) * PHI_CELLS + min(max(column, 0), PHI_CELLS - 1)
    for event in range(len(offsets) - 1):
        _event(position, kind, pt, cell, offsets[event], offsets[event + 1], out)
    return out


@njit(cache=True)
def _event(position, kind, pt, cell, first, last, out):  # type: ignore[no-untyped-def]
    """Fill the rows of one event, whose elements are first put in the order of their cells."""
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
                    _add(position, kind, pt, i, member[m], out)
        own = pt[i] if kind[i] >= 2 else np.float32(0)
        deposits = out[i, 6] + out[i, 7] + own
        out[i, 9] = own / deposits if deposits > 0 else 0
        for k in range(9):
            out[i, k] = np.log1p(out[i, k])


@njit(cache=True)
def _add(position, kind, pt, i, j, out):  # type: ignore[no-untyped-def]
    """Add element j to the sums of element i, if it is near."""
    if i == j:
        return
    deta = position[i, 0] - position[j, 0]
    dphi = abs(position[i, 1] - position[j, 1])
    dphi = min(dphi, 2 * np.pi - dphi)
    distance = deta * deta + dphi * dphi
    if distance < RADII[1] ** 2:
        out[i, 4 + kind[j]] += pt[j]
        out[i, 8] += 1
        if distance < RADII[0] ** 2:
            out[i, kind[j]] += pt[j]

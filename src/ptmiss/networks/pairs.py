"""The nearest candidates of each candidate, and features of these pairs, compiled.

The neighbours of a candidate are the NEAREST ones of its event in ΔR, within RADIUS; electrons and muons are none. A
grid finds them: its cells are at least a third of RADIUS wide, so that they lie in the 7 by 7 cells around it, or in
fewer where candidates are dense. What is known of the pairs of a candidate has the neighbours along its last axis,
which is one or two vector registers.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ptmiss.networks.features import NEAREST, PAIRS, SCALE
from ptmiss.networks.kernels import FLAGS
from ptmiss.networks.neighbours import KINDS, NEUTRAL, logarithm
from ptmiss.segments import Offsets

RADIUS, RINGS = 0.6, 3
MAX_ETA, ETA_CELLS, PHI_CELLS = np.float32(6), 60, 31
COLUMNS = PHI_CELLS + 2 * RINGS  # the first and last ones are there twice, since phi is a circle
PER_ETA, PER_PHI = np.float32(5), np.float32(PHI_CELLS / math.tau)
CELL = np.float32(0.2)  # the least width of a cell
MANY = 0.5  # more than 1 / π: so many times NEAREST in a square almost always mean enough in the circle inside
PI, TURN, RADIUS2 = np.float32(math.pi), np.float32(math.tau), np.float32(RADIUS**2)
LEAST_PT, LEAST_DR2, LN_SCALE = np.float32(1e-3 / SCALE), np.float32(1e-6), np.float32(math.log(SCALE))
PER_MM = np.float32(10)  # dz is in cm
ONE, HALF, ZERO = np.float32(1), np.float32(0.5), np.float32(0)


def neighbours(features: NDArray[np.float32], kinds: NDArray[np.int8], offsets: Offsets) -> NDArray[np.int32]:
    """(n, NEAREST) rows of the neighbours of each candidate, in no order; -1 at the end where there are fewer.

    features: (n, 8); kinds: (n,) class of each, see ptmiss.networks.neighbours; offsets: (events + 1,).
    """
    out = np.empty((len(features), NEAREST), np.int32)
    find_all(features, kinds, offsets, out)
    return out


def pair_features(
    features: NDArray[np.float32], kinds: NDArray[np.int8], index: NDArray[np.int32]
) -> NDArray[np.float32]:
    """(n, PAIRS, NEAREST) features of pairs: ln ΔR, ln kT, ln z, ln m², whether the class is the same, closeness in z.

    kT is the smaller pT times ΔR, z the smaller pT over the sum, and m² the product of both times ΔR², in GeV: the mass
    for small angles (arXiv:2202.03772 has it for all). Closeness is ``1 / (1 + |Δz| / mm)`` of two tracks, and 0 if a
    candidate is neutral. All are 0 where there is no neighbour.
    """
    out = np.empty((len(features), len(PAIRS), NEAREST), np.float32)
    describe(directions(features), features, kinds, index, 0, out)
    return out


@njit(**FLAGS)
def directions(features):  # type: ignore[no-untyped-def]
    """(n, 4) eta, phi, pT / 50 GeV and its logarithm of candidates."""
    out = np.empty((len(features), 4), np.float32)
    for i in range(len(out)):
        f, o = features[i], out[i]
        o[0], o[1], o[2] = f[2], np.arctan2(f[7], f[6]), max(f[4], LEAST_PT)
        o[3] = logarithm(o[2])
    return out


@njit(**FLAGS)
def find_all(features, kinds, offsets, out):  # type: ignore[no-untyped-def]
    """Write the rows of the neighbours in all events into out, (n, NEAREST)."""
    for event in range(len(offsets) - 1):
        here = slice(offsets[event], offsets[event + 1])
        find(directions(features[here]), kinds[here], out[here])
        for row in out[here]:
            for k in range(NEAREST):
                row[k] += offsets[event] if row[k] >= 0 else 0


@njit(**FLAGS)
def find(places, kinds, out):  # type: ignore[no-untyped-def]
    """Write numbers of the neighbours of an event's candidates into out (n, NEAREST); places: (n, 4) directions."""
    cells, first, eta, phi, number = sort(places, kinds)
    distance, found = np.empty(len(number), np.float32), np.empty(len(number), np.int32)
    least = np.empty(NEAREST, np.float32)
    for i in range(len(places)):
        reach, n = likely_reach(first, cells[i]), 0
        while n < NEAREST and reach <= RINGS:
            n, low = 0, max(cells[i] // COLUMNS - reach, 0)
            high, column = min(cells[i] // COLUMNS + reach, ETA_CELLS - 1), cells[i] % COLUMNS
            limit = min(RADIUS2, (reach * CELL) ** 2)
            for r in range(low, high + 1):
                for s in range(first[r * COLUMNS + column - reach], first[r * COLUMNS + column + reach + 1]):
                    apart = (eta[s] - places[i, 0]) ** 2 + (phi[s] - places[i, 1]) ** 2
                    distance[n], found[n] = apart, number[s]
                    n += (apart < limit) & (number[s] != i)
            reach += 1
        select(distance, found, n, least, out[i])


@njit(inline="always", **FLAGS)
def likely_reach(first, c):  # type: ignore[no-untyped-def]
    """The least number of cells on each side of a cell c with enough candidates for NEAREST in the circle inside."""
    for reach in range(1, RINGS):
        n, row = 0, c // COLUMNS
        for r in range(max(row - reach, 0), min(row + reach, ETA_CELLS - 1) + 1):
            start = r * COLUMNS + c % COLUMNS
            n += first[start + reach + 1] - first[start - reach]
        if n > MANY * NEAREST * (2 * reach + 1) ** 2 / reach**2:
            return reach
    return RINGS


@njit(**FLAGS)
def sort(places, kinds):  # type: ignore[no-untyped-def]
    """Cells of an event's candidates, (n,), and those that may be neighbours by cells.

    These are: the first of each cell and of the one after the last; eta, phi and numbers. Who is near phi = ±π comes
    twice, the second time a turn further on, at the other side.
    """
    n = len(places)
    cells, first = np.empty(n, np.int32), np.zeros(ETA_CELLS * COLUMNS + 2, np.int32)
    for i in range(n):
        row = min(max(int((places[i, 0] + MAX_ETA) * PER_ETA), 0), ETA_CELLS - 1)
        cells[i] = row * COLUMNS + RINGS + min(max(int((places[i, 1] + PI) * PER_PHI), 0), PHI_CELLS - 1)
        if kinds[i] < KINDS:
            first[cells[i] + 2] += 1
            first[cells[i] + turned(cells[i]) + 2] += turned(cells[i]) != 0
    for c in range(1, len(first)):
        first[c] += first[c - 1]
    eta, phi, number = (
        np.empty(first[-1], np.float32), np.empty(first[-1], np.float32), np.empty(first[-1], np.int32)
    )  # fmt: skip
    for i in range(n):
        if kinds[i] < KINDS:
            for copy in range(1 + (turned(cells[i]) != 0)):
                c = cells[i] + copy * turned(cells[i])
                s = first[c + 1]
                eta[s], number[s] = places[i, 0], i
                phi[s] = places[i, 1] + copy * np.sign(turned(cells[i])) * TURN
                first[c + 1] += 1
    return cells, first, eta, phi, number


@njit(inline="always", **FLAGS)
def turned(c):  # type: ignore[no-untyped-def]
    """How many cells further a cell is there again; 0 if it is not."""
    column = c % COLUMNS
    if column < 2 * RINGS:
        return PHI_CELLS
    return -PHI_CELLS if column >= PHI_CELLS else 0


@njit(inline="always", **FLAGS)
def select(distance, found, n, least, out):  # type: ignore[no-untyped-def]
    """Write the nearest of n found ones into out (NEAREST,), and -1 where there are fewer; least: a buffer."""
    for k in range(NEAREST):
        least[k], out[k] = (distance[k], found[k]) if k < n else (RADIUS2, -1)
    worst, at = largest(least)
    for s in range(NEAREST, n):
        if distance[s] < worst:
            least[at], out[at] = distance[s], found[s]
            worst, at = largest(least)


@njit(inline="always", **FLAGS)
def largest(values):  # type: ignore[no-untyped-def]
    """The largest of NEAREST values, and where it is."""
    top, at = values[0], 0
    for k in range(1, NEAREST):
        if values[k] > top:
            top, at = values[k], k
    return top, at


@njit(**FLAGS)
def describe(places, features, kinds, index, start, out):  # type: ignore[no-untyped-def]
    """Write features of the pairs of candidates from a start on into out (m, PAIRS, NEAREST); index: (n, NEAREST)."""
    eta, phi, pt = np.zeros(NEAREST, np.float32), np.zeros(NEAREST, np.float32), np.ones(NEAREST, np.float32)
    log_pt, alike, close = (
        np.zeros(NEAREST, np.float32), np.zeros(NEAREST, np.float32), np.zeros(NEAREST, np.float32)
    )  # fmt: skip
    for m in range(len(out)):
        i, o, n = start + m, out[m], 0
        for k in range(NEAREST):
            j = index[i, k]
            if j < 0:
                break
            n += 1
            eta[k], phi[k], pt[k], log_pt[k] = places[j, 0], places[j, 1], places[j, 2], places[j, 3]
            alike[k] = kinds[i] == kinds[j]
            both = kinds[i] < NEUTRAL and kinds[j] < NEUTRAL
            close[k] = ONE / (ONE + PER_MM * abs(features[i, 1] - features[j, 1])) if both else ZERO
        for k in range(NEAREST):
            dphi = abs(phi[k] - places[i, 1])
            dphi = min(dphi, TURN - dphi)
            apart = HALF * logarithm(max((eta[k] - places[i, 0]) ** 2 + dphi * dphi, LEAST_DR2))
            small = min(log_pt[k], places[i, 3])
            there = ONE if k < n else ZERO
            o[0, k] = there * apart
            o[1, k] = there * (small + LN_SCALE + apart)
            o[2, k] = there * (small - logarithm(pt[k] + places[i, 2]))
            o[3, k] = there * (log_pt[k] + places[i, 3] + 2 * (LN_SCALE + apart))
            o[4, k], o[5, k] = there * alike[k], there * close[k]

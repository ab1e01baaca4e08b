"""What is around a candidate: sums of pT in a grid of eta and phi, compiled, in one pass over the candidates.

A cell is 0.2 wide in eta and 2π / 32 in phi, so that equal cells close the circle. Candidates beyond abs(eta) of 6 are
in the last cells. The sums are exact in double precision, so that the order of the candidates does not matter.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ptmiss.candidates import CATEGORIES, VOCABULARY
from ptmiss.networks.features import NEIGHBOURS, SCALE
from ptmiss.networks.kernels import FLAGS
from ptmiss.segments import Offsets

VERTEX, PILEUP, NEUTRAL, NEVER = range(4)
KINDS = 3  # of candidates that are counted
ETA_CELLS, PHI_CELLS = 60, 32
PER_UNIT, MAX_ETA = np.float32(5), np.float32(6)
QUADRANT = PHI_CELLS // 4
_slopes = [math.tan(math.pi / 2 * k / QUADRANT) for k in range(QUADRANT)]
EDGES = np.array([*(slope / (1 + slope) for slope in _slopes), 2], np.float32)
"""Lower edges of the cells of a quadrant in ``|py| / (|px| + |py|)``, which rises with phi from 0 to 1."""
LN2, SQRT_HALF = np.float32(math.log(2)), np.int32(0x3F3504F3)
L = (1.0, -0.50000363093, 0.33335114140, -0.24970071685, 0.19898565048, -0.17247013304, 0.16234189799, -0.10134056751)
"""``log(1 + f) = f L(f)`` between sqrt(1/2) and sqrt(2), a minimax fit to 6e-8."""

_l0, _l1, _l2, _l3, _l4, _l5, _l6, _l7 = (np.float32(c) for c in L)


def sums(features: NDArray[np.float32], rows: NDArray[np.uint8], offsets: Offsets) -> NDArray[np.float32]:
    """(n, 6) sums around each candidate, ``log(1 + Σ pT / GeV)``, in the order of NEIGHBOURS.

    Those of charged candidates of the vertex (fromPV 2 or 3), other charged ones, and neutrals: in the candidate's own
    cell, and in the 3 by 3 cells around it. The candidate itself is left out, and electrons and muons always are.
    features: (n, 8), rows: (n,) of the category table; offsets: (events + 1,).
    """
    return fill(features, class_of_row()[rows], offsets, np.float32(SCALE))


@cache
def class_of_row() -> NDArray[np.int8]:
    """(rows,) class of each row of the category table; NEVER is that of electrons and muons."""
    charge, pdg_id, from_pv = (v.ravel() for v in np.meshgrid(*(VOCABULARY[c] for c in CATEGORIES), indexing="ij"))
    lepton = np.isin(np.abs(pdg_id), (11, 13))
    return np.select([lepton, charge == 0, from_pv >= 2], [NEVER, NEUTRAL, VERTEX], PILEUP).astype(np.int8)


@njit(inline="always", **FLAGS)
def phi_cell(px, py):  # type: ignore[no-untyped-def]
    """The cell in phi, 0 to 31, of a direction; cell 0 begins at phi = 0."""
    x, y = abs(px), abs(py)
    t = y / max(x + y, np.float32(1e-30))
    k = min(int(t * QUADRANT), QUADRANT - 1)
    k += (t >= EDGES[k + 1]) - (t < EDGES[k])
    if px < 0:
        return PHI_CELLS // 2 + k if py < 0 else PHI_CELLS // 2 - 1 - k
    return PHI_CELLS - 1 - k if py < 0 else k


@njit(inline="always", **FLAGS)
def cell(eta, px, py):  # type: ignore[no-untyped-def]
    """The cell of a candidate in a grid with a border of one cell on all sides."""
    row = int(min(max((eta + MAX_ETA) * PER_UNIT, np.float32(0)), np.float32(ETA_CELLS - 1)))
    return (row + 1) * (PHI_CELLS + 2) + phi_cell(px, py) + 1


@njit(**FLAGS)
def fill(features, kinds, offsets, scale):  # type: ignore[no-untyped-def]
    """(n, 6) sums, see ``sums``; kinds: (n,) class of each candidate."""
    n = len(features)
    out, cells = np.empty((n, len(NEIGHBOURS)), np.float32), np.empty(n, np.int32)
    shape = (ETA_CELLS + 2, PHI_CELLS + 2, KINDS)
    grid, box = np.zeros(shape), np.zeros(shape)
    own, around = grid.reshape(-1, KINDS), box.reshape(-1, KINDS)
    for event in range(len(offsets) - 1):
        first, last = offsets[event], offsets[event + 1]
        grid[:] = 0
        for i in range(first, last):
            cells[i] = cell(features[i, 2], features[i, 6], features[i, 7])
            if kinds[i] < KINDS:
                own[cells[i], kinds[i]] += features[i, 4]
        add_neighbours(grid, box)
        for i in range(first, last):
            c, kind, pt = cells[i], kinds[i], np.float64(features[i, 4])
            for k in range(KINDS):
                itself = pt if k == kind else 0.0
                out[i, k] = scale * max(own[c, k] - itself, 0.0)
                out[i, k + KINDS] = scale * max(around[c, k] - itself, 0.0)
    log1p_(out.reshape(-1))
    return out


@njit(**FLAGS)
def add_neighbours(grid, box):  # type: ignore[no-untyped-def]
    """Write sums over 3 by 3 cells of a grid (eta, phi, kinds) into a box of the same shape; phi is a circle."""
    grid[:, 0], grid[:, PHI_CELLS + 1] = grid[:, PHI_CELLS], grid[:, 1]
    width = (PHI_CELLS + 2) * KINDS
    cells, sums, line = grid.reshape(-1), box.reshape(-1), np.empty(width)
    for start in range(width, (ETA_CELLS + 1) * width, width):
        for j in range(width):
            line[j] = cells[start - width + j] + cells[start + j] + cells[start + width + j]
        for j in range(KINDS, width - KINDS):
            sums[start + j] = line[j - KINDS] + line[j] + line[j + KINDS]


@njit(inline="always", **FLAGS)
def logarithm(x):  # type: ignore[no-untyped-def]
    """Natural logarithm of a positive float32, to 2e-7 relative to 1 or the result."""
    bits = np.float32(x).view(np.int32) - SQRT_HALF
    exponent = np.float32(bits >> 23)
    f = np.int32((bits & 0x7FFFFF) + SQRT_HALF).view(np.float32) - np.float32(1)
    low, high = _l0 + f * (_l1 + f * (_l2 + f * _l3)), _l4 + f * (_l5 + f * (_l6 + f * _l7))
    return exponent * LN2 + f * (low + f * f * f * f * high)


@njit(**FLAGS)
def log1p_(x):  # type: ignore[no-untyped-def]
    """``log(1 + x)`` of a flat float32 array, x not negative, in place, to 2e-7 relative to 1 or the result."""
    for i in range(x.size):
        x[i] = logarithm(np.float32(1) + x[i])

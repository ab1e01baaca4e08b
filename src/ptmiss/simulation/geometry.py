"""Calorimeter cells: numbering, position, noise and thresholds.

All cells of all calorimeters share one numbering, so that energy, noise and clusters are flat arrays. Each calorimeter
is one or more rectangular grids: ECAL barrel 0.0174 x 0.0175 in (eta, phi), ECAL endcaps 2.9 cm squares, HCAL 0.087 x
0.087 up to abs eta 3, HF towers 0.173 x 0.175, beyond 4.73 0.23 x 0.35, with long and short fibres.

Thresholds are chosen so that the numbers of candidates come near those of ten real CMS events at the same pile-up. In
the endcaps this costs 55 to 65 % of the pT of minimum-bias photons (27 % in the barrel), and the real events ask for
it: their photons are four times rarer there than in the barrel. Seeds of 4.5 instead of 6 sigma gave twice as many as
real.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptmiss.simulation.helix import (
    BARREL_ETA,
    BARREL_RADIUS,
    ENDCAP_ETA,
    ENDCAP_Z,
    FORWARD_ETA,
    FORWARD_Z,
)
from ptmiss.simulation.parameters import Detector

(
    ECAL_BARREL,
    ECAL_ENDCAP_PLUS,
    ECAL_ENDCAP_MINUS,
    HCAL,
    HF_PLUS_OUTER_LONG,
    HF_PLUS_INNER_LONG,
    HF_MINUS_OUTER_LONG,
    HF_MINUS_INNER_LONG,
    HF_PLUS_OUTER_SHORT,
    HF_PLUS_INNER_SHORT,
    HF_MINUS_OUTER_SHORT,
    HF_MINUS_INNER_SHORT,
) = range(12)
"""Grids, in the order of their cells."""

CRYSTAL = 2.9
HCAL_NOISE_ETA, HF_INNER_ETA = 1.74, 4.73
DEAD_PHI = -1.22
_ENDCAP_HALF = 52 * CRYSTAL


class Grid(NamedTuple):
    """A rectangular grid: first cell, numbers of cells, lower edges and steps; ``wraps`` if the second axis is phi."""

    first: int
    nx: int
    ny: int
    x0: float
    y0: float
    dx: float
    dy: float
    wraps: bool


def _ring(first: int, nx: int, low: float, high: float, ny: int) -> Grid:
    return Grid(first, nx, ny, low, -math.pi, (high - low) / nx, 2 * math.pi / ny, True)


def _grids() -> tuple[Grid, ...]:
    square = Grid(0, 104, 104, -_ENDCAP_HALF, -_ENDCAP_HALF, CRYSTAL, CRYSTAL, False)
    forward = (_ring(0, 10, ENDCAP_ETA, HF_INNER_ETA, 36), _ring(0, 2, HF_INNER_ETA, FORWARD_ETA, 18))
    shapes = (
        _ring(0, 170, -BARREL_ETA, BARREL_ETA, 360),
        square,
        square,
        _ring(0, 70, -ENDCAP_ETA, ENDCAP_ETA, 72),
        *(forward * 4),
    )
    first = np.concatenate([[0], np.cumsum([grid.nx * grid.ny for grid in shapes])])
    return tuple(grid._replace(first=int(start)) for grid, start in zip(shapes, first, strict=False))


GRIDS = _grids()
N_CELLS = GRIDS[-1].first + GRIDS[-1].nx * GRIDS[-1].ny


class Cells(NamedTuple):
    """Cell properties, each (cells,): centre in cm, (cells, 3); noise, threshold, seed threshold in GeV; dead ones."""

    position: NDArray[np.float64]
    noise: NDArray[np.float64]
    threshold: NDArray[np.float64]
    seed: NDArray[np.float64]
    dead: NDArray[np.bool_]


@lru_cache(maxsize=8)
def cells(detector: Detector) -> Cells:
    """The cells of a detector. Thresholds are multiples of the nominal noise, which the reconstruction expects."""
    nominal = Detector()
    position = np.concatenate([_positions(i, grid) for i, grid in enumerate(GRIDS)])
    noise = np.concatenate([_noise(i, grid, detector) for i, grid in enumerate(GRIDS)])
    expected = np.concatenate([_noise(i, grid, nominal) for i, grid in enumerate(GRIDS)])
    number = [grid.nx * grid.ny for grid in GRIDS]
    threshold = expected * np.repeat([2.5, 3.0, 3.0, 2.0, *[4.0] * 8], number)
    seed = expected * np.repeat([6.0, 6.0, 6.0, 3.0, *[4.0] * 8], number)
    return Cells(position, noise, threshold, seed, _dead(detector.hcal_dead_phi))


def _centres(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates of the grid's cells along its two axes, each of shape (cells,)."""
    x = grid.x0 + (np.arange(grid.nx) + 0.5) * grid.dx
    y = grid.y0 + (np.arange(grid.ny) + 0.5) * grid.dy
    return np.repeat(x, grid.ny), np.tile(y, grid.nx)


def _positions(number: int, grid: Grid) -> NDArray[np.float64]:
    """Cell centres in cm, shape (cells, 3)."""
    x, y = _centres(grid)
    if number in (ECAL_ENDCAP_PLUS, ECAL_ENDCAP_MINUS):
        z = ENDCAP_Z if number == ECAL_ENDCAP_PLUS else -ENDCAP_Z
        return np.stack([x, y, np.full_like(x, z)], axis=1)
    if number >= HF_PLUS_OUTER_LONG:
        plus = (HF_PLUS_OUTER_LONG, HF_PLUS_INNER_LONG, HF_PLUS_OUTER_SHORT, HF_PLUS_INNER_SHORT)
        z = FORWARD_Z if number in plus else -FORWARD_Z
        radius = FORWARD_Z / np.sinh(x)
        return np.stack([radius * np.cos(y), radius * np.sin(y), np.full_like(x, z)], axis=1)
    barrel = np.abs(x) < BARREL_ETA
    radius = np.where(barrel, BARREL_RADIUS, ENDCAP_Z / np.sinh(np.maximum(np.abs(x), BARREL_ETA)))
    return np.stack([radius * np.cos(y), radius * np.sin(y), radius * np.sinh(x)], axis=1)


def _dead(width: float) -> NDArray[np.bool_]:
    """Cells that are not read out: a sector of the HCAL endcap at eta < 0, this wide in phi around DEAD_PHI."""
    dead, grid = np.zeros(N_CELLS, dtype=np.bool_), GRIDS[HCAL]
    eta, phi = _centres(grid)
    dead[grid.first : grid.first + grid.nx * grid.ny] = (eta < -BARREL_ETA) & (np.abs(phi - DEAD_PHI) < width / 2)
    return dead


def _noise(number: int, grid: Grid, detector: Detector) -> NDArray[np.float64]:
    """(cells,) noise in GeV; in the endcap it grows with radiation damage towards the beam."""
    x, y = _centres(grid)
    if number == ECAL_BARREL:
        return np.full_like(x, detector.ecal_noise_barrel)
    if number in (ECAL_ENDCAP_PLUS, ECAL_ENDCAP_MINUS):
        eta = np.arcsinh(ENDCAP_Z / np.hypot(x, y))
        return detector.ecal_noise_endcap * np.exp(1.3 * np.clip(eta - 1.5, 0.0, 1.5))
    if number == HCAL:
        return detector.hcal_noise * np.exp(1.2 * np.maximum(np.abs(x) - HCAL_NOISE_ETA, 0.0))
    return np.full_like(x, detector.hf_noise)

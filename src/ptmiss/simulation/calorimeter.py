"""Calorimeters: noise, zero suppression and clusters.

A cluster is the basin around a local maximum above the seed threshold: every cell belongs to its highest neighbour's
basin, and nothing is shared. Particles that fall together merge: that is what makes particle flow, and MLPF, worth
doing. HF towers do not cluster: each gives an electromagnetic part, long minus short fibres, and a hadronic part, twice
the short fibres.

Noise is drawn in the cells that were hit; the rare noise-only cells above threshold are drawn by their number.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ptmiss.simulation.geometry import (
    ECAL_BARREL,
    GRIDS,
    HCAL,
    HF_PLUS_OUTER_LONG,
    HF_PLUS_OUTER_SHORT,
    N_CELLS,
    Cells,
)
from ptmiss.simulation.parameters import Detector
from ptmiss.simulation.showers import Hits

ECAL_CLUSTER, HCAL_CLUSTER = 4, 5
"""Kinds of cluster, numbered as MLPF's element types."""
FIRST_TOWER_CELL = GRIDS[HF_PLUS_OUTER_LONG].first
_HF_TOWERS = GRIDS[HF_PLUS_OUTER_SHORT].first - FIRST_TOWER_CELL
HF_MIN_EM, HF_MIN_HAD = 2.5, 5.0


class Clusters(NamedTuple):
    """Clusters, each array of shape (clusters,): GeV and cm; ECAL first, then HCAL.

    ``position``, shape (clusters, 3), is the energy-weighted mean of the cells' centres; ``width`` the RMS distance of
    the cells from it; ``label``, shape (cells,), the cluster of each cell, -1 for none.
    """

    kind: NDArray
    energy: NDArray
    position: NDArray
    width: NDArray
    cells: NDArray
    label: NDArray


class Towers(NamedTuple):
    """HF towers with a signal, each array of shape (towers,): EM and hadronic energy (GeV), position (towers, 3).

    ``label``, shape (all towers,), is the tower's row, -1 for none.
    """

    em: NDArray
    had: NDArray
    position: NDArray
    label: NDArray


def read_out(hits: Hits, cells: Cells, detector: Detector, rng: np.random.Generator) -> NDArray[np.float64]:
    """(cells,) energy, GeV: hits, noise above threshold, anomalous pulses; 0 elsewhere and in dead cells."""
    energy = _with_noise(hits.cell, hits.energy, cells.noise, cells.threshold, rng)
    _add_noise_cells(energy, GRIDS, cells.noise, cells.threshold, rng)
    _add_pulses(energy, detector, rng)
    energy[cells.dead] = 0.0
    return energy


@njit(cache=True)
def _with_noise(cell, deposited, noise, threshold, rng):  # type: ignore[no-untyped-def]
    energy = np.zeros(len(noise))
    for i in range(len(cell)):
        energy[cell[i]] += deposited[i]
    for i in range(len(noise)):
        if energy[i] > 0:
            energy[i] += noise[i] * rng.standard_normal()
            if energy[i] < threshold[i]:
                energy[i] = 0.0
    return energy


@njit(cache=True)
def _add_noise_cells(energy, grids, noise, threshold, rng):  # type: ignore[no-untyped-def]
    """Add cells with nothing but noise above threshold.

    Few of the many cells are above threshold, so their number is drawn and not the noise of each. Beyond the threshold
    the energy falls exponentially, as the tail of a Gaussian nearly does.
    """
    for grid in grids:
        number = grid.nx * grid.ny
        significance = threshold[grid.first] / noise[grid.first]
        for _ in range(rng.poisson(number * 0.5 * math.erfc(significance / math.sqrt(2)))):
            cell = grid.first + int(rng.random() * number)
            if energy[cell] == 0:
                energy[cell] = threshold[cell] + rng.standard_exponential() * noise[cell] / significance


def _add_pulses(energy: NDArray[np.float64], detector: Detector, rng: np.random.Generator) -> None:
    """Anomalous pulses in HCAL cells, as photodetectors make them without a particle."""
    if detector.hcal_pulses > 0:
        n, grid = rng.poisson(detector.hcal_pulses), GRIDS[HCAL]
        cell = grid.first + rng.integers(grid.nx * grid.ny, size=n)
        np.add.at(energy, cell, detector.hcal_pulse_energy * rng.standard_exponential(n))


def cluster(energy: NDArray[np.float64], cells: Cells) -> Clusters:
    """Clusters of the ECAL and the HCAL; energy: (cells,) GeV."""
    label = np.full(N_CELLS, -1, dtype=np.int32)
    count = 0
    kinds = []
    for number in range(ECAL_BARREL, HCAL + 1):
        found = _basins(energy, GRIDS[number], cells.seed, label, count)
        kinds.append(np.full(found - count, HCAL_CLUSTER if number == HCAL else ECAL_CLUSTER, dtype=np.int32))
        count = found
    total, position, width, size = _summarise(energy[:FIRST_TOWER_CELL], cells.position, label, count)
    return Clusters(np.concatenate(kinds), total, position, width, size, label)


@njit(cache=True)
def _basins(energy, grid, seed, label, count):  # type: ignore[no-untyped-def]
    """Label the cells of a grid by the local maximum to which they lead; returns the number of clusters so far.

    Each cell points to its highest neighbour, so that following the pointers ends in the maximum of its basin. A basin
    whose maximum is below the seed threshold has no label.
    """
    number = grid.nx * grid.ny
    above = np.full(number, -1, dtype=np.int32)
    for cell in range(number):
        if energy[grid.first + cell] > 0:
            above[cell] = _highest_neighbour(energy, grid, cell)
            if above[cell] == cell and energy[grid.first + cell] >= seed[grid.first + cell]:
                label[grid.first + cell] = count
                count += 1
    for cell in range(number):
        if above[cell] >= 0:
            top = cell
            while above[top] != top:
                top = above[top]
            label[grid.first + cell] = label[grid.first + top]
    return count


@njit(cache=True)
def _highest_neighbour(energy, grid, cell):  # type: ignore[no-untyped-def]
    """The cell, or the one of its eight neighbours, with the largest energy; the last one if several are equal.

    Without this rule two equal neighbours would point at each other, and neither would be a maximum.
    """
    ix, iy = cell // grid.ny, cell % grid.ny
    best = cell
    for jx in range(max(ix - 1, 0), min(ix + 2, grid.nx)):
        for step in range(-1, 2):
            jy = (iy + step) % grid.ny if grid.wraps else iy + step
            if 0 <= jy < grid.ny:
                other = jx * grid.ny + jy
                mine, theirs = energy[grid.first + best], energy[grid.first + other]
                if theirs > mine or (theirs == mine and other > best):
                    best = other
    return best


@njit(cache=True)
def _summarise(energy, position, label, count):  # type: ignore[no-untyped-def]
    """Energy, mean position, width and number of cells of each cluster."""
    total, moment2 = np.zeros(count), np.zeros(count)
    mean = np.zeros((count, 3))
    cells = np.zeros(count, dtype=np.int32)
    for i in range(len(energy)):
        k = label[i]
        if k >= 0:
            x, y, z = position[i]
            total[k] += energy[i]
            cells[k] += 1
            mean[k, 0] += energy[i] * x
            mean[k, 1] += energy[i] * y
            mean[k, 2] += energy[i] * z
            moment2[k] += energy[i] * (x * x + y * y + z * z)
    for k in range(count):
        mean[k] /= total[k]
        moment2[k] = math.sqrt(max(moment2[k] / total[k] - np.sum(mean[k] ** 2), 0.0))
    return total, mean, moment2, cells


def towers(energy: NDArray[np.float64], cells: Cells) -> Towers:
    """HF towers with an electromagnetic or a hadronic part above threshold; energy: (cells,) GeV."""
    long = energy[FIRST_TOWER_CELL : FIRST_TOWER_CELL + _HF_TOWERS]
    short = energy[FIRST_TOWER_CELL + _HF_TOWERS :]
    em, had = np.maximum(long - short, 0.0), np.where(short > long, long + short, 2 * short)
    em, had = np.where(em > HF_MIN_EM, em, 0.0), np.where(had > HF_MIN_HAD, had, 0.0)
    lit = (em > 0) | (had > 0)
    label = np.where(lit, np.cumsum(lit) - 1, -1).astype(np.int32)
    return Towers(em[lit], had[lit], cells.position[FIRST_TOWER_CELL : FIRST_TOWER_CELL + _HF_TOWERS][lit], label)

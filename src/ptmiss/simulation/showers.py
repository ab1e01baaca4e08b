"""Showers: the energy that each particle leaves in the cells of the calorimeters.

Photons and electrons shower in the ECAL. A third of the hadrons cross it as minimum-ionising particles, the others
leave a part of their energy there; what they deposit is measured with a response that grows with energy (Groom's power
law, h/e < 1) and fluctuates with a gamma distribution, which has the right mean even where the resolution is 100 %.
Muons ionise. In HF, long fibres see all of a shower and short fibres what is deep in it; nothing there corrects for the
low response to hadrons, which brings the pT in HF from 30 % above that of ten real events down to it. Each deposit
spreads over 3 x 3 cells.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ptmiss.simulation.geometry import (
    ECAL_BARREL,
    ECAL_ENDCAP_MINUS,
    ECAL_ENDCAP_PLUS,
    GRIDS,
    HCAL,
    HF_INNER_ETA,
    HF_MINUS_OUTER_LONG,
    HF_MINUS_OUTER_SHORT,
    HF_PLUS_OUTER_LONG,
    HF_PLUS_OUTER_SHORT,
)
from ptmiss.simulation.helix import BARREL, FORWARD, FORWARD_Z, NOWHERE
from ptmiss.simulation.parameters import Detector
from ptmiss.simulation.particles import Particles

MIP_ECAL, MIP_HCAL = 0.3, 2.0
HF_SHOWER_RADIUS = 2.0
CALIBRATION_ENERGY = 50.0
"""Energy (GeV) of the hadrons that calibrate the HCAL; they do not interact in the ECAL."""
MAX_HITS = 18
"""Most cells with energy from one particle: 3 x 3 in two calorimeters."""


class Hits(NamedTuple):
    """Energy of particles in cells, GeV: particle i owns the hits from ``offsets[i]`` to ``offsets[i + 1]``."""

    cell: NDArray
    energy: NDArray
    offsets: NDArray


def deposit(
    particles: Particles, region: NDArray[np.int8], point: NDArray, detector: Detector, rng: np.random.Generator
) -> Hits:
    """Hits of particles that reach a calorimeter: region (particles,), point (particles, 3) in cm."""
    local = point - np.array([detector.shift_x, detector.shift_y, 0.0])
    energy = particles.energy.astype(np.float64)
    kinetic = np.where(np.abs(particles.pdg_id) > 1000, energy - particles.mass, energy)
    # an antinucleon annihilates with a nucleon, so that it leaves its mass twice
    visible = np.where(particles.pdg_id < -1000, energy + particles.mass, kinetic)
    cell, deposited, offsets = _deposit(np.abs(particles.pdg_id), visible, region, local, detector, rng)
    return Hits(cell, deposited, offsets)


@njit(cache=True)
def hadron_response(energy, hadronic_response):  # type: ignore[no-untyped-def]
    """Mean response to a hadron of an energy (GeV), relative to an electron.

    Groom, NIM A 572 (2007) 633, with m = 0.82 and E0 = 1 GeV.
    """
    return 1 - (1 - hadronic_response) * max(energy, 1.0) ** -0.18


@njit(cache=True)
def _fluctuate(mean, stochastic, constant, rng):  # type: ignore[no-untyped-def]
    """A gamma-distributed energy (GeV) with this mean and this relative resolution."""
    if mean <= 0:
        return 0.0
    variance = stochastic**2 / mean + constant**2
    return rng.standard_gamma(1 / variance) * mean * variance


@njit(cache=True)
def _deposit(code, energy, region, point, detector, rng):  # type: ignore[no-untyped-def]
    n = len(code)
    cell = np.empty(MAX_HITS * n, dtype=np.int32)
    deposited = np.empty(MAX_HITS * n, dtype=np.float32)
    offsets = np.zeros(n + 1, dtype=np.int64)
    count = 0
    reference = hadron_response(CALIBRATION_ENERGY, detector.hadronic_response)
    for i in range(n):
        if region[i] == FORWARD:
            count = _forward(code[i], energy[i], point[i], detector, rng, cell, deposited, count)
        elif region[i] != NOWHERE:
            count = _central(code[i], energy[i], region[i], point[i], reference, detector, rng, cell, deposited, count)
        offsets[i + 1] = count
    return cell[:count], deposited[:count], offsets


@njit(cache=True)
def _central(code, energy, region, point, reference, detector, rng, cell, deposited, count):  # type: ignore[no-untyped-def]
    """Hits in the ECAL and the HCAL."""
    electromagnetic, hadronic, width = _share(code, energy, reference, detector, rng)
    eta = math.asinh(point[2] / math.hypot(point[0], point[1]))
    phi = math.atan2(point[1], point[0])
    if electromagnetic > 0:
        if region == BARREL:
            count = _spread(electromagnetic, GRIDS[ECAL_BARREL], eta, phi, width, cell, deposited, count)
        else:
            grid = GRIDS[ECAL_ENDCAP_PLUS] if point[2] > 0 else GRIDS[ECAL_ENDCAP_MINUS]
            count = _spread(electromagnetic, grid, point[0], point[1], width, cell, deposited, count)
    if hadronic > 0:
        count = _spread(hadronic, GRIDS[HCAL], eta, phi, 0.25, cell, deposited, count)
    return count


@njit(cache=True)
def _share(code, energy, reference, detector, rng):  # type: ignore[no-untyped-def]
    """Measured energy in the ECAL and in the HCAL, and the width of the ECAL shower in cells."""
    if code == 13:
        return MIP_ECAL * rng.standard_gamma(4.0) / 4, MIP_HCAL * rng.standard_gamma(4.0) / 4, 0.1
    if code == 22 or code == 11:
        return (
            detector.ecal_scale * _fluctuate(energy, detector.ecal_stochastic, detector.ecal_constant, rng),
            0.0,
            0.25,
        )
    measured = _fluctuate(energy, detector.hcal_stochastic, detector.hcal_constant, rng)
    if detector.crack_share > 0 and rng.random() < detector.crack_share:
        measured *= rng.random()
    response = hadron_response(energy, detector.hadronic_response)
    hcal = detector.hcal_scale * response / reference
    if rng.random() < 0.35:
        mip = min(MIP_ECAL, energy)
        return mip, hcal * measured * (1 - mip / energy), 0.1
    fraction = rng.random() if energy > 2 else 1 - 0.5 * rng.random()
    return detector.ecal_scale * response * measured * fraction, hcal * measured * (1 - fraction), 0.5


@njit(cache=True)
def _forward(code, energy, point, detector, rng, cell, deposited, count):  # type: ignore[no-untyped-def]
    """Hits in the long and the short fibres of HF."""
    eta = abs(math.asinh(point[2] / math.hypot(point[0], point[1])))
    phi = math.atan2(point[1], point[0])
    if code == 13:
        return count
    if code == 22 or code == 11:
        measured = _fluctuate(energy, detector.hf_em_stochastic, detector.hf_em_constant, rng)
        deep = 0.2 * rng.standard_gamma(4.0) / 4
    else:
        measured = _fluctuate(energy, detector.hf_had_stochastic, detector.hf_had_constant, rng)
        measured *= hadron_response(energy, detector.hadronic_response)
        deep = min(max(0.50 + 0.05 * rng.standard_normal(), 0.0), 0.6)
    measured *= detector.hf_scale
    inner = 1 if eta > HF_INNER_ETA else 0
    long_grid = inner + (HF_PLUS_OUTER_LONG if point[2] > 0 else HF_MINUS_OUTER_LONG)
    short_grid = inner + (HF_PLUS_OUTER_SHORT if point[2] > 0 else HF_MINUS_OUTER_SHORT)
    width = HF_SHOWER_RADIUS / (FORWARD_Z / math.sinh(eta) * GRIDS[long_grid].dx)
    count = _spread(measured * (1 - deep), GRIDS[long_grid], eta, phi, width, cell, deposited, count)
    return _spread(measured * deep, GRIDS[short_grid], eta, phi, width, cell, deposited, count)


@njit(cache=True)
def _spread(energy, grid, x, y, width, cell, deposited, count):  # type: ignore[no-untyped-def]
    """Spread an energy over 3 x 3 cells, with a double exponential of this width (in cells) along each axis."""
    column, row = (x - grid.x0) / grid.dx, (y - grid.y0) / grid.dy
    ix, iy = math.floor(column), math.floor(row)
    shares_x, shares_y = _shares(column - ix, width), _shares(row - iy, width)
    for a in range(3):
        jx = ix + a - 1
        if jx < 0 or jx >= grid.nx:
            continue
        for b in range(3):
            jy = iy + b - 1
            if grid.wraps:
                jy %= grid.ny
            elif jy < 0 or jy >= grid.ny:
                continue
            part = energy * shares_x[a] * shares_y[b]
            if part > 0.002 * energy:
                cell[count] = grid.first + jx * grid.ny + jy
                deposited[count] = part
                count += 1
    return count


@njit(cache=True)
def _shares(inside, width):  # type: ignore[no-untyped-def]
    """Shares of the lower, the central and the upper cell, for a shower at ``inside`` (0 to 1) of the central one."""
    lower = 0.5 * math.exp(-inside / width)
    upper = 0.5 * math.exp(-(1 - inside) / width)
    return lower, 1 - lower - upper, upper

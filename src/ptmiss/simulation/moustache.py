"""The window of an electron's clusters, shaped like a moustache.

A helix that turns by dphi between its origin and the calorimeter arrives at sinh(eta) larger by dphi / sin(dphi), on
the barrel as on the endcaps. So what an electron leaves lies between the eta of its seed and this curve, to both sides
in phi. The window reaches as far as a remainder of REMAINDER of the seed's transverse energy is bent, at most MAX_DPHI.
"""

from __future__ import annotations

import math

from numba import njit

from ptmiss.angles import separation
from ptmiss.simulation.geometry import CRYSTAL
from ptmiss.simulation.helix import BARREL_ETA, BARREL_RADIUS, ENDCAP_Z
from ptmiss.simulation.parameters import Detector

REMAINDER, MAX_DPHI, MARGIN = 0.05, 0.6, 1.5
"""Share of the seed's transverse energy; largest window in rad; margin in eta in units of a cell. Chosen by hand."""
_CELL = 0.0175
_BEND = 0.5 * 0.299792458e-2 * Detector().solenoid
"""Radians of a GeV and a centimetre of radius."""


@njit(cache=True)
def radius(steep):  # type: ignore[no-untyped-def]
    """Radius (cm) at which the calorimeter is reached at an abs eta."""
    return ENDCAP_Z / math.sinh(steep) if steep > BARREL_ETA else BARREL_RADIUS


@njit(cache=True)
def bend(steep):  # type: ignore[no-untyped-def]
    """Turn (rad) of a particle of 1 GeV of pT on its way to the calorimeter at an abs eta."""
    return _BEND * radius(steep)


@njit(cache=True)
def edge(steep, dphi):  # type: ignore[no-untyped-def]
    """How much farther out in abs eta what turns by dphi (rad, from 0) arrives beside a seed at an abs eta."""
    stretch = dphi / math.sin(dphi) if dphi > 1e-6 else 1.0
    return math.asinh(stretch * math.sinh(steep)) - steep


@njit(cache=True)
def in_moustache(seed_eta, seed_phi, seed_et, eta, phi):  # type: ignore[no-untyped-def]
    """Whether a cluster at eta and phi belongs to a seed with this transverse energy (GeV)."""
    steep = abs(seed_eta)
    cell = CRYSTAL / radius(steep) * math.tanh(steep) if steep > BARREL_ETA else _CELL
    dphi = abs(separation(phi, seed_phi))
    if dphi > max(min(bend(steep) / (REMAINDER * seed_et), MAX_DPHI), MARGIN * cell):
        return False
    further = math.copysign(1.0, seed_eta) * (eta - seed_eta)
    return -MARGIN * cell < further < edge(steep, dphi) + MARGIN * cell

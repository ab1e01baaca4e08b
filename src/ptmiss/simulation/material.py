"""The tracker's material, and what electrons and photons do in it: bremsstrahlung and conversions.

Three points of the budget are what CMS states in words (EGM-13-001, JINST 10 (2015) P06005, section 2): 0.4 radiation
lengths at eta 0, 2.0 at abs eta 1.4, 1.4 at 2.5. The others were set by hand for a curve of that shape. It is shared
among fourteen thin layers, cylinders closed by disks. Their radii are near those of CMS's pixels and strips; their
shares of the budget, and that these are the same at all eta, are our choice.

An electron keeps a fraction z of its energy in t radiation lengths, with -log z distributed as Gamma(t / log 2): Bethe
and Heitler's law, whose mean is exp(-t) and which gives the same in one step and in many. A photon converts with
probability 1 - exp(-7 t / 9); its energy is shared by 1 - 4/3 u (1 - u). Angles of emission are neglected.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_ETA = (0.0, 0.8, 1.1, 1.4, 1.7, 2.5, 3.0)
_BUDGET = (0.40, 0.60, 1.2, 2.0, 1.8, 1.4, 1.0)
RADII = (3.0, 7.0, 11.0, 16.0, 26.0, 34.0, 42.0, 50.0, 61.0, 69.0, 78.0, 87.0, 97.0, 108.0)
"""Radii of the layers in cm: pixels, inner and outer strips."""
SHARES = np.repeat([0.06, 0.09, 0.40 / 6], [4, 4, 6])
"""Share of the budget in each layer."""
PIXEL_LAYERS = 4
LAYERS = len(RADII)
_END, _HALF_LENGTH = 110.0, 280.0
HALF_LENGTHS = tuple(radius * _HALF_LENGTH / _END for radius in RADII)
"""Where the disk of each layer is, in cm from the centre."""

_U = np.linspace(0.0, 1.0, 1001)
_PAIR = (_U - 2 / 3 * _U**2 + 4 / 9 * _U**3) * 9 / 7


def budget(eta: NDArray) -> NDArray[np.float64]:
    """(n,) radiation lengths of the whole tracker, seen from its centre at eta (n,)."""
    return np.interp(np.abs(eta), _ETA, _BUDGET)


def kept_fraction(thickness: NDArray, rng: np.random.Generator) -> NDArray[np.float64]:
    """(n,) fraction of the energy that electrons keep behind radiation lengths (n,)."""
    return np.exp(-rng.standard_gamma(thickness / math.log(2)))


def converts(thickness: NDArray, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(n,) whether photons convert in radiation lengths (n,)."""
    return rng.random(len(thickness)) < -np.expm1(-7 / 9 * thickness)


def pair_share(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(n,) share of a photon's energy that the first of the pair gets."""
    return np.interp(rng.random(n), _PAIR, _U)

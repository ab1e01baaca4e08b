"""Muons: scale and resolution as CMS's muon group corrects them in Run 3.

The curvature of a muon in data and simulation becomes ``m / pT + charge a``. Simulated muons are then smeared: ``pT``
times ``1 + k s(pT) r``. Here ``s`` is the width of the resolution, a polynomial, ``k`` the part of it that simulation
lacks, ``sqrt(k_data² - k_mc²)``, and ``r`` a random number of a Gaussian with power tails on both sides. The group
derives all of it between 26 and 200 GeV; other muons stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, erfinv

from ptmiss.corrections.lookups import LookupFile
from ptmiss.typing import Array

from .base import Momenta

COLUMNS = ("pt", "eta", "phi", "charge", "nTrackerLayers")
RANGE = 26.0, 200.0  # GeV
LARGEST_CHANGE = 2.0
NOMINAL, PARTS = "nom", ("stat", "syst")
LOOKUPS = ("m_data", "a_data", "m_mc", "a_mc", "k_data", "k_mc", "cb_params", "poly_params")

Columns = Mapping[str, NDArray]


def require(file: LookupFile) -> None:
    """Raise UnknownName if a file is not the muon group's."""
    for name in LOOKUPS:
        _ = file[name]


def correct(file: LookupFile, muons: Columns, random: Array, data: bool) -> Momenta:
    """pT of muons (GeV) and its variations, (muons,) each; data have none.

    muons: COLUMNS; random: (muons,) between 0 and 1.
    """
    pt = muons["pt"].astype(np.float64)
    scaled = scale(file, muons, pt, "data" if data else "mc")
    if data:
        return Momenta(scaled)
    shift = smearing(file, muons, scaled, random)
    smeared = _inside(scaled * (1 + shift), scaled)
    error = scale_error(file, muons, smeared)
    wider = np.where(smeared == scaled, 0.0, relative_error(file, muons) * shift) * scaled
    return Momenta(
        smeared,
        {
            "scale_up": smeared + error,
            "scale_down": smeared - error,
            "resolution_up": smeared + wider,
            "resolution_down": smeared - wider,
        },
    )


def scale(file: LookupFile, muons: Columns, pt: Array, of: str) -> Array:
    """(muons,) pT with the corrected curvature, GeV; of: ``data`` or ``mc``."""
    m, a = (file[f"{name}_{of}"](_where(muons, NOMINAL), clamp=True) for name in ("m", "a"))
    return _inside(1 / (m / pt + muons["charge"] * a), pt)


def scale_error(file: LookupFile, muons: Columns, pt: Array) -> Array:
    """(muons,) uncertainty of pT by the scale, GeV: statistical and systematic, each with its own correlation."""
    square = np.zeros(len(pt))
    for part in PARTS:
        m, a = (file[f"{name}_mc"](_where(muons, part), clamp=True) for name in ("m", "a"))
        rho = file["m_mc"](_where(muons, f"rho_{part}"), clamp=True)
        square += (m / pt) ** 2 + a**2 + 2 * muons["charge"] * rho * (m / pt) * a
    return pt**2 * np.sqrt(np.maximum(square, 0))


def smearing(file: LookupFile, muons: Columns, pt: Array, random: Array) -> Array:
    """(muons,) relative change of pT by the resolution that simulation lacks."""
    eta = {"abseta": np.abs(muons["eta"])}
    k_data, k_mc = (file[name]({**eta, "variation": NOMINAL}, clamp=True) for name in ("k_data", "k_mc"))
    lacking = np.sqrt(np.maximum(k_data**2 - k_mc**2, 0))
    layers = {**eta, "nTrackerLayers": muons["nTrackerLayers"].astype(np.float64)}
    mean, sigma, n, alpha = (file["cb_params"]({**layers, "parameter": i}, clamp=True) for i in range(4))
    p0, p1, p2 = (file["poly_params"]({**layers, "parameter": i}, clamp=True) for i in range(3))
    width = np.maximum(p0 + p1 * pt + p2 * pt**2, 0)
    return np.asarray(lacking * width * crystal_ball(random, mean, sigma, n, alpha))


def relative_error(file: LookupFile, muons: Columns) -> Array:
    """(muons,) relative uncertainty of the smearing: of ``k_mc``, statistical and systematic."""
    eta = np.abs(muons["eta"])
    k, *parts = (file["k_mc"]({"abseta": eta, "variation": part}, clamp=True) for part in (NOMINAL, *PARTS))
    return np.divide(np.sqrt(sum(part**2 for part in parts)), k, out=np.zeros(len(eta)), where=k > 0)


def crystal_ball(u: Array, mean: Array, sigma: Array, n: Array, alpha: Array) -> Array:
    """(values,) quantiles at u of a Gaussian with power tails of index n beyond alpha widths on both sides."""
    tail = n / alpha * np.exp(-(alpha**2) / 2) / (n - 1)
    half = tail + np.sqrt(np.pi / 2) * erf(alpha / np.sqrt(2))
    beyond = 2 * np.minimum(u, 1 - u) * half  # the area outside, on one side
    core = np.sqrt(2) * erfinv(np.clip((half - beyond) / np.sqrt(np.pi / 2), 0, 1))
    far = alpha + n / alpha * ((np.minimum(beyond, tail) / tail) ** (-1 / (n - 1)) - 1)
    return np.asarray(mean + sigma * np.sign(u - 0.5) * np.where(beyond < tail, far, core))


def _where(muons: Columns, variation: str) -> dict[str, NDArray | str]:
    return {"eta": muons["eta"], "phi": muons["phi"], "variation": variation}


def _inside(new: Array, pt: Array) -> Array:
    """(muons,) changed pT where a muon is in the range of the corrections and the change is none beyond all bounds."""
    low, high = RANGE
    ratio = new / pt
    good = (pt >= low) & (pt <= high) & (ratio > 0.1) & (ratio < LARGEST_CHANGE)
    return np.where(good, new, pt)

"""Significance of pTmiss: how unlikely it is that an event without true pTmiss has as much.

``significance`` is ``E^T C^-1 E`` with pTmiss E and its covariance C (CMS-JME-13-003). Where the components are
Gaussian and there is no true pTmiss it follows a chi² of two degrees, whose ``probability`` is flat.

NanoAOD stores both for its own METs. For a sum over candidates the covariance is made of its candidates: of ``Parts``,
which ``parts`` adds up, and of three numbers, ``Noise``, for what no candidate shows, such as pile-up that was taken
for the collision. ``fit`` finds them on simulated events without true pTmiss.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import awkward as ak
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ptmiss.candidates import Candidates
from ptmiss.errors import ColumnError, OptionError
from ptmiss.scales import resolution
from ptmiss.segments import sum_by_event
from ptmiss.typing import Array, Vector

STORED = ("significance", "covXX", "covXY", "covYY")
LEAST = 20  # events for a fit of three numbers


class Parts(NamedTuple):
    """What the covariance of a weighted sum is made of.

    resolution: (events, 2, 2) sum of the candidates' covariances, GeV²; activity: (events,) sum of weighted pT, GeV.
    """

    resolution: Array
    activity: Array


class Noise(NamedTuple):
    """What to make of the parts.

    candidates: factor on their covariance; activity: variance of each component per GeV of it, GeV; floor: a constant
    variance, GeV².
    """

    candidates: float = 1.0
    activity: float = 0.0
    floor: float = 0.0


class Stored(NamedTuple):
    """What NanoAOD stores of a MET: significance (events,), covariance (events, 2, 2), GeV²."""

    significance: Array
    covariance: Array


def parts(candidates: Candidates, weight: NDArray[np.floating]) -> Parts:
    """Parts of the covariance of ``-sum weight p``; needs pt, eta, phi, pdgId; weight: (candidates,)."""
    size = np.abs(weight.astype(np.float64))
    sigma = size * resolution(candidates.columns)
    px, py = (sigma[:, np.newaxis] * candidates.momentum).T
    xx, xy, yy = sum_by_event(np.stack([px * px, px * py, py * py], axis=-1), candidates.offsets).T
    return Parts(matrices(xx, xy, yy), sum_by_event(size * candidates["pt"], candidates.offsets))


def matrices(xx: Array, xy: Array, yy: Array) -> Array:
    """(events, 2, 2) symmetric matrices of their elements, (events,) each."""
    return np.stack([np.stack([xx, xy], axis=-1), np.stack([xy, yy], axis=-1)], axis=-2)


def covariance(parts: Parts, noise: Noise = Noise()) -> Array:  # noqa: B008  (a constant)
    """(events, 2, 2) covariance of pTmiss, GeV²."""
    variance = noise.activity * parts.activity + noise.floor
    return noise.candidates * parts.resolution + variance[:, np.newaxis, np.newaxis] * np.eye(2)


def significance(met: Vector, covariance: Array) -> Array:
    """(events,) significance of pTmiss, (events, 2) GeV, with covariance, (events, 2, 2) GeV²; NaN if singular."""
    (xx, xy), (_, yy) = np.moveaxis(covariance, 0, -1)
    determinant = xx * yy - xy**2
    x, y = met.T
    square = yy * x**2 - 2 * xy * x * y + xx * y**2
    return np.divide(square, determinant, out=np.full(len(x), np.nan), where=determinant > 0)


def probability(significance: Array) -> Array:
    """(events,) probability of a larger significance without true pTmiss: that of chi² of two degrees."""
    return np.exp(-significance / 2)


def fit(met: Vector, parts: Parts) -> Noise:
    """The noise by the likelihood of events without true pTmiss.

    Args:
        met: (events, 2) pTmiss less the generated one, GeV.
        parts: of the same events.

    Returns:
        The noise that makes their pTmiss most likely.

    Raises:
        OptionError: there are too few events.
    """
    if len(met) < LEAST:
        raise OptionError(f"the noise of a covariance needs {LEAST} events or more, not {len(met)}")

    def loss(logarithms: Array) -> float:
        matrix = covariance(parts, Noise(*np.exp(logarithms)))
        return float(np.sum(significance(met, matrix) + np.log(np.linalg.det(matrix))))

    variance, activity = float(np.mean(met**2)), float(np.mean(parts.activity))
    start = np.log([1.0, variance / activity / 2, variance / 2])
    found = minimize(loss, start, method="Nelder-Mead", options={"maxiter": 2000, "xatol": 1e-3, "fatol": 1e-3})
    return Noise(*(float(value) for value in np.exp(found.x)))


def stored(events: Any, name: str) -> Stored:
    """Significance and covariance that NanoAOD stores of a MET, ``MET`` or, from v15 on, ``PuppiMET`` and ``PFMET``."""
    met = events[name]
    if missing := [column for column in STORED if column not in met.fields]:
        raise ColumnError(
            f"{name} has no {', '.join(missing)}: NanoAOD stores them of MET, from v15 on of PuppiMET and PFMET"
        )
    values, *elements = (ak.to_numpy(met[column]).astype(np.float64) for column in STORED)
    return Stored(values, matrices(*elements))

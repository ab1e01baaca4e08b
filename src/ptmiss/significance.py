"""Significance of pTmiss: how unlikely it is that an event without true pTmiss has as much.

``significance`` is ``E^T C^-1 E`` with pTmiss E and its covariance C (CMS-JME-13-003). Where the components are
Gaussian and there is no true pTmiss it follows a chi² of two degrees, whose ``probability`` is flat.

NanoAOD stores both for its own METs. For a sum over candidates the covariance is made of its candidates: of ``Parts``,
which ``parts`` adds up, each with a factor of ``Noise``. ``fit`` finds these on simulated events without true pTmiss:
those of Z → μμ in which both muons are found, for one that is lost is true pTmiss. SHIPPED has those of our
simulation.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ptmiss.candidates import Candidates
from ptmiss.errors import ColumnError, FileError, OptionError
from ptmiss.files import AnyPath, as_path, write_atomically
from ptmiss.scales import resolution
from ptmiss.segments import sum_by_event
from ptmiss.typing import Array, Mask, Vector

STORED = ("significance", "covXX", "covXY", "covYY")
VERSIONS = "NanoAOD stores them of MET, from v15 on of PuppiMET and PFMET"
COLUMNS = ("pt", "eta", "phi", "pdgId")
"""Candidate columns that the parts need."""
NEUTRAL = (22, 130, 1, 2)
LEAST = 20  # events for a fit
SHIPPED = Path(__file__).parent / "data" / "significance.json"


class Parts(NamedTuple):
    """What the covariance of a weighted sum is made of; (events, 2, 2) matrices in GeV² but for the activity.

    leptons: resolution of the selected leptons; resolution: of all other candidates; momenta: sum of ``w² p pᵀ``, what
    it is to lose some of them at random; doubt: sum of ``w (1 - w) p pᵀ`` over neutral ones, the variance if w is the
    probability to be of the collision; activity: (events,) sum of ``w pT``, GeV.
    """

    leptons: Array
    resolution: Array
    momenta: Array
    doubt: Array
    activity: Array

    @property
    def terms(self) -> Array:
        """(5, events, 2, 2) what each number of ``Noise`` multiplies."""
        flat = np.broadcast_to(np.eye(2), self.resolution.shape)
        return np.stack([self.resolution, self.momenta, self.doubt, self.activity[:, None, None] * flat, flat])

    def part(self, where: Any) -> Parts:
        """The parts of some events; where: an index, mask or slice over (events,)."""
        return Parts(*(each[where] for each in self))


class Noise(NamedTuple):
    """What to make of the parts.

    candidates: factor on their resolution; momenta: share of the squared momenta; doubt: factor on it; activity:
    variance of each component per GeV of it, GeV; floor: a constant variance, GeV².
    """

    candidates: float = 1.0
    momenta: float = 0.0
    doubt: float = 0.0
    activity: float = 0.0
    floor: float = 0.0


class Stored(NamedTuple):
    """What NanoAOD stores of a MET: significance (events,), covariance (events, 2, 2), GeV²."""

    significance: Array
    covariance: Array


def parts(candidates: Candidates, weight: NDArray[np.floating], selected: Mask | None = None) -> Parts:
    """Parts of the covariance of ``-sum weight p``; needs COLUMNS; weight, selected leptons: (candidates,)."""
    size = np.abs(weight.astype(np.float64))
    lepton = np.zeros(len(size), bool) if selected is None else selected
    hadron = np.where(lepton, 0.0, size)
    sigma = size * resolution(candidates.columns)
    share = np.clip(hadron, 0, 1) * np.isin(np.abs(candidates["pdgId"]), NEUTRAL)
    doubt = np.sqrt(share * (1 - share))
    of_leptons, of_others = np.where(lepton, sigma, 0.0), np.where(lepton, 0.0, sigma)
    factors = (of_leptons, of_others, hadron, doubt)
    leptons, others, momenta, doubts = (moments(candidates, factor) for factor in factors)
    return Parts(leptons, others, momenta, doubts, sum_by_event(hadron * candidates["pt"], candidates.offsets))


def moments(candidates: Candidates, factor: Array) -> Array:
    """(events, 2, 2) sums of ``f² p pᵀ``, GeV²; factor f: (candidates,)."""
    px, py = (factor[:, np.newaxis] * candidates.momentum).T
    return matrices(*sum_by_event(np.stack([px * px, px * py, py * py], axis=-1), candidates.offsets).T)


def matrices(xx: Array, xy: Array, yy: Array) -> Array:
    """(events, 2, 2) symmetric matrices of their elements, (events,) each."""
    return np.stack([np.stack([xx, xy], axis=-1), np.stack([xy, yy], axis=-1)], axis=-2)


def covariance(parts: Parts, noise: Noise = Noise()) -> Array:  # noqa: B008  (a constant)
    """(events, 2, 2) covariance of pTmiss, GeV²."""
    return np.asarray(parts.leptons + np.tensordot(noise, parts.terms, 1))


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

    terms = parts.terms
    mean = np.trace(terms, axis1=2, axis2=3).mean(axis=1) / 2
    unit = np.divide(np.mean(met**2), mean, out=np.zeros(len(mean)), where=mean > 0)

    def loss(x: Array) -> tuple[float, Array]:
        matrix = parts.leptons + np.tensordot(x * unit, terms, 1)
        inverse = np.linalg.inv(matrix)
        pull = np.einsum("nij,nj->ni", inverse, met)
        slope = np.einsum("knij,nij->k", terms, inverse) - np.einsum("knij,ni,nj->k", terms, pull, pull)
        return float(np.sum(pull * met) + np.sum(np.log(np.linalg.det(matrix)))) / len(met), unit * slope / len(met)

    start, limits = np.full(len(unit), 1 / len(unit)), [(0.0, None)] * (len(unit) - 1) + [(1e-6, None)]
    found = minimize(loss, start, jac=True, bounds=limits, method="L-BFGS-B", options={"ftol": 1e-12, "gtol": 1e-7})
    return Noise(*(float(value) for value in found.x * unit))


def write(path: AnyPath, noise: Mapping[str, Noise], **made: Any) -> None:
    """Write the numbers of estimators by name, as ``read`` takes them; made: how they were found."""
    content = {"noise": {name: each._asdict() for name, each in noise.items()}, **made}
    write_atomically(as_path(path), json.dumps(content, indent=1) + "\n")


def read(path: AnyPath = SHIPPED) -> dict[str, Noise]:
    """The numbers of each estimator in a file that ``write`` wrote; FileError if it is another."""
    path = as_path(path)
    try:
        return {name: Noise(**each) for name, each in json.loads(path.read_text())["noise"].items()}
    except FileNotFoundError as error:
        raise FileError(f"no such file of significance: {path}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileError(f"{path} is no file of significance: {error}") from error


def require(name: str, branches: Collection[str], path: str) -> None:
    """Raise ColumnError unless a file with these branches stores the covariance of a MET."""
    if missing := [branch for branch in (f"{name}_{column}" for column in STORED) if branch not in branches]:
        raise ColumnError(f"{path} has no {', '.join(missing)}: {VERSIONS}")


def stored(events: Any, name: str) -> Stored:
    """Significance and covariance that NanoAOD stores of a MET, ``MET`` or, from v15 on, ``PuppiMET`` and ``PFMET``."""
    met = events[name]
    if missing := [column for column in STORED if column not in met.fields]:
        raise ColumnError(f"{name} has no {', '.join(missing)}: {VERSIONS}")
    values, *elements = (ak.to_numpy(met[column]).astype(np.float64) for column in STORED)
    return Stored(values, matrices(*elements))

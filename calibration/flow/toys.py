"""Two samples whose joint law is known, and so is the map from one to the other.

Each component of the recoil of each estimator follows two Gaussians, with parameters that depend on qT, nJets and nPV.
Their normal scores are correlated: PF with PUPPI, and more so in data. A map of one component at a time can bring every
spectrum to that of data, and the correlations of simulation stay what they are.

The map of :func:`exact` is the triangular one (Knothe and Rosenblatt): the first component depends on itself alone, the
second on the first and itself, and so on, each growing with itself. There is only one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from ptmiss.calibration.gaussians import Mixture, normal
from ptmiss.typing import Array

ESTIMATORS = ("pf", "puppi")
COMPONENTS = ("pf_u_par", "pf_u_perp", "puppi_u_par", "puppi_u_perp")
WIDTHS = {"mc": (16.0, 14.0, 12.0, 10.5), "data": (17.5, 15.5, 13.0, 11.5)}  # GeV, of the narrow Gaussian
MEANS = {"mc": (-2.0, 0.0, -3.0, 0.0), "data": (-3.5, 0.3, -4.0, -0.2)}  # GeV, of the narrow Gaussian
WIDE, FRACTION = 1.9, 0.75  # of both samples: ratio of widths, share of the narrow one
SLOPE = {"mc": 0.03, "data": 0.04}  # loss of u_par per GeV of qT
CORRELATION = {"mc": (0.45, 0.35), "data": (0.75, 0.70), "correlated": (0.75, 0.70)}  # of PF with PUPPI, par and perp
MARGINS = {"mc": "mc", "data": "data", "correlated": "mc"}  # whose laws the components of a sample follow
PILEUP = {"mc": 0.012, "data": 0.016}  # relative growth of widths per vertex


@dataclass(frozen=True)
class Toy:
    """A sample: u (events, 4) residuals, GeV, in the order of COMPONENTS; context by name, (events,) each."""

    u: Array
    context: Mapping[str, Array]

    def __len__(self) -> int:
        return len(self.u)


def draw(sample: str, n: int, seed: int) -> Toy:
    """Events of ``mc``, ``data`` or ``correlated``, which has the laws of ``mc`` and the correlations of ``data``.

    All have the same spectra of what the recoil depends on.
    """
    rng = np.random.default_rng(seed)
    qt = rng.gamma(1.2, 20, n)
    context = {
        "qt": qt,
        "njets": np.minimum(rng.poisson(0.1 + qt / 80), 3).astype(float),
        "npv": 5.0 + rng.poisson(20, n),
        "boson_rapidity": np.clip(rng.normal(0, 1.1, n), -2.4, 2.4),
    }
    scores = rng.normal(size=(n, len(COMPONENTS))) @ _root(sample).T
    return Toy(_values(sample, context, *normal(scores)), context)


def background(n: int, seed: int) -> Toy:
    """Events that are no signal: harder, with more jets, and a recoil that is far too small and three times as wide."""
    rng, events = np.random.default_rng([seed, 1]), draw("mc", n, seed)
    context = dict(events.context) | {"qt": 20 + rng.gamma(2.0, 20, n), "njets": rng.integers(1, 4, n).astype(float)}
    return Toy(3 * events.u - 0.4 * context["qt"][:, np.newaxis] * np.array([1, 0, 1, 0]), context)


def exact(toy: Toy, wanted: str = "data") -> Array:
    """(events, 4) what the true map makes of simulated events, GeV; wanted: the sample whose law they get."""
    scores = np.stack([_score(_law("mc", k, toy.context), toy.u[:, k]) for k in range(len(COMPONENTS))], axis=1)
    independent = scores @ np.linalg.inv(_root("mc")).T
    return _values(wanted, toy.context, *normal(independent @ _root(wanted).T))


def _root(sample: str) -> Array:
    """The root of the matrix of correlations of the normal scores."""
    matrix = np.eye(len(COMPONENTS))
    for first, value in enumerate(CORRELATION[sample]):
        matrix[first, first + 2] = matrix[first + 2, first] = value
    return np.asarray(np.linalg.cholesky(matrix), np.float64)


def _law(sample: str, k: int, context: Mapping[str, Array]) -> Mixture:
    """The law of a component at each event."""
    sample = MARGINS[sample]
    width = WIDTHS[sample][k] * (1 + PILEUP[sample] * (context["npv"] - 25)) * (1 + 0.06 * context["njets"])
    mean = MEANS[sample][k] - (SLOPE[sample] * context["qt"] if k % 2 == 0 else 0.0) + np.zeros_like(width)
    wide = WIDE + 0.05 * np.abs(context["boson_rapidity"])
    shares = np.tile([FRACTION, 1 - FRACTION], (len(width), 1))
    return Mixture(shares, np.stack([mean, 2 * mean], axis=1), np.stack([width, width * wide], axis=1))


def _score(law: Mixture, x: Array) -> Array:
    low, high = (part(x[:, None])[:, 0] for part in (law.log_cdf, law.log_sf))
    score: Array = np.where(low < high, ndtri(np.exp(low)), -ndtri(np.exp(high)))
    return score


def _values(sample: str, context: Mapping[str, Array], lower: Array, upper: Array) -> Array:
    laws = (_law(sample, k, context) for k in range(len(COMPONENTS)))
    columns = [law.quantile(lower[:, k, None], upper[:, k, None])[:, 0] for k, law in enumerate(laws)]
    return np.stack(columns, axis=1)

"""Sums of Gaussians, and their fits to the recoil.

A :class:`Mixture` is a probability density of the recoil: one, two or three fitted Gaussians, or a histogram smoothed
with a Gaussian kernel, which is a sum of as many Gaussians as it has bins. :func:`fit` finds one by binned likelihood.
What is fitted is (value, variance) bins with a background of known size and shape in the model: subtracting it first
would leave negative bins, and a likelihood of those has no minimum.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from iminuit import Minuit
from iminuit.cost import BinnedNLL
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr
from scipy.stats import chi2

from ptmiss.errors import OptionError

Array = NDArray[np.float64]

RATIOS = (1.15, 5.0)  # of a width to the next smaller one
FRACTIONS = (0.05, 0.98)
STARTS = ((0.7, 2.0, 0.7), (0.5, 2.5, 0.4), (0.85, 1.6, 0.9))
"""Where a fit starts: smallest width over RMS, ratio of widths, fraction of the narrow Gaussian."""
GOOD = 1e-3  # probability of chi2 below which another start is tried
ENOUGH = 0.01  # probability of chi2 above which fewer Gaussians may do
CALLS = 2000  # of the likelihood in one minimisation; a good start needs 200
EXPECTED = 5.0  # effective events in a bin of the chi2
KERNEL = 1.0  # GeV
SMALLEST = 1e-300  # probability, 37 widths into a tail


@dataclass(frozen=True)
class Mixture:
    """A normalised sum of Gaussians: fractions, means (GeV) and widths (GeV), each of shape (n,)."""

    fractions: Array
    means: Array
    widths: Array

    def pdf(self, x: ArrayLike) -> Array:
        """Density, 1/GeV, of the shape of x."""
        z = self._pulls(x)
        return (self.fractions / self.widths * np.exp(-(z**2) / 2)).sum(axis=-1) / np.sqrt(2 * np.pi)

    def cdf(self, x: ArrayLike) -> Array:
        """Probability below x."""
        return ndtr(self._pulls(x)) @ self.fractions

    def log_cdf(self, x: ArrayLike) -> Array:
        """Logarithm of the probability below x, precise in the lower tail."""
        return np.log(np.maximum(self.cdf(x), SMALLEST))

    def log_sf(self, x: ArrayLike) -> Array:
        """Logarithm of the probability above x, precise in the upper tail."""
        return np.log(np.maximum(ndtr(-self._pulls(x)) @ self.fractions, SMALLEST))

    @property
    def mean(self) -> float:
        """Mean, GeV."""
        return float(self.fractions @ self.means)

    @property
    def rms(self) -> float:
        """Root of the variance, GeV."""
        return float(np.sqrt(self.fractions @ (self.widths**2 + (self.means - self.mean) ** 2)))

    def _pulls(self, x: ArrayLike) -> Array:
        return (np.asarray(x, float)[..., np.newaxis] - self.means) / self.widths


def mixture(parameters: ArrayLike) -> Mixture:
    """Gaussians from the parameters of a fit: n means, smallest width, n - 1 ratios of widths, n - 1 fractions.

    Each fraction is that of what the Gaussians before have left.
    """
    p = np.asarray(parameters, float)
    n = order(p)
    fractions, left = [], 1.0
    for share in p[2 * n :]:
        fractions.append(left * share)
        left -= fractions[-1]
    return Mixture(np.array([*fractions, left]), p[:n], np.cumprod(p[n : 2 * n]))


def gradient(parameters: ArrayLike, x: ArrayLike) -> Array:
    """Derivatives of the probability below x (n,) by the parameters of a fit, shape (parameters, n)."""
    p = np.asarray(parameters, float)
    n, law = order(p), mixture(p)
    z = law._pulls(x).T
    density = law.fractions[:, np.newaxis] * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    by_mean, by_log_width = -density / law.widths[:, np.newaxis], -density * z
    wider = np.cumsum(by_log_width[::-1], axis=0)[::-1]  # a width's factor also scales all larger ones
    by_width = wider / p[n : 2 * n, np.newaxis]
    below, by_fraction = ndtr(z), []
    for i, share in enumerate(p[2 * n :]):
        rest = law.fractions[i + 1 :] @ below[i + 1 :] / (1 - share)
        by_fraction.append(law.fractions[i] / share * below[i] - rest)
    return np.concatenate([by_mean, by_width, np.reshape(by_fraction, (n - 1, z.shape[1]))])


def order(parameters: Array) -> int:
    """How many Gaussians so many parameters describe."""
    return (len(parameters) + 1) // 3


def names(n: int) -> list[str]:
    """Names of the parameters of n Gaussians, in their order."""
    means = [f"mean_{i}" for i in range(n)]
    return [*means, "width_0", *(f"ratio_{i}" for i in range(1, n)), *(f"fraction_{i}" for i in range(n - 1))]


@dataclass(frozen=True)
class Counts:
    """A histogram to be fitted.

    values, variances: (bins,); edges: (bins + 1,), GeV. The background is a histogram in the same bins, contained in the
    values and scaled as it is there.
    """

    values: Array
    variances: Array
    edges: Array
    background: Counts | None = None

    @property
    def centres(self) -> Array:
        """Centres of the bins, GeV."""
        return (self.edges[1:] + self.edges[:-1]) / 2

    @property
    def signal(self) -> Counts:
        """The histogram less its background."""
        if self.background is None:
            return self
        background = self.background
        return Counts(self.values - background.values, self.variances + background.variances, self.edges)

    @property
    def n_effective(self) -> float:
        """(Σ w)² / Σ w², negative where the sum of weights is."""
        total, squares = self.values.sum(), self.variances.sum()
        return float(total * abs(total) / squares) if squares > 0 else 0.0

    def moments(self) -> tuple[float, float]:
        """Mean and RMS, GeV, negative bins counted as empty; the RMS is at least that of a bin."""
        weights, x = np.maximum(self.values, 0), self.centres
        mean = np.average(x, weights=weights)
        variance = np.average((x - mean) ** 2 + np.diff(self.edges) ** 2 / 12, weights=weights)
        return float(mean), float(np.sqrt(variance))

    def concatenate(self, starts: NDArray[np.intp]) -> Counts:
        """Neighbouring bins joined, from each of these bins up to the next."""
        values, variances = (np.add.reduceat(part, starts) for part in (self.values, self.variances))
        background = self.background and self.background.concatenate(starts)
        return Counts(values, variances, np.append(self.edges[starts], self.edges[-1]), background)

    def positive(self) -> Counts:
        """Negative bins, as negative weights leave them, joined with their neighbours towards the fullest bin."""
        peak, last = int(np.argmax(self.values)), len(self.values) - 1
        left, right = _rising(self.values[:peak]) + 1, last - _rising(self.values[:peak:-1])
        return self.concatenate(np.unique(np.concatenate([[0], left, right])))

    @cached_property
    def expected_background(self) -> Array:
        """Weights of the background in each bin, smoothed: few simulated events leave bins empty."""
        background = self.background
        if background is None or background.values.sum() <= 0:
            return np.zeros_like(self.values)
        width = background.moments()[1] * max(background.n_effective, 1.0) ** -0.2  # Scott's rule
        law = smooth(background, width)
        return background.values.sum() * np.diff(law.cdf(self.edges))


def _rising(values: Array) -> NDArray[np.intp]:
    """Where the running sum reaches a new height: there the shortest runs end whose sums are not negative."""
    heights = np.append(0.0, np.cumsum(values))
    return np.flatnonzero(heights[1:] >= np.maximum.accumulate(heights)[:-1])


@dataclass(frozen=True)
class Fit:
    """What was fitted to a histogram, and how well.

    law: the density; parameters, covariance, limits: of the Gaussians (see names), empty for a smoothed histogram.
    status: ``fitted``; ``fewer``, fewer Gaussians, since the histogram does not ask for more; ``limit``, valid with a parameter at
    its limit or an inaccurate covariance; ``smoothed``, no fit was valid and the smoothed histogram is used.
    deviance: -2 log likelihood. chi2, ndof, probability: of Pearson's chi2 over bins of at least five effective events.
    n_effective: of the histogram.
    """

    law: Mixture
    parameters: Array
    covariance: Array
    limits: Array
    status: str
    accurate: bool
    deviance: float
    chi2: float
    ndof: int
    n_effective: float

    @property
    def probability(self) -> float:
        """Probability of a larger chi2."""
        return float(chi2.sf(self.chi2, self.ndof)) if self.ndof > 0 else float("nan")

    def shifted(self, size: float) -> list[Mixture]:
        """The density moved by so many standard deviations along each eigenvector of the covariance, largest first.

        Inside the limits; each eigenvector's largest part is positive, since it has no sign of its own.
        """
        if not self.parameters.size:
            return []
        variances, vectors = np.linalg.eigh(self.covariance)
        largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(len(variances))]
        steps = (np.sqrt(np.maximum(variances, 0)) * vectors * np.sign(largest)).T[::-1]
        return [mixture(parameters) for parameters in np.clip(self.parameters + size * steps, *self.limits.T)]


def fit(counts: Counts, n: int = 2) -> Fit:
    """The best n Gaussians, or what stands in for them (see Fit.status); OptionError where there is no event."""
    counts = counts.positive()
    if counts.signal.values.sum() <= 0:
        raise OptionError("a histogram to be fitted holds no events")
    if np.count_nonzero(counts.signal.values > 0) < 3 * n:
        return smoothed(counts)
    best = _best(counts, n)
    if n == 1:
        return best or smoothed(counts)
    simpler = fit(counts, n - 1)
    if simpler.probability > ENOUGH and not _needed(best, simpler):
        return replace(simpler, status="fewer")
    return best or simpler


def _needed(best: Fit | None, simpler: Fit) -> bool:
    """Whether the data ask for another Gaussian, by Akaike's criterion: its three parameters must gain more than they cost."""
    if best is None or best.status != "fitted":
        return False
    return simpler.deviance - best.deviance > 2 * (len(best.parameters) - len(simpler.parameters))


def _best(counts: Counts, n: int) -> Fit | None:
    """The valid fit of highest likelihood; one start is enough where its fit is good, and for one or three Gaussians."""
    found: list[Fit] = []
    for start in STARTS if n == 2 else STARTS[:1]:
        minuit = _minimised(counts, n, start)
        if not minuit.valid:
            continue
        result = _result(counts, minuit)
        if result.status == "fitted" and result.probability > GOOD:
            return result
        found.append(result)
    return min(found, key=lambda result: (result.status != "fitted", result.deviance), default=None)


def _minimised(counts: Counts, n: int, start: tuple[float, float, float]) -> Minuit:
    mean, rms = counts.signal.moments()
    width, ratio, fraction = start if n > 1 else (1.0, 1.0, 1.0)
    free = n - 1
    values = [*[mean] * n, width * rms, *[ratio] * free, *[fraction] * free]
    minuit = Minuit(_cost(counts, n), *values)
    low, high = min(0.1 * rms, 1.0), 1.5 * rms
    minuit.limits = [*[(mean - 4 * rms, mean + 4 * rms)] * n, (low, high), *[RATIOS] * free, *[FRACTIONS] * free]
    minuit.migrad(ncall=CALLS, iterate=2)
    if minuit.valid:
        minuit.hesse()
    return minuit


def _cost(counts: Counts, n: int) -> BinnedNLL:
    """Likelihood of the signal's shape with the background's share and shape fixed.

    Weighted bins are scaled by Σ w² / Σ w of them all to numbers of effective events. A scale for each bin would follow its
    fluctuations, an empty bin has none, and the fitted tails would come out too small.
    """
    total, scale = counts.values.sum(), counts.variances.sum() / counts.values.sum()
    below = np.append(0.0, np.cumsum(counts.expected_background)) / total
    share = 1 - below[-1]

    def cdf(x: Array, *parameters: float) -> Array:
        return share * mixture(parameters).cdf(x) + below

    def slopes(x: Array, *parameters: float) -> Array:
        return share * gradient(parameters, x)

    return BinnedNLL(counts.values / scale, counts.edges, cdf, grad=slopes, name=names(n))


def _result(counts: Counts, minuit: Minuit) -> Fit:
    parameters, covariance = np.array(minuit.values), np.array(minuit.covariance)
    limits = np.array(minuit.limits, float)
    margin = 0.005 * (limits[:, 1] - limits[:, 0])
    inside = bool(np.all((parameters > limits[:, 0] + margin) & (parameters < limits[:, 1] - margin)))
    status = "fitted" if inside and minuit.accurate else "limit"
    law = mixture(parameters)
    chi2_ndof, n_effective = _pearson(counts, law, len(parameters)), counts.signal.n_effective
    deviance = float(minuit.fval or 0)
    return Fit(law, parameters, covariance, limits, status, minuit.accurate, deviance, *chi2_ndof, n_effective)


def smoothed(counts: Counts) -> Fit:
    """The histogram itself in place of a fit, smoothed with a Gaussian kernel of KERNEL."""
    none = np.empty(0)
    law, n_effective = smooth(counts.signal, KERNEL), counts.signal.n_effective
    return Fit(law, none, np.empty((0, 0)), np.empty((0, 2)), "smoothed", False, np.inf, 0.0, 0, n_effective)


def smooth(counts: Counts, width: float) -> Mixture:
    """A histogram convolved with a Gaussian kernel (GeV); negative bins count as empty."""
    weights = np.maximum(counts.values, 0)
    filled = weights > 0
    widths = np.hypot(width, np.diff(counts.edges)[filled] / np.sqrt(12))
    return Mixture(weights[filled] / weights.sum(), counts.centres[filled], widths)


def predicted(counts: Counts, law: Mixture) -> Array:
    """Weights that a density gives the bins, with the background."""
    return counts.signal.values.sum() * np.diff(law.cdf(counts.edges)) + counts.expected_background


def _pearson(counts: Counts, law: Mixture, free: int) -> tuple[float, int]:
    """Chi2 and degrees of freedom over bins joined until EXPECTED effective events are expected in each."""
    expected = predicted(counts, law)
    scale = counts.variances.sum() / counts.values.sum()
    number = np.floor(np.cumsum(expected) / scale / EXPECTED)
    starts = np.flatnonzero(np.diff(number, prepend=-1.0) > 0)
    found, foreseen = (np.add.reduceat(part, starts) for part in (counts.values, expected))
    used = foreseen > 0.5 * EXPECTED * scale
    value = ((found - foreseen)[used] ** 2 / (foreseen[used] * scale)).sum()
    return float(value), int(used.sum()) - 1 - free

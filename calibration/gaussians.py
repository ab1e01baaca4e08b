"""Sums of Gaussians, one for each row of a table of histograms, and the parameters that a fit moves.

Rows are bins of (qT, nJets). The parameters of n Gaussians are free of limits, so that a fit never stops at one: the
first mean, the other means less the first, the logarithm of the first width, logarithms of the ratio of each width to
the one before, and logits of fractions, each of what the Gaussians before have left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize.elementwise import find_root
from scipy.special import expit, log_ndtr, ndtr

from ptmiss.typing import Array

SMALLEST = 1e-300  # probability, 37 widths into a tail
REACH = 36.0  # widths: no density is left beyond
ROOT_TWO_PI = np.sqrt(2 * np.pi)


@dataclass(frozen=True)
class Mixture:
    """Normalised sums of Gaussians: fractions, means (GeV) and widths (GeV), each (rows, n).

    Arguments x are residuals in GeV, the same for all rows (m,) or of each (rows, m); results are (rows, m).
    """

    fractions: Array
    means: Array
    widths: Array

    def pdf(self, x: ArrayLike) -> Array:
        """Density, 1/GeV."""
        z = self._pulls(x)
        return np.einsum("rn,rmn->rm", self.fractions / self.widths, np.exp(-(z**2) / 2)) / ROOT_TWO_PI

    def cdf(self, x: ArrayLike) -> Array:
        """(rows, x) probability below x, GeV."""
        return np.einsum("rn,rmn->rm", self.fractions, ndtr(self._pulls(x)))

    def log_cdf(self, x: ArrayLike) -> Array:
        """(rows, x) logarithm of the probability below x, precise in the lower tail."""
        return np.log(np.maximum(self.cdf(x), SMALLEST))

    def log_sf(self, x: ArrayLike) -> Array:
        """Logarithm of the probability above x, precise in the upper tail."""
        above = np.einsum("rn,rmn->rm", self.fractions, ndtr(-self._pulls(x)))
        return np.log(np.maximum(above, SMALLEST))

    def within(self, x: ArrayLike) -> Array:
        """(rows, m) the same residuals, those without any density moved to where there still is some, GeV."""
        low, high = ((self.means + side * REACH * self.widths) for side in (-1, 1))
        return np.clip(np.asarray(x, float), low.min(axis=1)[:, np.newaxis], high.max(axis=1)[:, np.newaxis])

    def quantile(self, lower: ArrayLike, upper: ArrayLike) -> Array:
        """Where the logarithms of the probabilities below and above are these, (rows, m); GeV.

        The smaller of the two is used, so that the answer is good to rounding many widths into either tail.
        """
        row = np.arange(len(self.means))[:, np.newaxis]
        lower, upper, row = np.broadcast_arrays(np.asarray(lower, float), np.asarray(upper, float), row)
        below, target = lower < upper, np.minimum(lower, upper)

        def difference(y: Array, target: Array, below: NDArray[np.bool_], row: NDArray[np.intp]) -> Array:
            z = (y[..., np.newaxis] - self.means[row]) / self.widths[row]
            tail = (self.fractions[row] * ndtr(np.where(below[..., np.newaxis], z, -z))).sum(axis=-1)
            return np.where(below, 1, -1) * (np.log(np.maximum(tail, SMALLEST)) - target)

        reach = np.sqrt(2 * np.abs(target).max()) + 2  # a tail of one Gaussian is below exp(-z²/2)
        low, high = ((self.means + side * reach * self.widths) for side in (-1, 1))
        ends = low.min(axis=1)[:, np.newaxis], high.max(axis=1)[:, np.newaxis]
        bracket = tuple(np.broadcast_to(end, target.shape) for end in ends)
        return np.asarray(find_root(difference, bracket, args=(target, below, row)).x)

    @property
    def mean(self) -> Array:
        """Means (rows,), GeV."""
        return (self.fractions * self.means).sum(axis=1)

    @property
    def rms(self) -> Array:
        """Roots of the variances (rows,), GeV."""
        second = self.widths**2 + (self.means - self.mean[:, np.newaxis]) ** 2
        return np.sqrt((self.fractions * second).sum(axis=1))

    def rows(self, which: ArrayLike) -> Mixture:
        """Some of the rows, by their numbers (n,)."""
        index = np.atleast_1d(np.asarray(which))
        return Mixture(self.fractions[index], self.means[index], self.widths[index])

    def _pulls(self, x: ArrayLike) -> Array:
        return (np.asarray(x, float)[..., np.newaxis] - self.means[:, np.newaxis]) / self.widths[:, np.newaxis]


def order(parameters: Array) -> int:
    """Number n of Gaussians that parameters of shape (…, 3n - 1) describe."""
    return (parameters.shape[-1] + 1) // 3


def names(n: int) -> list[str]:
    """Names of the parameters of n Gaussians, in their order."""
    more = range(1, n)
    means = ["mean", *(f"mean_step_{i}" for i in more)]
    return [*means, "log_width", *(f"log_ratio_{i}" for i in more), *(f"logit_{i - 1}" for i in more)]


def mixture(parameters: ArrayLike) -> Mixture:
    """Gaussians from parameters (rows, 3n - 1)."""
    p = np.atleast_2d(np.asarray(parameters, float))
    n = order(p)
    means = np.concatenate([p[:, :1], p[:, :1] + p[:, 1:n]], axis=1)
    share = expit(p[:, 2 * n :])
    left = np.cumprod(np.concatenate([np.ones((len(p), 1)), 1 - share], axis=1), axis=1)
    fractions = left.copy()
    fractions[:, :-1] *= share
    return Mixture(fractions, means, np.exp(np.cumsum(p[:, n : 2 * n], axis=1)))


def normal(z: ArrayLike) -> tuple[Array, Array]:
    """Logarithms of the probabilities below and above z of the standard normal law, each in the shape of z."""
    z = np.asarray(z, float)
    return log_ndtr(z), log_ndtr(-z)

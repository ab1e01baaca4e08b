"""The likelihood of all histograms of a sample at once, in bins of qT and nJets, with its gradient and information.

Each row is a multinomial of its own total, with the law normalised to the window that is fitted, so events beyond it
say nothing. A background of known size is a part of what is expected: subtracted, it would leave negative bins.
Weighted events count as effective ones by one scale, Σ w² / Σ w: a scale for each bin would follow its fluctuations,
and fitted tails would come out too small. Negative bins, as negative weights leave them, enter with their sign: the
score is linear in the contents, so nothing is biased.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import expit

from ptmiss.typing import Array, Mask

from .gaussians import mixture, order
from .laws import Basis, Law

LEAST = 1e-12  # probability of a bin


@dataclass(frozen=True)
class Background:
    """The part of the data that is background: its share of each row (rows,), and its law.

    share_error: (groups, rows), one independent standard deviation of the shares each, from the statistics of its
    simulation.
    """

    share: Array
    share_error: Array
    law: Law


@dataclass(frozen=True)
class Counts:
    """Histograms of one sample: values, variances (rows, bins), edges (bins + 1,) in GeV.

    qt: mean of each row, GeV; jets: its class of nJets. The background, where there is one, is contained in the values.
    """

    values: Array
    variances: Array
    edges: Array
    qt: Array
    jets: NDArray[np.int64]
    background: Background | None = None

    @property
    def scale(self) -> float:
        """What an effective event weighs: Σ w² / Σ w."""
        return float(self.variances.sum() / self.values.sum())

    @property
    def n_effective(self) -> float:
        """(Σ w)² / Σ w², negative where the sum of weights is."""
        total, squares = self.values.sum(), self.variances.sum()
        return float(total * abs(total) / squares) if squares > 0 else 0.0

    def part(self, rows: Mask) -> Counts:
        """The rows of a mask (rows,)."""
        background = self.background
        if background is not None:
            share, errors = background.share[rows], background.share_error[:, rows]
            background = replace(background, share=share, share_error=errors)
        return Counts(self.values[rows], self.variances[rows], self.edges, self.qt[rows], self.jets[rows], background)

    @cached_property
    def expected_background(self) -> Array:
        """Weights of the background in each bin, (rows, bins)."""
        if self.background is None:
            return np.zeros_like(self.values)
        return (self.background.share * self.values.sum(axis=1))[:, np.newaxis] * self.background_shape

    @cached_property
    def background_shape(self) -> Array:
        """Probability of each bin for the background, (rows, bins)."""
        assert self.background is not None
        return bin_probabilities(self.background.law, self)

    def moments(self) -> tuple[float, float]:
        """Mean and RMS of all rows together less the background, GeV; the RMS is at least that of a bin."""
        x, weights = (self.edges[1:] + self.edges[:-1]) / 2, (self.values - self.expected_background).sum(axis=0)
        mean = x @ weights / weights.sum()
        spread = ((x - mean) ** 2 + np.diff(self.edges) ** 2 / 12) @ weights / weights.sum()
        return float(mean), float(np.sqrt(max(spread, np.diff(self.edges).min() ** 2 / 12)))


def bin_probabilities(law: Law, counts: Counts) -> Array:
    """Probability of each bin of each row, normalised to the window, (rows, bins)."""
    below = law.at(counts.qt, counts.jets).cdf(counts.edges)
    return np.diff(below, axis=1) / (below[:, -1:] - below[:, :1])


def predict(counts: Counts, law: Law) -> Array:
    """Weights that a law and the background give each bin, (rows, bins)."""
    expected = counts.expected_background
    signal = counts.values.sum(axis=1) - expected.sum(axis=1)
    return signal[:, np.newaxis] * bin_probabilities(law, counts) + expected


@dataclass(frozen=True)
class Terms:
    """Minus log likelihood; its gradient (parameters, terms); the information, twice (parameters, terms)."""

    value: float
    gradient: Array
    information: Array


@dataclass(frozen=True)
class Likelihood:
    """The likelihood of a law's coefficients (parameters, terms)."""

    counts: Counts
    basis: Basis

    @cached_property
    def functions(self) -> Array:
        """The basis in each row, (rows, terms)."""
        return self.basis(self.counts.qt, self.counts.jets)

    def __call__(self, coefficients: Array) -> Terms:
        """Value, gradient and expected information."""
        parameters, counts = self.functions @ coefficients.T, self.counts
        law, shares = mixture(parameters), expit(parameters[:, 2 * order(parameters) :])
        share, shape = self._background
        seen = counts.values / counts.scale
        value, slopes, information = sums(
            law.fractions, law.means, law.widths, shares, counts.edges, seen, share, shape
        )
        rows = np.einsum("rk,rl->rkl", self.functions, self.functions)
        both = np.tensordot(information, rows, axes=(0, 0)).transpose(0, 2, 1, 3)
        return Terms(value, slopes.T @ self.functions, both)

    @cached_property
    def _background(self) -> tuple[Array, Array]:
        counts = self.counts
        if counts.background is None:
            return np.zeros(len(counts.values)), np.zeros_like(counts.values)
        return counts.background.share, counts.background_shape


@njit(cache=True, error_model="numpy")
def sums(
    fractions: Array,
    means: Array,
    widths: Array,
    shares: Array,
    edges: Array,
    seen: Array,
    background: Array,
    shape: Array,
) -> tuple[float, Array, Array]:
    """Minus the log likelihood, its gradient (rows, parameters) and information (rows, parameters, parameters).

    fractions, means, widths: (rows, n); shares: of what the Gaussians before have left, (rows, n - 1); seen: effective
    events (rows, bins); background: its share (rows,), and its shape (rows, bins).
    """
    (rows, bins), n = seen.shape, means.shape[1]
    value, size = 0.0, 3 * n - 1
    gradient, information = np.zeros((rows, size)), np.zeros((rows, size, size))
    below, slopes, by = np.empty(bins + 1), np.empty((bins + 1, size)), np.empty(size)
    for r in range(rows):
        for e in range(bins + 1):
            below[e] = _below(fractions[r], means[r], widths[r], shares[r], edges[e], slopes[e])
        window, signal, events = below[bins] - below[0], 1 - background[r], 0.0
        for b in range(bins):
            events += seen[r, b]
        for b in range(bins):
            alone = (below[b + 1] - below[b]) / window
            probability = max(signal * alone + background[r] * shape[r, b], LEAST)
            value -= seen[r, b] * math.log(probability)
            for i in range(size):
                change = slopes[b + 1, i] - slopes[b, i] - alone * (slopes[bins, i] - slopes[0, i])
                by[i] = signal * change / window
                gradient[r, i] -= seen[r, b] / probability * by[i]
                for j in range(i + 1):
                    information[r, i, j] += max(events, 0.0) / probability * by[i] * by[j]
                    information[r, j, i] = information[r, i, j]
    return value, gradient, information


@njit(cache=True, error_model="numpy")
def _below(fractions: Array, means: Array, widths: Array, shares: Array, x: float, slopes: Array) -> float:
    """Probability below x; its derivatives by the parameters go into slopes (3n - 1,)."""
    n, rest, wider = len(means), 0.0, 0.0
    slopes[0] = 0.0
    for i in range(n - 1, -1, -1):
        z = (x - means[i]) / widths[i]
        part = fractions[i] * math.erfc(-z / math.sqrt(2)) / 2
        density = fractions[i] * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        slopes[0] -= density / widths[i]
        if i:
            slopes[i] = -density / widths[i]
        wider -= density * z  # a ratio widens all that follow
        slopes[n + i] = wider
        if i < n - 1:
            slopes[2 * n + i] = (1 - shares[i]) * part - shares[i] * rest
        rest += part
    return rest


def free_part(terms: Terms, free: Mask) -> tuple[Array, Array]:
    """Gradient (free,) and information (free, free) of the free coefficients."""
    size, where = free.size, np.flatnonzero(free)
    return terms.gradient[free], terms.information.reshape(size, size)[np.ix_(where, where)]

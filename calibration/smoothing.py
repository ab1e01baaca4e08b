"""Laws without Gaussians: what the histograms themselves say, laid over each other in qT.

A fitted law turns each residual into a normal score z = Φ⁻¹(F(u)), and so lays the histograms of all qT over each
other. Were the law right, the scores would be normal. Their own cumulative distribution, smoothed, is what the events
say without any assumption on the shape. A background is subtracted and negative bins keep their sign: the cumulative
distribution is made to rise by isotonic regression, which keeps its sums, where clipping would add events to the tails.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import isotonic_regression
from scipy.special import ndtri, ndtri_exp

from ptmiss.typing import Array

from .gaussians import Mixture, normal
from .laws import Law
from .likelihood import Counts

STEP = 0.05  # of the scores
REACH = 2.6  # between the quantiles 0.005 and 0.995; beyond, the last departure is carried on
WIDTH = 0.25  # of the kernel, in scores
GRID = np.arange(-REACH, REACH + STEP / 2, STEP)
LEVEL = 1e-9 * np.arange(len(GRID))  # what does not rise rises by this
FAR = 40.0


def scores(law: Mixture, x: Array) -> Array:
    """Normal scores of residuals x (GeV), (rows, m)."""
    lower, upper = law.log_cdf(x), law.log_sf(x)
    return np.where(lower < upper, ndtri_exp(lower), -ndtri_exp(upper))


def observe(counts: Counts, law: Law, classes: int) -> Array:
    """(classes, m) normal scores below which each class of nJets has the same share as below those of GRID."""
    z = scores(law.at(counts.qt, counts.jets), counts.edges)
    found = counts.values - counts.expected_background
    below = np.concatenate([np.zeros((len(found), 1)), np.cumsum(found, axis=1)], axis=1)
    at = np.stack([np.interp(GRID, *pair) for pair in zip(z, below, strict=True)])
    return np.stack([_score(at[counts.jets == j].sum(axis=0), found[counts.jets == j].sum()) for j in range(classes)])


def _score(below: Array, total: float) -> Array:
    rising = np.clip(isotonic_regression(below / total).x, 1e-4, 1 - 1e-4)
    departure = gaussian_filter1d(ndtri(rising) - GRID, WIDTH / STEP, mode="nearest")
    return np.maximum.accumulate(GRID + departure + LEVEL)


def _carried_on(values: Array) -> Array:
    """Values at the ends go on with slope one."""
    return np.concatenate([[values[0] - FAR], values, [values[-1] + FAR]])


def shifts(data: Mixture, x: Array, of_mc: Array, of_data: Array) -> Array:
    """How far the observed scores of both samples, each row's (rows, m of GRID), move residuals of data x (m,), GeV.

    x is where the map of the laws ends; beyond the ends of GRID the shift is carried on.
    """
    z = np.clip(scores(data, x), GRID[0], GRID[-1])
    wide = _carried_on(GRID)
    both = ((_carried_on(a), _carried_on(b)) for a, b in zip(of_mc, of_data, strict=True))
    out = [np.interp(np.interp(row, wide, up), down, wide) for row, (up, down) in zip(z, both, strict=True)]
    return data.quantile(*normal(np.stack(out))) - data.quantile(*normal(z))

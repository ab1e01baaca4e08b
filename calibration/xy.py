"""The XY correction: straight lines through the mean pTmiss_x and pTmiss_y against the number of vertices.

A line is the weighted least-squares fit to all events, and its covariance that of weighted events (the sandwich of sums
in w²). Neither needs a mean or a variance in each bin of nPV, which negative weights may not leave.
"""

from __future__ import annotations

from dataclasses import dataclass

import hist
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from ptmiss.errors import OptionError
from ptmiss.histograms import MET_AXES
from ptmiss.typing import Array

MIN_EVENTS = 10.0  # effective events of a point of the profile, and of the lever arm of a line
MIN_POINTS = 3


@dataclass(frozen=True)
class Line:
    """``intercept + slope nPV`` in GeV, with covariance (2, 2), and the profile's points that have events enough.

    npv, mean, error: (n,); chi2, ndof: of the points against the line.
    """

    intercept: float
    slope: float
    covariance: Array
    npv: Array
    mean: Array
    error: Array

    def __call__(self, npv: ArrayLike) -> Array:
        """The mean component of pTmiss, GeV."""
        return self.intercept + self.slope * np.asarray(npv, float)

    @property
    def chi2(self) -> float:
        """Of the points against the line."""
        return float((((self.mean - self(self.npv)) / self.error) ** 2).sum())

    @property
    def ndof(self) -> int:
        """Points less two."""
        return len(self.npv) - 2


@dataclass(frozen=True)
class Shift:
    """Lines of both components of one estimator's pTmiss in one sample."""

    x: Line
    y: Line

    def __call__(self, npv: ArrayLike) -> Array:
        """(events, 2) mean pTmiss, GeV."""
        return np.stack([self.x(npv), self.y(npv)], axis=-1)


def shift(met_xy: hist.Hist, estimator: str, sample: str = "") -> Shift:
    """Lines through one estimator's profiles in the histogram ``met_xy``; sample: its name, for an error."""
    where = f" of {sample}" if sample else ""
    profiles = {axis: met_xy[{"estimator": estimator, "axis": axis}] for axis in MET_AXES}
    return Shift(*(line(profile, f"{estimator} {axis}{where}") for axis, profile in profiles.items()))


def line(profile: hist.Hist, name: str) -> Line:
    """The line through a profile (npv, moment), see MET_MOMENTS; OptionError where the events hold none."""
    npv, view = profile.axes[0].edges[:-1], profile.view()
    good, mean, error = _points(view)
    fitted = _fit(npv, view) if good.sum() >= MIN_POINTS else None
    if fitted is None:
        raise OptionError(
            f"XY of {name}: {good.sum()} values of nPV have {MIN_EVENTS:g} events, "
            f"a straight line needs at least {MIN_POINTS}, and weights that do not cancel"
        )
    return Line(*fitted, npv[good], mean[good], error[good])


def _fit(npv: Array, view: Array) -> tuple[float, float, Array] | None:
    """Intercept, slope and their covariance (2, 2); None where the weights cancel. view: (npv, moment)."""
    w, w2, wx, _, w2x, w2xx = view.T
    total = w.sum()
    if not total > 0:
        return None
    center = (w * npv).sum() / total
    arm = npv - center
    lever = (w * arm**2).sum()
    if not lever > np.sqrt(MIN_EVENTS * (w2 * arm**4).sum()):
        return None
    height, slope = wx.sum() / total, (wx * arm).sum() / lever
    here = height + slope * arm
    squares = w2xx - 2 * here * w2x + here**2 * w2  # sums of w² (x - line)²
    spread = np.array([[(squares * arm ** (i + j)).sum() for j in range(2)] for i in range(2)])
    move = np.array([[1 / total, -center / lever], [0, 1 / lever]])  # from these sums to intercept and slope
    return float(height - slope * center), float(slope), move @ spread @ move.T


def _points(view: Array) -> tuple[NDArray[np.bool_], Array, Array]:
    """Which values of nPV have events enough, the mean and its error at each; view: (npv, moment)."""
    w, w2, wx, _, w2x, w2xx = view.T
    enough = (w > 0) & (w**2 >= MIN_EVENTS * w2)
    mean = np.divide(wx, w, out=np.zeros_like(w), where=enough)
    squares = w2xx - 2 * mean * w2x + mean**2 * w2
    error = np.divide(np.sqrt(np.maximum(squares, 0)), w, out=np.zeros_like(w), where=enough)
    return enough & (error > 0), mean, error


def flatness(met_phi: hist.Hist) -> tuple[float, int, float]:
    """Chi2 of a distribution of the azimuth against a constant, degrees of freedom, probability.

    All bins have the variance that a constant would have, empty ones too; NaN where there is nothing.
    """
    values, variance = met_phi.values(), met_phi.variances().mean()
    value = float(((values - values.mean()) ** 2).sum() / variance) if variance > 0 else np.nan
    return value, len(values) - 1, float(chi2.sf(value, len(values) - 1))

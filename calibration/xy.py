"""The XY correction: straight lines through the mean pTmiss_x and pTmiss_y against the number of vertices."""

from __future__ import annotations

from dataclasses import dataclass

import hist
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from ptmiss.errors import OptionError
from ptmiss.histograms import MET_AXES

Array = NDArray[np.float64]

MIN_POINT_EVENTS = 10.0  # effective events of a point of the profile


@dataclass(frozen=True)
class Line:
    """``intercept + slope nPV`` in GeV, with covariance (2, 2), and the points that it was fitted to.

    npv, mean, error: (n,); chi2, ndof: of the fit.
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


def shift(met_xy: hist.Hist, estimator: str) -> Shift:
    """Lines through one estimator's profiles in the histogram ``met_xy``."""
    return Shift(*(line(met_xy[{"estimator": estimator, "axis": axis}], f"{estimator} {axis}") for axis in MET_AXES))


def line(profile: hist.Hist, name: str) -> Line:
    """A line fitted to a profile (npv, moment), each point weighted with its error."""
    npv = profile.axes[0].edges[:-1]
    w, w2, wx, wxx = profile.view().T
    effective = np.divide(w**2, w2, out=np.zeros_like(w), where=w2 > 0)
    good = effective >= MIN_POINT_EVENTS
    if good.sum() < 3:
        raise OptionError(
            f"XY of {name}: {good.sum()} values of nPV have {MIN_POINT_EVENTS:g} events, a straight line needs at least 3"
        )
    x, y = npv[good], wx[good] / w[good]
    error = np.sqrt((wxx[good] / w[good] - y**2) / effective[good])
    (slope, intercept), covariance = np.polyfit(x, y, 1, w=1 / error, cov="unscaled")
    return Line(float(intercept), float(slope), covariance[::-1, ::-1], x, y, error)


def flatness(met_phi: hist.Hist) -> tuple[float, int, float]:
    """Chi2 of a distribution of the azimuth against a constant, degrees of freedom, probability."""
    values, variances = met_phi.values(), met_phi.variances()
    value = float(((values - values.mean()) ** 2 / variances).sum())
    return value, len(values) - 1, float(chi2.sf(value, len(values) - 1))

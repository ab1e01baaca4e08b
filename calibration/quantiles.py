"""The quantile map ``F_data⁻¹(F_MC(x))`` of one residual, exact and as the straight pieces that are exported.

Cumulative distributions are compared by their logarithms, from below under the median and from above over it, so the
inverse is good to rounding many widths into the tails. Pieces are as long as the curvature of the map allows; beyond the
last knots the map goes on in a straight line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize.elementwise import find_root

from .gaussians import Mixture

Array = NDArray[np.float64]

TOLERANCE = 0.0015  # GeV: of a straight piece where |z| < CORE
TAIL_TOLERANCE = 0.05  # GeV: further out
CORE, RANGE = 5.5, 12.0  # in units of the largest width
GRID = 1000  # points at which the curvature of the map is looked at
LONGEST = 16  # the range has at least so many pieces
SMOOTH_RANGE = (0.005, 0.995)  # quantiles between which a smoothed histogram has something to say


@dataclass(frozen=True)
class QuantileMap:
    """A continuous, rising map of straight pieces.

    x, y: knots (n,), GeV; low_slope, high_slope: of the straight lines before the first and after the last knot.
    """

    x: Array
    y: Array
    low_slope: float
    high_slope: float

    def __call__(self, x: ArrayLike) -> Array:
        """The mapped residual, GeV."""
        x = np.asarray(x, float)
        low = self.y[0] + self.low_slope * np.minimum(x - self.x[0], 0)
        return np.interp(x, self.x, self.y) - self.y[0] + low + self.high_slope * np.maximum(x - self.x[-1], 0)

    def moved(self, shifts: Array) -> QuantileMap:
        """The map with its knots moved (n,), GeV, as far as it still rises; the tails go on as the outer pieces do."""
        y = np.maximum.accumulate(self.y + shifts)
        low, high = ((y[b] - y[a]) / (self.x[b] - self.x[a]) for a, b in ((0, 1), (-2, -1)))
        return QuantileMap(self.x, y, float(low), float(high))


def exact(mc: Mixture, data: Mixture, x: ArrayLike) -> Array:
    """``F_data⁻¹(F_MC(x))``, GeV, to rounding."""
    x = np.asarray(x, float)
    lower, upper = mc.log_cdf(x), mc.log_sf(x)
    below = lower < upper
    target = np.where(below, lower, upper)

    def difference(y: Array, target: Array, below: NDArray[np.bool_]) -> Array:
        return np.where(below, data.log_cdf(y) - target, target - data.log_sf(y))

    centre, reach = data.mean, np.abs(x - mc.mean).max() / mc.widths.min() + 10
    span = reach * data.widths.max() + np.ptp(data.means)
    bracket = (np.full_like(x, centre - span), np.full_like(x, centre + span))
    return find_root(difference, bracket, args=(target, below)).x


def quantile_map(mc: Mixture, data: Mixture) -> QuantileMap:
    """The map between two densities of a few Gaussians, with the tails' own slopes."""
    width = mc.widths.max()
    centre, reach = mc.means[mc.widths.argmax()], RANGE * width + np.ptp(mc.means)
    x = np.linspace(centre - reach, centre + reach, GRID)
    tolerance = np.where(np.abs(x - centre) < CORE * width, TOLERANCE, TAIL_TOLERANCE)
    knots = _knots(x, exact(mc, data, x), tolerance)
    return QuantileMap(knots, exact(mc, data, knots), 1.0, 1.0).moved(np.zeros_like(knots))


def smoothed_map(mc: Mixture, data: Mixture) -> QuantileMap:
    """The map between two densities of which at least one is a smoothed histogram.

    Beyond the last quantiles of SMOOTH_RANGE its shift is carried on: there are too few events to say more.
    """
    low, high = (_quantile(mc, q) for q in SMOOTH_RANGE)
    x = np.linspace(low, high, GRID)
    knots = _knots(x, exact(mc, data, x), np.full(GRID, TAIL_TOLERANCE))
    return QuantileMap(knots, exact(mc, data, knots), 1.0, 1.0)


def _quantile(law: Mixture, q: float) -> float:
    ends = (law.means - 10 * law.widths).min(), (law.means + 10 * law.widths).max()
    return float(find_root(lambda x: law.cdf(x) - q, ends).x)


def _knots(x: Array, y: Array, tolerance: Array) -> Array:
    """Ends of as few straight pieces as keep within the tolerance: a piece of length h is off by h² |y''| / 8."""
    curvature = np.abs(np.gradient(np.gradient(y, x), x))
    density = np.maximum(np.sqrt(curvature / 8 / tolerance), LONGEST / np.ptp(x))
    number = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(x))])
    return np.interp(np.linspace(0, number[-1], int(np.ceil(number[-1])) + 1), number, x)

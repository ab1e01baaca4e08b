"""The quantile map ``F_data⁻¹(F_MC(x))`` of one residual, exact and on the grid that is exported.

Cumulative distributions are compared by their logarithms, from below under the median and from above over it, so the
map is good to rounding many widths into the tails. On the grid its shift is linear in the residual and in qT between
the nodes; beyond the outermost nodes the shift is carried on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import RegularGridInterpolator

from ptmiss.typing import Array

from .gaussians import Mixture
from .laws import SCALE, Law

QT_NODES = 17
TOLERANCE = 0.01  # GeV: of a straight piece where |z| < CORE
TAIL_TOLERANCE = 0.1  # GeV: further out
CORE, RANGE = 4.0, 8.0  # in units of the largest width
GRID = 600  # points at which the curvature of the map is looked at
LONGEST = 16  # the range has at least so many pieces


@dataclass(frozen=True)
class Surface:
    """A map by its shift on a grid.

    qt: nodes (Q,), GeV; x: nodes of the residual (K,), GeV; shift: (classes of nJets, Q, K), GeV.
    """

    qt: Array
    x: Array
    shift: Array

    def __call__(self, qt: ArrayLike, jets: ArrayLike, x: ArrayLike) -> Array:
        """The mapped residual, GeV; arguments that broadcast, jets the number of the class."""
        qt, jets, x = np.broadcast_arrays(np.asarray(qt, float), jets, np.asarray(x, float))
        points = np.stack([jets, np.clip(qt, self.qt[0], self.qt[-1]), np.clip(x, self.x[0], self.x[-1])], axis=-1)
        axes = (np.arange(len(self.shift)), self.qt, self.x)
        if len(self.shift) == 1:
            return x + RegularGridInterpolator(axes[1:], self.shift[0])(points[..., 1:])
        return np.asarray(x + RegularGridInterpolator(axes, self.shift)(points))

    def along(self, qt: float, jets: int, x: Array) -> Array:
        """The mapped residuals x (m,), GeV, at one qT (GeV) and class: as a call, in a fraction of its time."""
        above = int(np.clip(np.searchsorted(self.qt, qt), 1, len(self.qt) - 1))
        low, high = self.qt[above - 1], self.qt[above]
        part = np.clip((qt - low) / (high - low), 0, 1)
        row = (1 - part) * self.shift[jets, above - 1] + part * self.shift[jets, above]
        return np.asarray(x + np.interp(x, self.x, row))

    @property
    def rows(self) -> tuple[Array, NDArray[np.int64]]:
        """qT (GeV) and class of every row of the grid, the classes one after the other."""
        classes, nodes = len(self.shift), len(self.qt)
        return np.tile(self.qt, classes), np.repeat(np.arange(classes), nodes)

    def like(self, y: Array) -> Surface:
        """The map on the same grid that takes x to y, (rows, K); it rises where y does not quite."""
        y = np.maximum.accumulate(y, axis=1)
        return Surface(self.qt, self.x, (y - self.x).reshape(self.shift.shape))

    def coarse(self) -> Surface:
        """No shift, on every second node of qT and every third of the residual."""
        qt, x = self.qt[::2], np.append(self.x[:-1:3], self.x[-1])
        return Surface(qt, x, np.zeros((len(self.shift), len(qt), len(x))))


def exact(mc: Mixture, data: Mixture, x: ArrayLike) -> Array:
    """``F_data⁻¹(F_MC(x))``, (rows, m) GeV, to rounding."""
    return data.quantile(mc.log_cdf(x), mc.log_sf(x))


def nodes(top: float) -> Array:
    """Nodes of qT up to where the laws end, GeV."""
    return np.round(SCALE * np.expm1(np.linspace(0, np.log1p(top / SCALE), QT_NODES)), 2)


def surface(mc: Law, data: Law, classes: int) -> Surface:
    """The map between two laws."""
    qt = nodes(mc.basis.top)
    rows = np.tile(qt, classes), np.repeat(np.arange(classes), len(qt))
    of_mc, of_data = mc.at(*rows), data.at(*rows)
    width, centre = of_mc.widths.max(), float(np.median(of_mc.mean))
    reach = RANGE * width + np.ptp(of_mc.means)
    x = np.linspace(centre - reach, centre + reach, GRID)
    tolerance = np.where(np.abs(x - centre) < CORE * width, TOLERANCE, TAIL_TOLERANCE)
    knots = np.round(_knots(x, exact(of_mc, of_data, x), tolerance), 2)
    empty = Surface(qt, knots, np.zeros((classes, len(qt), len(knots))))
    return empty.like(exact(of_mc, of_data, knots))


def _knots(x: Array, y: Array, tolerance: Array) -> Array:
    """Ends of as few straight pieces as keep all rows of y within the tolerance.

    A piece of length h is off by h² |y''| / 8.
    """
    curvature = np.abs(np.gradient(np.gradient(y, x, axis=1), x, axis=1)).max(axis=0)
    density = np.maximum(np.sqrt(curvature / 8 / tolerance), LONGEST / np.ptp(x))
    number = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(x))])
    return np.interp(np.linspace(0, number[-1], int(np.ceil(number[-1])) + 1), number, x)

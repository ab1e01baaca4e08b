"""Variations of a quantile map.

* ``smoothing``: the histograms themselves in place of the Gaussians (see ptmiss.calibration.smoothing)
* ``gaussians``: three Gaussians
* ``njets_inclusive``: laws of qT alone
* ``background_up``, ``background_down``: derived again with 20 % more or less background
* ``stat_<i>``: one standard deviation along each of the leading independent directions of the map's statistical error,
  of both samples and of the background's simulation: 0 to 14 of ``u_par`` and 15 to 29 of ``u_perp``

Each is a map of residuals that the nominal map has corrected already, on a coarser grid: it is nearly nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from ptmiss.histograms import COMPONENTS
from ptmiss.systematics import NOMINAL
from ptmiss.typing import Array

from . import smoothing
from .fits import Fit, Pair, deviations
from .gaussians import Mixture
from .laws import Law
from .likelihood import Counts
from .quantiles import Surface, exact

STEP = 0.01  # standard deviations
DIRECTIONS = 15  # of the statistical error of a component
INNER = 2.5  # widths of data inside which the directions count
STATISTICAL = tuple(f"stat_{i}" for i in range(len(COMPONENTS) * DIRECTIONS))
LEAST_FRACTION = 1e-3  # of a third Gaussian that is one

Rows = tuple[Array, NDArray[np.int64]]


def systematic(
    grid: Surface, counts: Mapping[str, Counts], fits: Mapping[str, Pair]
) -> tuple[dict[str, Surface], dict[str, str]]:
    """Maps on a grid, no shift yet, and why those are absent that could not be made."""
    qt, jets = grid.rows
    nominal = fits[NOMINAL]
    x = _before(grid, nominal)
    out, absent = {"smoothing": _smooth(grid, counts, nominal)}, {}
    for name, pair in fits.items():
        if name == NOMINAL:
            continue
        if reason := "the data hold no background" if pair is nominal else _absence(pair):
            absent[name], out[name] = reason, grid
        else:
            where = qt, np.minimum(jets, pair.mc.law.basis.classes - 1)
            out[name] = grid.like(exact(pair.mc.law.at(*where), pair.data.law.at(*where), x))
    return out, absent


def _before(grid: Surface, nominal: Pair) -> Array:
    """What the nominal map takes to the grid, (rows, K) GeV."""
    return exact(nominal.data.law.at(*grid.rows), nominal.mc.law.at(*grid.rows), grid.x)


def _smooth(grid: Surface, counts: Mapping[str, Counts], nominal: Pair) -> Surface:
    qt, jets = grid.rows
    classes = len(grid.shift)
    seen = [smoothing.observe(counts[s], nominal.of(s).law, classes)[jets] for s in ("mc", "data")]
    return grid.like(grid.x + smoothing.shifts(nominal.data.law.at(qt, jets), grid.x, *seen))


def _absence(pair: Pair) -> str:
    """Why fits make no variation; empty where they do."""
    if not all(found.valid for found in pair):
        return "a fit did not converge"
    if any(least_fraction(found.law) < LEAST_FRACTION for found in pair):
        return f"one of {pair.mc.law.n} Gaussians is empty"
    return ""


def least_fraction(law: Law) -> float:
    """The smallest fraction of a Gaussian, on average over qT and nJets."""
    qt, jets = np.linspace(0, law.basis.top, 20), np.arange(law.basis.classes)
    fractions = law.at(np.tile(qt, len(jets)), np.repeat(jets, 20)).fractions
    return float(fractions.mean(axis=0).min())


def statistical(grid: Surface, nominal: Pair, component: str) -> tuple[dict[str, Surface], float]:
    """The map moved by one standard deviation along the leading independent directions of its statistical error.

    All parameters of both fits move the map; what they do together at every residual and qT is a covariance, with each
    residual in units of its own error. Its leading eigenvectors are the directions, and their quadratic sum is the
    error of whatever is measured on corrected events. Those of the other component do not move this one. Also returned:
    the least part of a variance that they hold.
    """
    rows, x = grid.rows, _before(grid, nominal)
    law = nominal.data.law.at(*rows)
    moves = np.stack([_move(step, nominal, rows, x, grid.x) for step in _steps(nominal)])
    error = np.sqrt((moves**2).sum(axis=0))
    inner = np.abs(grid.x - law.mean[:, np.newaxis]) < INNER * law.rms[:, np.newaxis]
    rotation = np.linalg.svd(moves[:, inner] / error[inner], full_matrices=False)[0].T[:DIRECTIONS]
    leading = np.tensordot(rotation, moves, axes=1)
    held = ((leading[:, inner] ** 2).sum(axis=0) / error[inner] ** 2).min()
    first = DIRECTIONS * COMPONENTS.index(component)
    moved = {STATISTICAL[first + i]: grid.like(grid.x + move) for i, move in enumerate(leading)}
    return dict.fromkeys(STATISTICAL, grid) | moved, float(held)


def _steps(nominal: Pair) -> Iterator[tuple[Array, Array]]:
    """Independent standard deviations of the coefficients of both fits: those of data follow those of simulation."""
    mc, data = nominal
    for step in deviations(mc.law.covariance):
        yield step, data.pull @ step
    for step in deviations(data.law.covariance):
        yield np.zeros_like(step), step


def _move(step: tuple[Array, Array], nominal: Pair, rows: Rows, x: Array, y: Array) -> Array:
    """How far the map y of x (rows, m) moves with a step of both laws' coefficients, GeV.

    The probability below y of data stays that below x of simulation; tails are compared by their logarithms. Where the
    law of data has no density left, the map moves as where there still is some.
    """
    law = nominal.data.law.at(*rows)
    y = law.within(y)
    lower, upper = law.log_cdf(y), law.log_sf(y)
    below = lower < upper
    up, down = (
        [_at(found, sign * STEP * part, rows) for found, part in zip(nominal, step, strict=True)] for sign in (1, -1)
    )

    def change(part: int, at: Array) -> Array:
        one, other = up[part], down[part]
        return np.where(below, one.log_cdf(at) - other.log_cdf(at), other.log_sf(at) - one.log_sf(at)) / (2 * STEP)

    return (change(0, x) - change(1, y)) * np.exp(np.where(below, lower, upper)) / law.pdf(y)


def _at(found: Fit, step: Array, rows: Rows) -> Mixture:
    return found.law.move(step).at(*rows)

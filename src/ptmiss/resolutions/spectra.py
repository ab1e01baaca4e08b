"""Spectra of residuals with a response correction: half widths, and the RMS inside a window, with errors.

A spectrum is kept in each bin of qT, so a residual ``u_par - qT`` becomes ``u_par / R - qT`` with the mean qT of its
bin; the spread of qT inside a bin is neglected. Errors are to first order: a width's derivative by each event's
weight, with the density at a quantile from the quantiles on either side of it (Hall and Sheather, J. R. Stat. Soc. B
50 (1988) 381). That R and the width of u_perp come from the same events is neglected, for u_perp has no sign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import hist
import numpy as np
from scipy.stats import norm

from ptmiss.bootstrap import CENTRAL_68, ROUNDING
from ptmiss.histograms import COMPONENTS
from ptmiss.typing import Array

from .moments import ONE_EVENT, Sums, ratio
from .responses import ResponseCorrection, Width

GRID = np.linspace(-400.0, 400.0, 801)  # GeV: edges of a corrected spectrum
CENTRES = np.concatenate([GRID[:1], (GRID[1:] + GRID[:-1]) / 2, GRID[-1:]])
WIDEST = 0.1  # of the probability on either side of a quantile


@dataclass(frozen=True)
class Spectra:
    """Weights and their variances of a corrected residual in bins of qT and of GRID with flow.

    values, variances: (qt, …, bins). qt: (qt,) mean qT in GeV, 0 for u_perp: ``u / R`` is the residual and this.
    """

    values: Array
    variances: Array
    qt: Array

    def part(self, where: tuple[slice, Any, Any]) -> Spectra:
        """The spectra of some cells in each bin of qT, (qt, bins): an index over (qt, npv, njets)."""
        values, variances = (a[where] for a in (self.values, self.variances))
        shape = len(values), -1, values.shape[-1]
        return Spectra(values.reshape(shape).sum(axis=1), variances.reshape(shape).sum(axis=1), self.qt[where[0]])

    def half_width(self, r: ResponseCorrection) -> Width:
        """Half the distance between the 16 % and 84 % quantiles, GeV, of all bins of qT together."""
        total = self.values.sum(axis=0)
        n = float(ratio(total.sum() ** 2, self.variances.sum()))
        if not (total.sum() > 0 and n > ONE_EVENT):
            return Width(np.nan, np.nan, np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):  # a quantile in the flow is NaN, and so is the width
            (low, *below), (high, *above) = (self._quantile(total, p, n, r) for p in CENTRAL_68)
        influence, gradient = ((b - a) / 2 for a, b in zip(below, above, strict=True))
        return self._width(float(high - low) / 2, influence, gradient, r)

    def windowed_rms(self, window: float, r: ResponseCorrection) -> Width:
        """RMS of the bins' centres inside ±window, GeV: for comparison with code that truncates."""
        inside = np.abs(CENTRES) < window
        w, x = self.values * inside, CENTRES
        total = w.sum()
        if not total > 0:
            return Width(np.nan, np.nan, np.nan)
        mean = (w @ x).sum() / total
        rms = np.sqrt(max((w @ (x - mean) ** 2).sum() / total, 0))
        with np.errstate(divide="ignore", invalid="ignore"):
            influence = inside * ((x - mean) ** 2 - rms**2) / (2 * rms * total)
            gradient = -(w @ ((x - mean) * x) + self.qt * (w @ (x - mean))) / (r.value * rms * total)
        return self._width(float(rms), influence, gradient, r)

    def _quantile(self, total: Array, p: float, n: float, r: ResponseCorrection) -> tuple[Array, Array, Array]:
        """A quantile and its derivatives by weights in the bins of GRID and by the R of each bin of qT."""
        step = bandwidth(p, n)
        before, value, after = (quantile(total[np.newaxis], q)[0] for q in (p - step, p, p + step))
        slope = (after - before) / (2 * step)  # GeV for a unit of probability
        here = self.values @ (share_below(after) - share_below(before))
        gradient = -ratio(here, np.full_like(here, here.sum())) * (value + self.qt) / r.value
        return value, (p - share_below(value)) * slope / total.sum(), gradient

    def _width(self, value: float, influence: Array, gradient: Array, r: ResponseCorrection) -> Width:
        """A width with its error; influence: its derivative by weights in the bins of GRID."""
        own = float((self.variances @ influence**2).sum())
        along = r.value * (self.variances @ (influence * CENTRES)) if self.qt.any() else np.zeros_like(gradient)
        return r.width(value, own, gradient, along)


def bandwidth(p: float, n: float) -> float:
    """Probability on either side of a quantile in which the density is taken, for n effective events."""
    z = norm.ppf(p)
    best = n ** (-1 / 3) * norm.ppf(0.975) ** (2 / 3) * (1.5 * norm.pdf(z) ** 2 / (2 * z**2 + 1)) ** (1 / 3)
    return float(min(best, WIDEST))


def share_below(x: float) -> Array:
    """Share of each bin of GRID, flow included, that is below x GeV."""
    inner = np.clip((x - GRID[:-1]) / np.diff(GRID), 0, 1)
    return np.concatenate([[1.0], inner, [0.0]])


def quantile(values: Array, q: float) -> Array:
    """Quantile of each row of bin contents (rows, bins of GRID with flow), GeV; NaN where it is in the flow."""
    cumulative = np.cumsum(values, axis=1)
    total = cumulative[:, -1:]
    rising = np.maximum.accumulate(ratio(cumulative, np.broadcast_to(total, cumulative.shape)), axis=1)
    above = np.argmax(rising >= q - ROUNDING, axis=1)  # the quantile is in this bin
    inside = (above >= 1) & (above <= len(GRID) - 1) & (total[:, 0] > 0)
    above = np.where(inside, above, 1)
    rows = np.arange(len(values))
    before, after = rising[rows, above - 1], rising[rows, above]
    fraction = ratio(q - before, after - before)
    return np.where(inside, GRID[above - 1] + fraction * (GRID[above] - GRID[above - 1]), np.nan)


def corrected_spectra(histogram: hist.Hist, estimator: str, s: Sums, r: ResponseCorrection) -> dict[str, Spectra]:
    """(qt, npv, njets, bins) spectra of both components of an estimator; empty in bins without a response."""
    view = histogram[{"estimator": estimator}].view(flow=True)
    edges = histogram.axes["residual"].edges
    along = s.along_qt()
    mean_qt = np.nan_to_num(ratio(along(qt=1), along()))
    out = {}
    for number, component in enumerate(COMPONENTS):
        qt = mean_qt if component == "par" else np.zeros_like(mean_qt)
        values, variances = np.zeros((2, *view.shape[:3], len(GRID) + 1))
        for i in np.flatnonzero(np.isfinite(r.value) & (along(2) > 0)):
            factor = 1 / r.value[i]
            cell = view[i, :, :, number]
            for part, name in ((values, "value"), (variances, "variance")):
                part[i] = rebin(cell[name], edges, factor, qt[i] * (factor - 1))
        out[component] = Spectra(values, variances, qt)
    return out


def rebin(contents: Array, edges: Array, factor: float, shift: float) -> Array:
    """Contents of bins, flow included, that ``factor * residual + shift`` brings into the bins of GRID, flow included.

    contents: (…, bins + 2); edges: (bins + 1,) and shift in GeV; events are spread evenly over a bin.
    """
    back = (GRID - shift) / factor
    cumulative = np.cumsum(contents, axis=-1)  # at each edge, the last is the sum
    position = np.interp(back, edges, np.arange(len(edges), dtype=np.float64))
    before = np.minimum(position.astype(int), len(edges) - 2)
    inside = cumulative[..., before] * (1 - position + before) + cumulative[..., before + 1] * (position - before)
    below = np.where(back >= edges[0], inside, 0)
    return np.diff(below, prepend=0, append=cumulative[..., -1:], axis=-1)

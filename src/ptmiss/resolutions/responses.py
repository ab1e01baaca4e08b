"""The response correction: what u is divided by, and what its error adds to the error of a corrected width.

``R`` is 1 (``none``), the response in the plateau of the binning (``plateau``; 150 < qT < 1000 GeV unless a selection
has another), or the response of each stored bin of qT above 10 GeV (``bin``; events below are left out, since a ratio
of sums says nothing there). R is measured on events of the same sample: the plateau's error shifts every bin at once,
and the events of a bin that R is made of move both R and the width."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptmiss.errors import OptionError, UnknownName
from ptmiss.histograms import BIN_MINIMUM
from ptmiss.typing import Array

from .moments import Sums, ratio, response, rms

NONE, IN_PLATEAU, IN_BINS = "none", "plateau", "bin"
CORRECTIONS = (NONE, IN_PLATEAU, IN_BINS)


class Width(NamedTuple):
    """A width in GeV, its error, and of that what is common to all bins: its change when R is one error higher."""

    value: float
    error: float
    common: float


@dataclass(frozen=True)
class ResponseCorrection:
    """The responses that u is divided by in bins of qT; a response has a number.

    value: (bins,) R, NaN where events are left out. divides, measures: (bins,) number of the response that divides the
    bin's events, and of the one that they are part of; -1 for none. sum_qt, variance: (responses,) sum of w qT of the
    events that a response is made of, GeV, and the variance of the response. common: one response is for all bins.
    """

    value: Array
    divides: NDArray[np.intp]
    measures: NDArray[np.intp]
    sum_qt: Array
    variance: Array
    common: bool = False

    def part(self, where: slice) -> ResponseCorrection:
        """The same in some of the bins."""
        return replace(self, value=self.value[where], divides=self.divides[where], measures=self.measures[where])

    def width(self, value: float, own: float, gradient: Array, covariance: Array) -> Width:
        """A width with the error of R in its own.

        own: its variance at fixed R. gradient: (bins,) its derivative by the R of each bin. covariance: (bins,) sum
        over the width's own events of w² times its derivative by the event's weight times ``u_par - R qT``.
        """
        slope, both = self._sums(self.divides, gradient), self._sums(self.measures, covariance)
        covariance = np.divide(both, self.sum_qt, out=np.zeros_like(both), where=both != 0)
        with np.errstate(invalid="ignore"):  # a width of zero has no error
            variance = own + float((slope**2 * self.variance + 2 * slope * covariance).sum())
        common = float(slope[0] * np.sqrt(self.variance[0])) if self.common else 0.0
        return Width(value, np.sqrt(variance) if variance > 0 else np.nan, common if np.isfinite(value) else np.nan)

    def _sums(self, number: NDArray[np.intp], values: Array) -> Array:
        """Sums of the values of the bins that have the same response."""
        known = number >= 0
        return np.bincount(number[known], values[known], minlength=len(self.variance)).astype(np.float64)


def correction(s: Sums, kind: str) -> ResponseCorrection:
    """A response correction by its name (see CORRECTIONS), from sums over (qt, npv, njets) with flow bins."""
    stored, plateau = s.binning.qt_stored, s.binning.plateau
    bins = np.arange(len(stored) + 1)
    if kind == NONE:
        return ResponseCorrection(np.ones(len(bins)), np.full(len(bins), -1), np.full(len(bins), -1), *np.empty((2, 0)))
    if kind == IN_PLATEAU:
        inside = s.binning.qt_range(*plateau)
        there = s.part(inside)
        value, error = response(there)
        if not value > 0:
            raise OptionError(
                f"no plateau response: no events with {plateau[0]:g} < qT < {plateau[1]:g} GeV; "
                "use --correction none or bin"
            )
        measures = np.full(len(bins), -1)
        measures[inside[0]] = 0
        of_plateau = np.reshape(there(qt=1), 1), np.reshape(error**2, 1)
        return ResponseCorrection(np.full(len(bins), value), 0 * bins, measures, *of_plateau, common=True)
    if kind == IN_BINS:
        along = s.along_qt()
        value, error = response(along)
        known = (value > 0) & (np.asarray([-np.inf, *stored]) >= BIN_MINIMUM)
        number = np.where(known, bins, -1)
        return ResponseCorrection(np.where(known, value, np.nan), number, number, along(qt=1), np.nan_to_num(error**2))
    raise UnknownName("response correction", kind, CORRECTIONS)


def corrected_rms(s: Sums, r: ResponseCorrection, component: str) -> Width:
    """RMS of ``u_par / R - qT`` or of ``u_perp / R``, from sums of ``u / R`` in the bins of qT that R has."""
    total = s.total()
    value, error = rms(total, component)
    mean = ratio(total.central(component, 1, np.zeros(())), total())
    with np.errstate(invalid="ignore", divide="ignore"):
        gradient = -_times_u(s, component, mean) / (r.value * value * total())
        covariance = _times_residual(s, component, mean, value**2) * r.value / (2 * value * total())
    return r.width(float(value), float(error) ** 2, gradient, covariance)


def _times_u(s: Sums, component: str, mean: Array) -> Array:
    """Sums of ``w (x - mean) u`` of a residual x and the component of u that it is made of."""
    if component == "perp":
        return s(perp=2) - mean * s(perp=1)
    return s(par=2) - s(par=1, qt=1) - mean * s(par=1)


def _times_residual(s: Sums, component: str, mean: Array, variance: Array) -> Array:
    """Sums of ``w² ((x - mean)² - variance) (u_par - qT)`` of a residual x."""
    if component == "par":
        second, third = (s.central("par", order, np.zeros(()), weight=2) for order in (2, 3))
    else:
        second, third = (s(2, par=1, perp=k) - s(2, perp=k, qt=1) for k in (1, 2))
    return third - 2 * mean * second + (mean**2 - variance) * (s(2, par=1) - s(2, qt=1))

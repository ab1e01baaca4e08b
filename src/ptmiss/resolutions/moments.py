"""What sums of moments say: response, resolution as an RMS, effective events, with their errors.

Moments are sums over events (see ptmiss.histograms.Moment), so nothing depends on a histogram's range or bins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import comb
from typing import Any

import hist
import numpy as np

from ptmiss import binning as binnings
from ptmiss.binning import Binning
from ptmiss.errors import OptionError, UnknownName
from ptmiss.histograms import MOMENTS, Moment
from ptmiss.systematics import NOMINAL
from ptmiss.typing import Array

ONE_EVENT = 1.001  # effective events: with fewer there is no width
EVERYWHERE = (slice(None), slice(None), slice(None))


@dataclass(frozen=True)
class Sums:
    """Moments of one estimator (see histograms.Moment), each of shape (qt, npv, njets) with flow bins of a binning."""

    moments: Mapping[Moment, Array]
    binning: Binning = binnings.DEFAULT

    def __call__(self, weight: int = 1, par: int = 0, perp: int = 0, qt: int = 0) -> Array:
        """The sum of ``w^weight u_par^par u_perp^perp qT^qt``."""
        return self.moments[Moment(weight, par, perp, qt)]

    def part(self, where: Any) -> Sums:
        """Sums over part of the grid: an index or mask over (qt, npv, njets)."""
        return replace(self, moments={moment: np.asarray(m[where]).sum() for moment, m in self.moments.items()})

    def along_qt(self, where: tuple[slice, Any, Any] = EVERYWHERE) -> Sums:
        """(bins,) sums over part of the grid in each of its qT bins: a slice in qT, numbers or slices in the others."""
        along = {moment: m[where].reshape(len(m[where]), -1).sum(axis=1) for moment, m in self.moments.items()}
        return replace(self, moments=along)

    def of_order(self, weight: int) -> Sums:
        """Only the sums in this power of the weight."""
        return replace(self, moments={moment: m for moment, m in self.moments.items() if moment.weight == weight})

    def total(self) -> Sums:
        """Sums over all bins."""
        return replace(self, moments={moment: m.sum() for moment, m in self.moments.items()})

    def correct(self, response: Array) -> Sums:
        """Moments of ``u / R``, for one response R or (qT bins,) responses; where R is NaN the events are left out."""
        r = np.reshape(response, (-1, 1, 1))
        keep = np.broadcast_to(np.isfinite(r), self().shape)
        corrected = {
            moment: np.divide(m, r ** (moment.par + moment.perp), out=np.zeros_like(m), where=keep)
            for moment, m in self.moments.items()
        }
        return replace(self, moments=corrected)

    def central(self, component: str, order: int, about: Array, weight: int = 1) -> Array:
        """Sum of ``w^weight (x - about)^order`` in each bin, GeV^order, of x: ``u_par - qT`` or ``u_perp``."""
        total = np.zeros_like(np.asarray(self()))
        for power in range(order + 1):
            shift = comb(order, power) * (-about) ** (order - power)
            if component == "perp":
                total = total + shift * self(weight, perp=power)
                continue
            for qt in range(power + 1):
                total = total + shift * comb(power, qt) * (-1) ** qt * self(weight, par=power - qt, qt=qt)
        return total


def sums(moments: hist.Hist, estimator: str, systematic: str = NOMINAL) -> Sums:
    """Moments of one estimator out of the histogram that a processor fills."""
    if estimator not in list(moments.axes["estimator"]):
        raise UnknownName("estimator in the histograms", estimator, moments.axes["estimator"])
    if systematic not in list(moments.axes["systematic"]) or not np.any(moments.view(flow=True)):
        raise OptionError(f"the histograms of estimator {estimator!r} are empty: no event was selected")
    view = moments[{"systematic": systematic, "estimator": estimator}].view(flow=True)
    return Sums(dict(zip(MOMENTS, np.moveaxis(view, -1, 0), strict=True)), binnings.of(moments))


def ratio(numerator: Any, denominator: Any) -> Array:
    """Numerator over denominator, in their shape; NaN where the denominator is 0."""
    numerator, denominator = np.asarray(numerator, float), np.asarray(denominator, float)
    return np.divide(numerator, denominator, out=np.full_like(denominator, np.nan), where=denominator != 0)


def response(s: Sums) -> tuple[Array, Array]:
    """``<u_par> / <qT>`` of each bin and its error, from the weighted spread of ``u_par - R qT``; one event has none.

    Both are (bins,), dimensionless."""
    r = ratio(s(par=1), s(qt=1))
    spread = s(2, par=2) - 2 * r * s(2, par=1, qt=1) + r**2 * s(2, qt=2)
    error = np.abs(ratio(np.sqrt(np.maximum(spread, 0)), s(qt=1)))
    return r, np.where(n_effective(s) > ONE_EVENT, error, np.nan)


def slope(s: Sums) -> Array:
    """(bins,) ``<u_par qT> / <qT²>``: against a true pTmiss as qT, what a network gains by shrinking shows here."""
    return ratio(s(par=1, qt=1), s(qt=2))


def n_effective(s: Sums) -> Array:
    """(bins,) effective events, (Σ w)² / Σ w²."""
    return ratio(np.asarray(s()) ** 2, s(2))


def variance(s: Sums, component: str) -> tuple[Array, Array]:
    """Mean, GeV, and weighted variance about it, GeV², of ``u_par - qT`` or of ``u_perp``, both (bins,)."""
    mean = ratio(s.central(component, 1, np.zeros(())), s())
    return mean, ratio(s.central(component, 2, mean), s())


def rms(s: Sums, component: str) -> tuple[Array, Array]:
    """RMS about the mean of ``u_par - qT`` or of ``u_perp``, GeV, and its error.

    The error is that of the weighted second moment, ``sqrt(Σ w² ((x - <x>)² - RMS²)²) / (2 RMS Σ w)``. For a Gaussian
    it is ``RMS / sqrt(2 N_eff)``; with tails, or a background subtracted, that would be too small.
    """
    mean, square = variance(s, component)
    wide = (np.asarray(s()) > 0) & (n_effective(s) > ONE_EVENT)
    value = np.sqrt(np.where((square >= 0) & wide, square, np.nan))
    spread = (
        s.central(component, 4, mean, weight=2)
        - 2 * square * s.central(component, 2, mean, weight=2)
        + square**2 * s(2)
    )
    return value, ratio(np.sqrt(np.maximum(spread, 0)), np.abs(2 * value * s()))

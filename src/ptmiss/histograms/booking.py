"""Histograms of the recoil: exact moments for means and RMS, spectra beside them for quantiles and pictures.

The bin edges are those of ``ptmiss.binning``. Moments are sums of weights times powers of the quantity, so nothing is
lost to the range or the bin width of a histogram; every axis has an overflow bin.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import hist
import numpy as np
from numpy.typing import NDArray

from ptmiss import binning
from ptmiss.binning import Binning
from ptmiss.recoil import Recoil
from ptmiss.systematics import NOMINAL

BIN_MINIMUM = 10.0  # GeV: below, the response of a bin of qT says nothing
RESIDUAL = (200, -200.0, 200.0)  # bins, low, high in GeV
VERTICES = 120  # each number of vertices below this has a bin of its own


class Moment(NamedTuple):
    """A sum of ``w^weight u_par^par u_perp^perp qT^qt``."""

    weight: int
    par: int
    perp: int
    qt: int

    @property
    def name(self) -> str:
        """Its name on the histograms' axis."""
        return f"w{self.weight} par{self.par} perp{self.perp} qt{self.qt}"

    def term(self, recoil: Recoil, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """(events,) what each event adds to the sum, in powers of GeV."""
        return weight**self.weight * recoil.u_par**self.par * recoil.u_perp**self.perp * recoil.qt**self.qt


def _moments(weight: int, order: int) -> list[Moment]:
    along = [Moment(weight, par, 0, total - par) for total in range(order + 1) for par in range(total + 1)]
    return along + [Moment(weight, 0, perp, 0) for perp in range(1, order + 1)]


MOMENTS = (*_moments(1, 2), *_moments(2, 4), *(Moment(2, par, perp, 1 - par) for par in (0, 1) for perp in (1, 2)))
"""What is summed in each bin: in w up to second order for means and RMS, in w² up to fourth order for their errors.

The last four, of both components, are for what the RMS of u_perp and the response have in common."""

COMPONENTS = ("par", "perp")
OBSERVABLES = ("u_par", "u_perp", "met", "met_phi", "mt", "significance")
"""Spectra of one quantity: (systematic, estimator, value)."""
MET_AXES = ("x", "y")
MET_MOMENTS = ("w", "w2", "wx", "wxx", "w2x", "w2xx")
"""Sums of w x^k and w² x^k over events of weight w: they add up exactly. Those in w² are for errors."""


def axes(estimators: Iterable[str], bins: Binning) -> list[Any]:
    """The axes that moments and spectra share."""
    return [
        hist.axis.StrCategory(list(estimators), name="estimator", label="estimator", overflow=False),
        binning.qt_axis(bins.qt_stored, bins),
        hist.axis.Variable(bins.npv, name="npv", label="number of primary vertices"),
        hist.axis.Integer(0, len(bins.njets), name="njets", label="number of jets", flow=False),
    ]


def book_recoil(estimators: Iterable[str], bins: Binning = binning.DEFAULT) -> dict[str, hist.Hist]:
    """Empty histograms of the recoil, njets by its classes.

    moments: (systematic, estimator, qt, npv, njets, moment), see MOMENTS.
    spectra: (estimator, qt, npv, njets, component, residual), nominal weights: u_par - qT and u_perp.
    u_par, u_perp: (systematic, estimator, value).
    """
    shared = axes(estimators, bins)
    residual = hist.axis.Regular(*RESIDUAL, name="residual", label=r"$u_\parallel - q_\mathrm{T}$, $u_\perp$ (GeV)")
    component = hist.axis.StrCategory(COMPONENTS, name="component", label="component", overflow=False)
    moment = hist.axis.StrCategory([m.name for m in MOMENTS], name="moment", label="moment", overflow=False)
    return {
        "moments": hist.Hist(_systematic(), *shared, moment, storage=hist.storage.Double()),
        "spectra": hist.Hist(*shared, component, residual, storage=hist.storage.Weight()),
        "u_par": _spectrum(estimators, (150, -100, 200), "u_par", r"$u_\parallel$ (GeV)", bins.u_par),
        "u_perp": _spectrum(estimators, (100, -100, 100), "u_perp", r"$u_\perp$ (GeV)", bins.u_perp),
    }


def book_met(estimators: Iterable[str], bins: Binning = binning.DEFAULT) -> dict[str, hist.Hist]:
    """Empty histograms of pTmiss: met (GeV) and met_phi (rad), each (systematic, estimator, value)."""
    return {
        "met": _spectrum(estimators, (100, 0, 200), "met", r"$p_\mathrm{T}^\mathrm{miss}$ (GeV)", bins.met),
        "met_phi": _spectrum(estimators, (32, -np.pi, np.pi), "met_phi", r"$\phi(p_\mathrm{T}^\mathrm{miss})$"),
    }


def book_calibration(estimators: Iterable[str], bins: Binning = binning.DEFAULT) -> dict[str, hist.Hist]:
    """Empty histograms of what a calibration starts from.

    residuals: (estimator, qt, njets, component, residual) in the calibration's bins: u_par - qT and u_perp, to be
    filled after the XY correction. met_xy: (estimator, axis, npv, moment), sums over pTmiss_x and pTmiss_y at each
    number of vertices (see MET_MOMENTS), to be filled before it.
    """
    estimator = hist.axis.StrCategory(list(estimators), name="estimator", label="estimator", overflow=False)
    qt = binning.qt_axis(bins.calibration_qt, bins, underflow=False)
    njets = hist.axis.Integer(0, len(bins.njets), name="njets", label="number of jets", flow=False)
    component = hist.axis.StrCategory(COMPONENTS, name="component", label="component", overflow=False)
    residual = hist.axis.Variable(binning.CALIBRATION_RESIDUAL, name="residual", label="residual (GeV)")
    axis = hist.axis.StrCategory(MET_AXES, name="axis", label="axis", overflow=False)
    npv = hist.axis.Integer(0, VERTICES, name="npv", label="number of primary vertices")
    moment = hist.axis.StrCategory(MET_MOMENTS, name="moment", overflow=False)
    return {
        "residuals": hist.Hist(estimator, qt, njets, component, residual, storage=hist.storage.Weight()),
        "met_xy": hist.Hist(estimator, axis, npv, moment, storage=hist.storage.Double()),
    }


def book_significance(estimators: Iterable[str]) -> dict[str, hist.Hist]:
    """Empty histogram of the significance of pTmiss: (systematic, estimator, significance); none without estimators."""
    names = list(estimators)
    title = r"significance of $p_\mathrm{T}^\mathrm{miss}$"
    return {"significance": _spectrum(names, (100, 0, 50), "significance", title)} if names else {}


def book_mt(estimators: Iterable[str], bins: Binning = binning.DEFAULT) -> dict[str, hist.Hist]:
    """Empty histogram of the transverse mass: (systematic, estimator, mt)."""
    return {"mt": _spectrum(estimators, (80, 0, 160), "mt", r"$m_\mathrm{T}$ (GeV)", bins.mt)}


def _systematic() -> hist.axis.StrCategory:
    """The nominal one, also where no event is selected, and those that are filled."""
    return hist.axis.StrCategory([NOMINAL], name="systematic", label="systematic", growth=True)


def _spectrum(
    estimators: Iterable[str], regular: tuple[int, float, float], name: str, label: str, edges: Sequence[float] = ()
) -> hist.Hist:
    """An empty spectrum in bins of these edges, or else in regular ones (bins, low, high)."""
    of_edges = hist.axis.Variable(edges, name=name, label=label) if edges else None
    return hist.Hist(
        _systematic(),
        hist.axis.StrCategory(list(estimators), name="estimator", label="estimator", overflow=False),
        of_edges or hist.axis.Regular(*regular, name=name, label=label),
        storage=hist.storage.Weight(),
    )

"""Fill the histograms of the recoil, one estimator at a time, with the events of all systematics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import hist
import numpy as np
from numpy.typing import NDArray

from ptmiss import binning
from ptmiss.recoil import Recoil, azimuth, magnitude
from ptmiss.significance import significance
from ptmiss.systematics import NOMINAL
from ptmiss.typing import Array, Vector

from . import cells
from .booking import COMPONENTS, MET_AXES, MET_MOMENTS, RESIDUAL


def fill_recoil(
    histograms: Mapping[str, hist.Hist],
    estimator: str,
    recoil: Recoil,
    npv: NDArray,
    njets: NDArray,
    weight: NDArray[np.float64],
    systematic: str = NOMINAL,
) -> None:
    """Fill one estimator's recoil; arrays of shape (events,). Events whose recoil is not finite are left out."""
    fill_variations(histograms, estimator, recoil, npv, njets, {systematic: weight})


def fill_variations(
    histograms: Mapping[str, hist.Hist],
    estimator: str,
    recoil: Recoil,
    npv: NDArray,
    njets: NDArray,
    weights: Mapping[str, NDArray[np.float64]],
) -> None:
    """The same with several weights of the events, (events,) by systematic: their cells are found once."""
    finite = np.isfinite(recoil.u_par + recoil.u_perp + recoil.qt)
    if not finite.all():
        recoil = Recoil(*(part[finite] for part in recoil))
        npv, njets, weights = npv[finite], njets[finite], {name: weight[finite] for name, weight in weights.items()}
    weights = {name: np.asarray(weight, np.float64) for name, weight in weights.items()}
    bins = binning.of(histograms["moments"])
    cell = cells.numbers(recoil.qt, npv, bins.jet_class(njets), np.array(bins.qt_stored), np.array(bins.npv))
    for view, weight in _views(histograms["moments"], estimator, weights):
        cells.add_moments(cells.flat(view, 3), cell, *recoil, weight)
    for name, value in (("u_par", recoil.u_par), ("u_perp", recoil.u_perp)):
        _fill_spectrum(histograms[name], estimator, value, weights)
    if NOMINAL in weights:
        spectra = cells.flat(histograms["spectra"].view(flow=True)[histograms["spectra"].axes[0].index(estimator)], 3)
        for number, residual in enumerate((recoil.u_par - recoil.qt, recoil.u_perp)):
            cells.add_spectrum(spectra[:, number], cell, residual, weights[NOMINAL], *RESIDUAL[1:])


def _fill_spectrum(histogram: hist.Hist, estimator: str, value: Array, weights: Mapping[str, Array]) -> None:
    """Fill a spectrum of one quantity, (events,); compiled where its bins have one width."""
    axis = histogram.axes[-1]
    if not isinstance(axis, hist.axis.Regular):
        for systematic, weight in weights.items():
            histogram.fill(systematic, estimator, value, weight=weight)
        return
    for view, weight in _views(histogram, estimator, weights):
        cells.add_spectrum(view, None, value, weight, axis.edges[0], axis.edges[-1])


def _views(histogram: hist.Hist, estimator: str, weights: Mapping[str, Array]) -> Iterator[tuple[NDArray, Array]]:
    """The storage of one estimator for each systematic, flow bins included, and its weights.

    Systematics that the histogram does not have yet are added all at once: each time its storage is copied.
    """
    if missing := [name for name in weights if name not in histogram.axes["systematic"]]:
        first = [axis.value(0) for axis in list(histogram.axes)[1:]]
        histogram.fill(missing, *first, weight=0.0)
    view, of, axis = (
        histogram.view(flow=True),
        histogram.axes["estimator"].index(estimator),
        histogram.axes["systematic"],
    )
    for name, weight in weights.items():
        yield view[axis.index(name), of], weight


def fill_met(
    histograms: Mapping[str, hist.Hist],
    estimator: str,
    met: Vector,
    weight: NDArray[np.float64],
    systematic: str = NOMINAL,
    covariance: Array | None = None,
) -> None:
    """Fill size and direction of one estimator's pTmiss, shape (events, 2); what is not finite is left out.

    covariance: (events, 2, 2) of it, GeV², to fill its significance as well.
    """
    finite = np.isfinite(met).all(axis=1)
    met, weight = met[finite], weight[finite]
    values = {"met": magnitude(met), "met_phi": azimuth(met)}
    if covariance is not None:
        values["significance"] = significance(met, covariance[finite])
    for name, value in values.items():
        histograms[name].fill(systematic=systematic, estimator=estimator, **{name: value}, weight=weight)


def fill_residuals(
    histograms: Mapping[str, hist.Hist], estimator: str, recoil: Recoil, njets: NDArray, weight: NDArray[np.float64]
) -> None:
    """Fill one estimator's residuals, arrays of shape (events,); events whose recoil is not finite are left out."""
    finite = np.isfinite(recoil.u_par + recoil.u_perp + recoil.qt)
    u = Recoil(*(part[finite] for part in recoil))
    classes = binning.of(histograms["residuals"]).jet_class(njets[finite])
    where = {"estimator": estimator, "qt": u.qt, "njets": classes}
    for component, residual in zip(COMPONENTS, (u.u_par - u.qt, u.u_perp), strict=True):
        histograms["residuals"].fill(**where, component=component, residual=residual, weight=weight[finite])


def fill_met_xy(
    histograms: Mapping[str, hist.Hist], estimator: str, met: Vector, npv: NDArray, weight: NDArray[np.float64]
) -> None:
    """Fill the sums behind one estimator's mean pTmiss, shape (events, 2); what is not finite is left out."""
    finite = np.isfinite(met).all(axis=1)
    met, npv, w = met[finite], npv[finite], weight[finite]
    for axis, x in zip(MET_AXES, met.T, strict=True):
        sums = (w, w**2, w * x, w * x**2, w**2 * x, w**2 * x**2)
        for moment, value in zip(MET_MOMENTS, sums, strict=True):
            histograms["met_xy"].fill(estimator=estimator, axis=axis, npv=npv, moment=moment, weight=value)

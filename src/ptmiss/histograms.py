"""Histograms of the recoil: exact moments for means and RMS, spectra beside them for quantiles and pictures.

The bin edges are those of ``ptmiss.binning``. Moments are sums of weights times powers of the quantity, so nothing is
lost to the range or the bin width of a histogram; every axis has an overflow bin.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import hist
import numpy as np
from numpy.typing import NDArray

from ptmiss import binning, cells
from ptmiss.binning import Binning
from ptmiss.recoil import Recoil, azimuth, magnitude
from ptmiss.significance import significance
from ptmiss.systematics import NOMINAL
from ptmiss.typing import Array, Vector

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


def scale(histogram: hist.Hist, factor: float) -> hist.Hist:
    """A histogram with every weight multiplied by a factor: moments in w² by its square."""
    if "moment" not in histogram.axes.name:
        return histogram * factor
    return _by_moment(histogram, factor, factor**2)


def subtract(histogram: hist.Hist, background: hist.Hist) -> hist.Hist:
    """Data less background: sums of weights subtract, sums of squared weights add."""
    if "moment" not in histogram.axes.name:
        return histogram + background * -1.0
    return histogram + _by_moment(background, -1.0, 1.0)


def _by_moment(histogram: hist.Hist, of_weights: float, of_squares: float) -> hist.Hist:
    """The moments in w and those in w2, each multiplied by a factor of its own."""
    factors = [of_squares if moment.weight == 2 else of_weights for moment in MOMENTS]
    axis = histogram.axes.name.index("moment")
    out = histogram.copy()
    out.view(flow=True)[...] *= np.expand_dims(factors, [i for i in range(histogram.ndim) if i != axis])
    return out

"""The quantile correction of one component of one estimator, nominal and varied.

* ``nominal``: two Gaussians in each cell of (qT, nJets)
* ``smoothing``: the histograms themselves, smoothed, in place of the Gaussians
* ``gaussians``: three Gaussians
* ``njets_inclusive``: cells of qT alone
* ``background_up``, ``background_down``: derived again with 20 % more or less background
* ``stat_<i>``: one standard deviation along the i-th eigenvector of the fits' covariance: 0 to 4 of the MC's fit, 5 to
  9 of the data's, largest first
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import hist
import numpy as np
from numpy.typing import NDArray

from ptmiss.calibration.binning import Cell, Yields, cells, inclusive
from ptmiss.calibration.gaussians import Counts, Fit, fit, smoothed
from ptmiss.calibration.quantiles import QuantileMap, exact, quantile_map, smoothed_map
from ptmiss.histograms import CALIBRATION_RESIDUAL, COMPONENTS

BACKGROUND = 0.2  # relative uncertainty of the background
HALF_RANGE = {"par": 350.0, "perp": 150.0}  # GeV, of what is fitted
STEP = 0.1  # standard deviations
DIRECTIONS = 5  # eigenvectors of a fit of two Gaussians
STATISTICAL = tuple(f"stat_{i}" for i in range(2 * DIRECTIONS))


@dataclass(frozen=True)
class Residuals:
    """Histograms ``residuals`` of data, MC and background (None without one), the background scaled as it is in data."""

    data: hist.Hist
    mc: hist.Hist
    background: hist.Hist | None = None

    def counts(self, sample: str, estimator: str, component: str, cell: Cell, factor: float = 1.0) -> Counts:
        """One sample's residuals in a cell; those of data come with the background, times a factor."""
        if sample == "mc":
            return _counts(self.mc, estimator, component, cell)
        counts = _counts(self.data, estimator, component, cell)
        if self.background is None:
            return counts
        background = _counts(self.background, estimator, component, cell)
        scaled = Counts(factor * background.values, factor**2 * background.variances, background.edges)
        return Counts(counts.values, counts.variances, counts.edges, scaled)

    def yields(self, estimator: str) -> list[Yields]:
        """Events of MC and of background-subtracted data."""
        mc, data = (_yields(h, estimator) for h in (self.mc, self.data))
        if self.background is not None:
            background = _yields(self.background, estimator)
            data = Yields(data.weights - background.weights, data.squares + background.squares)
        return [mc, data]


def _yields(histogram: hist.Hist, estimator: str) -> Yields:
    view = histogram[{"estimator": estimator, "component": "perp"}].view(flow=True)
    return Yields(view["value"].sum(axis=-1), view["variance"].sum(axis=-1))


def _counts(histogram: hist.Hist, estimator: str, component: str, cell: Cell) -> Counts:
    view = histogram[{"estimator": estimator, "component": component}].view(flow=True)[cell.where][..., 1:-1]
    edges = np.array(CALIBRATION_RESIDUAL)
    inside = np.abs(edges) <= HALF_RANGE[component]
    bins = inside[1:] & inside[:-1]
    values, variances = (view[part].sum(axis=(0, 1))[bins] for part in ("value", "variance"))
    return Counts(values, variances, edges[inside])


Maps = Mapping[str, list[QuantileMap]]


@dataclass(frozen=True)
class QuantileCorrection:
    """Everything that was derived for one component of one estimator.

    cells, inclusive: the bins; fits: by sample (``mc``, ``data``, and those of the variations), one for each cell;
    maps: by systematic, one for each cell (of ``inclusive`` for ``njets_inclusive``).
    """

    estimator: str
    component: str
    cells: list[Cell]
    inclusive: list[Cell]
    fits: Mapping[str, list[Fit]]
    maps: Maps

    def cells_of(self, systematic: str) -> list[Cell]:
        """The bins of a systematic's maps."""
        return self.inclusive if systematic == "njets_inclusive" else self.cells

    @property
    def name(self) -> str:
        """Of the correction."""
        return f"{self.estimator}_u_{self.component}"

    def map(self, systematic: str, number: int) -> QuantileMap:
        """A systematic's map in one of the cells."""
        if systematic != "njets_inclusive":
            return self.maps[systematic][number]
        middle = sum(self.cells[number].qt_bins) / 2
        around = [i for i, cell in enumerate(self.inclusive) if cell.qt_bins[0] <= middle < cell.qt_bins[1]]
        return self.maps[systematic][around[0]]

    def effects(self, number: int) -> dict[str, tuple[float, float]]:
        """Mean and RMS of corrected simulation in a cell, GeV, with each systematic: its fitted density, mapped."""
        law = self.fits["mc"][number].law
        x = np.linspace(law.mean - 8 * law.rms, law.mean + 8 * law.rms, 801)
        density = law.pdf(x)
        out = {}
        for systematic in self.maps:
            y = self.map(systematic, number)(x)
            mean = np.average(y, weights=density)
            out[systematic] = float(mean), float(np.sqrt(np.average((y - mean) ** 2, weights=density)))
        return out

    def uncertainty(self, number: int) -> tuple[float, float, float]:
        """Mean (GeV) of corrected simulation in a cell, its uncertainty (GeV), and the relative one of the RMS."""
        effects = self.effects(number)
        mean, rms = effects.pop("nominal")
        shifts = np.array([[other - mean, spread / rms - 1] for other, spread in effects.values()])
        weights = np.array([0.5 if name.startswith("background") else 1.0 for name in effects])  # up and down are one
        shift, stretch = np.sqrt(weights @ shifts**2)
        return mean, float(shift), float(stretch)


def derive(residuals: Residuals, estimator: str, minimum: float) -> Iterator[QuantileCorrection]:
    """The corrections of both components."""
    yields = residuals.yields(estimator)
    chosen, by_qt = cells(yields, minimum), inclusive(yields, minimum)
    for component in COMPONENTS:
        fits = _fits(residuals, estimator, component, chosen, by_qt)
        yield QuantileCorrection(estimator, component, chosen, by_qt, fits, _maps(fits))


def _fits(
    residuals: Residuals, estimator: str, component: str, chosen: list[Cell], by_qt: list[Cell]
) -> dict[str, list[Fit]]:
    def all_of(sample: str, where: list[Cell], factor: float = 1.0) -> list[Counts]:
        return [residuals.counts(sample, estimator, component, cell, factor) for cell in where]

    out: dict[str, list[Fit]] = {}
    for sample in ("mc", "data"):
        counts = all_of(sample, chosen)
        out[sample] = [fit(c) for c in counts]
        out[f"{sample}_gaussians"] = [fit(c, 3) for c in counts]
        out[f"{sample}_smoothing"] = [smoothed(c) for c in counts]
        out[f"{sample}_njets_inclusive"] = [fit(c) for c in all_of(sample, by_qt)]
    if residuals.background is not None:
        for name, factor in (("up", 1 + BACKGROUND), ("down", 1 - BACKGROUND)):
            out[f"data_background_{name}"] = [fit(c) for c in all_of("data", chosen, factor)]
    return out


def _maps(fits: Mapping[str, list[Fit]]) -> dict[str, list[QuantileMap]]:
    mc, data = fits["mc"], fits["data"]
    out = {"nominal": [_map(*pair) for pair in zip(mc, data, strict=True)]}
    for name in ("smoothing", "gaussians", "njets_inclusive"):
        out[name] = [_map(*pair) for pair in zip(fits[f"mc_{name}"], fits[f"data_{name}"], strict=True)]
    for name in ("background_up", "background_down"):
        if f"data_{name}" in fits:
            out[name] = [_map(*pair) for pair in zip(mc, fits[f"data_{name}"], strict=True)]
    signs = np.random.default_rng(0).choice([-1, 1], (len(mc), len(STATISTICAL)))
    varied = [statistical(*both) for both in zip(mc, data, out["nominal"], signs, strict=True)]
    for i, name in enumerate(STATISTICAL):
        out[name] = [maps[i] for maps in varied]
    return out


def _map(mc: Fit, data: Fit) -> QuantileMap:
    between = smoothed_map if "smoothed" in (mc.status, data.status) else quantile_map
    return between(mc.law, data.law)


def statistical(mc: Fit, data: Fit, nominal: QuantileMap, signs: NDArray[np.int64]) -> list[QuantileMap]:
    """The map moved by one standard deviation along each eigenvector of either fit's covariance: STATISTICAL.

    The move is that of a small step, scaled: a covariance holds near the minimum, and a whole step along an eigenvector
    that the data hardly bound can leave it far behind. signs: (2 DIRECTIONS,); drawn for each cell, they make the cells'
    independent errors add in quadrature, on average, where one ``stat_<i>`` is applied to events of many cells.
    """
    out = [nominal] * len(STATISTICAL)
    if "smoothed" in (mc.status, data.status):
        return out
    pairs = {i: (law, data.law) for i, law in enumerate(mc.shifted(STEP))}
    pairs |= {DIRECTIONS + i: (mc.law, law) for i, law in enumerate(data.shifted(STEP))}
    for i, laws in pairs.items():
        out[i] = nominal.moved(signs[i] / STEP * (exact(*laws, nominal.x) - nominal.y))
    return out

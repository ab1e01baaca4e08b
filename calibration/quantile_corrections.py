"""The quantile correction of one component of one estimator, nominal and varied.

Two Gaussians, whose parameters are smooth in qT and nJets, are fitted to simulation and to data; the map takes the one
law to the other. Its variations are in ptmiss.calibration.variations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptmiss.errors import OptionError
from ptmiss.histograms import COMPONENTS
from ptmiss.systematics import NOMINAL, total
from ptmiss.typing import Array

from . import variations
from .binning import Cell, cells
from .fits import VALID, Pair, choose, fit, widen
from .gaussians import Mixture
from .laws import Basis, Law
from .likelihood import Counts
from .quantiles import Surface, surface
from .residuals import Residuals, Tables

BACKGROUND = {"background_up": 1.2, "background_down": 0.8}
"""Factors of the background: its relative uncertainty is 20 %."""


@dataclass(frozen=True)
class QuantileCorrection:
    """Everything that was derived for one component of one estimator.

    cells: bins of (qT, nJets) with enough events, for tables and figures; classes: of nJets, as (first, stop). counts:
    of each sample, with the number of the bin of qT of each row; fits: of both samples, nominal and by variation.
    nominal: the map; variations: by name, what comes after it: a map of residuals that are corrected already. absent:
    variations that equal the nominal map, with the reason. held: the least part of the variance that the statistical
    directions hold.
    """

    estimator: str
    component: str
    cells: list[Cell]
    classes: list[tuple[int, int]]
    bins: NDArray[np.intp]
    counts: Mapping[str, Counts]
    fits: Mapping[str, Pair]
    nominal: Surface
    variations: Mapping[str, Surface]
    absent: Mapping[str, str]
    held: float

    @property
    def name(self) -> str:
        """Of the correction."""
        return f"{self.estimator}_u_{self.component}"

    @property
    def systematics(self) -> list[str]:
        """Names of all maps, the nominal one first."""
        return [NOMINAL, *self.variations]

    @property
    def njets_edges(self) -> list[float]:
        """Edges of the classes of nJets, half a jet off the integers."""
        firsts = dict.fromkeys(cell.njets[0] for cell in self.cells)
        return [*(first - 0.5 for first in firsts), self.cells[-1].binning.njets[-1] + 0.5]

    def jets(self, cell: Cell) -> int:
        """The number of a cell's class of nJets."""
        return self.classes.index(cell.njets_bins)

    def rows(self, cell: Cell) -> NDArray[np.bool_]:
        """Which rows of the counts are in a cell."""
        start, stop = cell.qt_bins
        return (self.bins >= start) & (self.bins < stop) & (self.counts["mc"].jets == self.jets(cell))

    def part(self, sample: str, cell: Cell) -> Counts:
        """One sample's histograms in a cell."""
        return self.counts[sample].part(self.rows(cell))

    def centre(self, cell: Cell) -> float:
        """Mean qT of a cell's simulated events, GeV."""
        counts = self.part("mc", cell)
        return float(np.average(counts.qt, weights=np.maximum(counts.values.sum(axis=1), 1e-9)))

    def law(self, sample: str) -> Law:
        """The law of ``mc`` or ``data``."""
        return self.fits[NOMINAL].of(sample).law

    def at(self, sample: str, cell: Cell) -> Mixture:
        """A sample's law at the centre of a cell."""
        return self.law(sample).at([self.centre(cell)], [self.jets(cell)])

    def map(self, systematic: str, qt: ArrayLike, jets: ArrayLike, x: ArrayLike) -> Array:
        """A systematic's map at qT (GeV) and a class of nJets."""
        y = self.nominal(qt, jets, x)
        if systematic == NOMINAL or not self.variations[systematic].shift.any():
            return y
        return self.variations[systematic](qt, jets, y)

    def effects(self, cell: Cell) -> dict[str, tuple[float, float]]:
        """Mean and RMS of corrected simulation in a cell, GeV, with each systematic: its fitted law, mapped."""
        law, where = self.at("mc", cell), (self.centre(cell), self.jets(cell))
        x = np.linspace(law.mean[0] - 8 * law.rms[0], law.mean[0] + 8 * law.rms[0], 801)
        density, out, nominal = law.pdf(x)[0], {}, self.nominal.along(*where, x)
        for systematic in self.systematics:
            y = self.variations[systematic].along(*where, nominal) if systematic in self.variations else nominal
            mean = np.average(y, weights=density)
            out[systematic] = float(mean), float(np.sqrt(np.average((y - mean) ** 2, weights=density)))
        return out

    def uncertainty(self, cell: Cell) -> tuple[float, float, float]:
        """Mean (GeV) of corrected simulation in a cell, its uncertainty (GeV), and the relative one of the RMS."""
        effects = self.effects(cell)
        mean, rms = effects.pop(NOMINAL)
        shifts = {name: np.array([other - mean, spread / rms - 1]) for name, (other, spread) in effects.items()}
        shift, stretch = total(shifts)
        return mean, float(shift), float(stretch)


def derive(residuals: Residuals, estimator: str, minimum: float) -> Iterator[QuantileCorrection]:
    """The corrections of both components; OptionError where there is nothing to fit, or no fit."""
    return (derive_component(residuals, estimator, component, minimum) for component in COMPONENTS)


def derive_component(residuals: Residuals, estimator: str, component: str, minimum: float) -> QuantileCorrection:
    """The correction of one component; OptionError where there is nothing to fit, or no fit."""
    yields = residuals.yields(estimator)
    for sample, sumw in zip(("simulation", "data less background"), (y.weights.sum() for y in yields), strict=True):
        if not sumw > 0:
            raise OptionError(
                f"{estimator} of {sample}: the weights of its events add up to {sumw:g}, expected more than 0"
            )
    chosen = cells(yields, minimum, residuals.binning)
    classes = [jets for jets, _ in groupby(chosen, key=lambda cell: cell.njets_bins)]
    whole = (classes[0][0], classes[-1][1])
    split, joined = (residuals.tables(estimator, component, jets) for jets in (classes, [whole]))
    counts, fits = _fits(split, joined, _top(split, chosen))
    _require_valid(fits[NOMINAL], f"{estimator} u_{component}")
    nominal = surface(fits[NOMINAL].mc.law, fits[NOMINAL].data.law, len(classes))
    grid = nominal.coarse()
    varied, absent = variations.systematic(grid, counts, fits)
    moved, held = variations.statistical(grid, fits[NOMINAL], component)
    return QuantileCorrection(
        estimator, component, chosen, classes, split.bins, counts, fits, nominal, varied | moved, absent, held
    )


def _top(tables: Tables, chosen: Sequence[Cell]) -> float:
    """Where the laws end, GeV: the mean qT of the last cell, of the class of nJets where that is highest."""
    tops = []
    for number, (_, of_class) in enumerate(groupby(chosen, key=lambda cell: cell.njets_bins)):
        rows = slice(*list(of_class)[-1].qt_bins)
        events = np.maximum(tables.views["mc"][0][rows, number].sum(axis=-1), 1e-9)
        tops.append(np.average(tables.qt[rows, number], weights=events))
    return float(max(tops))


def _fits(split: Tables, joined: Tables, top: float) -> tuple[dict[str, Counts], dict[str, Pair]]:
    """What is fitted, and the fits of the nominal map and of the variations."""
    basis, alone = Basis(top, split.filled.shape[1]), Basis(top, 1)
    counts = {"mc": split.counts("mc"), "data": split.data(basis)}
    nominal = Pair(*choose(list(counts.values()), basis))
    out = {
        NOMINAL: nominal,
        "gaussians": Pair(*widen(nominal, list(counts.values()), 3)),
        "njets_inclusive": Pair(*choose([joined.counts("mc"), joined.data(alone)], alone)),
    }
    if "background" in split.views:
        out |= {name: _scale(nominal, counts["data"], factor) for name, factor in BACKGROUND.items()}
    return counts, out


def _scale(nominal: Pair, data: Counts, factor: float) -> Pair:
    """The data fitted again with another size of the background."""
    if data.background is None:
        return nominal
    scaled = replace(data, background=replace(data.background, share=factor * data.background.share))
    law, prior = nominal.data.law, nominal.data.prior
    return Pair(nominal.mc, fit(scaled, law.basis, law.free, prior, law.coefficients))


def _require_valid(pair: Pair, what: str) -> None:
    for sample, found in zip(("simulation", "data"), pair, strict=True):
        if not found.valid:
            raise OptionError(
                f"{what} of {sample}: the fit to {found.n_effective:.0f} effective events did not converge, it is "
                f"{found.distance:.2g} from the minimum, expected less than {VALID:g}"
            )

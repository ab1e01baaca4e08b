"""Histograms of the residuals of data, simulation and background, as what is fitted.

Bins of the residual are joined until they are a sixth of an RMS and hold events of both samples: an integral over a bin
is exact, so that costs next to nothing. Rows are the bins of qT and the classes of nJets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import hist
import numpy as np
from numpy.typing import NDArray

from ptmiss import binning as binnings
from ptmiss.binning import CALIBRATION_RESIDUAL, Binning
from ptmiss.typing import Array

from .binning import Yields, merge
from .fits import choose
from .laws import Basis
from .likelihood import Background, Counts

HALF_RANGE = {"par": 350.0, "perp": 150.0}  # GeV, of what is fitted
FINEST = 6  # bins of the residual in an RMS
MIN_BIN_EVENTS = 10.0  # effective events of a bin of the residual, all rows together
MIN_SHARE_EVENTS = 50.0  # effective events of the background behind each of its shares
MIN_LAW_EVENTS = 100.0  # effective events of a background with two Gaussians; one for fewer


@dataclass(frozen=True)
class Residuals:
    """Histograms ``residuals`` of data, MC and background (or None), the background scaled as in data."""

    data: hist.Hist
    mc: hist.Hist
    background: hist.Hist | None = None

    @property
    def binning(self) -> Binning:
        """Of the histograms."""
        return binnings.of(self.mc)

    def yields(self, estimator: str) -> list[Yields]:
        """Events of MC and of background-subtracted data."""
        mc, data = (_yields(h, estimator) for h in (self.mc, self.data))
        if self.background is not None:
            background = _yields(self.background, estimator)
            data = Yields(data.weights - background.weights, data.squares + background.squares)
        return [mc, data]

    def tables(self, estimator: str, component: str, classes: Sequence[tuple[int, int]]) -> Tables:
        """One component of one estimator, for these classes of nJets (first, stop)."""
        samples = {"mc": self.mc, "data": self.data} | ({"background": self.background} if self.background else {})
        views = {name: _view(h, estimator, component, classes) for name, h in samples.items()}
        return Tables(views, CALIBRATION_EDGES[component], self.binning.calibration_qt)


CALIBRATION_EDGES = {
    component: np.array([edge for edge in CALIBRATION_RESIDUAL if abs(edge) <= half])
    for component, half in HALF_RANGE.items()
}


def _yields(histogram: hist.Hist, estimator: str) -> Yields:
    view = histogram[{"estimator": estimator, "component": "perp"}].view(flow=True)
    return Yields(view["value"].sum(axis=-1), view["variance"].sum(axis=-1))


def _view(histogram: hist.Hist, estimator: str, component: str, classes: Sequence[tuple[int, int]]) -> Array:
    """Values and variances, (2, bins of qT, classes, bins of the residual) inside the window."""
    view = histogram[{"estimator": estimator, "component": component}].view(flow=True)[..., 1:-1]
    edges = np.abs(CALIBRATION_RESIDUAL) <= HALF_RANGE[component]
    inside = edges[1:] & edges[:-1]
    both = np.stack([view["value"], view["variance"]])[..., inside]
    return np.stack([both[:, :, slice(*jets)].sum(axis=2) for jets in classes], axis=2)


@dataclass(frozen=True)
class Tables:
    """Values and variances of each sample, (2, bins of qT, classes, bins of the residual), and the edges (GeV).

    edges: of the residual; qt_edges: of qT.
    """

    views: dict[str, Array]
    edges: Array
    qt_edges: Sequence[float]

    @cached_property
    def qt(self) -> Array:
        """Mean qT of each bin and class, (bins, classes) GeV, of simulation."""
        return np.stack([means(values, self.qt_edges) for values in self.views["mc"][0].sum(axis=-1).T], axis=1)

    @cached_property
    def filled(self) -> NDArray[np.bool_]:
        """Which rows have events of data or simulation, (bins, classes)."""
        return np.any([self.views[name][1].sum(axis=-1) > 0 for name in ("mc", "data")], axis=0)

    @cached_property
    def bins(self) -> NDArray[np.intp]:
        """(rows,) number of the bin of qT of each row."""
        return np.nonzero(self.filled)[0]

    @cached_property
    def starts(self) -> NDArray[np.intp]:
        """(joined,) first of the bins of the residual that are joined."""
        totals = {name: view.sum(axis=(1, 2)) for name, view in self.views.items()}
        x, weights = (self.edges[1:] + self.edges[:-1]) / 2, totals["mc"][0]
        rms = np.sqrt(max(np.average((x - np.average(x, weights=weights)) ** 2, weights=weights), 0.0))
        number = np.floor((self.edges[:-1] - self.edges[0]) / max(rms / FINEST, 1.0) + 1e-9)
        first = np.flatnonzero(np.diff(number, prepend=-1))
        joined = [Yields(*np.add.reduceat(totals[name], first, axis=1)) for name in ("mc", "data")]
        return first[merge(joined, MIN_BIN_EVENTS)[:-1]]

    def counts(self, sample: str) -> Counts:
        """What is fitted of one sample, without a background."""
        values, variances = np.add.reduceat(self.views[sample], self.starts, axis=-1)[:, self.filled]
        edges = np.append(self.edges[self.starts], self.edges[-1])
        return Counts(values, variances, edges, self.qt[self.filled], np.nonzero(self.filled)[1].astype(np.int64))

    def data(self, basis: Basis) -> Counts:
        """The data, with the background that is in them."""
        counts = self.counts("data")
        if "background" not in self.views or self.counts("background").n_effective < 1:
            return counts
        return replace(counts, background=self._background(counts, basis))

    def _background(self, data: Counts, basis: Basis) -> Background:
        counts = self.counts("background")
        law = choose([counts], basis, 2 if counts.n_effective >= MIN_LAW_EVENTS else 1)[0].law
        share, errors = np.zeros(len(data.values)), []
        for j in range(basis.classes):
            rows = np.flatnonzero(data.jets == j)
            recorded, known = (_of_rows(c, rows) for c in (data, counts))
            signal = Yields(recorded.weights - known.weights, recorded.squares + known.squares)
            bounds = merge([known, signal], MIN_SHARE_EVENTS)
            for start, stop in pairwise(bounds):
                group, total = rows[start:stop], recorded.weights[start:stop].sum()
                error = np.zeros_like(share)
                error[group] = np.sqrt(known.squares[start:stop].sum()) / total if total > 0 else 0.0
                share[group] = known.weights[start:stop].sum() / total if total > 0 else 0.0
                errors.append(error)
        return Background(share, np.stack(errors), law)


def _of_rows(counts: Counts, rows: NDArray[np.intp]) -> Yields:
    return Yields(counts.values[rows].sum(axis=1), counts.variances[rows].sum(axis=1))


def means(values: Array, bounds: Sequence[float]) -> Array:
    """(bins,) mean qT, GeV, if the density falls inside a bin as it does between its neighbours.

    bounds: edges of the bins, GeV; the last bin is above them.
    """
    edges = np.array([*bounds, 2 * bounds[-1] - bounds[-2]])
    width, middle = np.diff(edges), (edges[1:] + edges[:-1]) / 2
    fall = np.gradient(np.log(np.maximum(values, 0.5) / width), middle) * width / 2
    steep = np.abs(fall) > 1e-3
    safe = np.where(steep, fall, 1.0)
    return middle + np.where(steep, 1 / np.tanh(safe) - 1 / safe, fall / 3) * width / 2

"""Pile-up: weights that give simulation the data's distribution of the number of vertices."""

from __future__ import annotations

from dataclasses import dataclass

import hist
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptmiss.errors import OptionError

from .binning import Yields, merge

MIN_BIN_EVENTS = 50.0  # effective events of both samples behind each weight


@dataclass(frozen=True)
class PileUp:
    """Weights of simulation in ranges of nPV; edges (n + 1,), weights (n,), the outer ones also beyond."""

    edges: NDArray[np.float64]
    weights: NDArray[np.float64]

    def __call__(self, npv: ArrayLike) -> NDArray[np.float64]:
        """Weight of each event."""
        number = np.searchsorted(self.edges, np.asarray(npv), side="right") - 1
        return self.weights[np.clip(number, 0, len(self.weights) - 1)]


def match(mc: hist.Hist, data: hist.Hist) -> PileUp:
    """Weights from the ``met_xy`` histograms of both samples, of mean one in simulation."""
    spectra = [_spectrum(histogram) for histogram in (mc, data)]
    for name, spectrum in zip(("simulation", "data"), spectra, strict=True):
        if not spectrum.weights.sum() > 0:
            total = spectrum.weights.sum()
            raise OptionError(f"pile-up: the weights of {name} add up to {total:g}, expected more than 0 (--no-pileup)")
    bounds = np.array(merge(spectra, MIN_BIN_EVENTS))
    shares = [np.add.reduceat(s.weights, bounds[:-1]) / s.weights.sum() for s in spectra]
    edges = mc.axes["npv"].edges - 0.5
    return PileUp(np.append(edges, edges[-1] + 1)[bounds], shares[1] / shares[0])


def _spectrum(histogram: hist.Hist) -> Yields:
    w, w2, *_ = histogram[0, 0, :, :].view(flow=True)[1:].T
    return Yields(w, w2)

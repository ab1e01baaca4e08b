"""Cells of (qT, nJets) with enough events: bins of the calibration histogram, poor ones merged with their neighbours.

Their ranges of nJets are the classes of the laws; in qT they are for tables and figures alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ptmiss.binning import DEFAULT, Binning, jets
from ptmiss.typing import Array

MIN_CELL_EVENTS = 300.0


@dataclass(frozen=True)
class Cell:
    """Bins of the calibration histogram that are shown together: ranges of their numbers, the stops not included."""

    qt_bins: tuple[int, int]
    njets_bins: tuple[int, int] = (0, len(DEFAULT.njets))
    binning: Binning = DEFAULT

    @property
    def qt(self) -> tuple[float, float]:
        """Edges in qT, GeV; the last cell also takes what is above."""
        edges = self.binning.calibration_qt
        return edges[self.qt_bins[0]], edges[min(self.qt_bins[1], len(edges) - 1)]

    @property
    def where(self) -> tuple[slice, slice]:
        """Index over (qt with overflow, njets)."""
        return slice(*self.qt_bins), slice(*self.njets_bins)

    @property
    def jets(self) -> str:
        """The range of nJets for people."""
        first, stop = self.njets
        if stop is None:
            return f"≥ {first} jets" if first else "any nJets"
        return f"{first} or {stop - 1} jets" if stop - first == 2 else jets(first, stop)

    @property
    def njets(self) -> tuple[int, int | None]:
        """First number of jets, and that after the last; None without a last."""
        edges, (first, stop) = self.binning.njets, self.njets_bins
        return edges[first], edges[stop] if stop < len(edges) else None

    @property
    def title(self) -> str:
        """The cell for people."""
        return f"{self.qt[0]:g} < $q_T$ < {self.qt[1]:g} GeV, {self.jets}"


@dataclass(frozen=True)
class Yields:
    """Sums of weights and of their squares of one sample, each (qt with overflow, njets)."""

    weights: Array
    squares: Array


def cells(samples: Sequence[Yields], minimum: float = MIN_CELL_EVENTS, binning: Binning = DEFAULT) -> list[Cell]:
    """Cells of at least so many effective events in each sample; nJets bins too poor for one cell are merged first."""
    merged = merge([Yields(y.weights.sum(axis=0)[::-1], y.squares.sum(axis=0)[::-1]) for y in samples], minimum)
    bounds = sorted(len(binning.njets) - edge for edge in merged)
    out = []
    for njets in pairwise(bounds):
        part = [Yields(*(sums[:, slice(*njets)].sum(axis=1) for sums in (y.weights, y.squares))) for y in samples]
        out += [Cell(qt, njets, binning) for qt in pairwise(merge(part, minimum))]
    return out


def merge(samples: Sequence[Yields], minimum: float) -> list[int]:
    """Bounds of groups of neighbouring bins with enough effective events in each sample; a poor rest joins the last."""
    bounds, size = [0], len(samples[0].weights)
    for stop in range(1, size + 1):
        if all(_effective(y, bounds[-1], stop) >= minimum for y in samples):
            bounds.append(stop)
    return [*(bounds[:-1] if len(bounds) > 1 else bounds), size]


def _effective(yields: Yields, start: int, stop: int) -> float:
    total, squares = yields.weights[start:stop].sum(), yields.squares[start:stop].sum()
    return float(total**2 / squares) if total > 0 else 0.0

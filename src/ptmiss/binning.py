"""Bins of qT, of the number of vertices and of jets, in which the recoil is measured and calibrated.

The defaults are those of CMS-JME-24-001 and its public analysis code. A selection may have others, ``[binning]``. The
histograms of a run carry theirs, so that what reads them needs no other source.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import hist
import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator, model_validator

from ptmiss.files.userfiles import Number, Section, Whole, key

QT_EDGES = (0, 5, 10, 15, 20, 30, 40, 50, 60, 80, 100, 120, 140, 170, 200, 230, 260, 290, 350)
"""GeV."""
NPV_EDGES = (4.5, 7.5, 9.5, 11.5, 13.5, 15.5, 17.5, 19.5, 21.5, 23.5, 27.5, 31.5, 35.5, 40.6, 50.5, 60.5, 80.5, 100.5)
"""Published up to 40.6; continued to the range of today's pile-up."""
PLATEAU = (150, 1000)
"""GeV: where the response is flat."""
NJETS_EDGES = (0, 1, 2)
"""First number of jets of each class; the last has all above."""
SPLIT = 50.0
"""GeV: between the regions of low and high qT."""
STATED = "binning"  # on the axis of qT of a histogram that has another than the default


def _steps(*pieces: tuple[float, float, float]) -> tuple[float, ...]:
    """Edges of adjoining ranges (low, high, width), with the last upper edge."""
    edges = [np.arange(low, high, width) for low, high, width in pieces]
    return (*map(float, np.concatenate(edges)), pieces[-1][1])


CALIBRATION_QT = (
    *_steps((0, 20, 0.5), (20, 30, 1), (30, 50, 2), (50, 59, 3)),
    *map(float, (63, 67, 71, 75, 80, 85, 90, 100, 110, 120, 140, 160, 180, 200, 220, 250, 300, 1000)),
)
"""The 81 bins of qT of the measurement's quantile corrections."""
CALIBRATION_RESIDUAL = _steps((-350, -150, 5), (-150, 150, 1), (150, 350, 5))
"""GeV; the perpendicular component uses the bins inside ±150."""


class Binning(Section):
    """Bins in which the recoil is measured and calibrated."""

    qt: tuple[Number, ...] = key(QT_EDGES, "edges of the bins of qT", "GeV")
    npv: tuple[Number, ...] = key(NPV_EDGES, "edges of the bins of the number of vertices")
    njets: tuple[Whole, ...] = key(NJETS_EDGES, "first number of jets of each class, from 0; the last has all above")
    plateau: tuple[Number, Number] = key(PLATEAU, "range of qT where the response is taken to be flat", "GeV")
    calibration_qt: tuple[Number, ...] = key(CALIBRATION_QT, "edges of the bins of qT of a calibration, from 0", "GeV")
    met: tuple[Number, ...] = key((), "edges of pTmiss in spectra and templates; 2 GeV wide to 200 if empty", "GeV")
    mt: tuple[Number, ...] = key((), "the same of mT; 2 GeV wide to 160 if empty", "GeV")
    u_par: tuple[Number, ...] = key((), "the same of u_par; 2 GeV wide from -100 to 200 if empty", "GeV")
    u_perp: tuple[Number, ...] = key((), "the same of u_perp; 2 GeV wide from -100 to 100 if empty", "GeV")

    @field_validator("*")
    @classmethod
    def _rising(cls, edges: tuple[float, ...]) -> tuple[float, ...]:
        if not (np.isfinite(edges).all() and (np.diff(edges) > 0).all()):
            raise ValueError(f"expected rising numbers, not {list(edges)}")
        return edges

    @field_validator("qt", "npv", "calibration_qt", "met", "mt", "u_par", "u_perp")
    @classmethod
    def _several(cls, edges: tuple[float, ...]) -> tuple[float, ...]:
        if len(edges) == 1:
            raise ValueError(f"one edge {list(edges)} makes no bin: expected two or more")
        return edges

    @model_validator(mode="after")
    def _fit(self) -> Binning:
        for name in ("qt", "npv", "calibration_qt", "njets"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty: expected edges")
        for name in ("njets", "calibration_qt"):
            if getattr(self, name)[0] != 0:
                raise ValueError(f"{name} begins at {getattr(self, name)[0]:g}: expected 0, so that no event is lost")
        if self.qt[0] < 0:
            raise ValueError(f"qt begins at {self.qt[0]:g}: expected 0 or more")
        return self

    @property
    def qt_stored(self) -> tuple[float, ...]:
        """Edges of the stored qT axis: those that are shown, the plateau's, and that between the regions."""
        return tuple(sorted({*self.qt, *self.plateau, SPLIT}))

    def qt_range(self, low: float, high: float) -> tuple[slice, slice, slice]:
        """Index over (qt, npv, njets) of the stored qT bins between two edges; an infinite one has the overflow."""
        edges = list(map(float, self.qt_stored))
        start = 0 if low <= 0 < edges[0] else edges.index(low) + 1
        stop = None if high == np.inf else edges.index(high) + 1
        return slice(start, stop), slice(None), slice(None)

    def qt_bin(self, qt: NDArray) -> NDArray[np.intp]:
        """(events,) number of the bin of qT (GeV) on the stored axis with flow; a bin holds its lower edge."""
        return np.searchsorted(self.qt_stored, qt, side="right")

    def jet_class(self, njets: NDArray) -> NDArray[np.intp]:
        """(events,) number of the class of each number of jets."""
        return np.maximum(np.searchsorted(self.njets, njets, side="right") - 1, 0)

    @property
    def jet_classes(self) -> list[str]:
        """The classes of nJets for people: ``0 jets``, ``1 jet``, ``2 or more jets``."""
        inner = [jets(first, stop) for first, stop in pairwise(self.njets)]
        return [*inner, jets(self.njets[-1], None)]


def jets(first: int, stop: int | None) -> str:
    """A range of numbers of jets for people, the stop not included."""
    if stop is None:
        return f"{first} or more jets"
    last = stop - 1
    return f"{first} jet{'s' * (first != 1)}" if last == first else f"{first} to {last} jets"


DEFAULT = Binning()


def of(histogram: hist.Hist) -> Binning:
    """The binning with which a histogram of the recoil was booked."""
    stated: Any = histogram.axes["qt"].__dict__.get(STATED)
    return Binning.model_validate(stated) if stated else DEFAULT


def qt_axis(edges: tuple[float, ...], binning: Binning, **options: Any) -> hist.axis.Variable:
    """An axis of qT that says which binning it is of, if that is not the default."""
    axis = hist.axis.Variable(edges, name="qt", label=r"$q_\mathrm{T}$ (GeV)", **options)
    if binning != DEFAULT:
        axis.__dict__[STATED] = binning.model_dump(mode="json")
    return axis

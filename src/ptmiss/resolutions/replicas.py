"""Response-corrected widths in every replica of a bootstrap, of events that come some at a time.

Events are read twice: the sums of the first pass give the responses, means and RMS of all replicas, the second pass
fills the spectra of corrected residuals, of which each replica has its own since its response is its own. Their bins
are even in ``x / (SCALE + |x|)``: 0.4 GeV wide at zero and 0.6 GeV at 20 GeV, and none is the last. A quantile is
interpolated in its bin. Memory grows with cells, estimators and replicas, and not with events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ptmiss import bootstrap
from ptmiss.binning import Binning
from ptmiss.bootstrap import CENTRAL_68
from ptmiss.histograms import COMPONENTS
from ptmiss.recoil import Recoil
from ptmiss.typing import Array

SCALE = 100.0  # GeV
BINS = 512
BLOCK = 8192  # events whose weights are drawn at a time
OF_QT = 3  # sums that all estimators share: w, w qT, w qT²
OF_EACH = 5  # sums of an estimator: w times u_par, u_par², u_par qT, u_perp, u_perp²

Found = dict[str, dict[str, Array]]
"""(1 + replicas,) numbers by estimator: ``response``, and ``rms_par`` to ``half_width_perp`` in GeV."""


class Events(NamedTuple):
    """Some events: recoil by estimator, weights, numbers in their table, and the cell of each on every axis.

    An axis with k cells has numbers from 0 to k; k is that of events in none of them.
    """

    recoils: Mapping[str, Recoil]
    weight: Array
    row: NDArray[np.int64]
    cells: Sequence[NDArray[np.int64]]


def measure(
    read: Callable[[], Iterable[Events]], names: Sequence[str], axes: Sequence[int], replicas: int, binning: Binning
) -> list[list[Found]]:
    """Numbers of each axis and cell, and in the end of all events as the one cell of an axis more.

    read: begins the events again; names: of the estimators; axes: how many cells each has. The response is that of all
    events in a bin of qT.
    """
    sums = [
        np.zeros((cells + 1, len(binning.qt_stored) + 1, OF_QT + OF_EACH * len(names), 1 + replicas)) for cells in axes
    ]
    for events in read():
        _add_sums(sums, events, names, binning)
    whole = sums[0].sum(axis=0)
    inverse = {name: _inverse(whole, i) for i, name in enumerate(names)}
    shape = len(names), len(COMPONENTS), BINS, 1 + replicas
    spectra = [np.zeros((cells + 1, *shape)) for cells in axes]
    for events in read():
        _add_spectra(spectra, events, inverse, binning)
    of_cells = [
        [_numbers(sums[axis][cell], spectra[axis][cell], inverse) for cell in range(cells)]
        for axis, cells in enumerate(axes)
    ]
    return [*of_cells, [_numbers(whole, spectra[0].sum(axis=0), inverse)]]


def _add_sums(sums: Sequence[Array], events: Events, names: Sequence[str], binning: Binning) -> None:
    qt, w = next(iter(events.recoils.values())).qt, events.weight
    terms = [w, w * qt, w * qt**2]
    for name in names:
        u = events.recoils[name]
        terms += [w * u.u_par, w * u.u_par**2, w * u.u_par * qt, w * u.u_perp, w * u.u_perp**2]
    values, bins = np.stack(terms, axis=1), binning.qt_bin(qt)
    for some, drawn in drawn_weights(events.row, sums[0].shape[-1]):
        for of_axis, cell in zip(sums, events.cells, strict=True):
            _add(of_axis, cell[some], bins[some], values[some], drawn)


def _add_spectra(spectra: Sequence[Array], events: Events, inverse: Mapping[str, Array], binning: Binning) -> None:
    for some, drawn in drawn_weights(events.row, spectra[0].shape[-1]):
        weight = events.weight[some]
        for i, (name, factors) in enumerate(inverse.items()):
            par, perp, qt = (component[some] for component in events.recoils[name])
            for j, (u, true) in enumerate(((par, qt), (perp, np.zeros_like(qt)))):
                for of_axis, cell in zip(spectra, events.cells, strict=True):
                    _add_residuals(of_axis[:, i, j], cell[some], binning.qt_bin(qt), u, true, factors, weight, drawn)


def drawn_weights(row: NDArray[np.int64], replicas: int) -> Iterator[tuple[slice, NDArray[np.uint8]]]:
    """How often rows are drawn, (some, replicas), a few rows at a time; the sample itself is the first replica."""
    for first in range(0, len(row), BLOCK):
        some = slice(first, first + BLOCK)
        yield some, bootstrap.counts(row[some], 0, replicas)


@njit(cache=True, nogil=True)
def _add(sums, cell, bins, values, drawn):  # type: ignore[no-untyped-def]
    for i in range(len(cell)):
        block = sums[cell[i], bins[i]]
        for m in range(values.shape[1]):
            value = values[i, m]
            for r in range(drawn.shape[1]):
                block[m, r] += value * drawn[i, r]


@njit(cache=True, nogil=True)
def _add_residuals(spectra, cell, bins, u, qt, factors, weight, drawn):  # type: ignore[no-untyped-def]
    half = spectra.shape[1] / 2
    number = np.empty(drawn.shape[1], np.int64)
    for i in range(len(cell)):
        factor = factors[bins[i]]
        for r in range(drawn.shape[1]):
            x = u[i] * factor[r] - qt[i]
            number[r] = int((x / (SCALE + abs(x)) + 1) * half)
        spectrum = spectra[cell[i]]
        for r in range(drawn.shape[1]):
            if factor[r] > 0:
                spectrum[number[r], r] += weight[i] * drawn[i, r]


@njit(cache=True, nogil=True)
def add_powers(sums, x, weight, drawn):  # type: ignore[no-untyped-def]
    """Add w x^k of events to (powers, replicas) sums; x, weight: (events,), drawn: (events, replicas)."""
    for i in range(len(x)):
        term = weight[i]
        for k in range(sums.shape[0]):
            for r in range(drawn.shape[1]):
                sums[k, r] += term * drawn[i, r]
            term *= x[i]


@njit(cache=True, nogil=True)
def add_weights(sums, squares, bins, weight, drawn):  # type: ignore[no-untyped-def]
    """Add events to (bins, replicas) weights, and to their squares unless that array is empty."""
    for i in range(len(bins)):
        if 0 <= bins[i] < sums.shape[0]:
            for r in range(drawn.shape[1]):
                sums[bins[i], r] += weight[i] * drawn[i, r]
            if len(squares):
                for r in range(drawn.shape[1]):
                    squares[bins[i], r] += (weight[i] * drawn[i, r]) ** 2


def _inverse(whole: Array, estimator: int) -> Array:
    """(qt bins, replicas) 1/R of each bin of qT; 0 where there is no response."""
    along, qt = whole[:, OF_QT + OF_EACH * estimator], whole[:, 1]
    known = (along > 0) & (qt > 0)
    return np.divide(qt, along, out=np.zeros_like(qt), where=known)


def _numbers(sums: Array, spectra: Array, inverse: Mapping[str, Array]) -> Found:
    """Of one cell; sums: (qt bins, sums, replicas), spectra: (estimators, components, bins, replicas)."""
    found: Found = {}
    for i, (name, factor) in enumerate(inverse.items()):
        known = factor > 0
        w, wq, wqq = (np.where(known, sums[:, k], 0) for k in range(OF_QT))
        par, par2, par_qt, perp, perp2 = np.moveaxis(sums[:, OF_QT + OF_EACH * i :][:, :OF_EACH], 1, 0)
        first = {"par": par * factor - wq, "perp": perp * factor}
        second = {"par": par2 * factor**2 - 2 * par_qt * factor + wqq, "perp": perp2 * factor**2}
        found[name] = {"response": divide(np.where(known, par, 0).sum(axis=0), wq.sum(axis=0))}
        for j, component in enumerate(COMPONENTS):
            total = w.sum(axis=0)
            mean = divide(first[component].sum(axis=0), total)
            square = divide(second[component].sum(axis=0), total) - mean**2
            found[name][f"rms_{component}"] = np.sqrt(np.where(square >= 0, square, np.nan))
            low, high = (quantile(spectra[i, j], p) for p in CENTRAL_68)
            found[name][f"half_width_{component}"] = (high - low) / 2
    return found


def quantile(spectrum: Array, p: float) -> Array:
    """(replicas,) quantiles of (BINS, replicas) spectra, GeV, interpolated in a bin; NaN without weight."""
    below = np.vstack([np.zeros(spectrum.shape[1]), np.maximum.accumulate(np.cumsum(spectrum, axis=0), axis=0)])
    wanted = p * below[-1]
    bin_ = np.clip((below < wanted).sum(axis=0) - 1, 0, BINS - 1)
    each = np.arange(spectrum.shape[1])
    inside = divide(wanted - below[bin_, each], below[bin_ + 1, each] - below[bin_, each])
    even = (bin_ + inside) * 2 / BINS - 1
    return np.asarray(SCALE * even / (1 - np.abs(even)))


def divide(top: Array, bottom: Array) -> Array:
    """Top over bottom, in their shape; NaN where the bottom is not positive."""
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)

"""Cells of a histogram, compiled: in which of them each event is, and what its events add up to.

One pass over the events, in their order, straight into the histogram's own storage: a sample that is filled in parts,
in order, gives the same sums as the whole, to the last bit. The sums are those of ptmiss.histograms.MOMENTS.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ptmiss.typing import Array

LOW, HIGH = 2, 4  # powers of GeV summed with w and with w²


def numbers(qt: Array, npv: NDArray, njets: NDArray, qt_edges: Array, npv_edges: Array) -> NDArray[np.int64]:
    """(events,) cell of each event on the axes (qt, npv, njets), the first fastest; a bin holds its lower edge.

    qt, npv: with flow bins; njets: numbers of a bin each, which have to be in range already.
    """
    return np.asarray(_numbers(qt, npv, njets, qt_edges, npv_edges))


@njit(cache=True, nogil=True)
def _numbers(qt, npv, njets, qt_edges, npv_edges):  # type: ignore[no-untyped-def]
    out = np.zeros(len(qt), np.int64)
    for edge in qt_edges:  # few edges: comparing all of them is faster than a search
        for i in range(len(qt)):
            out[i] += edge <= qt[i]
    step = len(qt_edges) + 1
    for edge in npv_edges:
        for i in range(len(qt)):
            out[i] += (edge <= npv[i]) * step
    step *= len(npv_edges) + 1
    for i in range(len(qt)):
        out[i] += np.int64(njets[i]) * step
    return out


def flat(view: NDArray, axes: int) -> NDArray:
    """A histogram's storage with its first axes as one, the cells; it is the same memory."""
    return np.reshape(view, (-1, *view.shape[axes:]), order="F", copy=False)


def add_moments(sums: Array, cell: NDArray[np.int64], u_par: Array, u_perp: Array, qt: Array, weight: Array) -> None:
    """Add events, each array (events,), to (cells, moments) sums in powers of GeV."""
    block = np.ascontiguousarray(sums)  # what an event adds to lies together
    _add_moments(block, cell, u_par, u_perp, qt, weight)
    sums[...] = block


@njit(cache=True, nogil=True)
def _add_moments(sums, cell, u_par, u_perp, qt, weight):  # type: ignore[no-untyped-def]
    for i in range(len(cell)):
        par, perp, along, w, square = _powers(u_par[i]), _powers(u_perp[i]), _powers(qt[i]), weight[i], weight[i] ** 2
        row = sums[cell[i]]
        m = _add_orders(row, 0, w, par, perp, along, LOW)
        m = _add_orders(row, m, square, par, perp, along, HIGH)
        for k in range(2):
            for j in range(1, 3):
                row[m] += square * par[k] * perp[j] * along[1 - k]
                m += 1


@njit(cache=True, nogil=True, inline="always")
def _add_orders(row, m, w, par, perp, along, order):  # type: ignore[no-untyped-def]
    """Loops of fixed length: the compiler writes them out, which is five times as fast as a table of exponents."""
    for total in range(order + 1):
        for k in range(total + 1):
            row[m] += w * par[k] * along[total - k]
            m += 1
    for k in range(1, order + 1):
        row[m] += w * perp[k]
        m += 1
    return m


@njit(cache=True, nogil=True, inline="always")
def _powers(x):  # type: ignore[no-untyped-def]
    return 1.0, x, x**2, x**3, x**4


def add_spectrum(view: Any, cell: NDArray[np.int64] | None, x: Array, weight: Array, low: float, high: float) -> None:
    """Add events, each array (events,), to (cells, bins with flow) of weights and their squares.

    view: of a storage of weights; the bins are of one width, between ``low`` and ``high``. cell: None where there is
    one cell alone, and ``view`` is (bins with flow,).
    """
    one = cell is None
    values, variances = (view[name][np.newaxis] if one else view[name] for name in ("value", "variance"))
    _add_spectrum(values, variances, np.zeros(1, np.int64) if cell is None else cell, one, x, weight, low, high)


@njit(cache=True, nogil=True)
def _add_spectrum(values, variances, cell, one, x, weight, low, high):  # type: ignore[no-untyped-def]
    bins = values.shape[1] - 2
    for i in range(len(x)):
        share = (x[i] - low) / (high - low)
        b = bins + 1
        if share < 1:
            b = int(share * bins) + 1 if share >= 0 else 0
        c = cell[0] if one else cell[i]
        values[c, b] += weight[i]
        variances[c, b] += weight[i] ** 2

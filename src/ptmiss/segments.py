"""Sums over flat arrays cut into events by offsets: event ``i`` owns ``values[offsets[i]:offsets[i + 1]]``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Offsets = NDArray[np.int64]


def from_counts(counts: NDArray[np.integer]) -> Offsets:
    """Offsets, shape (events + 1,), of events with so many entries each."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def sum_by_event(values: NDArray, offsets: Offsets) -> NDArray[np.float64]:
    """Sum of values, shape (entries,) or (entries, k), in each event, in float64; empty events give 0.

    ``np.add.reduceat`` alone returns the next event's first value for an empty event.
    """
    total = np.zeros((len(offsets) - 1, *values.shape[1:]), dtype=np.float64)
    filled = np.flatnonzero(np.diff(offsets))
    if len(filled):
        total[filled] = np.add.reduceat(values, offsets[filled], axis=0, dtype=np.float64)
    return total


def select(mask: NDArray[np.bool_], offsets: Offsets) -> Offsets:
    """Offsets after only the entries in the mask are kept."""
    return np.concatenate([[0], np.cumsum(mask, dtype=np.int64)])[offsets]

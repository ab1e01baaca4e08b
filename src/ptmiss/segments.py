"""Flat arrays cut into events by offsets, and sums over them: event i owns ``values[offsets[i]:offsets[i + 1]]``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

Offsets = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """Flat columns, shape (rows,), of many events; event i owns ``column[offsets[i]:offsets[i + 1]]``."""

    columns: Mapping[str, NDArray]
    offsets: Offsets

    def __getitem__(self, name: str) -> NDArray:
        return self.columns[name]

    def __len__(self) -> int:
        """Number of events."""
        return len(self.offsets) - 1

    @cached_property
    def momentum(self) -> NDArray[np.float32]:
        """(rows, 2) px and py, GeV."""
        pt, phi = self["pt"], self["phi"]
        return np.stack([pt * np.cos(phi), pt * np.sin(phi)], axis=-1)

    def parts(self, size: int) -> list[slice]:
        """Slices of consecutive whole events with at most ``size`` rows each, or one event that has more.

        There is at least one part, even without events.
        """
        edges = [0]
        while edges[-1] < len(self):
            first = edges[-1]
            last = int(np.searchsorted(self.offsets, self.offsets[first] + size, side="right")) - 1
            edges.append(max(last, first + 1))
        return [slice(a, b) for a, b in pairwise(edges)] or [slice(0, 0)]

    def events(self, where: slice) -> Self:
        """Consecutive events, without a copy."""
        offsets = self.offsets[where.start : where.stop + 1]
        inside = slice(offsets[0], offsets[-1])
        return type(self)({name: column[inside] for name, column in self.columns.items()}, offsets - offsets[0])


def from_counts(counts: NDArray[np.integer]) -> Offsets:
    """Offsets, shape (events + 1,), from the number of entries of each event, shape (events,)."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def event_of(offsets: Offsets) -> NDArray[np.int64]:
    """(rows,) number of the event of each row; offsets: (events + 1,)."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def sum_by_event(values: NDArray, offsets: Offsets) -> NDArray[np.float64]:
    """Sums of values, shape (entries,) or (entries, k), over each event: (events,) or (events, k), float64.

    An empty event has 0. ``np.add.reduceat`` alone would give it the first value of the next event.
    """
    total = np.zeros((len(offsets) - 1, *values.shape[1:]), dtype=np.float64)
    filled = np.flatnonzero(np.diff(offsets))
    if len(filled):
        total[filled] = np.add.reduceat(values, offsets[filled], axis=0, dtype=np.float64)
    return total


def select(mask: NDArray[np.bool_], offsets: Offsets) -> Offsets:
    """Offsets, shape (events + 1,), of the entries in a mask, shape (entries,)."""
    return np.searchsorted(np.flatnonzero(mask), offsets).astype(np.int64)

"""Flat arrays cut into events by offsets: event ``i`` owns ``values[offsets[i]:offsets[i + 1]]``; sums over them."""

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
        """Consecutive whole events, at most ``size`` rows together unless one event alone has more; at least one part."""
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

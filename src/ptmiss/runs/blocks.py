"""Sums of blocks of neighbouring chunks, kept beside the chunks: a run that is resumed reads a block, not its chunks.

A block has 64 chunks of one dataset, whose sum ptmiss.runs.merging makes anyway, so that the bits stay the same. Its
file is that of a chunk. The name is a hash of the addresses of its chunks; it also has the size and time of the file of
each, and counts as missing when one of these is another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from coffea.processor import accumulate
from coffea.processor.executor import WorkItem

from ptmiss.files import digest
from ptmiss.runs.chunks import Chunk, pack
from ptmiss.runs.directory import RunDirectory
from ptmiss.runs.merging import BLOCK

SIZE = 2**BLOCK  # chunks
COUNTS, STAMPS = "counts", "stamps"  # of each chunk: events and sum of weights, size and time of its file
NONE = np.zeros(0, np.uint64)


class Block(NamedTuple):
    """A block from disk: its number in its dataset, its chunks, and their sum."""

    dataset: str
    number: int
    items: list[WorkItem]
    total: Chunk


class Blocks:
    """The blocks of a run. plan: address of each planned chunk."""

    def __init__(self, directory: RunDirectory, plan: Mapping[WorkItem, str]):
        self._directory, self._plan = directory, plan
        self._metrics: dict[tuple[str, int], list[Mapping[str, Any]]] = defaultdict(list)
        numbered: dict[str, list[WorkItem]] = defaultdict(list)
        for item in plan:
            numbered[item.dataset].append(item)
        self._items = {
            (name, first // SIZE): items[first : first + SIZE]
            for name, items in numbered.items()
            for first in range(0, len(items) - SIZE + 1, SIZE)
        }

    def load(self) -> Iterator[Block]:
        """The blocks that are on disk, with the chunks that they were made of."""
        for (dataset, number), items in self._items.items():
            total = self._directory.sums.load(self._address(items))
            if total is not None and total.metrics[STAMPS] == self._stamps(items):
                yield Block(dataset, number, items, total)

    def count(self, dataset: str, number: int, metrics: Mapping[str, Any]) -> None:
        """Keep the metrics of a chunk until the block of this number is whole."""
        if (dataset, number) in self._items:
            self._metrics[dataset, number].append(metrics)

    def save(self, dataset: str, number: int, out: Any, read: Mapping[WorkItem, tuple[int, float]]) -> None:
        """Write the sum of a block, unless a part of it is missing; read: events and sum of weights of each chunk."""
        items, metrics = self._items[dataset, number], self._metrics.pop((dataset, number), [])
        stamps = self._stamps(items)
        if stamps is None or len(metrics) < SIZE:
            return
        total = accumulate([{**each, "columns": set(each["columns"])} for each in metrics])
        counts = [list(read[item]) for item in items]
        about = {**total, "columns": sorted(total["columns"]), COUNTS: counts, STAMPS: stamps}
        chunk = Chunk(out, sum(int(events) for events, _ in counts), sum(sumw for _, sumw in counts), NONE, NONE, about)
        self._directory.sums.save(self._address(items), pack(chunk).content)

    def clean(self) -> None:
        """Remove blocks of other chunks."""
        self._directory.sums.keep({self._address(items) for items in self._items.values()})

    def _address(self, items: list[WorkItem]) -> str:
        return digest(" ".join(self._plan[item] for item in items).encode())[:32]

    def _stamps(self, items: list[WorkItem]) -> list[list[int]] | None:
        try:
            found = [self._directory.store.path(self._plan[item]).stat() for item in items]
        except OSError:
            return None
        return [[status.st_size, status.st_mtime_ns] for status in found]

"""Sums of parts in a fixed tree, so that the result is the same to the last bit in whatever order the parts arrive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from coffea.processor import accumulate

BLOCK = 6  # level of the sums that are kept on disk: of 64 parts, see ptmiss.runs.blocks


class Merging:
    """The sum of numbered parts: first of neighbours, then of neighbouring pairs, and so on.

    The numbers alone decide which parts are added. Floating-point sums depend on the order, and parts arrive in any.
    Only sums that wait for their neighbour are kept: about one for each worker and each level. keep: called with the
    number and the sum of each block.
    """

    def __init__(self, keep: Callable[[int, Any], None] = lambda number, total: None) -> None:
        self._keep = keep
        self._waiting: dict[tuple[int, int], Any] = {}  # (level, number)

    def __len__(self) -> int:
        """Number of sums that wait for a neighbour."""
        return len(self._waiting)

    def add(self, number: int, part: Any, level: int = 0) -> None:
        """Add the part of this number, counted from 0; None for a part without content. level: that of a sum."""
        while (neighbour := (level, number ^ 1)) in self._waiting:
            other = self._waiting.pop(neighbour)
            part = merge(other, part) if number & 1 else merge(part, other)
            level, number = level + 1, number >> 1
            if level == BLOCK:
                self._keep(number, part)
        self._waiting[level, number] = part

    def total(self) -> Any:
        """The sum of all parts, in the order of their numbers; None without any."""
        total = None
        for level, number in sorted(self._waiting, key=lambda node: node[1] << node[0]):
            total = merge(total, self._waiting[level, number])
        return total


class Sums:
    """The sums of the chunks of each dataset. keep: called with dataset, number and sum of each block."""

    def __init__(self) -> None:
        self._of: dict[str, Merging] = {}
        self.keep: Callable[[str, int, Any], None] = lambda dataset, number, total: None

    def add(self, dataset: str, number: int, out: Mapping[str, Any] | None, level: int = 0) -> None:
        """Add the output of a chunk, or of a level of them; None if it was skipped."""
        if dataset not in self._of:
            self._of[dataset] = Merging(lambda block, total: self.keep(dataset, block, total))
        self._of[dataset].add(number, out and dict(out), level)

    def total(self, dataset: str) -> dict[str, Any]:
        """The sum of a dataset."""
        return (self._of[dataset].total() if dataset in self._of else None) or {}


def merge(left: Any, right: Any) -> Any:
    """The sum of two outputs, each of which may be None. The left one is changed in place."""
    return left if right is None else right if left is None else accumulate([right], left)

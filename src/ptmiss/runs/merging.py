"""Sums of parts in a tree whose shape depends on the parts' numbers alone: the same bits in whatever order they come."""

from __future__ import annotations

from typing import Any

from coffea.processor import accumulate


class Merging:
    """The sum of numbered parts: neighbours first, then neighbouring pairs, and so on.

    Only sums that wait for a neighbour are kept: about as many as there are workers, and one for each level.
    """

    def __init__(self) -> None:
        self._waiting: dict[tuple[int, int], Any] = {}  # (level, number)

    def __len__(self) -> int:
        """Number of sums that are kept."""
        return len(self._waiting)

    def add(self, number: int, part: Any) -> None:
        """Add the part of this number, from 0 on; None for one that has nothing to add."""
        level = 0
        while (neighbour := (level, number ^ 1)) in self._waiting:
            other = self._waiting.pop(neighbour)
            part = merged(other, part) if number & 1 else merged(part, other)
            level, number = level + 1, number >> 1
        self._waiting[level, number] = part

    def total(self) -> Any:
        """The sum of all parts, in the order of their numbers; None if there is nothing."""
        total = None
        for level, number in sorted(self._waiting, key=lambda node: node[1] << node[0]):
            total = merged(total, self._waiting[level, number])
        return total


def merged(left: Any, right: Any) -> Any:
    """The sum of two outputs, either of which may be None; the left one is used up."""
    return left if right is None else right if left is None else accumulate([right], left)

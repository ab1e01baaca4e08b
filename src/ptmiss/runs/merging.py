"""Sums of parts in a fixed tree, so that the result is the same to the last bit in whatever order the parts arrive."""

from __future__ import annotations

from typing import Any

from coffea.processor import accumulate


class Merging:
    """The sum of numbered parts: first of neighbours, then of neighbouring pairs, and so on.

    The numbers alone decide which parts are added. Floating-point sums depend on the order, and parts arrive in any.
    Only sums that wait for their neighbour are kept: about one for each worker and each level.
    """

    def __init__(self) -> None:
        self._waiting: dict[tuple[int, int], Any] = {}  # (level, number)

    def __len__(self) -> int:
        """Number of sums that wait for a neighbour."""
        return len(self._waiting)

    def add(self, number: int, part: Any) -> None:
        """Add the part of this number, counted from 0; None for a part without content."""
        level = 0
        while (neighbour := (level, number ^ 1)) in self._waiting:
            other = self._waiting.pop(neighbour)
            part = merge(other, part) if number & 1 else merge(part, other)
            level, number = level + 1, number >> 1
        self._waiting[level, number] = part

    def total(self) -> Any:
        """The sum of all parts, in the order of their numbers; None without any."""
        total = None
        for level, number in sorted(self._waiting, key=lambda node: node[1] << node[0]):
            total = merge(total, self._waiting[level, number])
        return total


def merge(left: Any, right: Any) -> Any:
    """The sum of two outputs, each of which may be None. The left one is changed in place."""
    return left if right is None else right if left is None else accumulate([right], left)

"""Names of systematics, and how large one is: the root mean square of its shifts, ``sqrt((up² + down²) / 2)``.

It is the size of the shift where up and down are opposite. Half of up minus down is the same there, but nothing where
both go one way, as they do for a width that grows with any mistake. The larger of the two keeps what is only noise of
few events. For a shift ``a t + b t²`` of a Gaussian t the size is ``sqrt(a² + b²)``; the shift has a root mean square
of ``sqrt(a² + 3 b²)``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

NOMINAL = "nominal"
UP, DOWN = "_up", "_down"  # endings of the two sides of a systematic


def source_of(variation: str) -> str:
    """The systematic that a variation is one side of: ``jes`` of ``jes_up``; one without sides is its own."""
    return variation.removesuffix(UP).removesuffix(DOWN)


def shares(variations: Iterable[str]) -> dict[str, float]:
    """How much the square of each shift counts, by variation: half of up and of down, all of one that is alone."""
    names = list(variations)
    sides = Counter(map(source_of, names))
    return {name: 1 / sides[source_of(name)] for name in names}


def sizes(shifts: Mapping[str, Any]) -> dict[str, Any]:
    """Size of each systematic; shifts: variations less the nominal, numbers or arrays of one shape, without nominal."""
    squares: dict[str, Any] = {}
    for name, share in shares(shifts).items():
        source = source_of(name)
        squares[source] = squares.get(source, 0.0) + share * np.square(shifts[name])
    return {source: np.sqrt(square) for source, square in squares.items()}


def total(shifts: Mapping[str, Any]) -> Any:
    """Size of all systematics, which are independent: the quadratic sum."""
    return np.sqrt(sum((np.square(size) for size in sizes(shifts).values()), 0.0))

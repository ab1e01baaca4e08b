"""Random numbers that belong to a lepton: the same on every machine, in every chunk, for every selection."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptmiss.typing import Array

BITS = 53  # of a float64


def uniform(*numbers: ArrayLike) -> Array:
    """(values,) numbers between 0 and 1, from integers that tell the values apart: run, section, event, place.

    A chain of splitmix64 (Steele, Lea, Flood 2014): each integer changes all bits.
    """
    state: NDArray[np.uint64] = np.zeros(1, np.uint64)
    for number in numbers:
        state = _mixed(state ^ np.atleast_1d(np.asarray(number)).astype(np.uint64))
    return (state >> np.uint64(64 - BITS)).astype(np.float64) * 2.0**-BITS + 2.0 ** -(BITS + 1)


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))

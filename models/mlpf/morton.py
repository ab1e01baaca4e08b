"""Elements in the order of a space-filling curve on the calorimeter: what is near in the order is near in space."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ptmiss.segments import Offsets

BITS = 18  # of each coordinate
SPREAD = (
    (16, 0x0000FFFF0000FFFF),
    (8, 0x00FF00FF00FF00FF),
    (4, 0x0F0F0F0F0F0F0F0F),
    (2, 0x3333333333333333),
    (1, 0x5555555555555555),
)  # shifts and masks that part bits
SHIFT = (0.29, 0.37)  # of the second curve in eta and phi: no border of the one's large cells is one of the other's


def orders(
    position: NDArray[np.float32], types: NDArray[np.int32], pt: NDArray[np.float32], offsets: Offsets
) -> NDArray[np.int64]:
    """(2, n) elements of each event along the Morton curve of (eta, phi), and along one that is shifted.

    position: (n, 2) eta and phi. Elements at one place follow each other by type and pt, so that the order of a file
    does not matter.
    """
    return np.stack([sorted_by(keys(position, types, pt, shift), offsets) for shift in ((0.0, 0.0), SHIFT)])


def keys(
    position: NDArray[np.float32], types: NDArray[np.int32], pt: NDArray[np.float32], shift: tuple[float, float]
) -> NDArray[np.int64]:
    """(n,) place on the curve; below it four bits of the type and the leading ones of pt."""
    eta, phi = position.T.astype(np.float64)
    turns = np.stack([(eta + shift[0]) / (4 * np.pi) + 0.5, ((phi + shift[1]) / (2 * np.pi)) % 1])
    across, around = (np.clip(turns, 0, 1) * [[1 << BITS], [1 << (BITS - 1)]]).astype(np.int64)
    ranks = (types.astype(np.int64) << 16) | (np.ascontiguousarray(pt).view(np.int32).astype(np.int64) >> 15)
    return ((_spread(across) << 1 | _spread(around)) << 20) | ranks


def _spread(x: NDArray[np.int64]) -> NDArray[np.int64]:
    """Integers below 2^32 with a zero between each two bits."""
    for shift, mask in SPREAD:
        x = (x | (x << shift)) & mask
    return x


@njit(cache=True)
def sorted_by(keys, offsets):  # type: ignore[no-untyped-def]
    """(n,) rows of each event in the order of their keys, event after event."""
    out = np.empty(len(keys), dtype=np.int64)
    for event in range(len(offsets) - 1):
        first, last = offsets[event], offsets[event + 1]
        out[first:last] = first + np.argsort(keys[first:last], kind="mergesort")
    return out

"""The order of elements along a space-filling curve on the calorimeter: neighbours in this order are close in space."""

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
)  # shifts and masks that put zeros between bits
SHIFT = (0.29, 0.37)  # shift of the second curve in eta and phi, so that large cells of both have no common border


def orders(
    position: NDArray[np.float32], types: NDArray[np.int32], pt: NDArray[np.float32], offsets: Offsets
) -> NDArray[np.int64]:
    """(2, n) elements of each event along the Morton curve of (eta, phi), and along a shifted one.

    position: (n, 2) eta and phi. types, pt: (n,). Elements in one place are sorted by type and pt, so that the order in
    the file does not matter.
    """
    return np.stack([sort_by(keys(position, types, pt, shift), offsets) for shift in ((0.0, 0.0), SHIFT)])


def keys(
    position: NDArray[np.float32], types: NDArray[np.int32], pt: NDArray[np.float32], shift: tuple[float, float]
) -> NDArray[np.int64]:
    """(n,) keys: the place on the curve, then, in lower bits, the type and the leading bits of pt."""
    eta, phi = position.T.astype(np.float64)
    turns = np.stack([(eta + shift[0]) / (4 * np.pi) + 0.5, ((phi + shift[1]) / (2 * np.pi)) % 1])
    across, around = (np.clip(turns, 0, 1) * [[1 << BITS], [1 << (BITS - 1)]]).astype(np.int64)
    ranks = (types.astype(np.int64) << 16) | (np.ascontiguousarray(pt).view(np.int32).astype(np.int64) >> 15)
    return ((_spread_bits(across) << 1 | _spread_bits(around)) << 20) | ranks


def _spread_bits(x: NDArray[np.int64]) -> NDArray[np.int64]:
    """Integers below 2^32, with a zero put between each two bits."""
    for shift, mask in SPREAD:
        x = (x | (x << shift)) & mask
    return x


@njit(cache=True)
def sort_by(keys, offsets):  # type: ignore[no-untyped-def]
    """(n,) rows of each event in the order of their keys, event after event."""
    out = np.empty(len(keys), dtype=np.int64)
    for event in range(len(offsets) - 1):
        first, last = offsets[event], offsets[event + 1]
        out[first:last] = first + np.argsort(keys[first:last], kind="mergesort")
    return out

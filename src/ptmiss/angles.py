"""Azimuthal angles and distances in (eta, phi): the one place that knows that phi comes round."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

TURN = 2 * math.pi


def wrap(angle: Any) -> Any:
    """Angles, rad, of any shape and type, brought between -pi and pi."""
    return angle - TURN * np.rint(angle / TURN)


def delta_r(a: Any, b: Any) -> Any:
    """Distance in (eta, phi) of two sets of records, or of columns by name, of the same structure."""
    return np.hypot(a["eta"] - b["eta"], wrap(a["phi"] - b["phi"]))


@njit(inline="always")
def separation(phi, other):  # type: ignore[no-untyped-def]
    """|difference| of two angles between -pi and pi, rad, for compiled loops."""
    apart = abs(phi - other)
    return min(apart, TURN - apart)

"""Types that many modules share; their docstrings give shapes and units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Scalar = NDArray[np.float64]
"""One number an event: (events,)."""
Vector = NDArray[np.float64]
"""Transverse components in GeV: (events, 2), x and y."""

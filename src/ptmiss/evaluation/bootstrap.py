"""Errors by bootstrap over events: Poisson weights of whole events, the same for all that is compared.

An array of replicas has the value itself first, then what it would be in other samples: (1 + replicas, …). Ratios and
differences of such arrays are paired, for the same events are drawn on both sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numba import njit
from numpy.typing import NDArray

REPLICAS = 100
QUARTILES = (0.25, 0.5, 0.75)
HALF_68 = (0.16, 0.84)

Array = NDArray[np.float64]
Draws = NDArray[np.float64]


class Response(NamedTuple):
    """Median of a ratio, and its interquartile range over the median; each (1 + replicas,)."""

    median: Array
    resolution: Array


def draws(events: int, replicas: int = REPLICAS, seed: int = 0) -> Draws:
    """(1 + replicas, events) weights of events; the first row is the sample itself."""
    found = np.random.default_rng(seed).poisson(1, (1 + replicas, events)).astype(np.float64)
    found[0] = 1
    return found


def quantiles(values: NDArray, event: NDArray[np.integer], drawn: Draws, fractions: tuple[float, ...]) -> Array:
    """(1 + replicas, fractions) quantiles of values, (n,), of events, (n,); NaN where nothing was drawn.

    The smallest value below which, itself included, a fraction of the weight is.
    """
    order = np.argsort(values, kind="stable")
    return _quantiles(
        np.asarray(values, np.float64)[order], np.asarray(event, np.int64)[order], drawn, np.asarray(fractions)
    )


@njit(cache=True, nogil=True)
def _quantiles(values, event, drawn, fractions):  # type: ignore[no-untyped-def]
    """Of sorted values."""
    out = np.full((len(drawn), len(fractions)), np.nan)
    for replica in range(len(drawn)):
        weight = drawn[replica]
        total = 0.0
        for i in range(len(values)):
            total += weight[event[i]]
        below, k = 0.0, 0
        for i in range(len(values)):
            below += weight[event[i]]
            while k < len(fractions) and total > 0 and below >= fractions[k] * total:
                out[replica, k] = values[i]
                k += 1
    return out


def response(ratio: NDArray, event: NDArray[np.integer], drawn: Draws) -> Response:
    """Of ratios, (n,), of events, (n,)."""
    low, median, high = quantiles(ratio, event, drawn, QUARTILES).T
    with np.errstate(divide="ignore", invalid="ignore"):
        return Response(median, (high - low) / median)


def fraction(part: NDArray, whole: NDArray, drawn: Draws) -> Array:
    """(1 + replicas, …) share of counts, (events, …), in others; NaN where there are none."""
    top, bottom = (np.tensordot(drawn, counts.astype(np.float64), axes=1) for counts in (part, whole))
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)


def described(name: str, replicas: Array) -> dict[str, float]:
    """A value and its error, as columns of a table."""
    others = replicas[1:][np.isfinite(replicas[1:])]
    return {name: float(replicas[0]), f"{name}_error": float(others.std()) if len(others) > 1 else float("nan")}


def frame(rows: Iterable[Mapping[str, object]], *needed: str) -> pd.DataFrame:
    """Rows as a table; one without rows has the columns that are needed."""
    found = pd.DataFrame(list(rows))
    return found if len(found) else pd.DataFrame(columns=["estimator", "low", "high", *needed])

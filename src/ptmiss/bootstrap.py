"""Errors by a bootstrap over events: Poisson weights of whole events, the same for all that is compared.

An array of replicas has the value itself first, then what it would be in other samples: (1 + replicas, …). Ratios and
differences of such arrays are paired, since the same events are drawn on both sides. A statistic of many events is
evaluated a few replicas at a time with :func:`replicate`; its memory does not grow with the number of replicas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numba import njit
from numpy.typing import NDArray
from scipy.stats import poisson

from ptmiss.typing import Array

REPLICAS = 200
BLOCK = 1_000_000  # weights drawn at a time
QUARTILES = (0.25, 0.5, 0.75)
CENTRAL_68 = (0.16, 0.84)
ROUNDING = 1e-9  # of a probability: sums of the same weights in another order give the same quantile

Draws = NDArray[np.float64]


class Response(NamedTuple):
    """Median of a ratio, and its interquartile range over the median; each (1 + replicas,)."""

    median: Array
    resolution: Array


def _cumulative() -> NDArray[np.uint8]:
    """The count that each number of 16 bits stands for: Poisson of mean 1, its variance 3e-5 too small."""
    below = np.round(2**16 * poisson.cdf(np.arange(12), 1))
    return np.searchsorted(below, np.arange(2**16), side="right").astype(np.uint8)


COUNTS = _cumulative()


def counts(rows: NDArray[np.integer], first: int, last: int, seed: int = 0) -> NDArray[np.uint8]:
    """(rows, last - first) how often each row was drawn in some replicas; number 0 is the sample itself.

    A count depends on the row's number, the replica's number and the seed alone, and not on other rows: a table that
    is read in parts has the same replicas. The hash is SplitMix64 (Steele, Lea, Flood 2014).
    """
    return np.asarray(_counts(np.asarray(rows, np.uint64), first, last, np.uint64(seed), COUNTS))


@njit(cache=True, nogil=True)
def _counts(rows, first, last, seed, table):  # type: ignore[no-untyped-def]
    golden, bits = np.uint64(0x9E3779B97F4A7C15), np.uint64(0)
    out = np.ones((len(rows), last - first), np.uint8)
    for i in range(len(rows)):
        key = _mix(rows[i] * golden + _mix(seed + golden))
        for number in range(max(first, 1), last):
            slot = (number - 1) % 4
            if slot == 0 or number == max(first, 1):
                bits = _mix(key + np.uint64((number - 1) // 4 + 1) * golden)
            out[i, number - first] = table[(bits >> np.uint64(16 * slot)) & np.uint64(0xFFFF)]
    return out


@njit(cache=True, nogil=True, inline="always")
def _mix(value):  # type: ignore[no-untyped-def]
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def draw(events: int, number: int, seed: int = 0) -> Array:
    """(events,) weights of one replica of rows 0, 1, 2, …; number 0 is the sample itself."""
    return counts(np.arange(events), number, number + 1, seed)[:, 0].astype(np.float64)


def blocks(events: int, replicas: int = REPLICAS, seed: int = 0) -> Iterator[Draws]:
    """(some, events) weights, a few replicas at a time; the sample itself is the first row of the first block."""
    step = max(1, BLOCK // max(events, 1))
    for first in range(0, 1 + replicas, step):
        yield counts(np.arange(events), first, min(first + step, 1 + replicas), seed).T.astype(np.float64)


def draws(events: int, replicas: int = REPLICAS, seed: int = 0) -> Draws:
    """(1 + replicas, events) weights at once, for samples of some thousand events."""
    return np.concatenate(list(blocks(events, replicas, seed)))


def replicate(statistic: Callable[[Draws], Any], events: int, replicas: int = REPLICAS, seed: int = 0) -> Any:
    """A statistic in every replica.

    Args:
        statistic: takes (some, events) weights; gives an array (some, …), or a mapping of such by name, nested or not.
        events: how many.
        replicas: how many beside the sample itself.
        seed: the same seed draws the same weights.

    Returns:
        What the statistic gives, its arrays (1 + replicas, …).
    """
    return _concatenate([statistic(drawn) for drawn in blocks(events, replicas, seed)])


def _concatenate(parts: list[Any]) -> Any:
    if isinstance(parts[0], Mapping):
        return {name: _concatenate([part[name] for part in parts]) for name in parts[0]}
    return np.concatenate(parts)


def quantiles(
    values: NDArray, drawn: Draws, fractions: tuple[float, ...], event: NDArray[np.integer] | None = None
) -> Array:
    """(replicas, fractions) quantiles of weighted values; NaN where the weights add up to nothing.

    A quantile is the smallest value up to which, itself included, the weights reach the fraction.

    values: (n,), or (replicas, n) if they differ between replicas; drawn: (replicas, events) weights; event: (n,) of
    each value, ``None`` if they are one for one.
    """
    if values.ndim == 2:
        rows = zip(values, drawn, strict=True)
        return np.concatenate([quantiles(one, weight[np.newaxis], fractions, event) for one, weight in rows])
    order = np.argsort(values)
    of_event = order if event is None else np.asarray(event)[order]
    ordered = np.asarray(values, np.float64)[order]
    return _quantiles(ordered, of_event.astype(np.int64), np.asarray(drawn, np.float64), np.asarray(fractions))


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
            while k < len(fractions) and total > 0 and below >= (fractions[k] - ROUNDING) * total:
                out[replica, k] = values[i]
                k += 1
    return out


def half_width(values: NDArray, drawn: Draws | None = None, event: NDArray[np.integer] | None = None) -> Array:
    """(replicas,) half the distance between the 16 % and 84 % quantiles: one sigma of a Gaussian.

    drawn: see :func:`quantiles`; ``None`` for the sample itself, every value counted once.
    """
    weights = np.ones((1, values.shape[-1])) if drawn is None else drawn
    low, high = quantiles(values, weights, CENTRAL_68, event).T
    return (high - low) / 2


def rms(values: NDArray, drawn: Draws) -> Array:
    """(replicas,) RMS about the mean; NaN for weights of sum 0 or less.

    values: (replicas, events), or (events,) if they are the same in all; drawn: (replicas, events) weights.
    """
    total = drawn.sum(axis=1)
    mean = _divide((drawn * values).sum(axis=1), total)
    square = _divide((drawn * (values - mean[:, np.newaxis]) ** 2).sum(axis=1), total)
    return np.sqrt(np.where(square >= 0, square, np.nan))


def _divide(top: Array, bottom: Array) -> Array:
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)


def response(ratio: NDArray, drawn: Draws, event: NDArray[np.integer] | None = None) -> Response:
    """Median and relative interquartile range of ratios, (n,)."""
    low, median, high = quantiles(ratio, drawn, QUARTILES, event).T
    with np.errstate(divide="ignore", invalid="ignore"):
        return Response(median, (high - low) / median)


def fraction(part: NDArray, whole: NDArray, drawn: Draws) -> Array:
    """(1 + replicas, …) share of counts, (events, …), in others; NaN where there are none."""
    top, bottom = (np.tensordot(drawn, counts.astype(np.float64), axes=1) for counts in (part, whole))
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)


def with_error(name: str, replicas: Array) -> dict[str, float]:
    """A value and its error as columns of a table: ``name`` and ``name_error``.

    replicas: (1 + draws,), the value of the sample itself first.
    """
    others = replicas[1:][np.isfinite(replicas[1:])]
    return {name: float(replicas[0]), f"{name}_error": float(others.std()) if len(others) > 1 else float("nan")}


def frame(rows: Iterable[Mapping[str, object]], *needed: str) -> pd.DataFrame:
    """Rows as a table; one without rows has the columns that are needed."""
    found = pd.DataFrame(list(rows))
    return found if len(found) else pd.DataFrame(columns=["estimator", "low", "high", *needed])

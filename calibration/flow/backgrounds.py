"""Two ways to take a background off the data that a flow is trained on.

* ``negative``: simulated events of the background count as data with a negative weight
* ``share``: each event of data counts for the share of signal among events like it, ``1 - F b/d``. A classifier finds
  the ratio of the densities of simulated background and data; F is the background's fraction of the data

The first depends on no classifier, and has the law of signal in the mean. The second has no negative weights, so that
no floor is needed in the loss, but it is as good as its classifier.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ptmiss.errors import UnknownName
from ptmiss.typing import Array

NEGATIVE, SHARE = WAYS = "negative", "share"

Columns = tuple[Array, Array, Array]
"""Residuals (events, features), context (events, columns) and weights (events,)."""


def check(way: str) -> None:
    """Raise UnknownName if there is no such way."""
    if way not in WAYS:
        raise UnknownName("subtraction", way, WAYS)


def subtract(data: Columns, backgrounds: Sequence[Columns], way: str = NEGATIVE) -> Columns:
    """Data without backgrounds, whose weights are those that they have in the data."""
    if not backgrounds:
        return data
    background = join(backgrounds)
    if way == NEGATIVE:
        return join([data, (*background[:2], -background[2])])
    return *data[:2], data[2] * signal_share(data, background)


def join(parts: Sequence[Columns]) -> Columns:
    """The events of several samples."""
    u, context, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
    return u, context, weights


def signal_share(data: Columns, background: Columns) -> Array:
    """(events,) share of signal among events of data like each, from 0 to 1."""
    from ptmiss.models.classifier import separate

    of_data, of_background = (np.column_stack(sample[:2]) for sample in (data, background))
    ratio = np.exp(separate(of_data, of_background, (data[2], background[2])).scores[0])
    return np.clip(1 - background[2].sum() / data[2].sum() * ratio, 0, 1)

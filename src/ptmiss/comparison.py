"""Estimators compared on the same events: response-corrected widths over a range of qT, with paired bootstrap errors.

The response correction is that of each qT bin (CMS-JME-24-001's per-bin option), so that no estimator gains from a
response that turns on slowly. The bootstrap draws events, with the same draws for all estimators: the error of a
difference knows that they saw the same events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ptmiss.errors import OptionError
from ptmiss.histograms import COMPONENTS, QT_EDGES
from ptmiss.recoil import Recoil

REPLICAS = 200
EDGES = np.asarray([*(edge for edge in QT_EDGES if edge >= 10), np.inf])
QUANTILES = (0.16, 0.84)

Array = NDArray[np.float64]


class Widths(NamedTuple):
    """Widths of one estimator in GeV: value first, then bootstrap replicas; each of shape (1 + replicas, 2).

    The last axis is par and perp: RMS about the mean, and half the distance of the 16 % and 84 % quantiles.
    """

    rms: Array
    half: Array
    response: Array


@dataclass(frozen=True)
class Events:
    """Events to compare on: qT in GeV, weights, and the draws of the bootstrap, (1 + replicas, events)."""

    weight: Array
    bins: NDArray[np.intp]
    draws: NDArray[np.float32]

    @staticmethod
    def of(qt: NDArray, weight: NDArray, replicas: int = REPLICAS, seed: int = 0) -> Events:
        """The first draw is the sample itself."""
        if not len(qt):
            raise OptionError("no events to compare estimators on")
        draws = np.random.default_rng(seed).poisson(1, (replicas + 1, len(qt))).astype(np.float32)
        draws[0] = 1
        bins = np.clip(np.searchsorted(EDGES, qt, side="right") - 1, 0, len(EDGES) - 2)
        return Events(np.asarray(weight, np.float64), bins, draws)

    def sums(self, columns: Array) -> Array:
        """Weighted sums of (events, k) columns in each bin and draw: (1 + replicas, bins, k)."""
        out = np.zeros((len(self.draws), len(EDGES) - 1, columns.shape[1]))
        weighted = columns * self.weight[:, np.newaxis]
        for b in np.unique(self.bins):
            here = self.bins == b
            out[:, b] = self.draws[:, here].astype(np.float64) @ weighted[here]
        return out

    def widths(self, recoil: Recoil) -> Widths:
        """Widths of ``u_par / R - qT`` and ``u_perp / R`` with R the response of each event's qT bin."""
        q, par, perp = (np.asarray(v, np.float64) for v in (recoil.qt, recoil.u_par, recoil.u_perp))
        s = self.sums(np.stack([np.ones_like(q), q, par, perp, q * q, q * par, par * par, perp * perp], axis=1))
        one, sum_q, sum_par, sum_perp, qq, q_par, par2, perp2 = np.moveaxis(s, -1, 0)
        response = np.divide(sum_par, sum_q, out=np.ones_like(sum_q), where=sum_q > 0)
        moments = {
            "par": (sum_par / response - sum_q, par2 / response**2 - 2 * q_par / response + qq),
            "perp": (sum_perp / response, perp2 / response**2),
        }
        total = one.sum(axis=1)
        rms = [
            np.sqrt(np.maximum(second.sum(axis=1) / total - (first.sum(axis=1) / total) ** 2, 0))
            for first, second in (moments[c] for c in COMPONENTS)
        ]
        r = response[0][self.bins]
        half = [self.half_width(residual) for residual in (par / r - q, perp / r)]
        return Widths(np.stack(rms, axis=1), np.stack(half, axis=1), sum_par.sum(axis=1) / sum_q.sum(axis=1))

    def half_width(self, values: Array) -> Array:
        """Half the distance of the 16 % and 84 % quantiles in each draw."""
        order = np.argsort(values)
        cumulative = np.cumsum(self.draws[:, order] * self.weight[order], axis=1, dtype=np.float64)
        low, high = (values[order][np.argmax(cumulative >= q * cumulative[:, -1:], axis=1)] for q in QUANTILES)
        return (high - low) / 2


def compare(
    recoils: Mapping[str, Recoil], weight: NDArray, references: Sequence[str], replicas: int = REPLICAS
) -> pd.DataFrame:
    """Widths of each estimator, and how much smaller they are than those of the references, with bootstrap errors.

    recoils: of the same events, by estimator; weight: (events,). One row an estimator; columns ``<width>_<component>``
    in GeV, ``<width>_<component>_vs_<reference>`` as a fraction, each with ``…_error``.
    """
    events = Events.of(next(iter(recoils.values())).qt, weight, replicas)
    widths = {name: events.widths(recoil) for name, recoil in recoils.items()}
    rows = []
    for name, own in widths.items():
        row: dict[str, str | float] = {"estimator": name, "events": len(events.bins)}
        row |= _with_error("response", own.response)
        for kind in ("rms", "half"):
            for i, component in enumerate(COMPONENTS):
                values = getattr(own, kind)[:, i]
                row |= _with_error(f"{kind}_{component}", values)
                for reference in references:
                    other = getattr(widths[reference], kind)[:, i]
                    row |= _with_error(f"{kind}_{component}_vs_{reference}", 1 - values / other)
        rows.append(row)
    return pd.DataFrame(rows)


def _with_error(name: str, values: Array) -> dict[str, float]:
    return {name: float(values[0]), f"{name}_error": float(values[1:].std())}

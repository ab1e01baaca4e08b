"""Estimators compared on the same events: response-corrected widths over a range of qT, with paired bootstrap errors.

The response correction is that of each qT bin (CMS-JME-24-001's per-bin option), so that no estimator gains from a
response that turns on slowly. The bootstrap draws events, with the same draws for all estimators: the error of a
difference knows that they saw the same events.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import rich
import rich.table
from numpy.typing import NDArray

from ptmiss.errors import FileError, OptionError, UnknownName
from ptmiss.histograms import COMPONENTS, NPV_EDGES, QT_EDGES
from ptmiss.recoil import Recoil
from ptmiss.resolution import recoils
from ptmiss.table import RecoilTable

REPLICAS = 200
FEW = 50
QT_ABOVE = 20.0  # GeV
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
    recoils: Mapping[str, Recoil], weight: NDArray, references: Sequence[str] = (), replicas: int = REPLICAS
) -> pd.DataFrame:
    """Widths of each estimator, and how much smaller they are than those of the references, with bootstrap errors.

    recoils: of the same events, by estimator; weight: (events,). One row an estimator; columns ``<width>_<component>``
    in GeV, ``<width>_<component>_vs_<reference>`` as a fraction, each with ``…_error``.
    """
    events = Events.of(next(iter(recoils.values())).qt, weight, replicas)
    widths = {name: events.widths(recoil) for name, recoil in recoils.items()}
    return pd.DataFrame([_row(name, len(events.bins), widths, references) for name in recoils])


def _row(name: str, n: int, widths: Mapping[str, Widths], references: Sequence[str]) -> dict[str, str | float]:
    row: dict[str, str | float] = {"estimator": name, "events": n, **_with_error("response", widths[name].response)}
    for kind, (i, component) in product(("rms", "half"), enumerate(COMPONENTS)):
        own = getattr(widths[name], kind)[:, i]
        row |= _with_error(f"{kind}_{component}", own)
        for reference in references:
            other = getattr(widths[reference], kind)[:, i]
            row |= _with_error(f"{kind}_{component}_vs_{reference}", 1 - own / other)
    return row


def _with_error(name: str, values: Array) -> dict[str, float]:
    return {name: float(values[0]), f"{name}_error": float(values[1:].std())}


def of_table(
    table: RecoilTable,
    references: Sequence[str] = (),
    *,
    boson: str = "boson",
    above: float = QT_ABOVE,
    edges: Mapping[str, Sequence[float]] | None = None,
    replicas: int = REPLICAS,
) -> pd.DataFrame:
    """The estimators of a recoil table compared above a qT, over all events, then in bins of the axes in ``edges``.

    boson: see ptmiss.resolution.recoils. edges: bin edges by axis, ``qt``, ``npv`` or ``njets``. Columns ``axis low
    high``, then those of :func:`compare`; a bin with fewer than FEW events is left out.
    """
    for name in references:
        if name not in table.estimators:
            raise UnknownName("estimator in the table", name, table.estimators)
    table, found = recoils(table, boson)
    qt = next(iter(found.values())).qt
    values = {"qt": qt, "npv": table["npv"], "njets": table["njets"]}
    parts = []
    for axis, low, high in [("inclusive", -np.inf, np.inf), *_cells(edges or {})]:
        inside = (qt > above) & (values.get(axis, qt) >= low) & (values.get(axis, qt) < high)
        if np.count_nonzero(inside) < FEW:
            continue
        chosen = {name: Recoil(*(component[inside] for component in u)) for name, u in found.items()}
        part = compare(chosen, table["weight"][inside], references, replicas)
        parts.append(part.assign(axis=axis, low=low, high=high))
    if not parts:
        raise OptionError(f"fewer than {FEW} events with qT above {above:g} GeV to compare estimators on")
    return pd.concat(parts, ignore_index=True)


def _cells(edges: Mapping[str, Sequence[float]]) -> Iterator[tuple[str, float, float]]:
    return ((axis, low, high) for axis, values in edges.items() for low, high in pairwise(values))


def edges(axes: Sequence[str]) -> dict[str, Sequence[float]]:
    """The project's bin edges of axes by name."""
    known: dict[str, Sequence[float]] = {
        "qt": QT_EDGES,
        "npv": (*NPV_EDGES, np.inf),
        "njets": (0, 1, 2, np.inf),
    }
    for axis in axes:
        if axis not in known:
            raise UnknownName("axis", axis, known)
    return {axis: known[axis] for axis in axes}


def read(path: Path) -> pd.DataFrame:
    """A comparison that was written as CSV; FileError if it is none."""
    try:
        found = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise FileError(f"cannot read {path}: {error}") from error
    if not {"axis", "estimator", "response"} <= set(found):
        raise FileError(f"{path} is not a comparison that ptmiss compare wrote; columns: {', '.join(map(str, found))}")
    return found


def show(found: pd.DataFrame, references: Sequence[str]) -> None:
    """Print a comparison: widths, and how much smaller than the references' they are, par and perp."""
    grid = rich.table.Table(box=None, pad_edge=False)
    percent = [f"vs {reference}, %" for reference in references]
    for i, head in enumerate(["", "response", "par, GeV", "perp, GeV", *percent]):
        grid.add_column(head, justify="right" if i else "left")
    for (axis, low, high), rows in found.groupby(["axis", "low", "high"], sort=False):
        if axis != "inclusive":
            grid.add_row(f"{axis} {low:g} to {high:g}", style="bold")
        for row in rows.to_dict("records"):
            widths = [f"{row[f'rms_{c}']:.2f}±{row[f'rms_{c}_error']:.2f}" for c in COMPONENTS]
            gains = [" ".join(_gain(row, f"rms_{c}_vs_{r}") for c in COMPONENTS) for r in references]
            grid.add_row(row["estimator"], f"{row['response']:.3f}", *widths, *gains)
    rich.print(grid)


def _gain(row: Mapping[Hashable, float], key: str) -> str:
    return f"{100 * row[key]:+.0f}±{100 * row[f'{key}_error']:.0f}" if row[f"{key}_error"] else ""

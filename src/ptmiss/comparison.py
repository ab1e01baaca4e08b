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
from ptmiss.plots import AXES, panels, save
from ptmiss.recoil import Recoil
from ptmiss.resolutions import BIN_MINIMUM, QUANTILES, recoils
from ptmiss.table import RecoilTable

REPLICAS = 200
MIN_EVENTS = 50
QT_ABOVE = 20.0  # GeV
EDGES = np.asarray([*(edge for edge in QT_EDGES if edge >= BIN_MINIMUM), np.inf])

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

    def part(self, mask: NDArray[np.bool_]) -> Events:
        """Only the events in the mask, with their draws."""
        return Events(self.weight[mask], self.bins[mask], self.draws[:, mask])

    def sums(self, columns: Array) -> Array:
        """Weighted sums of (events, k) columns in each bin and draw: (1 + replicas, bins, k)."""
        out = np.zeros((len(self.draws), len(EDGES) - 1, columns.shape[1]))
        weighted = columns * self.weight[:, np.newaxis]
        for b in np.unique(self.bins):
            here = self.bins == b
            out[:, b] = self.draws[:, here].astype(np.float64) @ weighted[here]
        return out

    def response(self, recoil: Recoil) -> Array:
        """(1 + replicas, bins) response in each bin of qT; 1 where there is no event."""
        total, par = np.moveaxis(self.sums(np.stack([recoil.qt, recoil.u_par], axis=1)), -1, 0)
        return np.divide(par, total, out=np.ones_like(par), where=total > 0)

    def widths(self, recoil: Recoil, response: Array | None = None) -> Widths:
        """Widths of ``u_par / R - qT`` and ``u_perp / R`` with R the response of each event's qT bin, else their own."""
        response = self.response(recoil) if response is None else response
        q, par, perp = (np.asarray(v, np.float64) for v in (recoil.qt, recoil.u_par, recoil.u_perp))
        s = self.sums(np.stack([np.ones_like(q), q, par, perp, q * q, q * par, par * par, perp * perp], axis=1))
        one, sum_q, sum_par, sum_perp, qq, q_par, par2, perp2 = np.moveaxis(s, -1, 0)
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
    (table,) = compare_cells(recoils, weight, references, replicas, [np.ones(len(weight), bool)])
    return table


def compare_cells(
    recoils: Mapping[str, Recoil],
    weight: NDArray,
    references: Sequence[str],
    replicas: int,
    cells: Sequence[NDArray[np.bool_]],
) -> list[pd.DataFrame]:
    """The same in each cell, a mask of events; the response is that of all events in a bin of qT."""
    events = Events.of(next(iter(recoils.values())).qt, weight, replicas)
    responses = {name: events.response(recoil) for name, recoil in recoils.items()}
    tables = []
    for cell in cells:
        part = events.part(cell)
        widths = {
            name: part.widths(Recoil(*(component[cell] for component in recoil)), responses[name])
            for name, recoil in recoils.items()
        }
        tables.append(pd.DataFrame([_row(name, len(part.bins), widths, references) for name in recoils]))
    return tables


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
    below: float = np.inf,
    edges: Mapping[str, Sequence[float]] | None = None,
    weighted: bool = True,
    replicas: int = REPLICAS,
) -> pd.DataFrame:
    """The estimators of a recoil table compared in a range of qT, over all events, then in bins of the axes in ``edges``.

    boson: see ptmiss.resolutions.recoils. edges: bin edges by axis, ``qt``, ``npv`` or ``njets``. weighted: False counts
    every event once; a sample that was biased to large qT keeps its bias, and its statistics. Columns ``axis low
    high``, then those of :func:`compare`; a bin with fewer than MIN_EVENTS events is left out.
    """
    for name in references:
        if name not in table.estimators:
            raise UnknownName("estimator in the table", name, table.estimators)
    table, found = recoils(table, boson)
    qt = next(iter(found.values())).qt
    weight = table["weight"] if weighted else np.ones(len(table))
    inside = (qt > above) & (qt < below)
    table, weight = table.select(inside), weight[inside]
    found = {name: Recoil(*(component[inside] for component in u)) for name, u in found.items()}
    values = {"inclusive": qt[inside], "qt": qt[inside], "npv": table["npv"], "njets": table["njets"]}
    cells = [("inclusive", -np.inf, np.inf), *_cells(edges or {})]
    masks = [(values[axis] >= low) & (values[axis] < high) for axis, low, high in cells]
    filled = [i for i, mask in enumerate(masks) if np.count_nonzero(mask) >= MIN_EVENTS]
    if not filled:
        raise OptionError(
            f"fewer than {MIN_EVENTS} events with {above:g} < qT < {below:g} GeV to compare estimators on"
        )
    tables = compare_cells(found, weight, references, replicas, [masks[i] for i in filled])
    named = zip(filled, tables, strict=True)
    return pd.concat(
        [part.assign(axis=cells[i][0], low=cells[i][1], high=cells[i][2]) for i, part in named], ignore_index=True
    )


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


def draw(found: pd.DataFrame, path: Path, label: str = "") -> None:
    """Response and both widths against each axis of a comparison, as a figure."""
    table = found.assign(n_eff=found["events"], correction="bin")
    drawn = [axis for axis in AXES if axis in set(found["axis"])]
    if not drawn:
        raise OptionError("a figure needs bins: --by qt, npv, or both")
    wanted = [(quantity, axis) for axis in drawn for quantity in ("response", "rms_par", "rms_perp")]
    finite = table[np.isfinite(table["low"]) & np.isfinite(table["high"])]
    save(panels(finite, wanted, label), path.with_suffix(""), [path.suffix.removeprefix(".")])


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

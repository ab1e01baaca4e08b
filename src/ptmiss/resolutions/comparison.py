"""Estimators compared on the same events: response-corrected widths over a range of qT, with paired bootstrap errors.

The response correction is that of each stored bin of qT (``bin``, see ``responses``), so that no estimator gains from
a response that turns on slowly. The bootstrap draws events, with the same draws for all estimators, and takes the
response again in each draw: the error of a difference knows that they saw the same events. An event counts if every
estimator has a finite pTmiss and if its bin of qT has a response, so from 10 GeV on; what is left out is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ptmiss import bootstrap, tables
from ptmiss.binning import DEFAULT, Binning
from ptmiss.bootstrap import REPLICAS
from ptmiss.errors import FileError, OptionError, UnknownName
from ptmiss.files import AnyPath, as_path
from ptmiss.histograms import BIN_MINIMUM, COMPONENTS
from ptmiss.plots import AXES, panels, save
from ptmiss.recoil import Recoil, finite_in_all
from ptmiss.selections import selection_of
from ptmiss.table import RecoilTable
from ptmiss.table.columns import Table
from ptmiss.typing import Array, Mask

from .measurement import columns_of, has_boson, recoils, require_events
from .replicas import Events, Found, divide, measure

MIN_EVENTS = 50
QT_ABOVE = 20.0  # GeV
WIDTHS = tuple(f"{kind}_{component}" for kind in ("rms", "half_width") for component in COMPONENTS)


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
    cells: Sequence[Mask],
    binning: Binning = DEFAULT,
) -> list[pd.DataFrame]:
    """The same in each cell, a mask of shape (events,); the response is that of all events in a bin of qT."""
    if not len(weight):
        raise OptionError("no events to compare estimators on")
    inside = [np.where(cell, 0, 1) for cell in cells]
    events = Events(recoils, np.asarray(weight, np.float64), np.arange(len(weight)), inside)
    *found, _ = measure(lambda: [events], list(recoils), [1] * len(cells), replicas, binning)
    return [
        frame(numbers, int(np.count_nonzero(cell)), references) for (numbers,), cell in zip(found, cells, strict=True)
    ]


def frame(found: Found, events: int, references: Sequence[str]) -> pd.DataFrame:
    """A row for each estimator of one cell, with so many events."""
    return pd.DataFrame([_row(name, events, found, references) for name in found])


def _row(
    name: str, n: int, found: Mapping[str, Mapping[str, Array]], references: Sequence[str]
) -> dict[str, str | float]:
    own = found[name]
    row: dict[str, str | float] = {"estimator": name, "events": n, **bootstrap.with_error("response", own["response"])}
    for width in WIDTHS:
        row |= bootstrap.with_error(width, own[width])
    for width, reference in product(WIDTHS, references):
        row |= bootstrap.with_error(f"{width}_vs_{reference}", gain(own[width], found[reference][width]))
    return row


def gain(own: Array, other: Array) -> Array:
    """(replicas,) how much smaller a width is than another one, as a fraction; NaN where that is nothing."""
    return 1 - divide(own, other)


def of_table(
    table: Table,
    references: Sequence[str] = (),
    *,
    boson: str = "boson",
    above: float = QT_ABOVE,
    below: float = np.inf,
    edges: Mapping[str, Sequence[float]] | None = None,
    weighted: bool = True,
    replicas: int = REPLICAS,
) -> pd.DataFrame:
    """The estimators of a recoil table compared in a range of qT, over all events, then in bins of the axes in
    ``edges``.

    boson: see ptmiss.resolutions.recoils. above, below: GeV, the lower end belongs to the range. edges: bin edges by
    axis, ``qt``, ``npv`` or ``njets``. weighted: False counts every event once; a sample that was biased to large qT
    keeps its bias, and its statistics. Columns ``axis low high left_out``, then those of :func:`compare`; ``left_out``
    are events of the bin that do not count. A bin with fewer than MIN_EVENTS events is left out.
    """
    for name in references:
        if name not in table.estimators:
            raise UnknownName("estimator in the table", name, table.estimators)
    table = table.of()
    table.require(*(f"{boson}_{part}" for part in ("pt", "phi")))
    chosen = Chosen(table, boson, (above, below), dict(edges or {}), weighted)
    found = measure(
        chosen.read,
        table.estimators,
        [len(bins) for bins in chosen.bins],
        replicas,
        selection_of(table.provenance).binning,
    )
    out = []
    for axis, numbers in zip(["inclusive", *chosen.edges], [found[-1], *found[: len(chosen.edges)]], strict=True):
        for i, (low, high) in enumerate(chosen.ranges(axis)):
            if (n := chosen.counted[axis, i]) >= MIN_EVENTS:
                part = frame(numbers[i], n, references)
                out.append(part.assign(axis=axis, low=low, high=high, left_out=chosen.left_out[axis, i]))
    if not out:
        raise OptionError(
            f"fewer than {MIN_EVENTS} events with {above:g} < qT < {below:g} GeV to compare estimators on"
            + chosen.too_few()
        )
    return pd.concat(out, ignore_index=True)


@dataclass
class Chosen:
    """The events of a table in a range of qT (GeV), some at a time, and how many of them count.

    edges: of bins by axis. counted, left_out: events by axis and bin that count, and that do not since an estimator has
    no finite pTmiss or qT is below BIN_MINIMUM. finite: events by estimator with a finite pTmiss.
    """

    table: Table
    boson: str
    within: tuple[float, float]
    edges: Mapping[str, Sequence[float]]
    weighted: bool
    counted: Counter[tuple[str, int]] = field(default_factory=Counter)
    left_out: Counter[tuple[str, int]] = field(default_factory=Counter)
    finite: Counter[str] = field(default_factory=Counter)

    def ranges(self, axis: str) -> list[tuple[float, float]]:
        """Lower and upper end of each bin of an axis."""
        return [(-np.inf, np.inf)] if axis == "inclusive" else list(pairwise(self.edges[axis]))

    @property
    def bins(self) -> list[list[tuple[float, float]]]:
        """The bins of every axis; one axis at least."""
        return [self.ranges(axis) for axis in self.edges or ("inclusive",)]

    def read(self) -> Iterator[Events]:
        """The events that count; the counts are those of the last time that all were read."""
        self.counted, self.left_out, self.finite = Counter(), Counter(), Counter()
        there = finite = 0
        for batch in self.table.batches(columns_of(self.table, self.boson)):
            with_boson = has_boson(batch, self.boson)
            there += int(np.count_nonzero(with_boson))
            finite += int(np.isfinite(batch[f"{self.boson}_pt"]).sum())
            if with_boson.any():
                yield self._events(*recoils(batch, self.boson, common=False))
        require_events(self.table, self.boson, there, finite)

    def _events(self, rows: RecoilTable, every: Mapping[str, Recoil]) -> Events:
        qt = next(iter(every.values())).qt
        inside = (qt >= self.within[0]) & (qt < self.within[1])
        usable = inside & finite_in_all(every.values()) & (qt >= BIN_MINIMUM)
        self.finite.update({name: int(np.isfinite(u.u_par[inside]).sum()) for name, u in every.items()})
        cells = {"inclusive": np.zeros(len(qt), np.int64)}
        for axis, edges in self.edges.items():
            cells[axis] = bin_numbers(qt if axis == "qt" else rows[axis], edges)
        for axis, cell in cells.items():
            for counts, mask in ((self.counted, usable), (self.left_out, inside & ~usable)):
                counts.update({(axis, i): int(n) for i, n in enumerate(np.bincount(cell[mask]))})
        weight = rows.weight()[usable] if self.weighted else np.ones(np.count_nonzero(usable))
        kept = {name: Recoil(*(component[usable] for component in u)) for name, u in every.items()}
        return Events(kept, weight, rows.row[usable], [cells[axis][usable] for axis in self.edges or ("inclusive",)])

    def too_few(self) -> str:
        """The estimators that have no finite pTmiss in any event, for an error."""
        never = [name for name, n in self.finite.items() if not n]
        if not never or not self.counted["inclusive", 0] + self.left_out["inclusive", 0]:
            return ""
        return f": {', '.join(never)} has no finite pTmiss there, leave it out of the table"


def bin_numbers(values: NDArray, edges: Sequence[float]) -> NDArray[np.int64]:
    """(events,) number of the bin of each value; a bin holds its lower edge, and what is in none has the number after.

    The last number is that of values outside of all bins.
    """
    number = np.searchsorted(edges, values, side="right") - 1
    return np.where((number >= 0) & (number < len(edges) - 1), number, len(edges) - 1)


def edges(axes: Sequence[str], binning: Binning = DEFAULT) -> dict[str, Sequence[float]]:
    """The bin edges of axes by name."""
    known: dict[str, Sequence[float]] = {
        "qt": binning.qt,
        "npv": (*binning.npv, np.inf),
        "njets": (*binning.njets, np.inf),
    }
    for axis in axes:
        if axis not in known:
            raise UnknownName("axis", axis, known)
    return {axis: known[axis] for axis in axes}


def read(path: AnyPath) -> pd.DataFrame:
    """A comparison that was written as CSV; FileError if it is none."""
    path = as_path(path)
    try:
        found = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise FileError(f"cannot read {path}: {error}") from error
    if not {"axis", "estimator", "response"} <= set(found):
        raise FileError(f"{path} is not a comparison that ptmiss compare wrote; columns: {', '.join(map(str, found))}")
    return found


def draw(found: pd.DataFrame, path: AnyPath, label: str = "") -> None:
    """Response and both widths against each axis of a comparison, as a figure."""
    table = found.assign(n_eff=found["events"], correction="bin")
    drawn = [axis for axis in AXES if axis in set(found["axis"])]
    if not drawn:
        raise OptionError("a figure needs bins: --by qt, npv, or both")
    wanted = [(quantity, axis) for axis in drawn for quantity in ("response", "rms_par", "rms_perp")]
    finite = table[np.isfinite(table["low"]) & np.isfinite(table["high"])]
    path = as_path(path)
    save(panels(finite, wanted, label), path.with_suffix(""), [path.suffix.removeprefix(".")])


def show(found: pd.DataFrame, references: Sequence[str]) -> None:
    """Print a comparison: widths, and how much smaller than the references' they are, par and perp."""
    lines: list[list[str]] = []
    for (axis, low, high), rows in found.groupby(["axis", "low", "high"], sort=False):
        if axis != "inclusive":
            lines.append([f"{axis} {low:g} to {high:g}"])
        for row in rows.to_dict("records"):
            widths = [tables.with_error(row, f"rms_{c}", 2) for c in COMPONENTS]
            gains = [" ".join(tables.percent(row, f"rms_{c}_vs_{r}") for c in COMPONENTS) for r in references]
            lines.append([row["estimator"], f"{row['response']:.3f}", *widths, *gains])
    tables.show(["", "response", "par, GeV", "perp, GeV", *(f"vs {r}, %" for r in references)], lines)
    if left_out := int(found[found["axis"] == "inclusive"]["left_out"].max()):
        print(f"events left out: {left_out} (pTmiss not finite in every estimator, or qT below {BIN_MINIMUM:g} GeV)")

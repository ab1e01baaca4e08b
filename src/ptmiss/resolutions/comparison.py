"""Estimators compared on the same events: response-corrected widths over a range of qT, with paired bootstrap errors.

The response correction is that of each stored bin of qT (``bin``, see ``responses``), so that no estimator gains from
a response that turns on slowly. The bootstrap draws events, with the same draws for all estimators, and takes the
response again in each draw: the error of a difference knows that they saw the same events. An event counts if every
estimator has a finite pTmiss and if its bin of qT has a response, so from 10 GeV on; what is left out is counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
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
from ptmiss.table import RecoilTable
from ptmiss.typing import Array, Mask

from .measurement import recoils

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
    qt = next(iter(recoils.values())).qt
    if not len(qt):
        raise OptionError("no events to compare estimators on")
    numbers = [np.flatnonzero(cell) for cell in cells]
    measured = partial(_measure, recoils, np.asarray(weight, np.float64), binning.qt_bin(qt), numbers)
    found = bootstrap.replicate(measured, len(qt), replicas)
    return [
        pd.DataFrame([_row(name, len(cell), found[i], references) for name in recoils])
        for i, cell in enumerate(numbers)
    ]


def _measure(
    recoils: Mapping[str, Recoil],
    weight: Array,
    bins: NDArray[np.intp],
    cells: Sequence[NDArray[np.intp]],
    drawn: bootstrap.Draws,
) -> dict[int, dict[str, dict[str, Array]]]:
    """(replicas,) numbers of each cell and estimator."""
    found: dict[int, dict[str, dict[str, Array]]] = {i: {} for i in range(len(cells))}
    for name, u in recoils.items():
        weights = drawn * weight
        r = responses(u, weights, bins)
        weights, r = np.where(r > 0, weights, 0), np.where(r > 0, r, 1)
        residuals = dict(zip(COMPONENTS, (u.u_par / r - u.qt, u.u_perp / r), strict=True))
        for i, cell in enumerate(cells):
            inside = weights[:, cell]
            found[i][name] = {"response": _divide(inside @ u.u_par[cell], inside @ u.qt[cell])}
            for component, residual in residuals.items():
                found[i][name][f"rms_{component}"] = rms(residual[:, cell], inside)
                found[i][name][f"half_width_{component}"] = bootstrap.half_width(residual[:, cell], inside)
    return found


def responses(u: Recoil, weights: Array, bins: NDArray[np.intp]) -> Array:
    """(replicas, events) response of each event's bin of qT, of weights of that shape; NaN where there is none."""
    along = np.full((len(weights), int(bins.max(initial=0)) + 1), np.nan)
    for b in np.unique(bins):
        here = np.flatnonzero(bins == b)
        along[:, b] = _divide(weights[:, here] @ u.u_par[here], weights[:, here] @ u.qt[here])
    return along[:, bins]


def rms(values: Array, weights: Array) -> Array:
    """(replicas,) RMS about the mean; NaN for weights of sum 0 or less.

    values: (replicas, events), or (events,) if they are the same in all; weights: (replicas, events).
    """
    total = weights.sum(axis=1)
    mean = _divide((weights * values).sum(axis=1), total)
    square = _divide((weights * (values - mean[:, np.newaxis]) ** 2).sum(axis=1), total)
    return np.sqrt(np.where(square >= 0, square, np.nan))


def _divide(top: Array, bottom: Array) -> Array:
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)


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
    return 1 - _divide(own, other)


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
    table, every = recoils(table, boson, common=False)
    qt = next(iter(every.values())).qt
    values = {"inclusive": qt, "qt": qt, "npv": table["npv"], "njets": table["njets"]}
    cells = [("inclusive", -np.inf, np.inf), *_cells(edges or {})]
    usable = finite_in_all(every.values()) & (qt >= BIN_MINIMUM)
    inside = (qt >= above) & (qt < below)
    masks = [inside & (values[axis] >= low) & (values[axis] < high) for axis, low, high in cells]
    filled = [i for i, mask in enumerate(masks) if np.count_nonzero(mask & usable) >= MIN_EVENTS]
    if not filled:
        raise OptionError(
            f"fewer than {MIN_EVENTS} events with {above:g} < qT < {below:g} GeV to compare estimators on"
            + too_few(every, inside)
        )
    chosen = np.flatnonzero(inside & usable)
    found = {name: Recoil(*(component[chosen] for component in u)) for name, u in every.items()}
    weight = table["weight"][chosen] if weighted else np.ones(len(chosen))
    here = [masks[i][chosen] for i in filled]
    parts = compare_cells(found, weight, references, replicas, here, table.selection.binning)
    out = []
    for i, part in zip(filled, parts, strict=True):
        (axis, low, high), left_out = cells[i], np.count_nonzero(masks[i] & ~usable)
        out.append(part.assign(axis=axis, low=low, high=high, left_out=left_out))
    return pd.concat(out, ignore_index=True)


def too_few(every: Mapping[str, Recoil], inside: Mask) -> str:
    """The estimators that have no finite pTmiss in any event of a mask (events,), for an error."""
    never = [name for name, u in every.items() if not np.isfinite(u.u_par[inside]).any()]
    return (
        f": {', '.join(never)} has no finite pTmiss there, leave it out of the table" if inside.any() and never else ""
    )


def _cells(edges: Mapping[str, Sequence[float]]) -> Iterator[tuple[str, float, float]]:
    return ((axis, low, high) for axis, values in edges.items() for low, high in pairwise(values))


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

"""The recoil taken apart into sums over cells of candidates: kind, abs(η), vertex, and pT.

pTmiss of an estimator that is a sum over candidates is a constant and a term of each candidate. So u∥ and u⊥ are, event
by event, the sum of what the cells add. ``REST`` is what no candidate adds: the constant, empty slots of a model with
padding, and the difference between the boson and its candidates.

With ``u`` the sum of parts ``u_k``, ``r_k = ⟨u_k⟩ / ⟨qT⟩`` and ``d_k = u∥_k - r_k qT`` (for u⊥ ``d_k = u_k - ⟨u_k⟩``):

* means: ``Σ ⟨u_k⟩ = ⟨u⟩``, so responses: ``Σ r_k = r``
* variances: ``Σ cov(d_k, Σ d) = var(u∥ - r qT)``; a part that cancels others has a negative one
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ptmiss import bootstrap
from ptmiss.bootstrap import REPLICAS
from ptmiss.candidates import Candidates
from ptmiss.estimators.shifts import CandidateSum
from ptmiss.explanation.events import Sample, counted
from ptmiss.histograms import COMPONENTS
from ptmiss.scales import KINDS, LEPTONS, is_kind
from ptmiss.typing import Array, Vector

ETA_EDGES = (0.0, 1.5, 2.5, 3.0, np.inf)
PT_EDGES = (0.0, 1.0, 2.0, 5.0, 20.0, np.inf)  # GeV
VERTICES = ("primary", "loose", "pile-up", "no track")
REST = "rest"
AXES = ("kind", "eta", "vertex", "pt")
TOGETHER = ("kind", "vertex")
LEVELS = {
    "all": (),
    "kind": ("kind",),
    "vertex": ("vertex",),
    "eta": ("eta",),
    "pt": ("pt",),
    "kind and vertex": TOGETHER,
    "cell": AXES,
}
"""Sums of cells in the table, and what cells that are added up have in common."""


@dataclass(frozen=True)
class Parts:
    """What each cell adds to the recoil.

    names: (cells,) rows with ``kind eta vertex pt``; the last is REST. recoil: (events, cells, 2) u∥ and u⊥, GeV.
    momentum: (events, cells) sum of the pT, GeV; kept: (events, cells) the same with the estimator's weights.
    qt, weight: (events,).
    """

    names: pd.DataFrame
    recoil: Array
    momentum: Array
    kept: Array
    qt: Array
    weight: Array

    @cached_property
    def total(self) -> Array:
        """(events, 2) u∥ and u⊥, GeV."""
        return self.recoil.sum(axis=1)


def terms(estimator: CandidateSum, candidates: Candidates) -> tuple[Vector, Vector, Array]:
    """What each candidate adds to pTmiss, (n, 2); the constant, (1, 2); and its factor, (n,). GeV.

    Each is an event of its own, so that the estimator's own sum gives its term. One that a model with padding cuts off
    adds nothing.
    """
    there = counted(estimator, candidates)
    kept = estimator.prepare(candidates.keep(there))
    weights = estimator.weigh(kept)
    each = np.arange(np.count_nonzero(there) + 1)
    sums = estimator.add(replace(kept, offsets=each), weights)
    constant = estimator.total(np.zeros_like(sums[:1]), np.zeros(2, np.int64))
    term, factor = np.zeros((len(there), 2)), np.zeros(len(there))
    term[there] = estimator.total(sums, each) - constant
    factor[there] = estimator.momentum_weights(weights)
    return term, constant, factor


def cells(candidates: Candidates) -> tuple[NDArray[np.intp], pd.DataFrame]:
    """(n,) cell of each candidate, and the names of those cells that have any."""
    eta, pt = np.abs(candidates["eta"]), candidates["pt"]
    charged, from_pv = candidates["charge"] != 0, candidates["fromPV"]
    axes = {
        "kind": (list(KINDS), np.argmax([is_kind(kind, candidates.columns) for kind in KINDS], axis=0)),
        "eta": (words(ETA_EDGES), np.searchsorted(ETA_EDGES, eta, side="right") - 1),
        "vertex": (list(VERTICES), np.select([~charged, from_pv >= 2, from_pv == 1], [3, 0, 1], 2)),
        "pt": (words(PT_EDGES), np.searchsorted(PT_EDGES, pt, side="right") - 1),
    }
    shape = tuple(len(names) for names, _ in axes.values())
    filled, cell = np.unique(np.ravel_multi_index(tuple(i for _, i in axes.values()), shape), return_inverse=True)
    where = np.unravel_index(filled, shape)
    chosen = {axis: np.asarray(names)[i] for (axis, (names, _)), i in zip(axes.items(), where, strict=True)}
    return cell, pd.DataFrame(chosen)


def words(edges: Sequence[float]) -> list[str]:
    """Bins of these edges in words."""
    inner = [f"{low:g} to {high:g}" for low, high in pairwise(edges[:-1])]
    return [*inner, f"above {edges[-2]:g}"]


def take_apart(estimator: CandidateSum, sample: Sample) -> Parts:
    """The parts of an estimator's recoil in these events."""
    cell, names = cells(sample.candidates)
    term, constant, factor = terms(estimator, sample.candidates)
    shape, place = (len(sample), len(names)), sample.event * len(names) + cell
    add = partial(_add, place, shape)
    pt = sample.candidates["pt"].astype(np.float64)
    met = np.stack([add(term[:, 0]), add(term[:, 1])], axis=-1)
    everything = np.concatenate([met, (constant + sample.rest)[:, np.newaxis]], axis=1)
    recoil = -np.einsum("ecj,ekj->eck", everything, sample.axes)
    nothing = np.zeros((len(sample), 1))
    momentum, kept = (np.concatenate([values, nothing], axis=1) for values in (add(pt), add(pt * factor)))
    rest = pd.DataFrame([dict.fromkeys(names.columns, REST)])
    return Parts(pd.concat([names, rest], ignore_index=True), recoil, momentum, kept, sample.qt, sample.weight)


def _add(place: NDArray[np.intp], shape: tuple[int, int], values: NDArray) -> NDArray:
    """(events, cells) sums of values of candidates."""
    return np.bincount(place, values, shape[0] * shape[1]).reshape(shape)


def measure(parts: Parts, drawn: Array) -> dict[str, Array]:
    """(replicas, cells) mean, response and share of the variance of each part; drawn: (replicas, events)."""
    weights = drawn * parts.weight
    weights = weights / weights.sum(axis=1, keepdims=True)
    qt = weights @ parts.qt
    found = {"momentum": weights @ parts.momentum, "kept": weights @ parts.kept}
    for i, component in enumerate(COMPONENTS):
        own, u = parts.recoil[:, :, i], parts.total[:, i]
        mean, product = weights @ own, weights @ (own * u[:, np.newaxis])
        found[f"mean_{component}"] = mean
        if component == "par":
            slope, whole = mean / qt[:, np.newaxis], (weights @ u) / qt
            found["response"] = slope
            along = weights @ (own * parts.qt[:, np.newaxis])
            square, crossed = weights @ parts.qt**2, weights @ (u * parts.qt)
            product = product - whole[:, None] * along - slope * (crossed - whole * square)[:, None]
            found["variance_par"] = product
        else:
            found[f"variance_{component}"] = product - mean * (weights @ u)[:, np.newaxis]
    return found


def tabulate(parts: Parts, estimator: str, replicas: int = REPLICAS) -> pd.DataFrame:
    """A row for each sum of cells of each of LEVELS, with bootstrap errors.

    Columns: ``level kind eta vertex pt``; ``momentum`` (GeV an event), and ``kept`` with the estimator's weights;
    ``mean_par mean_perp`` (GeV); ``response``; ``variance_par variance_perp`` (GeV²);
    ``share_par share_perp``, their fractions of the whole.
    """
    found = bootstrap.replicate(partial(measure, parts), len(parts.qt), replicas)
    for component in COMPONENTS:
        every = found[f"variance_{component}"]
        found[f"share_{component}"] = every / every.sum(axis=1, keepdims=True)
    rows = []
    for level, axes in LEVELS.items():
        for name, members in groups(parts.names, axes):
            numbers = {key: values[:, members].sum(axis=1) for key, values in found.items()}
            row: dict[str, str | float] = {"estimator": estimator, "level": level, **name}
            for key, values in numbers.items():
                row |= bootstrap.with_error(key, values)
            rows.append(row)
    return pd.DataFrame(rows)


def groups(names: pd.DataFrame, axes: Sequence[str]) -> list[tuple[dict[str, str], NDArray[np.intp]]]:
    """What the cells of each group have in common, and their numbers; all cells without axes."""
    found: dict[tuple[str, ...], list[int]] = {}
    for number, row in enumerate(names.to_dict("records")):
        found.setdefault(tuple(row[axis] for axis in axes), []).append(number)
    blank = dict.fromkeys(AXES, "")
    return [(blank | dict(zip(axes, key, strict=True)), np.asarray(members)) for key, members in found.items()]


def covariances(parts: Parts, component: str = "perp") -> pd.DataFrame:
    """The covariances of parts by kind and vertex in one component, GeV²; their sum is the recoil's variance.

    Leptons are one part. Of u∥ the parts are those of ``u∥ - r qT``.
    """
    i, sums = COMPONENTS.index(component), dict[str, Array]()
    for name, members in groups(parts.names, TOGETHER):
        told = "leptons" if name["kind"] in LEPTONS else ", ".join(dict.fromkeys(name[axis] for axis in TOGETHER))
        sums[told] = sums.get(told, 0) + parts.recoil[:, members, i].sum(axis=1)
    values = np.stack(list(sums.values()))
    if component == "par":
        mean = np.average(values, axis=1, weights=parts.weight) / np.average(parts.qt, weights=parts.weight)
        values = values - mean[:, np.newaxis] * parts.qt
    matrix = np.cov(values, aweights=parts.weight, ddof=0)
    return pd.DataFrame(matrix, index=list(sums), columns=list(sums))

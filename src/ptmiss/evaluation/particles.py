"""Particles: which class an element or a candidate has, how many are found or made up, and their momenta.

Truth is what elements stand for, with the classes that can be told (see ptmiss.estimators.reconstruction.CODES): a
charged hadron without a track counts as neutral. Two ways to say what belongs to what: ``aligned``, the same row of
the elements, and ``matched``, the nearest candidate of the same class within MATCH, harder particles first, each
candidate taken once. A partner may have half of the least pT, so that nothing is lost for its resolution alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
from numba import njit
from numpy.typing import NDArray

from ptmiss import bootstrap
from ptmiss.angles import separation
from ptmiss.bootstrap import Draws
from ptmiss.candidates import Candidates
from ptmiss.elements import CLASSES, Elements, Prediction, Targets
from ptmiss.estimators.reconstruction import NONE, candidates, classes, of_targets
from ptmiss.segments import event_of

MATCH = 0.15
LEAST_PT = 1.0  # GeV
PT_EDGES = (1, 2, 3, 5, 10, 20, 50, 200)
ETA_EDGES = (0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5.2)
PT, ETA, ETA_HARD = "pt", "eta", "eta_hard"
EDGES: Mapping[str, Sequence[float]] = {PT: PT_EDGES, ETA: ETA_EDGES, ETA_HARD: ETA_EDGES}
HARD_PT = 10.0
"""GeV: the axis ``eta_hard`` is abs eta of particles above it, which those of pile-up do not outnumber."""
ALIGNED, MATCHED = "aligned", "matched"
RATES = ("efficiency", "fake_rate")
MIN_PARTICLES = 20  # particles: a cell with fewer has no row


class Particles(NamedTuple):
    """Particles of many events, each (particles,): GeV; event: number of the event; kind: class."""

    event: NDArray[np.int64]
    kind: NDArray[np.integer]
    pt: NDArray
    eta: NDArray
    phi: NDArray
    energy: NDArray

    def take(self, which: NDArray) -> Particles:
        """Those of an index or a mask."""
        return Particles(*(column[which] for column in self))


class Counts(NamedTuple):
    """Particles in cells of bin and class, each (events, bins, classes); the last two have a partner of their class."""

    true: NDArray[np.int64]
    found: NDArray[np.int64]
    true_met: NDArray[np.int64]
    found_met: NDArray[np.int64]


class Ratios(NamedTuple):
    """Found over true momentum of pairs, each (pairs,); kind, pt and eta are those of the truth."""

    event: NDArray[np.int64]
    kind: NDArray[np.integer]
    pt: NDArray
    eta: NDArray
    pt_ratio: NDArray
    energy_ratio: NDArray


class Measured(NamedTuple):
    """What one reconstruction does to particles. counts: by way and axis; ratios: by way."""

    counts: Mapping[tuple[str, str], Counts]
    ratios: Mapping[str, Ratios]
    confusion: NDArray[np.int64] | None


def of_candidates(made: Candidates) -> Particles:
    """Candidates as particles."""
    pt, eta, mass = (made[name].astype(np.float64) for name in ("pt", "eta", "mass"))
    energy = np.hypot(pt * np.cosh(eta), mass)
    return Particles(event_of(made.offsets), classes(made["pdgId"]), pt, eta, made["phi"], energy)


def of_rows(found: Prediction, offsets: NDArray[np.int64]) -> Particles:
    """Rows of elements as particles, their class as it was predicted, none too; offsets: (events + 1,)."""
    return Particles(event_of(offsets), found.kind, found.pt, found.eta, found.phi, found.energy)


def measure(elements: Elements, targets: Targets, made: Candidates, found: Prediction | None) -> Measured:
    """One reconstruction on a chunk of events; found: beside the elements, if it is aligned with them."""
    n, ideal = len(elements), of_targets(targets)
    truth, seen = of_candidates(candidates(elements, ideal, 0)), of_candidates(made)
    counts, pairs = match(truth, seen, n)
    all_counts = {(MATCHED, axis): found_counts for axis, found_counts in counts.items()}
    ratios, confused = {MATCHED: pairs}, None
    if found is not None:
        true, rows = of_rows(ideal, elements.offsets), of_rows(found, elements.offsets)
        all_counts |= {(ALIGNED, axis): align(true, rows, axis, n) for axis in EDGES}
        ratios[ALIGNED] = ratios_of(true, rows, (true.pt > LEAST_PT) & (true.kind != NONE) & (true.kind == rows.kind))
        confused = confusion(true, rows, n)
    return Measured(all_counts, ratios, confused)


def confusion(true: Particles, rows: Particles, events: int) -> NDArray[np.int64]:
    """(events, classes, classes) rows of a true class that were found to be of a class."""
    k = len(CLASSES)
    cell = (true.event * k + true.kind) * k + rows.kind
    return np.bincount(cell, minlength=events * k * k).reshape(events, k, k)


def align(true: Particles, rows: Particles, axis: str, events: int) -> Counts:
    """Counts where a partner is the same row with the same class."""
    same = true.kind == rows.kind
    hard, hard_found = ((p.pt > LEAST_PT) & (p.kind != NONE) for p in (true, rows))
    return Counts(
        count(true.take(hard), axis, events),
        count(rows.take(hard_found), axis, events),
        count(true.take(hard & same), axis, events),
        count(rows.take(hard_found & same), axis, events),
    )


def match(truth: Particles, seen: Particles, events: int) -> tuple[dict[str, Counts], Ratios]:
    """Counts on each axis where a partner is near and of the same class; the pairs of true particles and partners."""
    hard, hard_seen = truth.take(truth.pt > LEAST_PT), seen.take(seen.pt > LEAST_PT)
    soft, soft_seen = truth.take(truth.pt > LEAST_PT / 2), seen.take(seen.pt > LEAST_PT / 2)
    partner, owner = partners(hard, soft_seen, events), partners(hard_seen, soft, events)
    counts = {
        axis: Counts(
            count(hard, axis, events),
            count(hard_seen, axis, events),
            count(hard.take(partner >= 0), axis, events),
            count(hard_seen.take(owner >= 0), axis, events),
        )
        for axis in EDGES
    }
    has = partner >= 0
    pairs = ratios_of(hard.take(has), soft_seen.take(partner[has]), np.ones(np.count_nonzero(has), bool))
    return counts, pairs


def ratios_of(true: Particles, found: Particles, which: NDArray[np.bool_]) -> Ratios:
    """Found over true momentum of particles side by side, of those in the mask; all of shape (particles,)."""
    a, b = true.take(which), found.take(which)
    ratio, energy = (b.pt / a.pt).astype(np.float32), (b.energy / a.energy).astype(np.float32)
    return Ratios(a.event, a.kind, a.pt.astype(np.float32), a.eta.astype(np.float32), ratio, energy)


def bins(axis: str, pt: NDArray, eta: NDArray) -> NDArray[np.int64]:
    """(particles,) bin on an axis of particles of these pT (GeV) and eta, -1 for none."""
    edges = EDGES[axis]
    where = np.searchsorted(edges, pt if axis == PT else np.abs(eta), side="right") - 1
    outside = (where == len(edges) - 1) | ((axis == ETA_HARD) & (pt <= HARD_PT))
    return np.where(outside, -1, where)


def count(particles: Particles, axis: str, events: int) -> NDArray[np.int64]:
    """(events, bins, classes) particles; those outside of the bins are left out."""
    k, n = len(CLASSES), len(EDGES[axis]) - 1
    where = bins(axis, particles.pt, particles.eta)
    inside = where >= 0
    cell = (particles.event[inside] * n + where[inside]) * k + particles.kind[inside]
    return np.bincount(cell, minlength=events * n * k).reshape(events, n, k)


def partners(particles: Particles, others: Particles, events: int) -> NDArray[np.int64]:
    """(particles,) row of the nearest free one of its class among the others, within MATCH; -1 for none."""
    order = np.lexsort((-particles.pt, particles.event))
    bounds = np.searchsorted(others.event, np.arange(events + 1))
    place, other_place = (np.stack([part.eta, part.phi], axis=1).astype(np.float64) for part in (particles, others))
    return _partners(order, particles.event, bounds, particles.kind, others.kind, place, other_place, MATCH)


@njit(cache=True, nogil=True)
def _partners(order, event, bounds, kind, other_kind, place, other_place, window):  # type: ignore[no-untyped-def]
    out, free = np.full(len(order), -1), np.ones(len(other_kind), np.bool_)
    for i in order:
        nearest = window**2
        for j in range(bounds[event[i]], bounds[event[i] + 1]):
            if not free[j] or kind[i] != other_kind[j]:
                continue
            dphi = separation(place[i, 1], other_place[j, 1])
            distance = (place[i, 0] - other_place[j, 0]) ** 2 + dphi**2
            if distance <= nearest:
                out[i], nearest = j, distance
        if out[i] >= 0:
            free[out[i]] = False
    return out


def rates(measured: Mapping[str, Measured], drawn: Draws) -> pd.DataFrame:
    """Efficiency and fake rate of each reconstruction by way, axis, class and bin."""
    rows = [
        {"estimator": name, "way": way, "axis": axis, **row}
        for name, one in measured.items()
        for (way, axis), counts in one.counts.items()
        for row in _rates(counts, EDGES[axis], drawn)
    ]
    return bootstrap.frame(rows, "way", "axis", "class", "true", "found", *RATES)


def _rates(counts: Counts, edges: Sequence[float], drawn: Draws) -> Iterator[dict[str, object]]:
    efficiency = bootstrap.fraction(counts.true_met, counts.true, drawn)
    fake = 1 - bootstrap.fraction(counts.found_met, counts.found, drawn)
    true, found = counts.true.sum(axis=0), counts.found.sum(axis=0)
    for kind in range(1, len(CLASSES)):
        for i, (low, high) in enumerate(pairwise(edges)):
            if true[i, kind] < MIN_PARTICLES and found[i, kind] < MIN_PARTICLES:
                continue
            of_cell = {"class": CLASSES[kind], "low": low, "high": high}
            numbers = {"true": int(true[i, kind]), "found": int(found[i, kind])}
            values = bootstrap.with_error("efficiency", efficiency[:, i, kind])
            yield of_cell | numbers | values | bootstrap.with_error("fake_rate", fake[:, i, kind])


def confusions(measured: Mapping[str, Measured], drawn: Draws) -> pd.DataFrame:
    """Share of the rows of each true class that were found to be of each class, by reconstruction."""
    rows = []
    for name, one in measured.items():
        if one.confusion is None:
            continue
        whole = np.broadcast_to(one.confusion.sum(axis=2, keepdims=True), one.confusion.shape)
        share, number = bootstrap.fraction(one.confusion, whole, drawn), one.confusion.sum(axis=0)
        for i, j in np.ndindex(number.shape):
            names = {"estimator": name, "true": CLASSES[i], "found": CLASSES[j]}
            rows.append(names | {"rows": int(number[i, j])} | bootstrap.with_error("share", share[:, i, j]))
    return bootstrap.frame(rows, "true", "found", "share")


def responses(measured: Mapping[str, Measured], drawn: Draws) -> pd.DataFrame:
    """Median and IQR/median of found over true pT and energy of each reconstruction by way, axis, class and bin."""
    rows = [
        {"estimator": name, "way": way, "axis": axis, **row}
        for name, one in measured.items()
        for way, ratios in one.ratios.items()
        for axis in (PT, ETA_HARD)
        for row in _responses(ratios, axis, drawn)
    ]
    return bootstrap.frame(rows, "way", "axis", "class")


def _responses(ratios: Ratios, axis: str, drawn: Draws) -> Iterator[dict[str, object]]:
    where = bins(axis, ratios.pt, ratios.eta)
    for kind in range(1, len(CLASSES)):
        for i, (low, high) in enumerate(pairwise(EDGES[axis])):
            cell = (ratios.kind == kind) & (where == i)
            if np.count_nonzero(cell) < MIN_PARTICLES:
                continue
            row: dict[str, object] = {"class": CLASSES[kind], "low": low, "high": high, "pairs": int(cell.sum())}
            for quantity, ratio in (("pt", ratios.pt_ratio), ("energy", ratios.energy_ratio)):
                found = bootstrap.response(ratio[cell], drawn, ratios.event[cell])
                row |= bootstrap.with_error(f"{quantity}_response", found.median)
                row |= bootstrap.with_error(f"{quantity}_resolution", found.resolution)
            yield row

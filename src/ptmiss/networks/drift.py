"""How far what a network reads in a run is from what it saw in its training.

The measure is the population stability index of each input, ``PSI = Σ (p - q) ln(p / q)`` over the bins of a sketch: 0
for the same distribution, 0.1 for one that has moved, 0.25 for one that has moved far. Both sketches are samples; the
jackknife over groups of events takes the bias out and gives the error. Beside it is the share of candidates whose
categories did not occur in the training at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ptmiss.networks.sketches import CATEGORY, GROUPS, INPUTS, Counts
from ptmiss.typing import Array

LIMIT = 0.1
LEAST_UNSEEN = 1e-3
SIGMAS = 2.0  # by which a drift must exceed the limit
LEAST = 500  # candidates of a sketch; of fewer nothing is said
FLOOR = 0.5  # counts: of an empty bin


class Drift(NamedTuple):
    """A measure with its error."""

    value: float
    error: float

    def beyond(self, limit: float) -> bool:
        """Whether it exceeds a limit for certain."""
        return self.value - SIGMAS * self.error > limit


def psi(one: NDArray, other: NDArray) -> float:
    """The index of two histograms, (bins,); an empty bin counts as FLOOR, if the other is filled."""
    used = (one > 0) | (other > 0)
    p, q = (np.maximum(counts[used], FLOOR) for counts in (one, other))
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum((p - q) * np.log(p / q)))


def jackknife(seen: NDArray, known: NDArray) -> Drift:
    """The index of two sketches of an input, (GROUPS, bins) each, without bias, and its error."""
    whole = psi(seen.sum(axis=0), known.sum(axis=0))
    value, variance = whole, 0.0
    for side in range(2):
        pair = [seen, known]
        left = []
        for group in range(GROUPS):
            sums = [counts.sum(axis=0) for counts in pair]
            sums[side] = sums[side] - pair[side][group]
            left.append(psi(*sums))
        value -= (GROUPS - 1) * (float(np.mean(left)) - whole)
        variance += (GROUPS - 1) * float(np.var(left))
    return Drift(value, float(np.sqrt(variance)))


def unseen(seen: Counts, known: Counts) -> Drift:
    """The share of candidates whose combination of categories did not occur in the training."""
    never = known[CATEGORY].sum(axis=0) == 0
    count, whole = seen[CATEGORY][:, never].sum(axis=1), seen[CATEGORY].sum(axis=1)
    share = float(count.sum() / max(whole.sum(), 1))
    without = (count.sum() - count) / np.maximum(whole.sum() - whole, 1)
    return Drift(share, float(np.sqrt((GROUPS - 1) * np.var(without))))


def measure(seen: Counts, known: Counts) -> dict[str, Any]:
    """What a manifest says of a network: ``candidates``, ``psi`` by input, ``unseen``, ``warnings``."""
    n = int(seen[CATEGORY].sum())
    if n < LEAST:
        return {"candidates": n, "psi": {}, "unseen": None, "warnings": []}
    found = {name: jackknife(seen[name], known[name]) for name in INPUTS}
    strange = unseen(seen, known)
    warnings = [
        f"{name} drifted from the training, PSI {drift.value:.2f} ± {drift.error:.2f} (limit {LIMIT:g})"
        for name, drift in found.items()
        if drift.beyond(LIMIT)
    ]
    if strange.beyond(LEAST_UNSEEN):
        warnings.append(f"{100 * strange.value:.2g} % of the candidates have categories that the training never saw")
    numbers: Mapping[str, Any] = {name: [round(x, 6) for x in drift] for name, drift in found.items()}
    return {"candidates": n, "psi": dict(numbers), "unseen": [round(x, 8) for x in strange], "warnings": warnings}


def shares(seen: Counts, known: Counts) -> pd.DataFrame:
    """Both sketches as shares, for a figure: a row for each input and bin, with errors of the run's from its groups."""
    rows = []
    for name in INPUTS:
        own, reference = seen[name], known[name].sum(axis=0)
        share, error = spread(own)
        for number in np.flatnonzero((own.sum(axis=0) > 0) | (reference > 0)):
            told = {"input": name, "bin": int(number), "training": reference[number] / max(reference.sum(), 1)}
            rows.append({**told, "seen": share[number], "seen_error": error[number]})
    return pd.DataFrame(rows, columns=["input", "bin", "training", "seen", "seen_error"])


def spread(counts: NDArray) -> tuple[Array, Array]:
    """(bins,) shares of a sketch, (GROUPS, bins), and their errors."""
    whole = counts.sum(axis=0)
    without = (whole - counts) / np.maximum((whole - counts).sum(axis=1, keepdims=True), 1)
    return whole / max(whole.sum(), 1), np.sqrt((GROUPS - 1) * without.var(axis=0))

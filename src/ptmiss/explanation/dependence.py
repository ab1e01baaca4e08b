"""The weight of candidates as a function of each input: of real candidates in which one input is turned.

Beside it stands the mean weight of candidates that have the input as it is. Where both agree, the input itself makes
the difference; where they do not, others do that go along with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ptmiss.candidates import Candidates
from ptmiss.estimators import NetworkEstimator
from ptmiss.explanation.events import Sample
from ptmiss.networks.attention import HEARD, Attention
from ptmiss.scales import is_kind
from ptmiss.typing import Array, Mask

POINTS = 20
MOST = 1500  # candidates of a sort that are turned
CENTRAL = (0.01, 0.99)  # quantiles of the real ones: the network is asked nothing that it has hardly seen
LEAST = 30  # candidates of a bin with a mean weight of its own
PRIMARY, PILEUP = "charged, primary", "charged, pile-up"
CHARGED = (PRIMARY, PILEUP)

SORTS: dict[str, Callable[[Candidates], Mask]] = {
    PRIMARY: lambda c: (c["charge"] != 0) & (c["fromPV"] >= 2),
    PILEUP: lambda c: (c["charge"] != 0) & (c["fromPV"] < 2),
    "photons": lambda c: is_kind("photons", c.columns),
    "neutral hadrons": lambda c: is_kind("neutral_hadrons", c.columns),
    "hf": lambda c: is_kind("hf", c.columns),
}
"""Sorts of candidates, each with its own curve."""

FEATURES: dict[str, tuple[str, ...]] = {
    "pt": tuple(SORTS),
    "eta": tuple(SORTS),
    "phi": tuple(SORTS),
    "puppiWeight": ("photons", "neutral hadrons"),
    "dz": CHARGED,
    "dxy": CHARGED,
}
"""Inputs, and the sorts in which they differ between candidates. The weight must not depend on φ but by chance."""
SIGNED = ("eta", "dz", "dxy")  # their size is turned, and the sign stays
LOGARITHMIC = ("pt", "dz", "dxy")


def tabulate(estimator: NetworkEstimator, sample: Sample, seed: int = 1) -> pd.DataFrame:
    """A row for each input, sort and point.

    Columns: ``input sort value``; ``weight`` with the input turned to the value; ``mean`` of real candidates in the bin
    from ``low`` to ``high``; each with its error from the candidates' spread.
    """
    columns = sample.candidates.columns
    flat = Candidates(columns, np.arange(len(columns["pt"]) + 1))
    network = partial(weights, estimator, surroundings(estimator, sample.candidates))
    factor = network(flat, np.arange(len(columns["pt"])))
    rng = np.random.default_rng(seed)
    rows = [
        row
        for feature, sorts in FEATURES.items()
        for sort in sorts
        for row in curve(network, flat, factor, feature, sort, rng)
    ]
    return pd.DataFrame(rows)


def surroundings(estimator: NetworkEstimator, candidates: Candidates) -> dict[str, NDArray]:
    """(candidates, k) arrays of what is around each candidate, by the attribute of inputs that they are."""
    if not estimator.sees_neighbours:
        return {}
    inputs, model = estimator.prepare(candidates), estimator.model
    heard = {HEARD: model.heard(inputs)} if isinstance(model, Attention) else {}
    return {"neighbours": inputs.neighbours, **heard}


def weights(
    estimator: NetworkEstimator,
    around: Mapping[str, NDArray],
    candidates: Candidates,
    numbers: NDArray[np.intp],
) -> Array:
    """(n,) factor with which each momentum counts; around: surroundings of all, of which these are some."""
    inputs = estimator.prepare(candidates)
    vars(inputs).update({name: values[numbers] for name, values in around.items()})  # those that they really have
    return estimator.momentum_weights(estimator.weigh(inputs))


def curve(
    network: Callable[[Candidates, NDArray[np.intp]], Array],
    candidates: Candidates,
    factor: Array,
    feature: str,
    sort: str,
    rng: np.random.Generator,
) -> Iterator[dict[str, Any]]:
    """The rows of one input and sort; none if too few candidates are there, or all have the same value."""
    chosen = np.flatnonzero(SORTS[sort](candidates))
    if len(chosen) < LEAST:
        return
    values = size(candidates, feature)[chosen]
    edges = bins(values, feature in LOGARITHMIC)
    numbers = np.sort(rng.permutation(chosen)[:MOST])
    some = candidates.keep(np.isin(np.arange(len(factor)), numbers))
    inside = np.digitize(values, edges)
    for i, (low, high) in enumerate(pairwise(edges), start=1):
        value = np.sqrt(low * high) if feature in LOGARITHMIC else (low + high) / 2
        turned, real = network(turn(some, feature, value), numbers), factor[chosen[inside == i]]
        place = {"input": feature, "sort": sort, "value": value, "low": low, "high": high}
        yield place | _mean("weight", turned) | _mean("mean", real if len(real) >= LEAST else real[:0])


def size(candidates: Candidates, feature: str) -> NDArray:
    """(n,) values of a column, without the sign if the input has one that stays."""
    return np.abs(candidates[feature]) if feature in SIGNED else candidates[feature]


def bins(values: NDArray, logarithmic: bool) -> Array:
    """Edges of bins between the central quantiles of values; no bin if they are one value."""
    positive = values[values > 0] if logarithmic else values
    low, high = np.quantile(positive.astype(np.float64), CENTRAL) if len(positive) else (0.0, 0.0)
    if low == high:
        return np.zeros(1)
    return np.geomspace(low, high, POINTS + 1) if logarithmic else np.linspace(low, high, POINTS + 1)


def turn(candidates: Candidates, feature: str, value: float) -> Candidates:
    """The same candidates, all with one value of a column, or with that size and the sign that they have."""
    column = np.full_like(candidates[feature], value)
    if feature in SIGNED:
        column = np.copysign(column, candidates[feature])
    return replace(candidates, columns={**candidates.columns, feature: column})


def _mean(name: str, values: Array) -> dict[str, float]:
    """Mean and its error; NaN of nothing."""
    if not len(values):
        return {name: np.nan, f"{name}_error": np.nan}
    return {name: float(values.mean()), f"{name}_error": float(values.std() / np.sqrt(len(values)))}

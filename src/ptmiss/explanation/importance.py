"""What the resolution loses when one input of a network is shuffled among candidates.

Candidates swap an input with others of the same sort, charged or neutral, so that track details stay with tracks. The
momentum in the sum stays where it is: only what the network knows of it changes. Of pT and φ, and not of px and py,
each is shuffled alone, so that a candidate's momentum stays consistent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ptmiss import bootstrap
from ptmiss.bootstrap import REPLICAS
from ptmiss.candidates import CATEGORIES, VOCABULARY
from ptmiss.estimators import NetworkEstimator
from ptmiss.explanation.events import Sample, counted
from ptmiss.histograms import COMPONENTS
from ptmiss.networks.features import FEATURES
from ptmiss.networks.inputs import Inputs
from ptmiss.recoil import Recoil, recoil
from ptmiss.typing import Array, Vector

NOMINAL = "nominal"
PT, MOMENTUM = FEATURES.index("pt"), slice(6, 8)
SIZES = tuple(len(VOCABULARY[category]) for category in CATEGORIES)

Shuffle = Callable[[Inputs, NDArray[np.intp]], Inputs]


def column(number: int) -> Shuffle:
    """Takes one feature of others."""

    def shuffle(inputs: Inputs, order: NDArray[np.intp]) -> Inputs:
        features = inputs.features.copy()
        features[:, number] = features[order, number]
        return replace(inputs, features=features)

    return shuffle


def hardness(inputs: Inputs, order: NDArray[np.intp]) -> Inputs:
    """Takes the pT of others, in the own direction."""
    features = inputs.features.copy()
    own = np.maximum(features[:, PT], np.float32(1e-9))
    features[:, PT] = features[order, PT]
    features[:, MOMENTUM] *= (features[:, PT] / own)[:, np.newaxis]
    return replace(inputs, features=features)


def azimuth(inputs: Inputs, order: NDArray[np.intp]) -> Inputs:
    """Takes the direction of others in the transverse plane, with the own pT."""
    features = inputs.features.copy()
    pt = np.maximum(features[:, PT], np.float32(1e-9))
    features[:, MOMENTUM] = features[order, MOMENTUM] * (pt / pt[order])[:, np.newaxis]
    return replace(inputs, features=features)


def category(*names: str) -> Shuffle:
    """Takes categories of others, all of these together."""
    numbers = [CATEGORIES.index(name) for name in names]

    def shuffle(inputs: Inputs, order: NDArray[np.intp]) -> Inputs:
        values = np.stack(np.unravel_index(inputs.rows, SIZES))
        values[numbers] = values[numbers][:, order]
        return replace(inputs, rows=np.ravel_multi_index(tuple(values), SIZES).astype(np.uint8))

    return shuffle


INPUTS: dict[str, Shuffle] = {
    "pt": hardness,
    "eta": column(FEATURES.index("eta")),
    "phi": azimuth,
    "puppiWeight": column(FEATURES.index("puppiWeight")),
    "fromPV": category("fromPV"),
    "pdgId": category("charge", "pdgId"),
    "dz": column(FEATURES.index("dz")),
    "dxy": column(FEATURES.index("dxy")),
    "mass": column(FEATURES.index("mass")),
}
"""Inputs by name, and how each is shuffled; the charge goes with pdgId."""


def orders(charged: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.intp]:
    """(n,) numbers of candidates in random order, charged ones in the places of charged ones."""
    order = np.arange(len(charged))
    for sort in (charged, ~charged):
        order[sort] = rng.permutation(order[sort])
    return order


def recoils(estimator: NetworkEstimator, sample: Sample, seed: int = 1) -> dict[str, Recoil]:
    """The recoil as it is, and with each input shuffled."""
    there = counted(estimator, sample.candidates)
    inputs = estimator.prepare(sample.candidates.keep(there))
    charged = sample.candidates["charge"][there] != 0
    found = {NOMINAL: of(estimator, inputs, inputs, sample)}
    for number, (name, shuffle) in enumerate(INPUTS.items()):
        order = orders(charged, np.random.default_rng((seed, number)))
        found[name] = of(estimator, inputs, shuffle(inputs, order), sample)
    return found


def of(estimator: NetworkEstimator, inputs: Inputs, seen: Inputs, sample: Sample) -> Recoil:
    """The recoil of candidates that the network sees as others."""
    met: Vector = estimator.total(estimator.add(inputs, estimator.weigh(seen)), inputs.offsets)
    return recoil(sample.boson, met - (sample.boson - sample.rest))


def tabulate(found: Mapping[str, Recoil], weight: Array, replicas: int = REPLICAS) -> pd.DataFrame:
    """How much wider the recoil is with each input shuffled, as a fraction; and how far u∥ and u⊥ move, RMS, GeV.

    Widths are those of ``u∥ / r - qT`` and ``u⊥ / r``, with one response r for all events, as in
    ptmiss.explanation.parts. Errors come from draws of events, the same with and without shuffling.
    """
    widths = bootstrap.replicate(partial(measure, found, weight), len(weight), replicas)
    rows = []
    for name in INPUTS:
        row: dict[str, str | float] = {"input": name}
        for component in COMPONENTS:
            loss = widths[name][component] / widths[NOMINAL][component] - 1
            own, as_it_is = (getattr(u, f"u_{component}") for u in (found[name], found[NOMINAL]))
            row |= bootstrap.with_error(f"loss_{component}", loss)
            row[f"moved_{component}"] = float(np.sqrt(np.average((own - as_it_is) ** 2, weights=weight)))
        rows.append(row)
    return pd.DataFrame(rows)


def measure(found: Mapping[str, Recoil], weight: Array, drawn: Array) -> dict[str, dict[str, Array]]:
    """(replicas,) response and widths (GeV) of each recoil; drawn: (replicas, events)."""
    weights, out = drawn * weight, {}
    for name, u in found.items():
        r = (weights @ u.u_par) / (weights @ u.qt)
        residuals = {"par": u.u_par - r[:, np.newaxis] * u.qt, "perp": np.broadcast_to(u.u_perp, weights.shape)}
        widths = {component: bootstrap.rms(values, weights) / np.abs(r) for component, values in residuals.items()}
        out[name] = {"response": r, **widths}
    return out

"""Integrated gradients of DeepMET: how much of the recoil each feature makes, as a check of its importance.

A candidate's part of u∥ is followed from the network's answer to a typical candidate (median features of the charged
or neutral ones, no direction in the transverse plane) to that for its own features, in a straight line. What a feature
adds is its change times the mean gradient on the way (Sundararajan et al., arXiv:1703.01365); the features' parts add
up to the difference of the ends. Categories, sums over neighbours, and the momentum in the sum stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ptmiss.estimators import NetworkEstimator
from ptmiss.explanation.events import Sample, counted
from ptmiss.histograms import COMPONENTS
from ptmiss.networks.deepmet import CONTEXT, DeepMET, blocks
from ptmiss.networks.features import FEATURES, SCALE
from ptmiss.networks.inputs import Inputs
from ptmiss.segments import sum_by_event
from ptmiss.typing import Array

STEPS = 48  # Gauss-Legendre nodes: the sum over features is that of the ends to half a per cent
BLOCK = 4096
MOST_EVENTS = 60
GROUPS = {"dxy": [0], "dz": [1], "eta": [2], "mass": [3], "pt": [4], "puppiWeight": [5], "phi": [6, 7]}
"""Features by the name of the input that they are; px and py stand for the direction."""


def gradient(model: DeepMET, features: Array, constant: Array, seed_of: Callable[[Array], Array]) -> Array:
    """(n, 8) gradient of a function of each candidate's outputs with respect to its features, (n, 8).

    constant: (n, 64) what else the first layer adds up, see :func:`fixed_terms`. seed_of: gives the function's
    gradient, (n, 3), of the outputs ``w bx by``, (n, 3).
    """
    (first, _), *layers = ((kernel.astype(np.float64), bias) for kernel, bias in model.layers)
    x = features @ first[: len(FEATURES)] + constant
    hidden = []
    for kernel, bias in layers:
        hidden.append(np.tanh(x))
        x = hidden[-1] @ kernel + bias
    back = seed_of(x)
    for (kernel, _), value in zip(reversed(layers), reversed(hidden), strict=True):
        back = (back @ kernel.T) * (1 - value**2)
    return back @ first[: len(FEATURES)].T


def fixed_terms(model: DeepMET, inputs: Inputs) -> Array:
    """(n, 64) what categories, sums over neighbours and latents add in the first layer."""
    constant = model.category_table[inputs.rows].astype(np.float64)
    if model.sees_neighbours:
        constant += inputs.neighbours @ model.tensors[CONTEXT]
    seen = model.seen(inputs)
    return constant if seen is None else constant + seen


def attribute(model: DeepMET, inputs: Inputs, axes: Array, typical: Array) -> Array:
    """(n, 8) what each feature adds to each candidate's part of the recoil, GeV.

    axes: (n, 2) direction for each candidate; typical: (n, 8) features where the way begins.
    """
    projected = -SCALE * axes @ model.tensors["output.kernel"].astype(np.float64).T  # (n, 4)
    constant = fixed_terms(model, inputs)
    nodes, shares = np.polynomial.legendre.leggauss(STEPS)
    out = np.empty(typical.shape)
    for block in blocks(len(out), BLOCK):
        own, terms = inputs.features[block].astype(np.float64), projected[block]
        seed_of, change = partial(seed, terms, own[:, 6:8]), own - typical[block]
        ways = (typical[block] + (node + 1) / 2 * change for node in nodes)
        found = (gradient(model, there, constant[block], seed_of) for there in ways)
        out[block] = change * sum(share / 2 * one for share, one in zip(shares, found, strict=True))
    return out


def seed(terms: Array, momentum: Array, outputs: Array) -> Array:
    """(n, 3) gradient of ``(w - 1) (bx, by, px, py)`` times ``terms``, (n, 4), with respect to ``w bx by``."""
    along = np.einsum("ni,ni->n", np.concatenate([outputs[:, 1:], momentum], axis=1), terms)
    return np.column_stack([along, (outputs[:, :1] - 1) * terms[:, :2]])


def typical_features(inputs: Inputs, charged: NDArray[np.bool_]) -> Array:
    """(n, 8) median features of the charged, or of the neutral candidates, without direction."""
    out = np.zeros(inputs.features.shape)
    for sort in (charged, ~charged):
        out[sort] = np.median(inputs.features[sort], axis=0) if sort.any() else 0
    out[:, GROUPS["phi"]] = 0
    return out


def tabulate(estimator: NetworkEstimator, sample: Sample) -> pd.DataFrame:
    """RMS over events of what each feature adds to u∥ and u⊥ beside its mean, GeV, and the error of its size."""
    model = estimator.model
    if not isinstance(model, DeepMET):
        return pd.DataFrame({"input": list(GROUPS)})
    some = sample.first(MOST_EVENTS)
    there = counted(estimator, some.candidates)
    inputs = estimator.prepare(some.candidates.keep(there))
    typical = typical_features(inputs, some.candidates["charge"][there] != 0)
    found = pd.DataFrame({"input": list(GROUPS)})
    for i, component in enumerate(COMPONENTS):
        every = attribute(model, inputs, some.axes[some.event[there], i], typical)
        events = sum_by_event(every, inputs.offsets)
        sizes = np.asarray([events[:, columns].sum(axis=1).std() for columns in GROUPS.values()])
        found[f"attributed_{component}"] = sizes
        found[f"attributed_{component}_error"] = sizes / np.sqrt(2 * len(some))
    return found

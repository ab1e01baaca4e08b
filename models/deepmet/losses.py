"""Losses of DeepMET, in units of (50 GeV)² or without a unit.

``predicted`` and ``target`` are (events, 2) pTmiss in GeV. ``residual`` and ``q`` are (events,), GeV.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from ptmiss.networks.features import SCALE

Form = Literal["unbiased", "published"]

PUBLISHED_EDGES = (5.0, 10.0)  # GeV
UNBIASED_EDGES = (10.0, 20.0, 40.0, 80.0, 160.0)
HUBER = 30.0  # GeV: larger residuals count linearly
WEIGHTED = 50.0  # GeV: the true pTmiss at which an event has half the weight


def squared_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Half the mean of the squared distance (CMS-JME-24-001), a scalar."""
    return 0.5 * ((predicted - target) / SCALE).square().sum(dim=1).mean()


def huber_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Like squared_loss, a scalar, for residuals below HUBER in each component; linear beyond."""
    return functional.huber_loss(predicted / SCALE, target / SCALE, delta=HUBER / SCALE) * target.shape[1]


def weighted_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Like squared_loss, with weights ``1 / (1 + q / 50 GeV)``, because the width grows with the true pTmiss q."""
    weight = 1 / (1 + target.norm(dim=1) / WEIGHTED)
    return 0.5 * (weight * ((predicted - target) / SCALE).square().sum(dim=1)).sum() / weight.sum()


def balance(predicted: Tensor, target: Tensor, form: Form) -> Tensor:
    """The response term, a scalar: the distance of the response from one, summed over bins of the true pTmiss."""
    q = target.norm(dim=1)
    residual = (predicted * target).sum(dim=1) / q.clamp(min=1e-3) - q
    return published_balance(residual, q) if form == "published" else unbiased_balance(residual, q)


def published_balance(residual: Tensor, q: Tensor) -> Tensor:
    """``|Σ residual| / Σ q`` in the measurement's three bins (CMS-JME-24-001), from residual and q, (events,) in GeV.

    In a batch of few events the sums are mostly noise. Their size falls when all predictions shrink, so that this term
    pulls the response down.
    """
    bins = torch.bucketize(q, q.new_tensor(PUBLISHED_EDGES))
    return sum_by(residual, bins, 3).abs().div(sum_by(q, bins, 3).clamp(min=1.0)).sum()


def unbiased_balance(residual: Tensor, q: Tensor) -> Tensor:
    """Product of the relative biases of the two halves of a batch, in bins above 10 GeV.

    The halves are independent. So the expectation is the square of the bias, and the noise of a batch averages out.
    """
    n = len(UNBIASED_EDGES)
    bins = torch.bucketize(q, q.new_tensor(UNBIASED_EDGES))
    halves = [
        sum_by(residual[half::2], bins[half::2], n + 1) / sum_by(q[half::2], bins[half::2], n + 1).clamp(min=1.0)
        for half in (0, 1)
    ]
    return (halves[0] * halves[1])[1:].sum()


def sum_by(values: Tensor, bins: Tensor, n: int) -> Tensor:
    """(n,) sums of values in bins."""
    return values.new_zeros(n).index_add(0, bins, values)

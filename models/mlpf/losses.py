"""Losses of MLPF: class, momentum and expected pt of each element.

A term is a scalar, a mean over the n elements of a batch, or over those with a particle. Energies are in GeV, angles in
rad. ``ours`` is a weighted sum of terms, each of which can be left out. ``loss_2021`` and
``loss_v220`` are the published losses.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor
from torch.nn import functional

from .attention import Distance, Windows, single_precision
from .dataset import Batch
from .network import Outputs

LEAST_WEIGHT, MOST_WEIGHT = 0.4, 5.0  # limits of sqrt(pt / GeV) in the classification
CLASS_WEIGHTS = (1.0, 1.0, 1.0, 1.0, 4.0, 4.0, 1.0, 1.0)  # larger for electrons and muons, which are rare
CAP = 10.0  # largest sqrt(pt / GeV) in the regression
LOG_RANGE = 6.0  # largest size of logarithms of ratios
LOG_DELTA = 0.5  # delta of the Huber function of such logarithms
ANGLE = 0.02  # rad: the unit of angular residuals
SOFTEST = 0.25  # GeV: resolution² = SOFTEST + pt, in GeV
RADIUS, WINDOW = 0.15, 128  # radius in dR and window of the local sums
FOCUS = 2.0  # gamma of the focal loss


class Weights(BaseModel):
    """Weights of the terms of ``ours``; 0 leaves a term out."""

    model_config = ConfigDict(frozen=True)

    classes: float = Field(default=1.0, ge=0)
    pt: float = Field(default=1.0, ge=0)
    energy: float = Field(default=0.5, ge=0)
    angles: float = Field(default=0.0, ge=0)
    expected: float = Field(default=0.5, ge=0)
    local: float = Field(default=0.5, ge=0)
    missing: float = Field(default=0.0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def check_names(cls, values: Mapping[str, float]) -> Mapping[str, float]:
        """Refuse unknown terms."""
        if odd := [name for name in values if name not in cls.model_fields]:
            raise ValueError(f"unknown term {odd[0]}; known: {', '.join(cls.model_fields)}")
        return values


def ours(outputs: Outputs, batch: Batch, weights: Weights, focal: bool = False) -> Tensor:
    """Weighted sum of all terms, a scalar; focal: binary and focal classification in place of the weighted one."""
    return torch.stack([w * term for w, term in terms(outputs, batch, weights, focal).values()]).sum()


def terms(outputs: Outputs, batch: Batch, weights: Weights, focal: bool = False) -> Mapping[str, tuple[float, Tensor]]:
    """The terms with a weight above zero, by name: the weight of each and its value, a scalar."""
    ways = {
        "classes": binary_and_focal if focal else weighted_classes,
        "pt": log_pt,
        "energy": log_energy,
        "angles": angles,
        "expected": expected_pt,
        "local": local_pt,
        "missing": missing_pt,
    }
    return {name: (w, ways[name](outputs, batch)) for name, w in weights.model_dump().items() if w}


def weighted_classes(outputs: Outputs, batch: Batch) -> Tensor:
    """Cross entropy of the class, a scalar, weighted with sqrt(pt) of target or element, and more for leptons."""
    pt = torch.maximum(batch.pt, batch.elements.scale[:, 0])
    weight = pt.sqrt().clamp(LEAST_WEIGHT, MOST_WEIGHT) * pt.new_tensor(CLASS_WEIGHTS)[batch.kind]
    return (weight * functional.cross_entropy(outputs.logits, batch.kind, reduction="none")).mean()


def binary_and_focal(outputs: Outputs, batch: Batch) -> Tensor:
    """Cross entropy of the existence of a particle plus focal loss of its class, a scalar: means over all elements."""
    logs = outputs.logits.log_softmax(dim=-1)
    there = batch.kind > 0
    binary = -torch.where(there, logs[:, 1:].logsumexp(dim=-1), logs[:, 0]).mean()
    return binary + focal(outputs.logits[:, 1:], batch.kind - 1, there)


def focal(logits: Tensor, kind: Tensor, there: Tensor) -> Tensor:
    """Softmax focal loss, summed over the elements in a mask ``there`` (n,), divided by the number of all."""
    log = logits.log_softmax(dim=-1).gather(1, kind.clamp(min=0)[:, None])[:, 0]
    return (-((1 - log.exp()) ** FOCUS) * log * there).mean()


def log_pt(outputs: Outputs, batch: Batch) -> Tensor:
    """Huber function of the logarithm of pt, a scalar."""
    return momentum_term(outputs.log_pt, batch.pt, batch.elements.scale[:, 0], batch)


def log_energy(outputs: Outputs, batch: Batch) -> Tensor:
    """Huber function of the logarithm of energy, a scalar."""
    return momentum_term(outputs.log_energy, batch.energy, batch.elements.scale[:, 1], batch)


def momentum_term(predicted: Tensor, value: Tensor, measured: Tensor, batch: Batch) -> Tensor:
    """Huber function of log(predicted / value), weighted with the capped sqrt(pt), a scalar; columns (n,), GeV."""
    residual = predicted - log_ratio(value, measured)
    return (regression_weight(batch) * huber(residual, LOG_DELTA)).mean()


def log_ratio(value: Tensor, measured: Tensor) -> Tensor:
    """(n,) log(value / measured), clipped to LOG_RANGE; 0 if the value is 0."""
    ratio = (value.clamp(min=1e-6) / measured.clamp(min=1e-6)).log().clamp(-LOG_RANGE, LOG_RANGE)
    return torch.where(value > 0, ratio, 0.0)


def regression_weight(batch: Batch) -> Tensor:
    """(n,) sqrt(pt) up to CAP, with mean 1 over the elements with a particle; 0 for the others.

    With it a mean over all elements is the mean over those with a particle, times their share.
    """
    there = batch.kind > 0
    weight = batch.pt.sqrt().clamp(max=CAP) * there
    return weight * (there.sum() / weight.sum().clamp(min=1e-6))


def huber(residual: Tensor, delta: float) -> Tensor:
    """Half the square of residuals (n,), linear beyond delta."""
    return functional.huber_loss(residual, torch.zeros_like(residual), reduction="none", delta=delta)


def angles(outputs: Outputs, batch: Batch) -> Tensor:
    """Huber function of the residuals of eta and phi in units of ANGLE, a scalar; that of phi is the smaller angle."""
    weight = regression_weight(batch)
    residual = [outputs.eta - batch.eta]
    if outputs.turn is not None:
        turn = batch.phi - batch.elements.direction[:, 1]
        cos, sin = outputs.turn.unbind(-1)
        residual.append(torch.atan2(sin * turn.cos() - cos * turn.sin(), cos * turn.cos() + sin * turn.sin()))
    return torch.stack([(weight * huber(r / ANGLE, 1.0)).mean() for r in residual]).sum()


def soft_pt(outputs: Outputs, batch: Batch) -> Tensor:
    """(n,) expected pt, GeV: the predicted one times the probability of a particle."""
    none = outputs.logits.softmax(dim=-1)[:, 0]
    return batch.elements.scale[:, 0] * outputs.log_pt.exp() * (1 - none)


def expected_pt(outputs: Outputs, batch: Batch) -> Tensor:
    """Huber function of the expected pt about the target's, in units of a calorimeter's resolution, a scalar."""
    residual = soft_pt(outputs, batch) - batch.pt
    return huber(residual / (SOFTEST + batch.pt).sqrt(), 1.0).mean()


def local_pt(outputs: Outputs, batch: Batch) -> Tensor:
    """The same for sums over neighbours, each weighted with a Gaussian of width RADIUS in dR: a scalar."""
    order, offsets = batch.elements.order[0], batch.elements.offsets
    windows = Windows.of(order, offsets, WINDOW)
    near = gaussian(windows.gather(batch.elements.position)) * windows.filled[:, None, :]
    residual = windows.gather(soft_pt(outputs, batch) - batch.pt)
    scale = SOFTEST + near @ windows.gather(batch.pt)[..., None]
    ratio = (near @ residual[..., None]) / scale.sqrt()
    return (huber(ratio[..., 0], 1.0) * windows.filled).sum() / max(len(order), 1)


def missing_pt(outputs: Outputs, batch: Batch) -> Tensor:
    """Huber function of an event's expected momenta minus those of its targets, in x and y: a scalar.

    The unit is the square root of the sum of the targets' pt, since the resolution of pTmiss grows with it.
    """
    found = soft_pt(outputs, batch)[:, None] * direction(outputs.momentum(batch.elements)[2])
    true = batch.pt[:, None] * direction(batch.phi)
    rows = torch.cat([found - true, batch.pt[:, None]], dim=-1)
    counts = batch.elements.offsets.diff()
    event = torch.repeat_interleave(torch.arange(len(counts)), counts).to(rows.device)
    sums = rows.new_zeros(len(counts), 3).index_add(0, event, rows)
    return huber(sums[:, :2] / (SOFTEST + sums[:, 2:]).sqrt(), 1.0).sum(dim=-1).mean()


def direction(phi: Tensor) -> Tensor:
    """(n, 2) cosine and sine."""
    return torch.stack([phi.cos(), phi.sin()], dim=-1)


def gaussian(position: Tensor) -> Tensor:
    """(windows, size, size) exp(-dR² / 2 RADIUS²) of positions (windows, size, 2)."""
    with single_precision(position):
        distance = Distance.of(position.float(), [RADIUS])
        query, key = distance.query[:, :, 0], distance.key[:, :, 0]
        own = key[..., -1:] - 1 / RADIUS**2  # restores the term that Distance leaves out
        return (query @ key.transpose(1, 2)).add_(own).exp_().clamp_(max=1.0)


def loss_2021(outputs: Outputs, batch: Batch) -> Tensor:
    """Focal loss of each class and Huber functions of momenta in GeV, with the weights of ACAT 2021."""
    truth = functional.one_hot(batch.kind, outputs.logits.shape[1]).to(outputs.logits.dtype)
    chance = outputs.logits.sigmoid()
    right = chance * truth + (1 - chance) * (1 - truth)
    alpha = 0.25 * truth + 0.75 * (1 - truth)
    entropy = functional.binary_cross_entropy_with_logits(outputs.logits, truth, reduction="none")
    classes = (alpha * (1 - right) ** FOCUS * entropy).sum(dim=-1).mean()
    pt, eta, phi, energy = outputs.momentum(batch.elements)
    there = batch.kind > 0
    parts = (
        (1e-4, pt - batch.pt, 1.0),
        (1e-4, energy - batch.energy, 1.0),
        (100.0, eta - batch.eta, 0.1),
        (10.0, phi.sin() - batch.phi.sin(), 0.1),
        (10.0, phi.cos() - batch.phi.cos(), 0.1),
    )
    return 100 * classes + torch.stack([w * (huber(r, delta) * there).mean() for w, r, delta in parts]).sum()


def loss_v220(outputs: Outputs, batch: Batch) -> Tensor:
    """Ten times the binary cross entropy, focal loss, and mean squares (pt and energy times sqrt(pt)), a scalar."""
    logs = outputs.logits.log_softmax(dim=-1)
    there = batch.kind > 0
    binary = -torch.where(there, logs[:, 1:].logsumexp(dim=-1), logs[:, 0]).mean()
    weight = batch.pt.sqrt()
    phi = outputs.momentum(batch.elements)[2]
    parts = (
        (1.0, weight * (outputs.log_pt - log_ratio(batch.pt, batch.elements.scale[:, 0])).square()),
        (1.0, weight * (outputs.log_energy - log_ratio(batch.energy, batch.elements.scale[:, 1])).square()),
        (0.01, (outputs.eta - batch.eta).square()),
        (0.01, (phi.sin() - batch.phi.sin()).square()),
        (0.01, (phi.cos() - batch.phi.cos()).square()),
    )
    regression = torch.stack([w * (r * there).sum() for w, r in parts]).sum() / there.sum().clamp(min=1)
    return 10 * binary + focal(outputs.logits[:, 1:], batch.kind - 1, there) + regression

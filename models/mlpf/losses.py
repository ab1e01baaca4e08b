"""What the training makes small: class, momentum and expected energy of each element.

A term is a mean over elements, or over those that stand for something. ``ours`` is a sum of terms with weights, each of
which can be left out; ``published_2021`` and ``published_v220`` are the published losses.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor
from torch.nn import functional

from .attention import Distance, Windows
from .dataset import Batch
from .network import Outputs

LEAST_WEIGHT, MOST_WEIGHT = 0.4, 5.0  # of sqrt(pt / GeV) in the classification
CLASS_WEIGHTS = (1.0, 1.0, 1.0, 1.0, 4.0, 4.0, 1.0, 1.0)  # electrons and muons are few
CAP = 10.0  # of sqrt(pt / GeV) in the regression
LOG_RANGE = 6.0  # of logarithms of ratios
LOG_DELTA = 0.5  # of the Huber function of such logarithms
ANGLE = 0.02  # rad: the unit of angular residuals
SOFTEST = 0.25  # GeV: resolution² = SOFTEST + pt, in GeV
RADIUS, WINDOW = 0.15, 128  # of the local sums
FOCUS = 2.0  # gamma of the focal loss


class Weights(BaseModel):
    """What each term of our loss counts; 0 leaves it out."""

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
    def known(cls, values: Mapping[str, float]) -> Mapping[str, float]:
        """Only terms that there are."""
        if odd := [name for name in values if name not in cls.model_fields]:
            raise ValueError(f"no such term as {odd[0]}; there are {', '.join(cls.model_fields)}")
        return values


def ours(outputs: Outputs, batch: Batch, weights: Weights, focal: bool = False) -> Tensor:
    """Sum of all terms; focal: binary and focal classification in place of the weighted one."""
    return torch.stack([w * term for w, term in terms(outputs, batch, weights, focal).values()]).sum()


def terms(outputs: Outputs, batch: Batch, weights: Weights, focal: bool = False) -> Mapping[str, tuple[float, Tensor]]:
    """The terms that count, by name, each with its weight."""
    ways = {
        "classes": binary_and_focal if focal else weighted_classes,
        "pt": log_pt,
        "energy": log_energy,
        "angles": angles,
        "expected": expected,
        "local": local,
        "missing": missing,
    }
    return {name: (w, ways[name](outputs, batch)) for name, w in weights.model_dump().items() if w}


def weighted_classes(outputs: Outputs, batch: Batch) -> Tensor:
    """Cross entropy, weighted with sqrt(pt) of target or element, and more for leptons."""
    pt = torch.maximum(batch.pt, batch.elements.scale[:, 0])
    weight = pt.sqrt().clamp(LEAST_WEIGHT, MOST_WEIGHT) * pt.new_tensor(CLASS_WEIGHTS)[batch.kind]
    return (weight * functional.cross_entropy(outputs.logits, batch.kind, reduction="none")).mean()


def binary_and_focal(outputs: Outputs, batch: Batch) -> Tensor:
    """Whether there is a particle, and if so which: cross entropy and focal loss, each a mean over all elements."""
    logs = outputs.logits.log_softmax(dim=-1)
    there = batch.kind > 0
    binary = -torch.where(there, logs[:, 1:].logsumexp(dim=-1), logs[:, 0]).mean()
    return binary + focal(outputs.logits[:, 1:], batch.kind - 1, there)


def focal(logits: Tensor, kind: Tensor, there: Tensor) -> Tensor:
    """Softmax focal loss of the elements that are there, over the number of all."""
    log = logits.log_softmax(dim=-1).gather(1, kind.clamp(min=0)[:, None])[:, 0]
    return (-((1 - log.exp()) ** FOCUS) * log * there).mean()


def log_pt(outputs: Outputs, batch: Batch) -> Tensor:
    """Huber function of the logarithm of pt."""
    return momentum_term(outputs.log_pt, batch.pt, batch.elements.scale[:, 0], batch)


def log_energy(outputs: Outputs, batch: Batch) -> Tensor:
    """Huber function of the logarithm of energy."""
    return momentum_term(outputs.log_energy, batch.energy, batch.elements.scale[:, 1], batch)


def momentum_term(predicted: Tensor, value: Tensor, measured: Tensor, batch: Batch) -> Tensor:
    """Huber function of log(predicted / value), weighted with the capped sqrt(pt)."""
    residual = predicted - log_ratio(value, measured)
    return (regression_weight(batch) * huber(residual, LOG_DELTA)).mean()


def log_ratio(value: Tensor, measured: Tensor) -> Tensor:
    """log(value / measured) within LOG_RANGE; 0 where there is no value."""
    ratio = (value.clamp(min=1e-6) / measured.clamp(min=1e-6)).log().clamp(-LOG_RANGE, LOG_RANGE)
    return torch.where(value > 0, ratio, 0.0)


def regression_weight(batch: Batch) -> Tensor:
    """(n,) sqrt(pt) up to CAP, of mean 1 over the elements that stand for something; 0 for the others.

    A mean over all elements is then one over those that do, times their share.
    """
    there = batch.kind > 0
    weight = batch.pt.sqrt().clamp(max=CAP) * there
    return weight * (there.sum() / weight.sum().clamp(min=1e-6))


def huber(residual: Tensor, delta: float) -> Tensor:
    """Half the square, linear beyond delta."""
    return functional.huber_loss(residual, torch.zeros_like(residual), reduction="none", delta=delta)


def angles(outputs: Outputs, batch: Batch) -> Tensor:
    """Huber function of the distances in eta and phi in units of ANGLE; the latter never wraps."""
    weight = regression_weight(batch)
    residual = [outputs.eta - batch.eta]
    if outputs.turn is not None:
        turn = batch.phi - batch.elements.direction[:, 1]
        cos, sin = outputs.turn.unbind(-1)
        residual.append(torch.atan2(sin * turn.cos() - cos * turn.sin(), cos * turn.cos() + sin * turn.sin()))
    return torch.stack([(weight * huber(r / ANGLE, 1.0)).mean() for r in residual]).sum()


def soft_pt(outputs: Outputs, batch: Batch) -> Tensor:
    """(n,) pt times the probability that there is a particle, GeV."""
    none = outputs.logits.softmax(dim=-1)[:, 0]
    return batch.elements.scale[:, 0] * outputs.log_pt.exp() * (1 - none)


def expected(outputs: Outputs, batch: Batch) -> Tensor:
    """Huber function of the soft pt about the target's, in units of a calorimeter's resolution."""
    residual = soft_pt(outputs, batch) - batch.pt
    return huber(residual / (SOFTEST + batch.pt).sqrt(), 1.0).mean()


def local(outputs: Outputs, batch: Batch) -> Tensor:
    """The same of sums over what is near, each neighbour weighted with a Gaussian of width RADIUS in dR."""
    order, offsets = batch.elements.order[0], batch.elements.offsets
    windows = Windows.of(order, offsets, WINDOW)
    near = gaussian(windows.gather(batch.elements.position)) * windows.filled[:, None, :]
    residual = windows.gather(soft_pt(outputs, batch) - batch.pt)
    scale = SOFTEST + near @ windows.gather(batch.pt)[..., None]
    ratio = (near @ residual[..., None]) / scale.sqrt()
    return (huber(ratio[..., 0], 1.0) * windows.filled).sum() / max(len(order), 1)


def missing(outputs: Outputs, batch: Batch) -> Tensor:
    """Huber function of what the soft momenta of an event miss of the targets' sum in x and y, a mean over events.

    The unit is the square root of the sum of the targets' pt, with which pTmiss is measured the worse.
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
    distance = Distance.of(position.float(), [RADIUS])
    query, key = distance.query[:, :, 0], distance.key[:, :, 0]
    own = key[..., -1:] - 1 / RADIUS**2  # what is the same for all keys
    return (query @ key.transpose(1, 2)).add_(own).exp_().clamp_(max=1.0)


def published_2021(outputs: Outputs, batch: Batch) -> Tensor:
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


def published_v220(outputs: Outputs, batch: Batch) -> Tensor:
    """Ten times the binary cross entropy, focal loss, and mean squares, those of pt and energy times sqrt(pt)."""
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

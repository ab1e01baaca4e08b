"""The recipe of a network of superclusters, and its loss."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, huber_loss

from ptmiss.bootstrap import half_width

from ..task import Task
from ..training import DecoupledSettings
from .dataset import Batch, Dataset, Loader
from .network import Network

FLOOR, STOCHASTIC = 0.01, 0.16
"""What an energy may be off, relative: STOCHASTIC over the root of GeV, and not less than FLOOR."""
MEASURED = 15.0  # GeV, least energy of what the width is measured of


class Recipe(Task, DecoupledSettings):
    """Everything that a training depends on, except its events.

    width, layers: of the network. batch: windows. energy: weight of the term of the energy.
    """

    epochs: int = Field(60, ge=1)
    rate: float = Field(4e-3, gt=0)
    average: float = Field(0.995, ge=0, lt=1)
    batch: int = Field(128, ge=2)
    width: int = Field(24, ge=4, multiple_of=4)
    layers: int = Field(2, ge=1)
    energy: float = Field(0.25, ge=0)

    def build_network(self, training: Dataset) -> Network:
        """A fresh network with the scales of the windows."""
        network = Network(self.width, self.layers)
        network.measure(training)
        return network

    def draw_batches(self, training: Dataset, network: Network) -> Loader:
        """Batches of windows, mirrored in phi or not."""
        return Loader(training, self.batch, self.seed)

    def batch_loss(self, network: Network, batch: Batch) -> Tensor:
        """The loss of a network on a batch, a scalar."""
        member, energy = terms(network, batch)
        return member + self.energy * energy

    def validation(self, events: Dataset) -> Callable[[Network], dict[str, float]]:
        """A function that measures a network on windows, see :func:`validate`."""
        return lambda network: validate(network, events, self)


def terms(network: Network, batch: Batch) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the clusters beside the seeds, weighted with the root of their energy; Huber of the energy."""
    found = network(batch)
    relative = (batch.energy / batch.energy[batch.first][batch.window]).clamp(max=1)
    weight = relative.sqrt().index_fill(0, batch.first, 0.0)
    each = binary_cross_entropy_with_logits(found.logit, batch.share, reduction="none")
    member = (weight * each).sum() / weight.sum().clamp(min=1e-6)
    allowed = (STOCHASTIC / batch.true.sqrt()).clamp(min=FLOOR)
    off = (found.log_energy - batch.true.log()) / allowed
    return member, huber_loss(off, torch.zeros_like(off))


@torch.no_grad()
def validate(network: Network, events: Dataset, recipe: Recipe) -> dict[str, float]:
    """The loss and its terms; median and half width of the energy over the true one, above MEASURED."""
    batch = events.batch(np.arange(len(events)))
    member, energy = terms(network, batch)
    numbers = {"loss": float(member + recipe.energy * energy), "member": float(member), "energy": float(energy)}
    ratio = (network(batch).log_energy.exp() / batch.true)[batch.true > MEASURED].numpy()
    if not len(ratio):
        return numbers
    median = float(np.median(ratio))
    return numbers | {"response": median, "resolution": float(half_width(ratio)[0]) / median}
